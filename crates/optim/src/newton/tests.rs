use super::*;
use crate::Cost;
use crate::test_problems::{
    ToVec, coupled_in_f64, logistic, quadratic, rosenbrock, saddle, vector32,
};

fn cost(losses: u64, gradients: u64, products: u64) -> Cost {
    Cost {
        losses,
        gradients,
        products,
        ..Cost::default()
    }
}

#[test]
fn one_step_solves_a_quadratic() {
    let minimum = [1.0, -2.0, 3.0];
    let mut oracle = Oracle::new(quadratic(&[1e-3, 1.0, 1e3], &minimum));
    let theta = vector32(&[5.0, 5.0, 5.0]);
    let step = Newton::new(Damping::None)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!(matches!(step.ending, StepEnding::Accepted));
    for (x, m) in step.theta.clone().to_vec_f32().iter().zip(minimum) {
        assert!((x - m).abs() < 1e-5, "{x} {m}");
    }
    assert_eq!(step.cost, cost(0, 1, 3));
    let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
    let predicted = step.predicted_change.unwrap();
    assert!((measured / predicted - 1.0).abs() < 1e-6, "{predicted}");
}

#[test]
fn one_step_in_f64_is_exact_to_rounding() {
    let problem = coupled_in_f64();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let step = Newton::new(Damping::None)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!(vector::norm(&step.theta) < 1e-12, "{}", step.theta);
}

#[test]
fn a_fixed_damping_shortens_each_eigendirection_by_its_formula() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 9.0], &[0.0, 0.0]));
    let mut method = Newton::new(Damping::Fixed { lambda: 1.0 });
    let step = method.step(&mut oracle, &vector32(&[1.0, 1.0])).unwrap();
    // θ − λᵢ/(λᵢ + λ) θ
    for (x, expected) in step.theta.to_vec_f32().iter().zip([0.5, 0.1]) {
        assert!((x - expected).abs() < 1e-6, "{x}");
    }
}

#[test]
fn pure_newton_goes_to_the_saddle_and_says_so() {
    let mut oracle = Oracle::new(saddle());
    let theta = vector32(&[1.0, 0.5]);
    let step = Newton::new(Damping::None)
        .step(&mut oracle, &theta)
        .unwrap();
    let StepEnding::NegativeCurvature {
        rayleigh,
        direction,
    } = &step.ending
    else {
        panic!("{:?}", step.ending);
    };
    assert!((rayleigh + 1.0).abs() < 1e-12);
    assert_eq!(direction.clone().to_vec_f32()[0], 0.0);
    assert!(vector::norm(&step.theta) < 1e-6);
}

#[test]
fn an_adaptive_damping_leaves_the_saddle_downhill() {
    let mut oracle = Oracle::new(saddle());
    let mut method = Newton::new(Damping::adaptive());
    let step = method.step(&mut oracle, &vector32(&[1.0, 0.5])).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NegativeCurvature { rayleigh, .. } if rayleigh < 0.0
    ));
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
    assert_eq!(step.cost.products, 2);
}

#[test]
fn backtracking_does_not_follow_newton_uphill() {
    // Where |θ₁| > |θ₀| the Newton step to the saddle goes uphill.
    let mut oracle = Oracle::new(saddle());
    let mut method = Newton::new(Damping::None).backtracking(Armijo::default());
    let theta = vector32(&[0.5, 1.0]);
    let step = method.step(&mut oracle, &theta).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NoDecrease { trials: 0, slope } if slope > 0.0
    ));
    assert_eq!(step.theta.to_vec_f32(), theta.to_vec_f32());
}

#[test]
fn a_singular_hessian_is_an_ending() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 0.0], &[0.0, 0.0]));
    let theta = vector32(&[1.0, 1.0]);
    let step = Newton::new(Damping::None)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!(matches!(step.ending, StepEnding::Singular { pivot_ratio } if pivot_ratio == 0.0));
    let mut damped = Newton::new(Damping::Fixed { lambda: 0.1 });
    let step = damped.step(&mut oracle, &theta).unwrap();
    assert!(matches!(step.ending, StepEnding::Accepted));
}

#[test]
fn levenberg_marquardt_descends_rosenbrock_to_its_minimum() {
    let mut oracle = Oracle::new(rosenbrock());
    let mut method = Newton::new(Damping::adaptive());
    let mut theta = vector32(&[-1.2, 1.0]);
    let mut steps = 0;
    while oracle.loss(&theta).unwrap() > 1e-9 {
        let step = method.step(&mut oracle, &theta).unwrap();
        assert!(step.ending.moved(), "{:?}", step.ending);
        theta = step.theta;
        steps += 1;
        assert!(steps < 60);
    }
    for x in theta.to_vec_f32() {
        assert!((x - 1.0).abs() < 1e-3, "{x}");
    }
    assert!(method.lambda() < 1e-2);
}

#[test]
fn newton_reaches_the_minimum_of_a_logistic_regression() {
    let problem = logistic();
    let mut theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut method = Newton::new(Damping::None);
    for _ in 0..6 {
        theta = method.step(&mut oracle, &theta).unwrap().theta;
    }
    let (_, gradient) = oracle.gradient(&theta).unwrap();
    assert!(vector::norm(&gradient) < 1e-6, "{gradient}");
}
