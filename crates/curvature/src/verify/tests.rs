//! Each check catches the fault that it is there for, and lets what is right pass.

use super::*;
use crate::objective::Objective;
use crate::operators::Scaled;
use crate::progress::Progress;
use crate::test_operators::{Counted, with_spectrum};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::DType;
use faer::Mat;
use std::cell::Cell;
use std::ops::ControlFlow;

type Product = Box<dyn Fn(&Tensor<1>) -> Tensor<1>>;
type Products = Box<dyn Fn(&Tensor<2>) -> Tensor<2>>;

/// An operator that does what it is told, right or wrong.
struct Planted {
    dim: usize,
    dtype: DType,
    single: Product,
    block: Option<Products>,
    claims: Definiteness,
}

impl Planted {
    fn new(dim: usize, dtype: DType, single: impl Fn(&Tensor<1>) -> Tensor<1> + 'static) -> Self {
        Self {
            dim,
            dtype,
            single: Box::new(single),
            block: None,
            claims: Definiteness::Unknown,
        }
    }
}

impl LinearOperator for Planted {
    fn dim(&self) -> usize {
        self.dim
    }
    fn device(&self) -> Device {
        Device::flex()
    }
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok((self.single)(v))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        match &self.block {
            Some(block) => Ok(block(vs)),
            None => crate::operator::row_by_row(&|v: &Tensor<1>| self.apply(v), vs),
        }
    }
    fn definiteness(&self) -> Definiteness {
        self.claims
    }
}

fn right(dim: usize, dtype: DType) -> crate::DenseOperator {
    let values: Vec<f64> = (0..dim).map(|i| i as f64 - 3.0).collect();
    with_spectrum(&values, 1).operator(&Device::flex(), dtype)
}

fn verdict(a: &dyn LinearOperator) -> Verification {
    verify(a, &VerifyOptions::default(), Seed::new(3)).unwrap()
}

fn fails(a: &dyn LinearOperator, property: Property) {
    let verdict = verdict(a);
    let outcome = verdict.check(property).map(|check| check.outcome);
    assert_eq!(outcome, Some(Outcome::Failed), "{verdict}");
    assert!(!verdict.passed() && verdict.to_string().contains("FAIL"));
}

const DIMS: [(usize, DType); 4] = [
    (8, DType::F64),
    (200, DType::F64),
    (8, DType::F32),
    (200, DType::F32),
];

#[test]
fn what_is_right_passes() {
    for (dim, dtype) in DIMS {
        let a = right(dim, dtype);
        let counted = Counted::new(&a);
        for seed in 0..5 {
            let before = counted.applications();
            let verdict = verify(&counted, &VerifyOptions::default(), Seed::new(seed)).unwrap();
            assert!(verdict.passed(), "{verdict}");
            assert_eq!(verdict.applications, counted.applications() - before);
            assert_eq!(verdict.check(Property::DenseSymmetric).is_some(), dim <= 64);
        }
    }
}

#[test]
fn a_nonlinear_operator_is_caught() {
    for (dim, dtype) in DIMS {
        let a = right(dim, dtype);
        let planted = Planted::new(dim, dtype, move |v| {
            a.apply(v).unwrap() + v.clone().powi_scalar(2) * 0.05
        });
        fails(&planted, Property::Linear);
        let a = right(dim, dtype);
        fails(
            &Planted::new(dim, dtype, move |v| a.apply(v).unwrap() + 1.0),
            Property::Linear,
        );
    }
}

#[test]
fn an_unsymmetric_operator_is_caught() {
    for (dim, dtype) in DIMS {
        let a = right(dim, dtype);
        // a cyclic shift, a hundredth of the operator's size
        let size = 0.01 * dim as f64;
        let planted = Planted::new(dim, dtype, move |v| {
            let last = v.clone().slice(dim - 1..dim);
            let shifted = Tensor::cat(vec![last, v.clone().slice(0..dim - 1)], 0);
            a.apply(v).unwrap() + shifted * size
        });
        fails(&planted, Property::Symmetric);
        if dim <= 64 {
            fails(&planted, Property::DenseSymmetric);
        }
    }
}

#[test]
fn a_random_operator_is_caught() {
    for (dim, dtype) in DIMS {
        let a = right(dim, dtype);
        let calls = Cell::new(0);
        let planted = Planted::new(dim, dtype, move |v| {
            calls.set(calls.get() + 1);
            a.apply(v).unwrap() * (1.0 + 0.01 * f64::from(calls.get() % 2))
        });
        fails(&planted, Property::Repeatable);
    }
}

#[test]
fn values_that_are_not_finite_are_caught() {
    for (dim, dtype) in DIMS {
        let a = right(dim, dtype);
        fails(&Scaled::new(&a, f64::NAN), Property::Finite);
        let planted = Planted::new(dim, dtype, move |v| {
            let product = a.apply(v).unwrap();
            let first = product.clone().slice(0..1) * f64::INFINITY;
            product.slice_assign(0..1, first)
        });
        fails(&planted, Property::Finite);
    }
}

#[test]
fn a_wrong_block_is_caught() {
    for (dim, dtype) in DIMS {
        let (a, b) = (right(dim, dtype), right(dim, dtype));
        let mut planted = Planted::new(dim, dtype, move |v| a.apply(v).unwrap());
        // the last row is lost
        planted.block = Some(Box::new(move |vs| {
            let [count, dim] = vs.dims();
            let products = b.apply_block(vs).unwrap();
            match count > 1 {
                true => products.slice_assign(
                    [count - 1..count, 0..dim],
                    Tensor::zeros([1, dim], (&Device::flex(), vs.dtype())),
                ),
                false => products,
            }
        }));
        fails(&planted, Property::Block);
        let b = right(dim, dtype);
        planted.block = Some(Box::new(move |vs| {
            b.apply_block(vs).unwrap().slice([0..1, 0..dim])
        }));
        if dim > 64 {
            fails(&planted, Property::Block);
        }
    }
}

#[test]
fn a_false_claim_of_definiteness_is_caught() {
    for (dim, dtype) in DIMS {
        // one slightly negative eigenvalue among large ones: probes alone would miss it
        let mut values = vec![1.0; dim];
        values[0] = -0.1;
        let a = with_spectrum(&values, 1).operator(&Device::flex(), dtype);
        let mut planted = Planted::new(dim, dtype, move |v| a.apply(v).unwrap());
        assert!(verdict(&planted).passed());
        planted.claims = Definiteness::PositiveSemidefinite;
        fails(&planted, Property::Definite);
        if dim <= 64 {
            fails(&planted, Property::DenseDefinite);
        }
        let mut values: Vec<f64> = (0..dim).map(|i| i as f64).collect();
        values[1] = 0.0;
        let a = with_spectrum(&values, 1).operator(&Device::flex(), dtype);
        let mut planted = Planted::new(dim, dtype, move |v| a.apply(v).unwrap());
        planted.claims = Definiteness::PositiveSemidefinite;
        let verdict = verdict(&planted);
        assert!(verdict.passed(), "{verdict}");
    }
}

/// The gradient of Σ cos(qᵢᵀθ) for the columns of an orthogonal matrix, and its Hessian at θ.
fn waves(
    dim: usize,
    dtype: DType,
) -> (
    Tensor<1>,
    impl FnMut(&Tensor<1>) -> Result<Tensor<1>, CurvatureError>,
    crate::DenseOperator,
) {
    let values: Vec<f64> = (0..dim).map(|i| i as f64).collect();
    let q = with_spectrum(&values, 2).eigen().unwrap().vectors().clone();
    let theta: Vec<f64> = standard_normal(dim, &mut Seed::new(1).rng());
    let column = Mat::from_fn(dim, 1, |i, _| theta[i]);
    let phases = q.transpose() * &column;
    let scaled = Mat::from_fn(dim, dim, |i, j| -q[(i, j)] * phases[(j, 0)].cos());
    let hessian =
        crate::DenseSymmetric::from_matrix(scaled * q.transpose()).operator(&Device::flex(), dtype);
    let gradient = move |theta: &Tensor<1>| {
        let theta = to_f64(theta);
        let column = Mat::from_fn(dim, 1, |i, _| theta[i]);
        let phases = q.transpose() * column;
        let sines = Mat::from_fn(dim, 1, |i, _| -phases[(i, 0)].sin());
        let gradient = &q * sines;
        let numbers: Vec<f64> = (0..dim).map(|i| gradient[(i, 0)]).collect();
        Ok(from_f64(&numbers, &Device::flex(), dtype))
    };
    (from_f64(&theta, &Device::flex(), dtype), gradient, hessian)
}

#[test]
fn a_hessian_off_by_a_hundredth_is_caught() {
    for (dim, dtype) in DIMS {
        for seed in 0..4 {
            let (theta, mut gradient, hessian) = waves(dim, dtype);
            let options = VerifyOptions::default();
            let found =
                verify_derivative(&hessian, &theta, &mut gradient, &options, Seed::new(seed))
                    .unwrap();
            let check = found.check(Property::Derivative).unwrap();
            assert_eq!(check.outcome, Outcome::Passed, "{found}");
            let wrong = Scaled::new(&hessian, 1.01);
            let found = verify_derivative(&wrong, &theta, &mut gradient, &options, Seed::new(seed))
                .unwrap();
            let failed: Vec<Property> = found.failures().map(|check| check.property).collect();
            assert_eq!(failed, [Property::Derivative], "{found}");
        }
    }
}

#[test]
fn a_kinked_gradient_decides_nothing() {
    // at θ = 0, where the roots below have no derivative
    let theta = from_f64(&[0.0; 10], &Device::flex(), DType::F64);
    let mut gradient = |theta: &Tensor<1>| Ok(theta.clone().abs().sqrt() + theta.clone());
    let identity = Planted::new(10, DType::F64, |v| v.clone());
    let found = verify_derivative(
        &identity,
        &theta,
        &mut gradient,
        &VerifyOptions::default(),
        Seed::new(1),
    )
    .unwrap();
    let check = found.check(Property::Derivative).unwrap();
    // √|θ| is even: central differences do not see it
    assert_eq!(check.outcome, Outcome::Passed, "{found}");
    let mut gradient = |theta: &Tensor<1>| Ok(theta.clone().sign() * theta.clone().abs().sqrt());
    let found = verify_derivative(
        &identity,
        &theta,
        &mut gradient,
        &VerifyOptions::default(),
        Seed::new(1),
    )
    .unwrap();
    assert_ne!(
        found.check(Property::Derivative).unwrap().outcome,
        Outcome::Passed,
        "{found}"
    );
}

#[test]
fn the_hessian_of_a_point_passes() {
    let device = Device::flex();
    let model = LinearConfig::new(4, 2).init(&device);
    let objective = Objective::of_loss(|model: &Linear, x: &Tensor<2>| {
        model.forward(x.clone()).tanh().powi_scalar(2).mean()
    });
    let x = Tensor::<2>::from_data([[0.3, -1.0, 2.0, 0.1], [1.0, 0.5, -0.7, 0.2]], &device);
    let point = objective.at(&model, &x).unwrap();
    let found = verify_hessian(&point, &VerifyOptions::default(), Seed::new(2)).unwrap();
    assert!(found.passed(), "{found}");
    assert_eq!(
        found.check(Property::Derivative).unwrap().outcome,
        Outcome::Passed,
        "{found}"
    );
    // the same numbers for the same seed
    let again = verify_hessian(&point, &VerifyOptions::default(), Seed::new(2)).unwrap();
    assert_eq!(
        found.check(Property::Symmetric),
        again.check(Property::Symmetric)
    );
}

/// Two steps of the differences may agree by chance better than rounding allows either of them to be. Where tanh is flat the product
/// itself loses digits in f32, which is no matter of chance: not here.
#[test]
fn steps_that_agree_by_chance_condemn_no_hessian() {
    let device = Device::flex();
    let objective =
        Objective::of_loss(|model: &Linear, x: &Tensor<2>| model.forward(x.clone()).tanh().mean());
    let x = Tensor::<2>::ones([5, 3], &device);
    for index in 0..150 {
        let value = 0.004 * f64::from(index) - 0.3;
        let initializer = Initializer::Constant { value };
        let config = LinearConfig::new(3, 1).with_initializer(initializer);
        let point = objective.at(&config.init(&device), &x).unwrap();
        for seed in 0..4 {
            let options = VerifyOptions::default();
            let found = verify_hessian(&point, &options, Seed::new(seed)).unwrap();
            let outcome = found.check(Property::Derivative).unwrap().outcome;
            assert_ne!(outcome, Outcome::Failed, "{value}, {seed}: {found}");
        }
    }
}

#[test]
fn edges() {
    for dim in [0, 1] {
        let a =
            crate::operators::Diagonal::new(from_f64(&vec![2.0; dim], &Device::flex(), DType::F64));
        let found = verdict(&a);
        assert!(found.passed(), "{found}");
    }
    let zero = crate::operators::Diagonal::new(from_f64(&[0.0, 0.0], &Device::flex(), DType::F64));
    assert!(verdict(&zero).passed(), "{}", verdict(&zero));
    let theta = from_f64(&[1.0], &Device::flex(), DType::F64);
    let mut gradient = |theta: &Tensor<1>| Ok(theta.clone());
    assert!(
        verify_derivative(
            &zero,
            &theta,
            &mut gradient,
            &VerifyOptions::default(),
            Seed::new(0)
        )
        .is_err()
    );
}

#[test]
fn an_observer_sees_the_products_and_stops_with_the_checks_so_far() {
    let dim = 40;
    let values: Vec<f64> = (1..=dim).map(|i| i as f64).collect();
    let a = with_spectrum(&values, 1).operator(&Device::flex(), DType::F64);
    let mut claimed = Planted::new(dim, DType::F64, move |v| a.apply(v).unwrap());
    claimed.claims = Definiteness::PositiveDefinite;
    let options = VerifyOptions::default();
    let whole = verify(&claimed, &options, Seed::new(3)).unwrap();
    assert_eq!(whole.checks.len(), 8);
    let mut seen = Vec::new();
    let mut watch = |progress: &Progress| {
        seen.push(progress.applications);
        assert!(progress.most.unwrap() >= progress.applications);
        ControlFlow::Continue(())
    };
    let watched = verify_observed(&claimed, &options, Seed::new(3), &mut watch).unwrap();
    assert_eq!(watched, whole);
    assert!(seen.is_sorted() && seen.last() == Some(&whole.applications));
    assert!(
        seen.windows(2).all(|pair| pair[1] - pair[0] <= 4),
        "{seen:?}"
    );
    let mut met = Vec::new();
    for limit in 1..whole.applications {
        let mut stop = |progress: &Progress| match progress.applications >= limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let found = verify_observed(&claimed, &options, Seed::new(3), &mut stop).unwrap();
        assert!(found.stopped && found.passed(), "{found}");
        assert!(found.applications < limit + 4, "{limit} {found}");
        assert!(found.to_string().contains("products, stopped: "), "{found}");
        // those that are there are what they are in the end, but for the number of pairs
        let many = found.applications >= 12;
        assert!(!many || whole.checks.starts_with(&found.checks), "{found}");
        met.push(found.checks.len());
    }
    met.dedup();
    assert_eq!(met, [4, 5, 6]);
}

#[test]
fn a_stopped_verification_takes_no_differences() {
    let (theta, mut gradient, hessian) = waves(8, DType::F64);
    let options = VerifyOptions::default();
    let whole = verify_derivative(&hessian, &theta, &mut gradient, &options, Seed::new(1)).unwrap();
    let mut watch = |_: &Progress| ControlFlow::Continue(());
    let watched = verify_derivative_observed(
        &hessian,
        &theta,
        &mut gradient,
        &options,
        Seed::new(1),
        &mut watch,
    );
    assert_eq!(watched.unwrap(), whole);
    // all products but that of the differences
    let last = whole.applications - 1;
    let mut stop = |progress: &Progress| match progress.applications == last {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let mut untouched = |_: &Tensor<1>| -> Result<Tensor<1>, CurvatureError> { unreachable!() };
    let stopped = verify_derivative_observed(
        &hessian,
        &theta,
        &mut untouched,
        &options,
        Seed::new(1),
        &mut stop,
    );
    let stopped = stopped.unwrap();
    assert!(stopped.stopped && stopped.applications == last);
    assert_eq!(stopped.checks[..], whole.checks[..whole.checks.len() - 1]);
}
