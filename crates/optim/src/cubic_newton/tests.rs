use super::*;
use crate::test_problems::{
    assert_follows, function_by_hand, inner, lowest_by_hand, plus, quadratic, quadratic_in_f64,
    rosenbrock_by_hand, saddle, times, vector32, vector64,
};
use crate::{Budget, Cost, Ending, Silent, run};
use ravine_curvature::vector;

/// g, H, σ to s.
type Subproblem = fn([f64; 2], [[f64; 2]; 2], f64) -> [f64; 2];

/// Algorithm 2.1 with a minimiser of the plane's model.
fn by_hand(solve: Subproblem) -> Box<dyn FnMut([f64; 2]) -> [f64; 2]> {
    let mut sigma = 1.0_f64;
    Box::new(move |at| {
        let here = rosenbrock_by_hand(at);
        let s = solve(here.gradient, here.hessian, sigma);
        let promised = inner(here.gradient, s)
            + 0.5 * inner(s, times(here.hessian, s))
            + sigma / 3.0 * inner(s, s).powf(1.5);
        let to = plus(at, 1.0, s);
        let delta = 10.0 * f64::EPSILON * here.loss;
        let rho = (rosenbrock_by_hand(to).loss - here.loss - delta) / (promised - delta);
        if rho > 0.9 {
            let norm = inner(here.gradient, here.gradient).sqrt();
            sigma = sigma.min(norm).max(f64::EPSILON);
        } else if rho < 0.1 {
            sigma *= 2.0;
        }
        if rho > 0.1 { to } else { at }
    })
}

fn exact(g: [f64; 2], hessian: [[f64; 2]; 2], sigma: f64) -> [f64; 2] {
    let at = |nu: f64| function_by_hand(hessian, |value| -1.0 / (value + nu), g);
    let (mut low, mut high) = ((-lowest_by_hand(hessian)).max(0.0), 1e6);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match sigma * inner(at(middle), at(middle)).sqrt() > middle {
            true => low = middle,
            false => high = middle,
        }
    }
    at(high)
}

/// On span{g} where that is good enough, exactly otherwise.
fn krylov(g: [f64; 2], hessian: [[f64; 2]; 2], sigma: f64) -> [f64; 2] {
    let norm = inner(g, g).sqrt();
    let q = plus([0.0, 0.0], 1.0 / norm, g);
    let image = times(hessian, q);
    let alpha = inner(q, image);
    let rest = plus(image, -alpha, q);
    let beta = inner(rest, rest).sqrt();
    // σ y² + α y − ‖g‖ = 0
    let y = (-alpha + (alpha * alpha + 4.0 * sigma * norm).sqrt()) / (2.0 * sigma);
    match beta * y <= 0.1 * norm.sqrt().min(1.0) * norm {
        true => plus([0.0, 0.0], -y, q),
        false => exact(g, hessian, sigma),
    }
}

#[test]
fn steps_by_hand_with_the_exact_minimiser() {
    assert_follows(
        || Box::new(CubicNewton::new(CubicSubproblem::Dense)),
        12,
        || by_hand(exact),
    );
}

#[test]
fn steps_by_hand_on_krylov_spaces() {
    assert_follows(|| Box::new(CubicNewton::default()), 12, || by_hand(krylov));
}

#[test]
fn a_rejected_step_keeps_theta_and_makes_the_cubic_term_heavier() {
    let begin = vector32(&[-1.2, 1.0]);
    let weight = CubicWeight {
        initial: 1e-6,
        ..CubicWeight::default()
    };
    for subproblem in [CubicSubproblem::Dense, CubicSubproblem::default()] {
        let mut oracle = Oracle::new(crate::test_problems::rosenbrock());
        let mut method = CubicNewton::new(subproblem).weight(weight);
        let mut theta = begin.clone();
        let mut rejected = 0;
        for _ in 0..60 {
            let sigma = method.sigma();
            let step = method.step(&mut oracle, &theta).unwrap();
            if let StepEnding::Rejected { gain } = step.ending {
                assert!(gain <= 0.1);
                assert_eq!(method.sigma(), 2.0 * sigma);
                assert_eq!(oracle.loss(&step.theta).unwrap(), step.loss_before);
                rejected += 1;
            }
            theta = step.theta;
        }
        assert!(rejected > 0);
        let point = crate::test_problems::rosenbrock();
        let budget = Budget::steps(100).target_loss(1e-9);
        let mut method = CubicNewton::new(subproblem).weight(weight);
        let trajectory = run(&mut method, &point, &begin, &budget, &mut Silent).unwrap();
        assert!(
            matches!(trajectory.ending, Ending::TargetReached { .. }),
            "{:?}",
            trajectory.ending
        );
    }
}

#[test]
fn the_hard_case_has_a_closed_form() {
    // At (½, 0) of θ₀² − θ₁² + θ₁⁴: g = (1, 0), H = diag(2, −2), so that ν = 2 = 4 ‖s‖, s₀ = −¼ and the rest of ‖s‖ = ½ is free.
    let mut oracle = Oracle::new(crate::test_problems::double_well());
    let weight = CubicWeight {
        initial: 4.0,
        ..CubicWeight::default()
    };
    let mut method = CubicNewton::new(CubicSubproblem::Dense).weight(weight);
    let step = method.step(&mut oracle, &vector64(&[0.5, 0.0])).unwrap();
    let theta = vector::to_f64(&step.theta);
    assert!((theta[0] - 0.25).abs() < 1e-14, "{theta:?}");
    assert!((theta[1].abs() - (3.0_f64 / 16.0).sqrt()).abs() < 1e-14);
    let promised = -0.25 + 1.0 / 16.0 - 3.0 / 16.0 + 4.0 / 3.0 / 8.0;
    assert!((step.predicted_change.unwrap() - promised).abs() < 1e-14);
}

#[test]
fn costs_and_the_promise_of_a_cubic() {
    let exact = CubicStop::Step { kappa: 1e-9 };
    let subproblems = [
        (
            CubicSubproblem::Krylov {
                max_iterations: 9,
                stop: exact,
            },
            3,
        ),
        (CubicSubproblem::Dense, 4),
    ];
    for (subproblem, products) in subproblems {
        let mut oracle = Oracle::new(quadratic_in_f64(&[1.0, 4.0, 4.0, 9.0]));
        let mut method = CubicNewton::new(subproblem);
        let theta = vector64(&[1.0; 4]);
        let step = method.step(&mut oracle, &theta).unwrap();
        let expected = Cost {
            losses: 1,
            gradients: 1,
            products,
            ..Cost::default()
        };
        assert_eq!(step.cost, expected, "{subproblem:?}");
        // The loss is its own quadratic model: it falls short of the promise by the cubic term.
        let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
        let length = vector::norm(&(step.theta - theta));
        let promised = measured + length.powi(3) / 3.0;
        assert!((promised - step.predicted_change.unwrap()).abs() < 1e-12);
    }
}

#[test]
fn a_space_that_is_too_small_is_reported() {
    let subproblem = CubicSubproblem::Krylov {
        max_iterations: 1,
        stop: CubicStop::default(),
    };
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0, 9.0], &[0.0; 3]));
    let step = CubicNewton::new(subproblem)
        .step(&mut oracle, &vector32(&[1.0; 3]))
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::SolverStopped { iterations: 1, relative_residual } if relative_residual > 0.1
    ));
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
}

#[test]
fn negative_curvature_is_met_and_followed() {
    for subproblem in [CubicSubproblem::Dense, CubicSubproblem::default()] {
        let mut oracle = Oracle::new(saddle());
        let step = CubicNewton::new(subproblem)
            .step(&mut oracle, &vector32(&[0.3, 0.2]))
            .unwrap();
        let StepEnding::NegativeCurvature {
            rayleigh,
            direction,
        } = &step.ending
        else {
            panic!("{:?}", step.ending);
        };
        assert!((rayleigh + 1.0).abs() < 1e-5, "{rayleigh}");
        assert!(vector::to_f64(direction)[1].abs() > 0.999);
        assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
    }
}

#[test]
fn a_weight_that_is_too_heavy_is_an_ending() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0], &[0.0; 2]));
    let weight = CubicWeight {
        initial: 1e30,
        ..CubicWeight::default()
    };
    let step = CubicNewton::default()
        .weight(weight)
        .step(&mut oracle, &vector32(&[1.0, 1.0]))
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NoDecrease { trials: 0, .. }
    ));
}

#[test]
fn options_out_of_range_are_named() {
    let mut oracle = Oracle::new(saddle());
    let mut named = |mut method: CubicNewton| match method.step(&mut oracle, &vector32(&[1.0, 1.0]))
    {
        Err(OptimError::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let krylov = |max_iterations, kappa| {
        let stop = CubicStop::Gradient { kappa };
        CubicNewton::new(CubicSubproblem::Krylov {
            max_iterations,
            stop,
        })
    };
    assert_eq!(named(krylov(0, 0.1)), "max_iterations");
    assert_eq!(named(krylov(5, 1.0)), "kappa");
    let weight = CubicWeight {
        eta2: 1.0,
        ..CubicWeight::default()
    };
    assert_eq!(named(CubicNewton::default().weight(weight)), "eta2");
}

#[test]
fn configurations_are_readable() {
    let text = r#"{"kind":"krylov","max_iterations":7}"#;
    let subproblem: CubicSubproblem = serde_json::from_str(text).unwrap();
    let expected = CubicSubproblem::Krylov {
        max_iterations: 7,
        stop: CubicStop::Gradient { kappa: 0.1 },
    };
    assert_eq!(subproblem, expected);
}
