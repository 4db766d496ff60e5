use super::*;
use crate::test_problems::{
    assert_follows, function_by_hand, inner, plus, quadratic, quadratic_in_f64, rosenbrock_by_hand,
    saddle, times, vector32, vector64,
};
use crate::{Cost, Quantity};
use ravine_curvature::vector;

/// −(|H| + λI)⁻¹ g.
fn direction_by_hand(at: [f64; 2], lambda: f64) -> [f64; 2] {
    let here = rosenbrock_by_hand(at);
    function_by_hand(
        here.hessian,
        |value| -1.0 / (value.abs() + lambda),
        here.gradient,
    )
}

fn armijo_by_hand(at: [f64; 2], d: [f64; 2]) -> [f64; 2] {
    let here = rosenbrock_by_hand(at);
    let slope = inner(here.gradient, d);
    let mut alpha = 1.0;
    while rosenbrock_by_hand(plus(at, alpha, d)).loss > here.loss + 1e-4 * alpha * slope {
        alpha *= 0.5;
    }
    plus(at, alpha, d)
}

#[test]
fn ten_steps_by_hand_with_a_fixed_damping_and_backtracking() {
    for spectrum in [Spectrum::Dense, Spectrum::Krylov { dimension: 2 }] {
        assert_follows(
            || {
                let method = SaddleFreeNewton::new(spectrum);
                let damping = Damping::Fixed { lambda: 0.5 };
                Box::new(method.damping(damping).backtracking(Armijo::default()))
            },
            10,
            || Box::new(|at| armijo_by_hand(at, direction_by_hand(at, 0.5))),
        );
    }
}

#[test]
fn ten_steps_by_hand_with_an_adaptive_damping() {
    assert_follows(
        || Box::new(SaddleFreeNewton::new(Spectrum::Dense)),
        10,
        || {
            let mut lambda = 1e-2_f64;
            Box::new(move |at| {
                let here = rosenbrock_by_hand(at);
                loop {
                    let d = direction_by_hand(at, lambda);
                    let promised = inner(here.gradient, d) + 0.5 * inner(d, times(here.hessian, d));
                    let delta = 10.0 * f64::EPSILON * here.loss;
                    let to = plus(at, 1.0, d);
                    let change = rosenbrock_by_hand(to).loss - here.loss;
                    let rho = (change - delta) / (promised - delta);
                    if rho <= 1e-4 {
                        lambda *= 10.0;
                        continue;
                    }
                    if rho < 0.25 {
                        lambda *= 10.0;
                    } else if rho > 0.75 {
                        lambda = (lambda * 0.1).max(1e-12);
                    }
                    return to;
                }
            })
        },
    );
}

#[test]
fn one_lanczos_vector_is_a_gradient_step_by_its_curvature() {
    assert_follows(
        || {
            let method = SaddleFreeNewton::new(Spectrum::Krylov { dimension: 1 });
            Box::new(
                method
                    .damping(Damping::None)
                    .backtracking(Armijo::default()),
            )
        },
        10,
        || {
            Box::new(|at| {
                let here = rosenbrock_by_hand(at);
                let g = here.gradient;
                let rayleigh = inner(g, times(here.hessian, g)) / inner(g, g);
                armijo_by_hand(at, plus([0.0, 0.0], -1.0 / rayleigh.abs(), g))
            })
        },
    );
}

#[test]
fn a_saddle_repels_by_the_closed_form() {
    // θ₁ ← θ₁ + θ₁/(|−1| + λ), θ₀ ← θ₀ − θ₀/(1 + λ)
    let mut oracle = Oracle::new(saddle());
    let mut method = SaddleFreeNewton::new(Spectrum::Dense).damping(Damping::Fixed { lambda: 1.0 });
    let step = method.step(&mut oracle, &vector32(&[1.0, 0.5])).unwrap();
    let theta = vector::to_f64(&step.theta);
    assert!((theta[0] - 0.5).abs() < 1e-7 && (theta[1] - 0.75).abs() < 1e-7);
    let StepEnding::NegativeCurvature {
        rayleigh,
        direction,
    } = step.ending
    else {
        panic!("{:?}", step.ending);
    };
    assert!((rayleigh + 1.0).abs() < 1e-7);
    assert_eq!(vector::to_f64(&direction)[0], 0.0);
    let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
    assert!((measured - step.predicted_change.unwrap()).abs() < 1e-6);
}

#[test]
fn a_floor_keeps_flat_directions_short() {
    let mut oracle = Oracle::new(quadratic_in_f64(&[4.0, 0.0009765625, -0.0009765625]));
    let mut method = SaddleFreeNewton::new(Spectrum::Dense)
        .damping(Damping::None)
        .floor(0.5);
    let step = method
        .step(&mut oracle, &vector64(&[1.0, 1.0, 1.0]))
        .unwrap();
    let expected = [0.0, 1.0 - 0.0009765625 / 0.5, 1.0 + 0.0009765625 / 0.5];
    for (found, expected) in vector::to_f64(&step.theta).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

#[test]
fn costs_are_those_of_the_spectrum() {
    let cost = |spectrum| {
        let mut oracle = Oracle::new(quadratic(&[1.0, 2.0, 3.0, 4.0], &[0.0; 4]));
        let mut method = SaddleFreeNewton::new(spectrum).damping(Damping::None);
        method.step(&mut oracle, &vector32(&[1.0; 4])).unwrap().cost
    };
    let expected = |products| Cost {
        losses: 0,
        gradients: 1,
        products,
        ..Cost::default()
    };
    assert_eq!(cost(Spectrum::Dense), expected(4));
    assert_eq!(cost(Spectrum::Krylov { dimension: 3 }), expected(3));
    assert_eq!(cost(Spectrum::Krylov { dimension: 50 }), expected(4));
}

#[test]
fn a_null_direction_is_singular_unless_damped() {
    let theta = vector32(&[1.0, 1.0]);
    let mut oracle = Oracle::new(quadratic(&[1.0, 0.0], &[0.0, 0.0]));
    let mut step = |method: SaddleFreeNewton| {
        let mut method = method;
        method.step(&mut oracle, &theta).unwrap().ending
    };
    let plain = SaddleFreeNewton::new(Spectrum::Dense).damping(Damping::None);
    assert!(matches!(
        step(plain.clone()),
        StepEnding::Singular { pivot_ratio: 0.0 }
    ));
    assert!(matches!(step(plain.floor(1e-3)), StepEnding::Accepted));
    // The Krylov space of the gradient does not meet it.
    let krylov = SaddleFreeNewton::new(Spectrum::Krylov { dimension: 2 });
    assert!(matches!(
        step(krylov.damping(Damping::None)),
        StepEnding::Accepted
    ));
}

#[test]
fn options_out_of_range_are_named() {
    let mut oracle = Oracle::new(saddle());
    let mut named =
        |mut method: SaddleFreeNewton| match method.step(&mut oracle, &vector32(&[1.0, 1.0])) {
            Err(OptimError::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        };
    let krylov = Spectrum::Krylov { dimension: 0 };
    assert_eq!(named(SaddleFreeNewton::new(krylov)), "dimension");
    assert_eq!(named(SaddleFreeNewton::default().floor(-1.0)), "floor");
    let damping = Damping::Fixed { lambda: f64::NAN };
    assert_eq!(
        named(SaddleFreeNewton::default().damping(damping)),
        "lambda"
    );
}

#[test]
fn a_loss_that_only_rises_is_an_ending() {
    // The loss is NaN everywhere but here, so that no λ helps.
    let mut oracle = Oracle::new(quadratic(&[1.0, f32::NAN], &[0.0, 0.0]));
    let step = SaddleFreeNewton::default()
        .step(&mut oracle, &vector32(&[1.0, 1.0]))
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NonFinite {
            quantity: Quantity::Loss,
            ..
        }
    ));
}
