//! Operators with known spectra, for the tests of the algebra.

use crate::dense::{DenseOperator, DenseSymmetric};
use crate::layout::ParameterLayout;
use crate::operator::LinearOperator;
use crate::seed::Seed;
use crate::vector::standard_normal;
use burn::module::Module;
use burn::prelude::*;
use burn::tensor::{DType, TensorData};
use faer::Mat;
use std::cell::Cell;

/// Q diag(values) Qᵀ in f64 with a random orthogonal Q.
pub(crate) fn with_spectrum(values: &[f64], seed: u64) -> DenseSymmetric {
    let n = values.len();
    let mut rng = Seed::new(seed).stream("orthogonal").rng();
    let numbers = standard_normal(n * n, &mut rng);
    let gaussian = Mat::from_fn(n, n, |i, j| numbers[i * n + j]);
    let q = gaussian.qr().compute_thin_Q();
    let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * values[j]);
    DenseSymmetric::from_matrix(&scaled * q.transpose())
}

/// The matrix as an operator in f64 on the processor.
pub(crate) fn operator(matrix: &DenseSymmetric) -> DenseOperator {
    matrix.operator(&Device::flex(), DType::F64)
}

/// A symmetric matrix by its rows as an operator in f64 on the processor.
pub(crate) fn rows<const N: usize>(rows: [[f64; N]; N]) -> DenseOperator {
    operator(&DenseSymmetric::from_matrix(Mat::from_fn(N, N, |i, j| {
        rows[i][j]
    })))
}

/// diag(values) as an operator in f64 on the processor.
pub(crate) fn diagonal(values: &[f64]) -> DenseOperator {
    let n = values.len();
    let matrix = Mat::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 });
    operator(&DenseSymmetric::from_matrix(matrix))
}

/// A matrix of the Gaussian orthogonal ensemble, whose spectrum fills (−2, 2), and θ u uᵀ: one eigenvalue near θ + 1/θ.
pub(crate) fn spiked(n: usize, spike: f64, seed: u64) -> DenseSymmetric {
    let mut rng = Seed::new(seed).rng();
    let (numbers, u) = (
        standard_normal(n * n, &mut rng),
        standard_normal(n, &mut rng),
    );
    let length: f64 = u.iter().map(|x| x * x).sum();
    let scale = 1.0 / (2.0 * n as f64).sqrt();
    DenseSymmetric::from_matrix(Mat::from_fn(n, n, |i, j| {
        scale * (numbers[i * n + j] + numbers[j * n + i]) + spike * u[i] * u[j] / length
    }))
}

/// Numbers between −1 and 1 that follow no pattern.
pub(crate) fn numbers<const D: usize>(dims: [usize; D], phase: f64) -> Tensor<D> {
    let count = dims.iter().product::<usize>();
    let values: Vec<f32> = (0..count)
        .map(|k| (phase + 12.9898 * k as f64).sin() * 43758.5453)
        .map(|x| (2.0 * (x - x.floor()) - 1.0) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, dims), &Device::flex())
}

/// The module at parameters that follow no pattern.
pub(crate) fn mixed<M: Module>(model: M) -> M {
    let layout = ParameterLayout::of(&model).unwrap();
    let theta: Tensor<1> = numbers([layout.dim()], 0.3) * 0.6;
    layout.scatter(&theta, model).unwrap()
}

/// The operator of dimension 0.
pub(crate) struct Nothing;

impl LinearOperator for Nothing {
    fn dim(&self) -> usize {
        0
    }
    fn device(&self) -> Device {
        Device::flex()
    }
    fn dtype(&self) -> DType {
        DType::F64
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, crate::CurvatureError> {
        Ok(v.clone())
    }
}

/// Counts the products of an operator, a vector each.
pub(crate) struct Counted<'a> {
    operator: &'a dyn LinearOperator,
    applications: Cell<usize>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(operator: &'a dyn LinearOperator) -> Self {
        let applications = Cell::new(0);
        Self {
            operator,
            applications,
        }
    }

    pub(crate) fn applications(&self) -> usize {
        self.applications.get()
    }
}

impl LinearOperator for Counted<'_> {
    fn dim(&self) -> usize {
        self.operator.dim()
    }
    fn device(&self) -> Device {
        self.operator.device()
    }
    fn dtype(&self) -> DType {
        self.operator.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, crate::CurvatureError> {
        self.applications.set(self.applications.get() + 1);
        self.operator.apply(v)
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, crate::CurvatureError> {
        self.applications
            .set(self.applications.get() + vs.dims()[0]);
        self.operator.apply_block(vs)
    }
    fn block_size(&self) -> usize {
        self.operator.block_size()
    }
}

#[test]
fn a_random_rotation_keeps_the_spectrum() {
    let values = [3.0, -1.0, 0.5, 10.0];
    let found = with_spectrum(&values, 1).eigen().unwrap();
    for (found, expected) in found.values().iter().zip([-1.0, 0.5, 3.0, 10.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
}
