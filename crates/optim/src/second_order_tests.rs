//! What the methods with second derivatives have in common: exact steps, saddles, hard cases, endings, f32.

use burn::prelude::*;
use ravine_curvature::vector;

use crate::test_problems::{
    bottleneck, double_well, quadratic, quadratic_in_f64, rosenbrock, vector32, vector64,
};
use crate::{
    Budget, CubicNewton, CubicStop, CubicSubproblem, CubicWeight, Damping, Ending, Forcing, Merit,
    Method, Newton, NewtonMr, Oracle, Quantity, RadiusRule, RegionSubproblem, SaddleFreeNewton,
    Silent, Spectrum, StepEnding, TrustRegion, run,
};

/// As much of the whole model as each method can use, undamped.
fn exact() -> Vec<Box<dyn Method>> {
    let forcing = Forcing::Constant { eta: 1e-13 };
    let rule = RadiusRule {
        initial: 1e3,
        ..RadiusRule::default()
    };
    let weight = CubicWeight {
        initial: 1e-15,
        ..CubicWeight::default()
    };
    let region = |subproblem| {
        let method = TrustRegion::new(subproblem).radius(rule).forcing(forcing);
        Box::new(method) as Box<dyn Method>
    };
    let cubic = |subproblem| Box::new(CubicNewton::new(subproblem).weight(weight));
    let free = |spectrum| Box::new(SaddleFreeNewton::new(spectrum).damping(Damping::None));
    let stop = CubicStop::Gradient { kappa: 1e-13 };
    vec![
        free(Spectrum::Dense),
        free(Spectrum::Krylov { dimension: 9 }),
        region(RegionSubproblem::Steihaug {
            max_iterations: Some(20),
        }),
        region(RegionSubproblem::Lanczos { max_iterations: 9 }),
        region(RegionSubproblem::Dense),
        cubic(CubicSubproblem::Krylov {
            max_iterations: 9,
            stop,
        }),
        cubic(CubicSubproblem::Dense),
        Box::new(NewtonMr::new(Merit::GradientNorm).forcing(forcing)),
        Box::new(NewtonMr::new(Merit::Loss).forcing(forcing)),
    ]
}

/// The methods that saddles repel, with their usual numbers.
fn repelled() -> Vec<Box<dyn Method>> {
    vec![
        Box::new(SaddleFreeNewton::new(Spectrum::Dense)),
        Box::new(SaddleFreeNewton::default()),
        Box::new(TrustRegion::default()),
        Box::new(TrustRegion::new(RegionSubproblem::Lanczos {
            max_iterations: 50,
        })),
        Box::new(TrustRegion::new(RegionSubproblem::Dense)),
        Box::new(CubicNewton::default()),
        Box::new(CubicNewton::new(CubicSubproblem::Dense)),
        Box::new(NewtonMr::new(Merit::Loss)),
    ]
}

#[test]
fn one_exact_step_ends_at_the_minimum_of_an_ill_conditioned_quadratic() {
    // A condition number of 1e6.
    let eigenvalues = [0.5, 8.0, 3000.0, 5e5];
    for (index, mut method) in exact().into_iter().enumerate() {
        let mut oracle = Oracle::new(quadratic_in_f64(&eigenvalues));
        let theta = vector64(&[1.0, -1.0, 0.5, 2.0]);
        let step = method.step(&mut oracle, &theta).unwrap();
        assert!(step.ending.moved(), "{index} {:?}", step.ending);
        let gap = oracle.loss(&step.theta).unwrap() / step.loss_before;
        assert!(gap < 1e-10, "{index} {} {gap}", method.name());
        // Not even the flattest direction, which hardly counts in the loss, is left over.
        let left = vector::to_f64(&step.theta)[0].abs();
        assert!(left < 1e-6, "{index} {} {left}", method.name());
    }
}

#[test]
fn saddles_repel_all_but_plain_newton() {
    let begin = vector64(&[0.5, 0.01]);
    let mut oracle = Oracle::new(double_well());
    let mut newton = Newton::new(Damping::None);
    let mut theta = begin.clone();
    for _ in 0..6 {
        theta = newton.step(&mut oracle, &theta).unwrap().theta;
    }
    assert!(vector::norm(&theta) < 1e-12);

    for (index, mut method) in repelled().into_iter().enumerate() {
        let mut theta = begin.clone();
        let mut met = false;
        for _ in 0..60 {
            let step = method.step(&mut oracle, &theta).unwrap();
            met |= matches!(step.ending, StepEnding::NegativeCurvature { .. });
            theta = step.theta;
        }
        let (loss, gradient) = oracle.gradient(&theta).unwrap();
        let name = method.name();
        assert!((loss + 0.25).abs() < 1e-12, "{index} {name} {loss}");
        assert!(vector::norm(&gradient) < 1e-6, "{index} {name} {gradient}");
        assert!(met, "{index} {name}");
    }
}

#[test]
fn the_saddle_of_a_network_without_weights_is_left_for_a_minimum() {
    let point = bottleneck();
    let begin = point.theta().clone();
    let mut oracle = Oracle::new(point);
    let at_saddle = oracle.loss(&begin.zeros_like()).unwrap();
    let mut newton = Newton::new(Damping::None);
    let mut theta = begin.clone();
    for _ in 0..8 {
        theta = newton.step(&mut oracle, &theta).unwrap().theta;
    }
    assert!(vector::norm(&theta) < 1e-10, "{theta}");

    for (index, mut method) in repelled().into_iter().enumerate() {
        let mut theta = begin.clone();
        for _ in 0..60 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        let (loss, gradient) = oracle.gradient(&theta).unwrap();
        let lowest = oracle.dense_hessian(&theta).unwrap().eigenvalues().unwrap()[0];
        let name = method.name();
        assert!(loss < 0.5 * at_saddle, "{index} {name} {loss} {at_saddle}");
        let norm = vector::norm(&gradient);
        assert!(norm < 1e-6, "{index} {name} {norm}");
        assert!(lowest > -1e-6, "{index} {name} {lowest}");
    }
}

#[test]
fn krylov_spaces_that_are_large_enough_walk_like_dense_matrices() {
    let region = |subproblem| -> Box<dyn Method> {
        let method = TrustRegion::new(subproblem);
        Box::new(method.forcing(Forcing::Constant { eta: 1e-13 }))
    };
    let stop = CubicStop::Step { kappa: 1e-13 };
    let pairs: [[Box<dyn Method>; 2]; 3] = [
        [
            Box::new(SaddleFreeNewton::new(Spectrum::Dense)),
            Box::new(SaddleFreeNewton::new(Spectrum::Krylov { dimension: 6 })),
        ],
        [
            region(RegionSubproblem::Dense),
            region(RegionSubproblem::Lanczos { max_iterations: 6 }),
        ],
        [
            Box::new(CubicNewton::new(CubicSubproblem::Dense)),
            Box::new(CubicNewton::new(CubicSubproblem::Krylov {
                max_iterations: 6,
                stop,
            })),
        ],
    ];
    for mut pair in pairs {
        let begin = bottleneck().theta().clone();
        let mut thetas = [begin.clone(), begin];
        for step in 0..10 {
            for (method, theta) in pair.iter_mut().zip(&mut thetas) {
                let mut oracle = Oracle::new(bottleneck());
                *theta = method.step(&mut oracle, theta).unwrap().theta;
            }
            let apart = vector::norm(&(thetas[0].clone() - thetas[1].clone()));
            assert!(apart < 1e-9, "{} {step} {apart}", pair[0].name());
        }
    }
}

#[test]
fn a_gradient_that_hides_the_way_down_stops_all_but_dense_subproblems() {
    // From (0.5, 0) the gradient has nothing of the direction that curves downwards.
    let begin = vector64(&[0.5, 0.0]);
    let end = |method: &mut dyn Method| {
        let mut oracle = Oracle::new(double_well());
        let mut theta = begin.clone();
        for _ in 0..40 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        oracle.loss(&theta).unwrap()
    };
    let dense: [Box<dyn Method>; 2] = [
        Box::new(TrustRegion::new(RegionSubproblem::Dense)),
        Box::new(CubicNewton::new(CubicSubproblem::Dense)),
    ];
    for mut method in dense {
        let loss = end(&mut *method);
        assert!((loss + 0.25).abs() < 1e-12, "{} {loss}", method.name());
    }
    let blind: [Box<dyn Method>; 4] = [
        Box::new(SaddleFreeNewton::new(Spectrum::Dense)),
        Box::new(SaddleFreeNewton::default()),
        Box::new(TrustRegion::default()),
        Box::new(CubicNewton::default()),
    ];
    for mut method in blind {
        let loss = end(&mut *method);
        assert!(loss.abs() < 1e-12, "{} {loss}", method.name());
    }
}

#[test]
fn endings_are_data() {
    for mut method in exact().into_iter().chain(repelled()) {
        let name = method.name().to_string();
        let mut ending = |point, theta: &Tensor<1>| {
            let step = method.step(&mut Oracle::new(point), theta).unwrap();
            assert_eq!(vector::to_f64(&step.theta).len(), 2);
            step.ending
        };
        let at = |theta: &[f32]| vector32(theta);
        let bowl = || quadratic(&[1.0, 2.0], &[0.0, 0.0]);
        let stationary = ending(bowl(), &at(&[0.0, 0.0]));
        assert!(matches!(stationary, StepEnding::Stationary), "{name}");
        let not_a_number = ending(bowl(), &at(&[f32::NAN, 0.0]));
        assert!(
            matches!(
                not_a_number,
                StepEnding::NonFinite {
                    quantity: Quantity::Loss,
                    ..
                }
            ),
            "{name}"
        );
        let huge = ending(quadratic(&[1e30, 1.0], &[0.0, 0.0]), &at(&[1e30, 0.0]));
        assert!(matches!(huge, StepEnding::NonFinite { .. }), "{name}");
    }
}

#[test]
fn a_product_that_is_not_finite_is_an_ending() {
    // θ₀^1.5 has a gradient at 0, but no second derivative.
    let objective = ravine_curvature::Objective::of_loss(
        |model: &crate::test_problems::Coordinates, (): &()| {
            let theta = model.theta.val();
            let x = theta.clone().slice(0..1);
            let y = theta.slice(1..2);
            x.powf_scalar(1.5) + y.clone() * y
        },
    );
    let model = crate::test_problems::Coordinates::new(&[1.0, 1.0]);
    let point = objective.at(&model, &()).unwrap();
    for mut method in exact().into_iter().chain(repelled()) {
        let mut oracle = Oracle::new(point.clone());
        let theta = vector32(&[0.0, 1.0]);
        let step = method.step(&mut oracle, &theta).unwrap();
        let name = method.name();
        assert!(
            matches!(
                step.ending,
                StepEnding::NonFinite {
                    quantity: Quantity::Hessian,
                    ..
                }
            ),
            "{name} {:?}",
            step.ending
        );
        assert_eq!(vector::to_f64(&step.theta), [0.0, 1.0]);
    }
}

#[test]
fn in_f32_they_all_walk_down_rosenbrocks_valley() {
    let begin = vector32(&[-1.2, 1.0]);
    for (index, mut method) in repelled().into_iter().enumerate() {
        let point = rosenbrock();
        let budget = Budget::steps(150).target_loss(1e-8);
        let trajectory = run(&mut *method, &point, &begin, &budget, &mut Silent).unwrap();
        assert!(
            matches!(trajectory.ending, Ending::TargetReached { .. }),
            "{index} {} {:?}",
            method.name(),
            trajectory.ending
        );
    }
}

#[test]
fn a_minimum_in_f32_is_not_left_and_does_not_shrink_what_was_learned() {
    // At the minimum of a loss of 1 its differences are rounding: ρ would be noise.
    let methods: [Box<dyn Method>; 2] = [
        Box::new(TrustRegion::default()),
        Box::new(CubicNewton::default()),
    ];
    for mut method in methods {
        let objective = ravine_curvature::Objective::of_loss(
            |model: &crate::test_problems::Coordinates, (): &()| {
                let theta = model.theta.val();
                (theta.clone() * theta).sum() + 1.0
            },
        );
        let model = crate::test_problems::Coordinates::new(&[1e-5, -2e-5]);
        let point = objective.at(&model, &()).unwrap();
        let mut oracle = Oracle::new(point);
        let mut theta = vector32(&[1e-5, -2e-5]);
        for _ in 0..5 {
            let step = method.step(&mut oracle, &theta).unwrap();
            assert!(
                matches!(step.ending, StepEnding::Accepted | StepEnding::Stationary),
                "{} {:?}",
                method.name(),
                step.ending
            );
            theta = step.theta;
        }
        assert!(vector::norm(&theta) < 1e-9, "{theta}");
    }
}
