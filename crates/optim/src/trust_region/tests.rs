use super::*;
use crate::test_problems::{
    assert_follows, function_by_hand, inner, lowest_by_hand, plus, quadratic, quadratic_in_f64,
    rosenbrock_by_hand, saddle, times, vector32, vector64,
};
use crate::{Budget, Cost, Ending, Silent, run};

/// g, H, Δ to s.
type Subproblem = fn([f64; 2], [[f64; 2]; 2], f64) -> [f64; 2];

/// Nocedal and Wright's Algorithm 4.1 with a subproblem of the plane.
fn by_hand(solve: Subproblem) -> Box<dyn FnMut([f64; 2]) -> [f64; 2]> {
    let mut radius = 1.0_f64;
    Box::new(move |at| {
        let here = rosenbrock_by_hand(at);
        let s = solve(here.gradient, here.hessian, radius);
        let promised = inner(here.gradient, s) + 0.5 * inner(s, times(here.hessian, s));
        let to = plus(at, 1.0, s);
        let delta = 10.0 * f64::EPSILON * here.loss;
        let rho = (rosenbrock_by_hand(to).loss - here.loss - delta) / (promised - delta);
        if rho < 0.25 {
            radius *= 0.25;
        } else if rho > 0.75 && inner(s, s).sqrt() >= (1.0 - 1e-9) * radius {
            radius = (2.0 * radius).min(1000.0);
        }
        if rho > 1e-4 { to } else { at }
    })
}

fn exact([g, h]: [f64; 2], hessian: [[f64; 2]; 2], radius: f64) -> [f64; 2] {
    let at = |nu: f64| function_by_hand(hessian, |value| -1.0 / (value + nu), [g, h]);
    let lowest = lowest_by_hand(hessian);
    if lowest > 0.0 && inner(at(0.0), at(0.0)).sqrt() <= radius {
        return at(0.0);
    }
    let (mut low, mut high) = ((-lowest).max(0.0), 1e6);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match inner(at(middle), at(middle)).sqrt() > radius {
            true => low = middle,
            false => high = middle,
        }
    }
    at(high)
}

/// Algorithm 7.2 with ε = min(½, √‖g‖) ‖g‖.
fn steihaug_by_hand(g: [f64; 2], hessian: [[f64; 2]; 2], radius: f64) -> [f64; 2] {
    let norm = |v: [f64; 2]| inner(v, v).sqrt();
    let tolerance = norm(g).sqrt().min(0.5) * norm(g);
    let (mut z, mut r, mut d) = ([0.0, 0.0], g, plus([0.0, 0.0], -1.0, g));
    let boundary = |z: [f64; 2], d: [f64; 2]| {
        let (a, b, c) = (inner(d, d), inner(z, d), inner(z, z) - radius * radius);
        plus(z, (-b + (b * b - a * c).sqrt()) / a, d)
    };
    for _ in 0..2 {
        let curvature = inner(d, times(hessian, d));
        if curvature <= 0.0 {
            return boundary(z, d);
        }
        let alpha = inner(r, r) / curvature;
        let next = plus(z, alpha, d);
        if norm(next) >= radius {
            return boundary(z, d);
        }
        let residual = plus(r, alpha, times(hessian, d));
        z = next;
        if norm(residual) <= tolerance {
            return z;
        }
        d = plus(
            plus([0.0, 0.0], -1.0, residual),
            inner(residual, residual) / inner(r, r),
            d,
        );
        r = residual;
    }
    z
}

#[test]
fn steps_by_hand_with_the_exact_subproblem() {
    assert_follows(
        || Box::new(TrustRegion::new(RegionSubproblem::Dense)),
        12,
        || by_hand(exact),
    );
    assert_follows(
        || {
            let method = TrustRegion::new(RegionSubproblem::Lanczos { max_iterations: 2 });
            Box::new(method.forcing(Forcing::Constant { eta: 1e-13 }))
        },
        12,
        || by_hand(exact),
    );
}

#[test]
fn steps_by_hand_with_steihaugs_subproblem() {
    assert_follows(
        || Box::new(TrustRegion::default()),
        12,
        || by_hand(steihaug_by_hand),
    );
}

#[test]
fn a_rejected_step_keeps_theta_shrinks_the_radius_and_does_not_end_a_run() {
    let mut oracle = Oracle::new(crate::test_problems::rosenbrock());
    let rule = RadiusRule {
        initial: 3.0,
        ..RadiusRule::default()
    };
    let begin = vector32(&[-1.2, 1.0]);
    for subproblem in [RegionSubproblem::Dense, RegionSubproblem::default()] {
        let mut method = TrustRegion::new(subproblem).radius(rule);
        let mut theta = begin.clone();
        let mut rejected = 0;
        for _ in 0..60 {
            let radius = method.current_radius();
            let step = method.step(&mut oracle, &theta).unwrap();
            if let StepEnding::Rejected { gain } = step.ending {
                assert!(gain <= 1e-4);
                assert!((method.current_radius() - 0.25 * radius).abs() < 1e-12);
                assert!(oracle.loss(&step.theta).unwrap() == step.loss_before);
                rejected += 1;
            }
            theta = step.theta;
        }
        assert!(rejected > 0);
        let point = crate::test_problems::rosenbrock();
        let budget = Budget::steps(80).target_loss(1e-9);
        let mut method = TrustRegion::new(subproblem).radius(rule);
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
    // At (½, 0) of θ₀² − θ₁² + θ₁⁴: g = (1, 0), H = diag(2, −2), so that λ = 2, s₀ = −¼ and the rest of Δ is free.
    let mut oracle = Oracle::new(crate::test_problems::double_well());
    let mut method = TrustRegion::new(RegionSubproblem::Dense);
    let step = method.step(&mut oracle, &vector64(&[0.5, 0.0])).unwrap();
    let theta = vector::to_f64(&step.theta);
    assert!((theta[0] - 0.25).abs() < 1e-14, "{theta:?}");
    assert!((theta[1].abs() - (15.0_f64 / 16.0).sqrt()).abs() < 1e-14);
    let promised = -0.25 + 1.0 / 16.0 - 15.0 / 16.0;
    assert!((step.predicted_change.unwrap() - promised).abs() < 1e-14);
    assert!(matches!(
        step.ending,
        StepEnding::NegativeCurvature { rayleigh, .. } if (rayleigh + 2.0).abs() < 1e-14
    ));
}

#[test]
fn after_a_rejection_the_gradient_is_known_and_the_products_are_paid_again() {
    let mut oracle = Oracle::new(crate::test_problems::rosenbrock_in_f64());
    let rule = RadiusRule {
        initial: 1000.0,
        ..RadiusRule::default()
    };
    let mut method = TrustRegion::new(RegionSubproblem::Dense).radius(rule);
    let theta = vector64(&[0.0, 1.0]);
    let first = method.step(&mut oracle, &theta).unwrap();
    assert!(matches!(first.ending, StepEnding::Rejected { .. }));
    let second = method.step(&mut oracle, &theta).unwrap();
    let expected = |gradients| Cost {
        losses: 1,
        gradients,
        products: 2,
        ..Cost::default()
    };
    assert_eq!((first.cost, second.cost), (expected(1), expected(0)));
}

#[test]
fn costs_and_promises_on_a_quadratic() {
    let subproblems = [
        (RegionSubproblem::default(), 3),
        (RegionSubproblem::Lanczos { max_iterations: 9 }, 3),
        (RegionSubproblem::Dense, 4),
    ];
    for (subproblem, products) in subproblems {
        let mut oracle = Oracle::new(quadratic_in_f64(&[1.0, 4.0, 4.0, 9.0]));
        let rule = RadiusRule {
            initial: 100.0,
            ..RadiusRule::default()
        };
        let mut method = TrustRegion::new(subproblem)
            .radius(rule)
            .forcing(Forcing::Constant { eta: 1e-10 });
        let step = method.step(&mut oracle, &vector64(&[1.0; 4])).unwrap();
        let expected = Cost {
            losses: 1,
            gradients: 1,
            products,
            ..Cost::default()
        };
        assert_eq!(step.cost, expected, "{subproblem:?}");
        let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
        assert!((measured - step.predicted_change.unwrap()).abs() < 1e-12);
        // An interior step does not make the region larger.
        assert_eq!(method.current_radius(), 100.0);
    }
}

#[test]
fn negative_curvature_is_met_and_left_by_the_boundary() {
    let subproblems = [
        RegionSubproblem::default(),
        RegionSubproblem::Lanczos { max_iterations: 9 },
        RegionSubproblem::Dense,
    ];
    for subproblem in subproblems {
        let mut oracle = Oracle::new(saddle());
        let mut method = TrustRegion::new(subproblem);
        let step = method.step(&mut oracle, &vector32(&[0.1, 0.5])).unwrap();
        let StepEnding::NegativeCurvature {
            rayleigh,
            direction,
        } = &step.ending
        else {
            panic!("{subproblem:?} {:?}", step.ending);
        };
        let d = vector::to_f64(direction);
        let curvature = (d[0] * d[0] - d[1] * d[1]) / (d[0] * d[0] + d[1] * d[1]);
        assert!((curvature - rayleigh).abs() < 1e-6 && *rayleigh < 0.0);
        let length = vector::norm(&(step.theta.clone() - vector32(&[0.1, 0.5])));
        assert!((length - 1.0).abs() < 1e-6);
        assert_eq!(method.current_radius(), 2.0);
        assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
    }
}

#[test]
fn a_solve_that_is_cut_short_still_steps() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0, 9.0], &[0.0; 3]));
    let cut = RegionSubproblem::Steihaug {
        max_iterations: Some(1),
    };
    let mut method = TrustRegion::new(cut).forcing(Forcing::Constant { eta: 1e-6 });
    let step = method.step(&mut oracle, &vector32(&[0.1; 3])).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::SolverStopped { iterations: 1, relative_residual } if relative_residual > 0.0
    ));
}

#[test]
fn a_region_that_has_vanished_is_an_ending() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0], &[0.0; 2]));
    let rule = RadiusRule {
        initial: 1e-12,
        ..RadiusRule::default()
    };
    let step = TrustRegion::default()
        .radius(rule)
        .step(&mut oracle, &vector32(&[1.0, 1.0]))
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NoDecrease { trials: 0, slope } if slope < 0.0
    ));
    assert_eq!(step.cost.losses, 0);
}

#[test]
fn options_out_of_range_are_named() {
    let mut oracle = Oracle::new(saddle());
    let mut named = |mut method: TrustRegion| match method.step(&mut oracle, &vector32(&[1.0, 1.0]))
    {
        Err(OptimError::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let none = RegionSubproblem::Lanczos { max_iterations: 0 };
    assert_eq!(named(TrustRegion::new(none)), "max_iterations");
    let rule = RadiusRule {
        grow: 0.5,
        ..RadiusRule::default()
    };
    assert_eq!(named(TrustRegion::default().radius(rule)), "grow");
    let forcing = Forcing::Constant { eta: 2.0 };
    assert_eq!(named(TrustRegion::default().forcing(forcing)), "eta");
}
