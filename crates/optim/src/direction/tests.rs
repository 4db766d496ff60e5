use ravine_curvature::vector;

use super::*;
use crate::test_problems::{quadratic_in_f64, rosenbrock, vector32};
use crate::{Damping, Descent, GradientDescent, LearningRate, Method, Newton, StrongWolfe};

/// ‖θ‖ before and after each step on ½ Σ λᵢ θᵢ², from a start in all directions.
fn errors(method: &mut dyn Method, eigenvalues: &[f32], steps: usize) -> Vec<f64> {
    let point = quadratic_in_f64(eigenvalues);
    let mut theta = point.theta().clone();
    let mut oracle = Oracle::new(point);
    let mut errors = vec![vector::norm(&theta)];
    for _ in 0..steps {
        theta = method.step(&mut oracle, &theta).unwrap().theta;
        errors.push(vector::norm(&theta));
    }
    errors
}

/// Eigenvalues from 1 to κ, evenly in their logarithm, exact in f32.
fn spectrum(kappa: f32) -> Vec<f32> {
    (0..=10).map(|i| kappa.powf(i as f32 / 10.0)).collect()
}

#[test]
fn gradient_descent_contracts_at_its_rate() {
    for kappa in [10.0_f64, 100.0, 1000.0] {
        let rate = 2.0 / (1.0 + kappa);
        let steps = (12.0 * kappa) as usize;
        let errors = errors(
            &mut GradientDescent::new(rate),
            &spectrum(kappa as f32),
            steps,
        );
        let contraction = errors[steps] / errors[steps - 1];
        let expected = (kappa - 1.0) / (kappa + 1.0);
        assert!(
            (contraction - expected).abs() < 1e-3,
            "{contraction} {expected}"
        );
    }
}

/// The mean contraction over many steps, late enough for the asymptotic rate and early enough for squares that do not underflow.
fn mean_contraction(errors: &[f64]) -> f64 {
    let last = errors
        .iter()
        .position(|&e| e < 1e-140)
        .unwrap_or(errors.len() - 1);
    let first = last / 2;
    (errors[last] / errors[first]).powf(1.0 / (last - first) as f64)
}

#[test]
fn heavy_ball_chebyshev_and_nesterov_contract_at_theirs() {
    for kappa in [10.0_f64, 100.0, 1000.0] {
        let eigenvalues = spectrum(kappa as f32);
        let root = (kappa.sqrt() - 1.0) / (kappa.sqrt() + 1.0);
        let within = |method: &mut dyn Method, expected: f64| {
            let steps = 3000;
            let found = mean_contraction(&errors(method, &eigenvalues, steps));
            assert!(
                (found / expected - 1.0).abs() < 0.01,
                "{} {found} {expected}",
                method.name()
            );
        };
        let (heavy_ball, rate) = HeavyBall::for_quadratic(1.0, kappa);
        within(&mut Descent::new(heavy_ball, rate), root);
        within(&mut Descent::new(Chebyshev::new(1.0, kappa), 1.0), root);
        let (nesterov, rate) = Nesterov::for_quadratic(1.0, kappa);
        within(
            &mut Descent::new(nesterov, rate),
            1.0 - 2.0 / (3.0 * kappa + 1.0).sqrt(),
        );
    }
}

#[test]
fn chebyshev_keeps_its_bound_in_every_step() {
    let kappa = 100.0_f64;
    let errors = errors(
        &mut Descent::new(Chebyshev::new(1.0, kappa), 1.0),
        &spectrum(100.0),
        60,
    );
    for (k, error) in errors.iter().enumerate() {
        let centre = (kappa + 1.0) / (kappa - 1.0);
        let bound = 1.0 / (k as f64 * centre.acosh()).cosh();
        assert!(error / errors[0] <= bound * (1.0 + 1e-9), "{k} {error}");
    }
    let mut one_eigenvalue = Descent::new(Chebyshev::new(4.0, 4.0), 1.0);
    assert!(self::errors(&mut one_eigenvalue, &[4.0, 4.0], 1)[1] < 1e-15);
}

#[test]
fn one_newton_step_closes_the_gap_up_to_condition_1e10() {
    for exponent in [2, 6, 10] {
        let low = 10f32.powi(-exponent);
        let point = quadratic_in_f64(&[low, low.sqrt(), 0.3, 1.0]);
        let theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let step = Newton::new(Damping::None)
            .step(&mut oracle, &theta)
            .unwrap();
        let after = oracle.loss(&step.theta).unwrap();
        assert!(after <= 1e-10 * step.loss_before, "{after}");
    }
}

#[test]
fn conjugate_gradients_end_a_quadratic_in_as_many_steps_as_eigenvalues() {
    let search = StrongWolfe {
        curvature: 1e-9,
        sufficient_decrease: 1e-10,
        max_trials: 80,
    };
    let rate = LearningRate::from(1.0).searching(search);
    let mut method = Descent::new(NonlinearCg::new(), rate);
    let found = errors(&mut method, &[1.0, 4.0, 10.0], 3);
    assert!(found[3] < 1e-6 * found[0], "{found:?}");
}

#[test]
fn lbfgs_and_conjugate_gradients_solve_rosenbrock() {
    let wolfe = |search: StrongWolfe| LearningRate::from(1.0).searching(search);
    let mut methods: Vec<Box<dyn Method>> = vec![
        Box::new(Descent::new(Lbfgs::new(5), wolfe(StrongWolfe::default()))),
        Box::new(Descent::new(
            NonlinearCg::new(),
            wolfe(StrongWolfe::for_conjugate_gradients()),
        )),
    ];
    for method in &mut methods {
        let mut oracle = Oracle::new(rosenbrock());
        let mut theta = vector32(&[-1.2, 1.0]);
        let mut steps = 0;
        while oracle.loss(&theta).unwrap() > 1e-8 && steps < 100 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            steps += 1;
        }
        assert!(steps < 60, "{} {steps}", method.name());
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let mut methods: Vec<Box<dyn Method>> = vec![
        Box::new(Descent::new(HeavyBall::new(1.0), 0.1)),
        Box::new(Descent::new(Nesterov::new(-0.1), 0.1)),
        Box::new(Descent::new(Chebyshev::new(2.0, 1.0), 1.0)),
        Box::new(Descent::new(Lbfgs::new(0), 1.0)),
    ];
    for method in &mut methods {
        let mut oracle = Oracle::new(rosenbrock());
        let step = method.step(&mut oracle, &vector32(&[0.0, 0.0]));
        assert!(
            matches!(step, Err(OptimError::Option { .. })),
            "{}",
            method.name()
        );
    }
}
