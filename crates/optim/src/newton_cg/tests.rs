use super::*;
use crate::Cost;
use crate::test_problems::{
    ToVec, coupled_in_f64, logistic, quadratic, rosenbrock, saddle, vector32,
};

/// Steps from the usual start until the loss of Rosenbrock's valley is below 1e-9, each of them downhill.
fn steps_on_rosenbrock(mut method: NewtonCg) -> usize {
    let mut oracle = Oracle::new(rosenbrock());
    let mut theta = vector32(&[-1.2, 1.0]);
    let mut loss = oracle.loss(&theta).unwrap();
    let mut steps = 0;
    while loss > 1e-9 {
        let step = method.step(&mut oracle, &theta).unwrap();
        assert!(step.ending.moved(), "{:?}", step.ending);
        theta = step.theta;
        let after = oracle.loss(&theta).unwrap();
        assert!(after < loss);
        loss = after;
        steps += 1;
        assert!(steps < 500, "{loss}");
    }
    for x in theta.to_vec_f32() {
        assert!((x - 1.0).abs() < 1e-3, "{x}");
    }
    steps
}

#[test]
fn converges_on_rosenbrock_the_faster_the_more_exact_its_solves() {
    let exact = steps_on_rosenbrock(NewtonCg::new().forcing(Forcing::Constant { eta: 1e-3 }));
    let loose = steps_on_rosenbrock(NewtonCg::new());
    assert!(exact < 40 && exact < loose, "{exact} {loose}");
}

#[test]
fn a_quadratic_takes_one_step_and_a_product_for_each_eigenvalue() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0, 4.0, 9.0], &[0.0; 4]));
    let mut method = NewtonCg::new().forcing(Forcing::Constant { eta: 1e-5 });
    let step = method.step(&mut oracle, &vector32(&[1.0; 4])).unwrap();
    assert_eq!(
        step.cost,
        Cost {
            losses: 1,
            gradients: 1,
            products: 3,
            ..Cost::default()
        }
    );
    assert_eq!(step.learning_rate, Some(1.0));
    assert!(vector::norm(&step.theta) < 1e-5);
    let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
    assert!((measured - step.predicted_change.unwrap()).abs() < 1e-5);
}

#[test]
fn in_f64_two_products_solve_two_dimensions() {
    let problem = coupled_in_f64();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut method = NewtonCg::new().forcing(Forcing::Constant { eta: 1e-10 });
    let step = method.step(&mut oracle, &theta).unwrap();
    assert_eq!(step.cost.products, 2);
    assert!(vector::norm(&step.theta) < 1e-9, "{}", step.theta);
}

#[test]
fn negative_curvature_at_a_saddle_is_reported_and_left_downhill() {
    // The gradient lies in the direction that curves downwards: the first product shows it.
    let mut oracle = Oracle::new(saddle());
    let step = NewtonCg::new()
        .step(&mut oracle, &vector32(&[0.0, 0.1]))
        .unwrap();
    let StepEnding::NegativeCurvature {
        rayleigh,
        direction,
    } = &step.ending
    else {
        panic!("{:?}", step.ending);
    };
    assert!((rayleigh + 1.0).abs() < 1e-6);
    assert_eq!(direction.clone().to_vec_f32()[0], 0.0);
    assert_eq!(step.cost.products, 1);
    let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
    assert!((measured - step.predicted_change.unwrap()).abs() < 1e-6);
    assert!(measured < 0.0);
}

#[test]
fn a_later_negative_curvature_keeps_the_iterate() {
    let mut oracle = Oracle::new(saddle());
    let mut method = NewtonCg::new().forcing(Forcing::Constant { eta: 1e-6 });
    let step = method.step(&mut oracle, &vector32(&[1.0, 0.1])).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NegativeCurvature { rayleigh, .. } if rayleigh < 0.0
    ));
    assert_eq!(step.cost.products, 2);
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
}

#[test]
fn a_solve_that_is_cut_short_still_steps() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0, 9.0], &[0.0; 3]));
    let mut method = NewtonCg::new()
        .forcing(Forcing::Constant { eta: 1e-6 })
        .max_iterations(1);
    let step = method.step(&mut oracle, &vector32(&[1.0; 3])).unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::SolverStopped { iterations: 1, relative_residual } if relative_residual > 0.0
    ));
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
}

#[test]
fn every_forcing_converges_on_a_logistic_regression() {
    let forcings = [
        Forcing::SquareRoot,
        Forcing::Linear,
        Forcing::Constant { eta: 0.1 },
        Forcing::EisenstatWalker {
            gamma: 0.9,
            alpha: 2.0,
        },
    ];
    for forcing in forcings {
        let problem = logistic();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = NewtonCg::new().forcing(forcing);
        let mut norm = f64::INFINITY;
        for _ in 0..12 {
            let step = method.step(&mut oracle, &theta).unwrap();
            norm = step.gradient_norm.unwrap();
            theta = step.theta;
        }
        assert!(norm < 1e-4, "{forcing:?} {norm}");
    }
}
