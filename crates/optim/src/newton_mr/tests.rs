use super::*;
use crate::Cost;
use crate::test_problems::{
    assert_follows, function_by_hand, inner, logistic, plus, quadratic, quadratic_in_f64,
    rosenbrock, rosenbrock_by_hand, saddle, times, vector32, vector64,
};

/// The iterate of MINRES on H s = −g after one step, and its residual −g − Hs.
fn first_iterate(g: [f64; 2], hessian: [[f64; 2]; 2]) -> ([f64; 2], [f64; 2]) {
    let image = times(hessian, g);
    let t = inner(g, image) / inner(image, image);
    let minus_g = plus([0.0, 0.0], -1.0, g);
    (plus([0.0, 0.0], -t, g), plus(minus_g, t, image))
}

fn newton(g: [f64; 2], hessian: [[f64; 2]; 2]) -> [f64; 2] {
    function_by_hand(hessian, |value| -1.0 / value, g)
}

#[test]
fn ten_steps_by_hand_by_the_norm_of_the_gradient() {
    let norm = |v: [f64; 2]| inner(v, v).sqrt();
    for eta in [0.8, 0.3, 1e-9] {
        assert_follows(
            || Box::new(NewtonMr::default().forcing(Forcing::Constant { eta })),
            10,
            || {
                Box::new(move |at| {
                    let here = rosenbrock_by_hand(at);
                    let (g, hessian) = (here.gradient, here.hessian);
                    let (mut s, r) = first_iterate(g, hessian);
                    if norm(r) > eta * norm(g) {
                        s = newton(g, hessian);
                    }
                    let slope = 2.0 * inner(g, times(hessian, s));
                    let squared = |alpha: f64| {
                        let there = rosenbrock_by_hand(plus(at, alpha, s)).gradient;
                        inner(there, there)
                    };
                    let mut alpha = 1.0;
                    while squared(alpha) > inner(g, g) + 1e-4 * alpha * slope {
                        alpha *= 0.5;
                    }
                    plus(at, alpha, s)
                })
            },
        );
    }
}

#[test]
fn ten_steps_by_hand_by_the_loss() {
    let norm = |v: [f64; 2]| inner(v, v).sqrt();
    let eta = 0.5;
    assert_follows(
        || Box::new(NewtonMr::new(Merit::Loss).forcing(Forcing::Constant { eta })),
        10,
        || {
            Box::new(move |at| {
                let here = rosenbrock_by_hand(at);
                let (g, hessian) = (here.gradient, here.hessian);
                let downward = |r: [f64; 2]| inner(r, times(hessian, r)) <= 0.0;
                let (s, r) = first_iterate(g, hessian);
                let (d, forward) = if downward(g) {
                    (plus([0.0, 0.0], -1.0, g), true)
                } else if downward(r) {
                    (r, true)
                } else if norm(times(hessian, r)) <= eta * norm(times(hessian, s)) {
                    (s, false)
                } else {
                    (newton(g, hessian), false)
                };
                let enough = |alpha: f64| {
                    let there = rosenbrock_by_hand(plus(at, alpha, d)).loss;
                    there <= here.loss + 1e-4 * alpha * inner(g, d)
                };
                let mut alpha = 1.0;
                if forward && enough(alpha) {
                    while enough(2.0 * alpha) {
                        alpha *= 2.0;
                    }
                }
                while !enough(alpha) {
                    alpha *= 0.5;
                }
                plus(at, alpha, d)
            })
        },
    );
}

#[test]
fn costs_are_a_gradient_a_trial_or_a_loss_a_trial() {
    let theta = vector64(&[1.0, 1.0, 1.0]);
    let cost = |merit| {
        let mut oracle = Oracle::new(quadratic_in_f64(&[1.0, 4.0, 9.0]));
        let mut method = NewtonMr::new(merit).forcing(Forcing::Constant { eta: 1e-10 });
        let step = method.step(&mut oracle, &theta).unwrap();
        assert_eq!(step.learning_rate, Some(1.0));
        assert!(vector::norm(&step.theta) < 1e-10);
        let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
        assert!((measured - step.predicted_change.unwrap()).abs() < 1e-10);
        let before = oracle.cost();
        oracle.gradient(&step.theta).unwrap();
        (step.cost, oracle.cost() - before)
    };
    let expected = |losses, gradients, products| Cost {
        losses,
        gradients,
        products,
        ..Cost::default()
    };
    // The last trial is the gradient of the next step.
    let (step, next) = cost(Merit::GradientNorm);
    assert_eq!(step, expected(0, 2, 3));
    assert_eq!(next, Cost::default());
    let (step, next) = cost(Merit::Loss);
    assert_eq!(step, expected(1, 1, 3));
    assert_eq!(next, expected(0, 1, 0));
}

#[test]
fn a_singular_hessian_gets_the_shortest_step() {
    // ½ (θ₀ + θ₁ − 3)² has the Hessian [[1, 1], [1, 1]]: from 0 its nearest minimum is (1.5, 1.5).
    let objective = ravine_curvature::Objective::of_loss(
        |model: &crate::test_problems::Coordinates, (): &()| {
            let error = model.theta.val().sum() - 3.0;
            error.clone() * error * 0.5
        },
    )
    .precision(ravine_curvature::Precision::F64);
    let point = objective
        .at(&crate::test_problems::Coordinates::new(&[0.0, 1.0]), &())
        .unwrap();
    for merit in [Merit::GradientNorm, Merit::Loss] {
        let mut oracle = Oracle::new(point.clone());
        let step = NewtonMr::new(merit)
            .step(&mut oracle, &vector64(&[0.0, 1.0]))
            .unwrap();
        assert!(matches!(step.ending, StepEnding::Accepted));
        let theta = vector::to_f64(&step.theta);
        assert!((theta[0] - 1.0).abs() < 1e-12 && (theta[1] - 2.0).abs() < 1e-12);
    }
}

#[test]
fn a_gradient_beyond_the_range_of_the_hessian_is_left_out() {
    // θ₀ + ½ θ₁²: g = (1, θ₁), H = diag(0, 1), so that −H⁺g = (0, −θ₁) and ‖g‖ cannot fall below 1.
    let objective = ravine_curvature::Objective::of_loss(
        |model: &crate::test_problems::Coordinates, (): &()| {
            let theta = model.theta.val();
            let y = theta.clone().slice(1..2);
            theta.slice(0..1) + y.clone() * y * 0.5
        },
    )
    .precision(ravine_curvature::Precision::F64);
    let point = objective
        .at(&crate::test_problems::Coordinates::new(&[0.0, 1.0]), &())
        .unwrap();
    let mut oracle = Oracle::new(point);
    let mut method = NewtonMr::default();
    let step = method.step(&mut oracle, &vector64(&[0.0, 1.0])).unwrap();
    let theta = vector::to_f64(&step.theta);
    assert!(
        theta[0].abs() < 1e-12 && theta[1].abs() < 1e-12,
        "{theta:?}"
    );
    // Then Hg = 0: there is no step left, though the gradient is not zero.
    let step = method.step(&mut oracle, &vector64(&[0.0, 0.0])).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NoDecrease {
            trials: 0,
            slope: 0.0
        }
    ));
}

#[test]
fn by_the_loss_negative_curvature_is_followed_forward() {
    // From (0, 0.1) on ½ (θ₀² − θ₁²) the loss falls for ever: α doubles until the trials are spent.
    let mut oracle = Oracle::new(saddle());
    let search = Armijo {
        max_trials: 5,
        ..Armijo::default()
    };
    let step = NewtonMr::new(Merit::Loss)
        .line_search(search)
        .step(&mut oracle, &vector32(&[0.0, 0.1]))
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NegativeCurvature { rayleigh, .. } if (rayleigh + 1.0).abs() < 1e-6
    ));
    assert_eq!(step.learning_rate, Some(16.0));
    assert_eq!(step.cost.losses, 5);
    assert_eq!(step.cost.products, 1);
    let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
    assert!((measured / step.predicted_change.unwrap() - 1.0).abs() < 1e-5);
}

#[test]
fn steps_by_hand_away_from_a_saddle() {
    // θ₀² − θ₁² + θ₁⁴ by hand; near the saddle α grows forward.
    let loss = |[x, y]: [f64; 2]| x * x - y * y + y.powi(4);
    let norm = |v: [f64; 2]| inner(v, v).sqrt();
    let eta = 0.01;
    let mut oracle = Oracle::new(crate::test_problems::double_well());
    let mut method = NewtonMr::new(Merit::Loss);
    let mut theta = vector64(&[0.5, 0.01]);
    let mut at = [0.5_f64, 0.01];
    let mut farthest = 0.0_f64;
    for step in 0..5 {
        let [x, y] = at;
        let g = [2.0 * x, -2.0 * y + 4.0 * y.powi(3)];
        let hessian = [[2.0, 0.0], [0.0, -2.0 + 12.0 * y * y]];
        let downward = |r: [f64; 2]| inner(r, times(hessian, r)) <= 0.0;
        let (s, r) = first_iterate(g, hessian);
        let (d, curved) = if downward(g) {
            (plus([0.0, 0.0], -1.0, g), true)
        } else if norm(r) <= 10.0 * f64::EPSILON * norm(g) {
            (s, false)
        } else if downward(r) {
            (r, true)
        } else if norm(times(hessian, r)) <= eta * norm(times(hessian, s)) {
            (s, false)
        } else {
            (newton(g, hessian), false)
        };
        let enough = |alpha: f64| loss(plus(at, alpha, d)) <= loss(at) + 1e-4 * alpha * inner(g, d);
        let mut alpha = 1.0;
        while curved && enough(alpha) && enough(2.0 * alpha) {
            alpha *= 2.0;
        }
        while !enough(alpha) {
            alpha *= 0.5;
        }
        farthest = farthest.max(alpha);
        at = plus(at, alpha, d);
        let taken = method.step(&mut oracle, &theta).unwrap();
        assert_eq!(taken.learning_rate, Some(alpha), "step {step}");
        theta = taken.theta;
        for (found, expected) in vector::to_f64(&theta).iter().zip(at) {
            assert!(
                (found - expected).abs() < 1e-10,
                "{step}: {found} {expected}"
            );
        }
    }
    assert!(farthest > 2.0, "{farthest}");
}

#[test]
fn by_the_norm_of_the_gradient_a_saddle_attracts() {
    let mut oracle = Oracle::new(saddle());
    let step = NewtonMr::default()
        .step(&mut oracle, &vector32(&[0.4, 0.1]))
        .unwrap();
    assert!(vector::norm(&step.theta) < 1e-2);
}

#[test]
fn a_solve_that_is_cut_short_still_steps() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0, 9.0], &[0.0; 3]));
    let step = NewtonMr::default()
        .max_iterations(1)
        .step(&mut oracle, &vector32(&[1.0; 3]))
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::SolverStopped { iterations: 1, relative_residual } if relative_residual > 0.01
    ));
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
}

#[test]
fn both_merits_reach_the_minima_in_f32() {
    for merit in [Merit::GradientNorm, Merit::Loss] {
        let problem = logistic();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = NewtonMr::new(merit);
        let mut norm = f64::INFINITY;
        for _ in 0..8 {
            let step = method.step(&mut oracle, &theta).unwrap();
            norm = step.gradient_norm.unwrap();
            theta = step.theta;
        }
        assert!(norm < 1e-4, "{merit:?} {norm}");
    }
    let mut oracle = Oracle::new(rosenbrock());
    let mut method = NewtonMr::new(Merit::Loss);
    let mut theta = vector32(&[-1.2, 1.0]);
    for _ in 0..60 {
        theta = method.step(&mut oracle, &theta).unwrap().theta;
    }
    assert!(oracle.loss(&theta).unwrap() < 1e-8);
}

#[test]
fn options_out_of_range_are_named() {
    let mut oracle = Oracle::new(saddle());
    let mut named = |mut method: NewtonMr| match method.step(&mut oracle, &vector32(&[1.0, 1.0])) {
        Err(OptimError::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let usual = NewtonMr::default;
    assert_eq!(named(usual().max_iterations(0)), "max_iterations");
    assert_eq!(named(usual().normal_tolerance(1.0)), "normal_tolerance");
    assert_eq!(
        named(usual().forcing(Forcing::Constant { eta: 0.0 })),
        "eta"
    );
    let search = Armijo {
        shrink: 1.0,
        ..Armijo::default()
    };
    assert_eq!(named(usual().line_search(search)), "shrink");
}
