//! Quadratics with a chosen spectrum in a random basis.

mod config;

pub use config::{Basis, QuadraticConfig};

use super::Problem;
use crate::spectrum::condition_number;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use std::sync::Arc;

/// f(x) = ½ xᵀAx − bᵀx with A = Q diag(λ) Qᵀ and b = A x*, so that ∇f = A(x − x*) and the Hessian is A everywhere.
///
/// A is held as its factors, the constants Qᵀ and λ, and f is evaluated as ½ Σᵢ λᵢ (qᵢᵀ(x − x*))² + f*, which is the same
/// function. The product costs as much as one with A, and it is why **the condition number is right in every dtype**: rounding
/// Qᵀ changes each eigenvalue by a small *relative* amount, whereas rounding A to f32 would move all of them by about 6e-8 λ_max and leave
/// nothing of a condition number above 1e7 (the matrix would often not even be positive definite).
///
/// Only `x` is trainable: Qᵀ, λ and x* are plain tensors. Memory: d² + O(d) numbers. A loss costs one product with Qᵀ, and a gradient two.
#[derive(Module, Debug)]
pub struct Quadratic {
    /// The parameter, shape `[d]`.
    pub x: Param<Tensor<1>>,
    /// Qᵀ: an eigenvector a row, `[d, d]`.
    basis: Tensor<2>,
    /// λ as a column, `[d, 1]`.
    weights: Tensor<2>,
    /// x*, `[d]`.
    centre: Tensor<1>,
    #[module(skip)]
    facts: Arc<Facts>,
}

/// What is known exactly (in f64), whatever the dtype of the tensors.
#[derive(Debug)]
struct Facts {
    eigenvalues: Vec<f64>,
    start: Vec<f64>,
    minimiser: Vec<f64>,
    linear_term: Vec<f64>,
    stationary_value: f64,
}

impl Quadratic {
    /// The eigenvalues of the Hessian, in the order of the spectrum.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.facts.eigenvalues
    }

    /// max|λ| / min|λ|, infinite when an eigenvalue is zero.
    pub fn condition_number(&self) -> f64 {
        condition_number(&self.facts.eigenvalues)
    }

    /// b = A x*.
    pub fn linear_term(&self) -> &[f64] {
        &self.facts.linear_term
    }

    /// The eigenvectors: qᵢ is row i of a constant of shape `[d, d]`.
    pub fn eigenvectors(&self) -> Tensor<2> {
        self.basis.clone()
    }

    /// The matrix A, shape `[d, d]`, computed from its factors in O(d³) in the dtype of the problem.
    ///
    /// In f32 its small eigenvalues drown in rounding once the condition number passes about 1e7; those of the problem do not.
    pub fn matrix(&self) -> Tensor<2> {
        let scaled = self.basis.clone() * self.weights.clone();
        self.basis.clone().transpose().matmul(scaled)
    }
}

impl Problem for Quadratic {
    fn loss(&self) -> Tensor<1> {
        let offset = (self.x.val() - self.centre.clone()).unsqueeze_dim::<2>(1);
        let coordinates = self.basis.clone().matmul(offset);
        let energy = (coordinates.clone() * coordinates * self.weights.clone()).sum();
        let loss = energy.mul_scalar(0.5);
        match self.facts.stationary_value {
            0.0 => loss,
            value => loss.add_scalar(value),
        }
    }

    fn x(&self) -> &Param<Tensor<1>> {
        &self.x
    }

    fn start(&self) -> &[f64] {
        &self.facts.start
    }

    fn minimiser(&self) -> &[f64] {
        &self.facts.minimiser
    }

    fn minimum(&self) -> f64 {
        if self.facts.eigenvalues.iter().any(|lambda| *lambda < 0.0) {
            return f64::NEG_INFINITY;
        }
        self.facts.stationary_value
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spectrum;
    use super::super::testing::{autodiff_f64, difference, gradient, loss};
    use super::*;
    use burn::tensor::{DType, Device};
    use faer::Mat;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    pub(super) fn dense(tensor: Tensor<2>) -> Mat<f64> {
        let [rows, columns] = tensor.dims();
        let data: Vec<f64> = tensor.into_data().iter::<f64>().collect();
        Mat::from_fn(rows, columns, |i, j| data[i * columns + j])
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_formula() {
        let minimiser: Vec<f64> = (0..7).map(|i| f64::from(i).sin()).collect();
        let config = QuadraticConfig::new(7, 1e3).with_minimiser(minimiser.clone());
        let problem = config.with_seed(5).init(autodiff_f64()).unwrap();
        let a = dense(problem.matrix());
        let (x, b) = (problem.start(), problem.linear_term());
        let row = |i: usize| (0..7).map(|j| a[(i, j)] * x[j]).sum::<f64>();
        let ax: Vec<f64> = (0..7).map(row).collect();

        let expected: Vec<f64> = ax.iter().zip(b).map(|(p, q)| p - q).collect();
        assert!(difference(&gradient(&problem), &expected) < 1e-14);
        assert!((loss(&problem) - (0.5 * dot(&ax, x) - dot(b, x))).abs() < 1e-14);

        let at_minimum = QuadraticConfig::new(7, 1e3)
            .with_seed(5)
            .with_minimiser(minimiser.clone())
            .with_start(minimiser);
        let at_minimum = at_minimum.init(autodiff_f64()).unwrap();
        assert_eq!(loss(&at_minimum), at_minimum.minimum());
        assert!(gradient(&at_minimum).iter().all(|g| *g == 0.0));
        assert!(at_minimum.minimum() < loss(&problem));
    }

    #[test]
    fn the_hessian_has_the_eigenvalues_asked_for() {
        for spectrum in [
            Spectrum::LogUniform,
            Spectrum::Linear,
            Spectrum::TwoCluster { large: 4 },
        ] {
            let config = QuadraticConfig::new(12, 1e6).with_spectrum(spectrum);
            let problem = config.init(autodiff_f64()).unwrap();
            let found = dense(problem.matrix())
                .self_adjoint_eigenvalues(faer::Side::Lower)
                .unwrap();
            let mut expected = problem.eigenvalues().to_vec();
            expected.reverse();
            assert!(difference(&found, &expected) < 1e-14);
            assert_eq!(problem.condition_number(), 1e6);
        }
    }

    /// Singular values of diag(√λ) Qᵀ squared: the eigenvalues without forming A, to high relative accuracy.
    fn condition_number_of_factors(problem: &Quadratic) -> f64 {
        let basis = dense(problem.eigenvectors());
        let lambda: Vec<f64> = problem.weights.to_data().iter::<f64>().collect();
        let dim = lambda.len();
        let scaled = Mat::from_fn(dim, dim, |i, j| lambda[i].sqrt() * basis[(i, j)]);
        let sigma = scaled.singular_values().unwrap();
        (sigma[0] / sigma[dim - 1]).powi(2)
    }

    #[test]
    fn single_precision_keeps_a_condition_number_of_1e12() {
        let config = QuadraticConfig::new(30, 1e12).with_seed(2);
        let single = config.init(&Device::flex()).unwrap();
        let found = condition_number_of_factors(&single);
        assert!((found / 1e12 - 1.0).abs() < 1e-5, "{found:e}");

        // The reason for the factors: the same matrix, rounded entry by entry to f32, has lost its small eigenvalues.
        let double = config.init(autodiff_f64()).unwrap();
        let a = dense(double.matrix());
        let rounded = Mat::from_fn(30, 30, |i, j| f64::from(a[(i, j)] as f32));
        let eigenvalues = rounded.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
        assert!((eigenvalues[0] / 1e-12 - 1.0).abs() > 100.0);
    }

    #[test]
    fn a_problem_made_on_a_plain_device_can_be_trained() {
        let config = QuadraticConfig::new(4, 10.0).with_minimiser([1.0, 2.0, 3.0, 4.0]);
        let plain = config.init((&Device::flex(), DType::F64)).unwrap();
        let tracked = config.init(autodiff_f64()).unwrap();
        assert_eq!(plain.num_params(), 4);
        assert_eq!(gradient(&plain.clone().train()), gradient(&tracked));
        let moved = plain.to_device(&Device::flex().autodiff()).train();
        assert_eq!(gradient(&moved), gradient(&tracked));
    }

    #[test]
    fn a_saddle_has_no_minimum() {
        let saddle = QuadraticConfig::from_eigenvalues([2.0, -1.0]).with_basis(Basis::Axes);
        let saddle = saddle.with_start([1.0, 2.0]).init(autodiff_f64()).unwrap();
        assert_eq!(saddle.minimum(), f64::NEG_INFINITY);
        assert_eq!(loss(&saddle), -1.0);
        assert_eq!(gradient(&saddle), [2.0, -2.0]);
    }
}
