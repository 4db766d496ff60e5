//! Every combinator against the dense matrix that it stands for.

use super::*;
use crate::dense::{DenseSymmetric, dense};
use crate::layout::ParameterLayout;
use crate::operator::{Definiteness, LinearOperator};
use crate::seed::Seed;
use crate::solve::{CgOptions, MinresOptions, NeumannOptions};
use crate::test_operators::{Counted, operator, with_spectrum};
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::nn::LinearConfig;
use burn::prelude::*;
use burn::tensor::DType;
use faer::Mat;
use std::rc::Rc;
use std::sync::Arc;

const DEFINITE: Definiteness = Definiteness::PositiveDefinite;
const SEMIDEFINITE: Definiteness = Definiteness::PositiveSemidefinite;
const UNKNOWN: Definiteness = Definiteness::Unknown;

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn random_rows(count: usize, dim: usize, seed: u64, dtype: DType) -> Tensor<2> {
    let mut rng = Seed::new(seed).stream("rows").rng();
    let numbers = standard_normal(count * dim, &mut rng);
    from_f64(&numbers, &Device::flex(), dtype).reshape([count, dim])
}

fn columns(rows: &Tensor<2>) -> Mat<f64> {
    let [count, dim] = rows.dims();
    let numbers = to_f64(&rows.clone().reshape([count * dim]));
    Mat::from_fn(dim, count, |i, j| numbers[j * dim + i])
}

/// An operator that is known to be definite.
struct Known(crate::DenseOperator, Definiteness);

impl LinearOperator for Known {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn device(&self) -> Device {
        self.0.device()
    }
    fn dtype(&self) -> DType {
        self.0.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        self.0.apply(v)
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        self.0.apply_block(vs)
    }
    fn block_size(&self) -> usize {
        4
    }
    fn definiteness(&self) -> Definiteness {
        self.1
    }
}

/// The matrix by blocks, checked against single products.
fn written_out(a: &dyn LinearOperator) -> Mat<f64> {
    let n = a.dim();
    let matrix = dense(a).unwrap();
    let size = matrix.matrix().norm_max();
    assert!(matrix.asymmetry() < 1e-12, "{}", matrix.asymmetry());
    for column in [0, n - 1] {
        let mut unit = vec![0.0; n];
        unit[column] = 1.0;
        let product = to_f64(&a.apply(&from_f64(&unit, &a.device(), a.dtype())).unwrap());
        for (row, found) in product.iter().enumerate() {
            assert!((found - matrix.matrix()[(row, column)]).abs() < 1e-12 * size);
        }
    }
    matrix.matrix().clone()
}

fn close(found: &Mat<f64>, expected: &Mat<f64>, relative: f64) {
    let (difference, size) = ((found - expected).norm_l2(), expected.norm_l2());
    assert!(
        difference <= relative * size.max(1e-300),
        "{difference} of {size}"
    );
}

#[test]
fn sums_multiples_and_damping_nest_and_are_returned() {
    fn regularised<'a>(
        a: impl LinearOperator + 'a,
        b: impl LinearOperator + 'a,
    ) -> impl LinearOperator + 'a {
        let sum = Sum::new(2.0, Scaled::new(a, -0.5)).plus(3.0, b).unwrap();
        Damped::new(sum, 0.25)
    }
    let (first, second) = (
        with_spectrum(&[1.0, -2.0, 5.0, 0.0, 3.0], 1),
        with_spectrum(&[4.0, 1.0, 1.0, 9.0, 2.0], 2),
    );
    let (a, b) = (operator(&first), Arc::new(operator(&second)));
    let boxed: Box<dyn LinearOperator> = Box::new(Rc::new(regularised(a.clone(), b.clone())));
    let identity = Mat::<f64>::identity(5, 5);
    let expected =
        faer::Scale(3.0) * second.matrix() - first.matrix() + faer::Scale(0.25) * identity;
    close(&written_out(&boxed), &expected, 1e-14);
    close(&written_out(&regularised(&a, &b)), &expected, 1e-14);
    assert_eq!(boxed.block_size(), a.block_size());
}

#[test]
fn a_sum_refuses_what_does_not_fit() {
    let three = Diagonal::new(tensor(&[1.0, 2.0, 3.0]));
    let two = Diagonal::new(tensor(&[1.0, 2.0]));
    let error = Sum::new(1.0, &three).plus(1.0, &two).err().unwrap();
    assert!(matches!(
        error,
        CurvatureError::Dimension {
            expected: 3,
            found: 2,
            ..
        }
    ));
    let sum = Sum::new(1.0, &three);
    assert!(sum.apply(&tensor(&[1.0])).is_err());
    // f32 beside f64: the first decides
    let half = Diagonal::new(from_f64(&[0.5, 0.5, 0.5], &Device::flex(), DType::F32));
    let mixed = Sum::new(1.0, &three).plus(2.0, half).unwrap();
    assert_eq!(mixed.dtype(), DType::F64);
    assert_eq!(
        to_f64(&mixed.apply(&tensor(&[1.0, 1.0, 1.0])).unwrap()),
        [2.0, 3.0, 4.0]
    );
}

#[test]
fn definiteness_is_kept_only_where_it_holds() {
    let matrix = with_spectrum(&[1.0, 2.0, 3.0], 1);
    let known = |sign| Known(operator(&matrix), sign);
    assert_eq!(Scaled::new(known(DEFINITE), 2.0).definiteness(), DEFINITE);
    assert_eq!(Scaled::new(known(DEFINITE), -2.0).definiteness(), UNKNOWN);
    assert_eq!(
        Scaled::new(known(UNKNOWN), 0.0).definiteness(),
        SEMIDEFINITE
    );
    assert_eq!(
        Scaled::new(known(DEFINITE), f64::NAN).definiteness(),
        UNKNOWN
    );
    assert_eq!(
        Damped::new(known(SEMIDEFINITE), 0.1).definiteness(),
        DEFINITE
    );
    assert_eq!(
        Damped::new(known(SEMIDEFINITE), -0.1).definiteness(),
        UNKNOWN
    );
    let sum = |a, b, weight| {
        Sum::new(1.0, known(a))
            .plus(weight, known(b))
            .unwrap()
            .definiteness()
    };
    assert_eq!(sum(DEFINITE, SEMIDEFINITE, 1.0), DEFINITE);
    assert_eq!(sum(SEMIDEFINITE, SEMIDEFINITE, 1.0), SEMIDEFINITE);
    assert_eq!(sum(DEFINITE, UNKNOWN, 1.0), UNKNOWN);
    assert_eq!(sum(DEFINITE, DEFINITE, -1.0), UNKNOWN);
    assert_eq!(sum(SEMIDEFINITE, DEFINITE, 0.0), SEMIDEFINITE);
    let vectors = random_rows(1, 3, 1, DType::F64);
    let projected = Projected::complement(known(DEFINITE), &vectors).unwrap();
    assert_eq!(projected.definiteness(), SEMIDEFINITE);
    let subset = Subset::of_range(3, 0..2).unwrap();
    let part = Restricted::new(known(DEFINITE), subset.clone()).unwrap();
    assert_eq!(part.definiteness(), DEFINITE);
    let blocks = |subsets: Vec<Subset>| BlockDiagonal::new(known(DEFINITE), subsets).unwrap();
    assert_eq!(blocks(vec![subset.clone()]).definiteness(), SEMIDEFINITE);
    assert_eq!(
        blocks(vec![subset.complement(), subset]).definiteness(),
        DEFINITE
    );
    for (entries, expected) in [
        ([1.0, 2.0], DEFINITE),
        ([0.0, 1.0], SEMIDEFINITE),
        ([-1.0, 1.0], UNKNOWN),
        ([f64::NAN, 1.0], UNKNOWN),
        ([1.0, f64::NAN], UNKNOWN),
    ] {
        assert_eq!(
            Diagonal::new(tensor(&entries)).definiteness(),
            expected,
            "{entries:?}"
        );
    }
}

#[test]
fn a_diagonal_is_inverted_and_rooted() {
    let d = Diagonal::new(tensor(&[4.0, 0.25, 9.0]));
    assert_eq!((d.smallest(), d.largest()), (0.25, 9.0));
    assert_eq!(
        to_f64(d.inverse().unwrap().entries()),
        [0.25, 4.0, 1.0 / 9.0]
    );
    assert_eq!(to_f64(d.square_root().unwrap().entries()), [2.0, 0.5, 3.0]);
    assert!(Diagonal::new(tensor(&[0.0, 1.0])).inverse().is_err());
    assert!(Diagonal::new(tensor(&[-1.0, 1.0])).square_root().is_err());
    let signed = Diagonal::new(tensor(&[-2.0, 4.0])).inverse().unwrap();
    assert_eq!(to_f64(signed.entries()), [-0.5, 0.25]);
}

/// Uᵀ diag(s) U + D in f64.
fn low_rank_matrix(values: &[f64], rows: &Tensor<2>, diagonal: &[f64]) -> Mat<f64> {
    let u = columns(rows);
    let (n, k) = (u.nrows(), u.ncols());
    let scaled = Mat::from_fn(n, k, |i, j| u[(i, j)] * values[j]);
    let d = Mat::from_fn(n, n, |i, j| if i == j { diagonal[i] } else { 0.0 });
    &scaled * u.transpose() + d
}

#[test]
fn low_rank_plus_diagonal_is_inverted_exactly() {
    let n = 12;
    let spread: Vec<f64> = (0..n).map(|i| 0.5 + i as f64).collect();
    let negative: Vec<f64> = spread
        .iter()
        .enumerate()
        .map(|(i, d)| if i == 3 { -d } else { *d })
        .collect();
    for seed in 0..4 {
        for diagonal in [
            vec![0.7; n],
            spread.clone(),
            negative.clone(),
            vec![-0.7; n],
        ] {
            for values in [
                vec![3.0, 0.1, 7.0],
                vec![2.0, -0.01, -9.0, 0.0],
                vec![1e-9, 1e6],
            ] {
                let rows = random_rows(values.len(), n, seed, DType::F64);
                let shift = match diagonal.iter().all(|d| *d == diagonal[0]) {
                    true => Shift::Scalar(diagonal[0]),
                    false => Shift::Diagonal(Diagonal::new(tensor(&diagonal))),
                };
                let a = LowRankPlusDiagonal::new(&values, rows.clone(), shift).unwrap();
                let expected = low_rank_matrix(&values, &rows, &diagonal);
                close(&written_out(&a), &expected, 1e-14);
                let eigen = DenseSymmetric::from_matrix(expected).eigen().unwrap();
                let condition = eigen.values().iter().map(|v| v.abs()).fold(0.0, f64::max)
                    / eigen
                        .values()
                        .iter()
                        .map(|v| v.abs())
                        .fold(f64::INFINITY, f64::min);
                let inverse = written_out(&a.inverse().unwrap());
                close(
                    &inverse,
                    eigen.function(|v| 1.0 / v).matrix(),
                    1e-14 * condition,
                );
                let found = a.log_determinant().unwrap();
                assert!(
                    (found.ln_absolute - eigen.ln_absolute_determinant()).abs() < 1e-13 * condition
                );
                let sign: f64 = eigen.values().iter().map(|v| v.signum()).product();
                assert_eq!(found.sign, sign);
                let definite = eigen.values()[0] > 0.0;
                assert_eq!(
                    a.definiteness() == DEFINITE,
                    definite,
                    "{values:?} {diagonal:?}"
                );
            }
        }
    }
}

#[test]
fn low_rank_roots_and_functions() {
    let n = 9;
    for (values, delta) in [
        (vec![3.0, 0.1, 7.0], 0.5),
        (vec![4.0, -0.02], 1.0),
        (vec![2.0; 12], 0.3),
        (vec![5.0], 0.0),
    ] {
        let rows = random_rows(values.len(), n, 5, DType::F64);
        let a = LowRankPlusDiagonal::new(&values, rows.clone(), Shift::Scalar(delta)).unwrap();
        let expected = low_rank_matrix(&values, &rows, &vec![delta; n]);
        let root = written_out(&a.square_root().unwrap());
        close(&(&root * &root), &expected, 1e-13);
        let exponential = written_out(&a.function(|v| (-v).exp()).unwrap());
        let eigen = DenseSymmetric::from_matrix(expected).eigen().unwrap();
        close(&exponential, eigen.function(|v| (-v).exp()).matrix(), 1e-12);
    }
    let rows = random_rows(1, n, 5, DType::F64);
    let indefinite = LowRankPlusDiagonal::new(&[-9.0], rows.clone(), Shift::Scalar(1.0)).unwrap();
    assert!(indefinite.square_root().is_err());
    let ones = Shift::Diagonal(Diagonal::new(tensor(&[1.0; 9])));
    assert!(
        LowRankPlusDiagonal::new(&[1.0], rows, ones)
            .unwrap()
            .square_root()
            .is_err()
    );
}

#[test]
fn low_rank_at_its_edges() {
    let none = Tensor::<2>::zeros([0, 3], (&Device::flex(), DType::F64));
    let a = LowRankPlusDiagonal::new(&[], none, Shift::Scalar(2.0)).unwrap();
    let inverse = a.inverse().unwrap();
    assert_eq!(
        to_f64(&inverse.apply(&tensor(&[1.0, 2.0, 4.0])).unwrap()),
        [0.5, 1.0, 2.0]
    );
    assert_eq!(a.log_determinant().unwrap().ln_absolute, 3.0 * 2.0_f64.ln());
    assert_eq!(a.square_root().unwrap().definiteness(), DEFINITE);
    let unit = tensor(&[1.0, 0.0]).reshape([1, 2]);
    let singular = LowRankPlusDiagonal::new(&[-1.0], unit.clone(), Shift::Scalar(1.0)).unwrap();
    assert!(matches!(
        singular.inverse(),
        Err(CurvatureError::Argument { .. })
    ));
    assert_eq!(singular.log_determinant().unwrap().sign, 0.0);
    assert_eq!(singular.definiteness(), UNKNOWN);
    assert!(LowRankPlusDiagonal::new(&[1.0, 2.0], unit.clone(), Shift::Scalar(1.0)).is_err());
    assert!(LowRankPlusDiagonal::new(&[f64::NAN], unit.clone(), Shift::Scalar(1.0)).is_err());
    assert!(
        LowRankPlusDiagonal::new(&[1.0], unit, Shift::Scalar(0.0))
            .unwrap()
            .inverse()
            .is_err()
    );
}

#[test]
fn low_rank_in_f32() {
    let (n, values) = (40, [5.0, 2.0, -0.01]);
    let rows = random_rows(3, n, 9, DType::F32);
    let a = LowRankPlusDiagonal::new(&values, rows.clone(), Shift::Scalar(0.5)).unwrap();
    let v = random_rows(1, n, 10, DType::F32).reshape([n]);
    let round_trip = a.inverse().unwrap().apply(&a.apply(&v).unwrap()).unwrap();
    let error = crate::vector::norm(&(round_trip - v.clone())) / crate::vector::norm(&v);
    // condition number about 5 · 40 / 0.5
    assert!(error < 1e-4, "{error}");
    let expected = low_rank_matrix(&values, &rows, &vec![0.5; n]);
    let expected = DenseSymmetric::from_matrix(expected)
        .eigen()
        .unwrap()
        .ln_absolute_determinant();
    assert!((a.log_determinant().unwrap().ln_absolute - expected).abs() < 1e-10);
}

#[test]
fn projections_cut_out_and_keep() {
    let matrix = with_spectrum(&[5.0, -1.0, 2.0, 0.5, 3.0, 8.0], 7);
    let rows = random_rows(2, 6, 8, DType::F64);
    // a third one that depends on them, and one of another length
    let dependent =
        rows.clone().slice([0..1, 0..6]).mul_scalar(3.0) - rows.clone().slice([1..2, 0..6]);
    let all = Tensor::cat(
        vec![
            rows.clone(),
            dependent,
            rows.clone().slice([0..1, 0..6]).mul_scalar(1e-9),
        ],
        0,
    );
    let q = columns(&rows).qr().compute_thin_Q();
    let span = &q * q.transpose();
    let rest = Mat::<f64>::identity(6, 6) - &span;
    let onto = Projected::onto(operator(&matrix), &all).unwrap();
    assert_eq!(onto.basis().dims(), [2, 6]);
    close(
        &written_out(&onto),
        &(&span * matrix.matrix() * &span),
        1e-13,
    );
    let complement = Projected::complement(operator(&matrix), &all).unwrap();
    close(
        &written_out(&complement),
        &(&rest * matrix.matrix() * &rest),
        1e-13,
    );
    let nothing = Tensor::<2>::zeros([0, 6], (&Device::flex(), DType::F64));
    close(
        &written_out(&Projected::complement(operator(&matrix), &nothing).unwrap()),
        matrix.matrix(),
        1e-14,
    );
    assert!(Projected::onto(operator(&matrix), &random_rows(1, 5, 0, DType::F64)).is_err());
    assert!(Projected::onto(operator(&matrix), &rows.mul_scalar(f64::NAN)).is_err());
}

#[test]
fn deflating_an_eigenvector_makes_its_value_zero() {
    let matrix = with_spectrum(&[100.0, 3.0, 2.0], 1);
    let eigen = matrix.eigen().unwrap();
    let top: Vec<f64> = eigen.vectors().col(2).iter().copied().collect();
    let deflated = Projected::complement(operator(&matrix), &tensor(&top).reshape([1, 3])).unwrap();
    let values = dense(&deflated).unwrap().eigenvalues().unwrap();
    for (found, expected) in values.iter().zip([0.0, 2.0, 3.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
}

#[test]
fn subsets_restrict_and_embed() {
    let subset = Subset::of_ranges(8, [5..7, 1..2, 2..3, 4..4]).unwrap();
    assert_eq!((subset.dim(), subset.ranges()), (4, &[1..3, 5..7][..]));
    let v = tensor(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let part = subset.restrict(&v).unwrap();
    assert_eq!(to_f64(&part), [1.0, 2.0, 5.0, 6.0]);
    assert_eq!(
        to_f64(&subset.embed(&part).unwrap()),
        [0.0, 1.0, 2.0, 0.0, 0.0, 5.0, 6.0, 0.0]
    );
    let rest = subset.complement();
    assert_eq!(rest.ranges(), [0..1, 3..5, 7..8]);
    assert!(subset.is_disjoint(&rest) && !subset.is_disjoint(&subset));
    let whole = Subset::of_range(8, 0..8).unwrap();
    assert_eq!(
        (
            whole.complement().dim(),
            to_f64(&whole.restrict(&v).unwrap())
        ),
        (0, to_f64(&v))
    );
    assert!(Subset::of_ranges(8, [0..3, 2..4]).is_err() && Subset::of_range(8, 7..9).is_err());
    assert!(subset.restrict(&part).is_err() && subset.embed(&v).is_err());
    let empty = Subset::of_ranges(8, []).unwrap();
    assert_eq!(empty.restrict(&v).unwrap().dims(), [0]);
    assert_eq!(
        to_f64(&empty.embed(&empty.restrict(&v).unwrap()).unwrap()),
        [0.0; 8]
    );
}

#[derive(Module, Debug)]
struct Net {
    first: burn::nn::Linear,
    first_norm: burn::nn::LayerNorm,
    second: burn::nn::Linear,
}

#[test]
fn subsets_by_the_names_of_parameters() {
    let device = Device::flex();
    let net = Net {
        first: LinearConfig::new(3, 2).init(&device),
        first_norm: burn::nn::LayerNormConfig::new(2).init(&device),
        second: LinearConfig::new(2, 1).init(&device),
    };
    let layout = ParameterLayout::of(&net).unwrap();
    let names: Vec<_> = layout.entries().iter().map(|e| e.name.clone()).collect();
    assert_eq!(layout.dim(), 8 + 4 + 3, "{names:?}");
    let of = |range| Subset::of_range(15, range).unwrap();
    // a prefix is a path: "first" is not "first_norm"
    assert_eq!(Subset::of_layer(&layout, "first").unwrap(), of(0..8));
    assert_eq!(Subset::of_layer(&layout, "second").unwrap(), of(12..15));
    assert_eq!(
        Subset::of_parameter(&layout, "second.bias").unwrap(),
        of(14..15)
    );
    let biases =
        Subset::of_parameters(&layout, &["second.bias", "first.bias", "second.bias"]).unwrap();
    assert_eq!(biases.ranges(), [6..8, 14..15]);
    let error = Subset::of_parameters(&layout, &["first.bias", "third"]).unwrap_err();
    assert!(
        error.to_string().contains("third") && error.to_string().contains("second.weight"),
        "{error}"
    );
    assert!(Subset::of_layer(&layout, "fir").is_err());
}

#[test]
fn parts_are_the_submatrices() {
    let matrix = with_spectrum(&[5.0, -1.0, 2.0, 0.5, 3.0, 8.0, 1.0], 7);
    let known = Known(operator(&matrix), UNKNOWN);
    let subset = Subset::of_ranges(7, [1..3, 5..6]).unwrap();
    let index = [1, 2, 5];
    let part = Restricted::new(&known, subset.clone()).unwrap();
    let expected = Mat::from_fn(3, 3, |i, j| matrix.matrix()[(index[i], index[j])]);
    close(&written_out(&part), &expected, 1e-14);
    assert!(Restricted::new(&known, Subset::of_range(6, 0..2).unwrap()).is_err());

    let other = Subset::of_range(7, 3..5).unwrap();
    let in_same = |i: usize, j: usize| {
        index.contains(&i) && index.contains(&j) || (3..5).contains(&i) && (3..5).contains(&j)
    };
    let expected = Mat::from_fn(7, 7, |i, j| {
        if in_same(i, j) {
            matrix.matrix()[(i, j)]
        } else {
            0.0
        }
    });
    let blocks = BlockDiagonal::new(&known, [subset.clone(), other.clone()]).unwrap();
    close(&written_out(&blocks), &expected, 1e-14);
    let sum = DirectSum::new(7, &Device::flex(), DType::F64)
        .with(
            other.clone(),
            Restricted::new(&known, other.clone()).unwrap(),
        )
        .unwrap()
        .with(subset.clone(), &part)
        .unwrap();
    close(&written_out(&sum), &expected, 1e-14);
    let overlapping = Subset::of_range(7, 2..4).unwrap();
    assert!(BlockDiagonal::new(&known, [subset.clone(), overlapping.clone()]).is_err());
    assert!(
        sum.with(overlapping, Diagonal::new(tensor(&[1.0, 1.0])))
            .is_err()
    );
}

#[test]
fn blocks_of_one_operator_are_computed_at_once() {
    let matrix = with_spectrum(&[1.0, 2.0, 3.0, 4.0], 1);
    let dense = operator(&matrix);
    let counted = Counted::new(&dense);
    let subsets = (0..4).map(|i| Subset::of_range(4, i..i + 1).unwrap());
    let blocks = BlockDiagonal::new(&counted, subsets).unwrap();
    let product = to_f64(&blocks.apply(&tensor(&[1.0; 4])).unwrap());
    assert_eq!(counted.applications(), 4);
    for (found, expected) in product.iter().zip(matrix.diagonal()) {
        assert!((found - expected).abs() < 1e-14);
    }
}

#[test]
fn inverses_by_every_method() {
    let matrix = with_spectrum(&[0.5, 0.9, 1.2, 1.5, 1.8], 4);
    let expected = matrix
        .eigen()
        .unwrap()
        .function(|v| 1.0 / v)
        .matrix()
        .clone();
    let a = Known(operator(&matrix), DEFINITE);
    let cg = CgOptions {
        relative_tolerance: 1e-13,
        ..Default::default()
    };
    let minres = MinresOptions {
        relative_tolerance: 1e-13,
        ..Default::default()
    };
    let series = NeumannOptions {
        max_terms: 200,
        relative_tolerance: 1e-13,
        ..Default::default()
    };
    for method in [
        InverseMethod::Cg(cg),
        InverseMethod::Minres(minres),
        InverseMethod::Neumann(series),
    ] {
        let inverse = Inverse::new(&a, method);
        close(&written_out(&inverse), &expected, 1e-12);
        assert_eq!(inverse.definiteness(), DEFINITE);
    }
    // nested: the preconditioned inverse of an inverse
    let twice = Inverse::new(
        Inverse::new(&a, InverseMethod::Cg(cg)),
        InverseMethod::Minres(minres),
    );
    close(&written_out(&twice), matrix.matrix(), 1e-11);
}

#[test]
fn a_product_that_does_not_converge_is_refused_or_accepted() {
    let values: Vec<f64> = (0..30)
        .map(|i| 10.0_f64.powf(-0.2 * f64::from(i)))
        .collect();
    let a = operator(&with_spectrum(&values, 4));
    let v = tensor(&[1.0; 30]);
    let short = InverseMethod::Cg(CgOptions {
        max_iterations: Some(3),
        ..Default::default()
    });
    let error = Inverse::new(&a, short).apply(&v).unwrap_err();
    let CurvatureError::Unsolved {
        relative_residual,
        applications,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(*relative_residual > 1e-5 && *applications == 3);
    assert!(error.to_string().contains("MaxIterations"), "{error}");
    let accepted = Inverse::new(&a, short).unconverged(Unconverged::Accept);
    assert_eq!(accepted.apply(&v).unwrap().dims(), [30]);
    assert!(
        Inverse::new(&a, short)
            .apply_block(&v.clone().reshape([1, 30]))
            .is_err()
    );
    let few = InverseMethod::Neumann(NeumannOptions {
        max_terms: 2,
        ..Default::default()
    });
    assert!(Inverse::new(&a, few).apply(&v).is_err());
    // what is singular or negative is an error too, with its name
    let negative = Diagonal::new(tensor(&[1.0, -1.0]));
    let error = Inverse::new(negative, InverseMethod::Cg(CgOptions::default()))
        .apply(&tensor(&[1.0, 1.0]))
        .unwrap_err();
    assert!(error.to_string().contains("NegativeCurvature"), "{error}");
}

#[test]
fn vectors_of_another_length_are_refused_everywhere() {
    let a = Diagonal::new(tensor(&[1.0, 2.0, 3.0]));
    let rows = random_rows(1, 3, 1, DType::F64);
    let operators: Vec<Box<dyn LinearOperator>> = vec![
        Box::new(a.clone()),
        Box::new(Scaled::new(a.clone(), 2.0)),
        Box::new(Damped::new(a.clone(), 2.0)),
        Box::new(Sum::new(1.0, a.clone())),
        Box::new(LowRankPlusDiagonal::new(&[1.0], rows.clone(), Shift::Scalar(1.0)).unwrap()),
        Box::new(Projected::onto(a.clone(), &rows).unwrap()),
        Box::new(Restricted::new(a.clone(), Subset::of_range(3, 0..3).unwrap()).unwrap()),
        Box::new(BlockDiagonal::new(a.clone(), [Subset::of_range(3, 0..3).unwrap()]).unwrap()),
        Box::new(DirectSum::new(3, &Device::flex(), DType::F64)),
        Box::new(Inverse::new(
            a.clone(),
            InverseMethod::Cg(CgOptions::default()),
        )),
    ];
    for a in operators {
        let wrong = |n: usize| tensor(&vec![1.0; n]);
        for n in [1, 2, 4] {
            assert!(matches!(
                a.apply(&wrong(n)),
                Err(CurvatureError::Dimension { .. })
            ));
            assert!(matches!(
                a.apply_block(&wrong(n).reshape([1, n])),
                Err(CurvatureError::Dimension { .. })
            ));
        }
        let none = Tensor::<2>::zeros([0, 3], (&Device::flex(), DType::F64));
        assert_eq!(a.apply_block(&none).unwrap().dims(), [0, 3]);
    }
}
