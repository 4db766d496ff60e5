use super::*;
use crate::test_problems::{ToVec, least_squares, quadratic, vector32};
use ravine_curvature::{CurvatureError, Factors, KfacOptions};

fn cost(losses: u64, gradients: u64, products: u64) -> Cost {
    Cost {
        losses,
        gradients,
        products,
        ..Cost::default()
    }
}

#[test]
fn answers_are_right_and_asked_twice_paid_once() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0], &[0.0, 0.0]));
    let theta = vector32(&[2.0, -1.0]);
    assert_eq!(oracle.loss(&theta).unwrap(), 4.0);
    assert_eq!(oracle.cost(), cost(1, 0, 0));
    let (loss, gradient) = oracle.gradient(&theta).unwrap();
    assert_eq!(loss, 4.0);
    assert_eq!(gradient.to_vec_f32(), [2.0, -4.0]);
    assert_eq!(oracle.cost(), cost(1, 1, 0));
    oracle.loss(&theta).unwrap();
    oracle.gradient(&theta).unwrap();
    assert_eq!(oracle.cost(), cost(1, 1, 0));
    let product = oracle.hvp(&theta, &vector32(&[1.0, 1.0])).unwrap();
    assert_eq!(product.to_vec_f32(), [1.0, 4.0]);
    assert_eq!(oracle.cost(), cost(1, 1, 1));
}

#[test]
fn a_gradient_brings_its_loss_and_survives_probes_elsewhere() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0], &[0.0, 0.0]));
    let theta = vector32(&[2.0, -1.0]);
    oracle.gradient(&theta).unwrap();
    for trial in 1..5 {
        oracle.loss(&vector32(&[trial as f32, 0.0])).unwrap();
    }
    assert_eq!(oracle.cost(), cost(4, 1, 0));
    oracle.loss(&theta).unwrap();
    oracle.gradient(&theta).unwrap();
    oracle.gradient(&vector32(&[4.0, 0.0])).unwrap();
    oracle.loss(&vector32(&[4.0, 0.0])).unwrap();
    assert_eq!(oracle.cost(), cost(4, 2, 0));
}

#[test]
fn a_block_counts_its_rows_and_a_dense_hessian_its_dimension() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 4.0, 9.0], &[0.0; 3]));
    let theta = vector32(&[1.0, 1.0, 1.0]);
    let block = Tensor::<2>::ones([2, 3], &Device::flex());
    oracle.hessian(&theta).unwrap().apply_block(&block).unwrap();
    assert_eq!(oracle.cost(), cost(0, 0, 2));
    oracle.dense_hessian(&theta).unwrap();
    assert_eq!(oracle.cost(), cost(0, 0, 5));
}

#[test]
fn a_new_batch_forgets_and_a_monitor_does_not_pay() {
    let mut oracle = Oracle::new(quadratic(&[1.0], &[0.0]));
    let theta = vector32(&[2.0]);
    oracle.point(&theta).unwrap().gradient().unwrap();
    assert_eq!(oracle.cost(), cost(0, 0, 0));
    assert_eq!(oracle.gradient(&theta).unwrap().0, 2.0);
    oracle.set_batch(quadratic(&[3.0], &[0.0]));
    assert_eq!(oracle.gradient(&theta).unwrap().0, 6.0);
    assert_eq!(oracle.cost(), cost(0, 2, 0));
}

#[test]
fn a_theta_of_another_length_is_an_error() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
    assert!(matches!(
        oracle.loss(&vector32(&[1.0])),
        Err(OptimError::Dimension {
            expected: 2,
            found: 1
        })
    ));
}

#[test]
fn gauss_newton_products_have_a_count_of_their_own() {
    let problem = least_squares();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem.clone());
    let v = theta.ones_like();
    let counted = oracle.gauss_newton(&theta).unwrap().apply(&v).unwrap();
    // The model is linear: G is the Hessian.
    let exact = problem.hessian().apply(&v).unwrap();
    assert!(ravine_curvature::vector::norm(&(counted - exact)) < 1e-12);
    let block = Tensor::<2>::ones([3, 8], (&Device::flex(), theta.dtype()));
    let gauss_newton = oracle.gauss_newton(&theta).unwrap();
    gauss_newton.apply_block(&block).unwrap();
    let expected = Cost {
        gauss_newton_products: 4,
        ..Cost::default()
    };
    assert_eq!(oracle.cost(), expected);
}

#[test]
fn a_batch_of_the_callers_is_counted_by_its_examples() {
    let problem = least_squares();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem.clone());
    let v = theta.ones_like();
    let on = oracle.gauss_newton_on(&problem, &theta).unwrap();
    on.apply(&v).unwrap();
    oracle
        .hessian_on(&problem, &theta)
        .unwrap()
        .apply(&v)
        .unwrap();
    let cost = oracle.cost();
    assert_eq!((cost.gauss_newton_products, cost.products), (1, 1));
}

#[test]
fn factors_and_diagonals_count_their_passes() {
    let problem = least_squares();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem.clone());
    let factors = oracle
        .kfac_factors(&theta, &KfacOptions::default())
        .unwrap();
    // The activations, and a vector for each of two outputs.
    assert_eq!((factors.passes(), oracle.cost().factor_passes), (3, 3));
    let diagonal = oracle
        .curvature_diagonal(&theta, &Factors::Empirical)
        .unwrap();
    assert_eq!(oracle.cost().factor_passes, 5);
    let gradients = problem.empirical_fisher().unwrap();
    let exact = ravine_curvature::exact_diagonal(&gradients).unwrap().values;
    for (found, exact) in ravine_curvature::vector::to_f64(&diagonal)
        .iter()
        .zip(exact)
    {
        assert!((found - exact).abs() < 1e-12);
    }
}

#[test]
fn a_loss_without_outputs_has_no_gauss_newton_matrix() {
    let problem = quadratic(&[1.0, 4.0], &[0.0, 0.0]);
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    assert!(matches!(
        oracle.gauss_newton(&theta),
        Err(OptimError::Curvature(CurvatureError::NoOutputs))
    ));
    assert_eq!(oracle.cost(), Cost::default());
}

#[test]
fn random_vectors_give_the_diagonal_in_the_mean() {
    let problem = least_squares();
    let exact = problem.curvature_diagonal(&Factors::Exact).unwrap();
    let sampled = |samples: usize| {
        let seed = ravine_curvature::Seed::new(3);
        let factors = Factors::MonteCarlo { samples, seed };
        problem.curvature_diagonal(&factors).unwrap()
    };
    let many = sampled(400);
    assert_eq!((exact.passes, many.passes), (3, 401));
    let size = ravine_curvature::vector::norm(&exact.values);
    let defect = ravine_curvature::vector::norm(&(many.values - exact.values));
    assert!(defect < 0.2 * size, "{defect} {size}");
    assert!(
        problem
            .curvature_diagonal(&Factors::MonteCarlo {
                samples: 0,
                seed: ravine_curvature::Seed::new(0),
            })
            .is_err()
    );
}
