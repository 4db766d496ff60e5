//! Configuration of quadratics.

use super::{Facts, Quadratic};
use crate::orthogonal::orthonormal_columns;
use crate::problems::{ProblemError, Spectrum, check_vector, constant, parameter};
use crate::random::{signs, stream};
use crate::spectrum::condition_number;
use burn::tensor::TensorCreationOptions;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The orthogonal matrix Q whose columns are the eigenvectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Basis {
    /// Uniform (Haar) over the orthogonal matrices, from the configuration's seed; O(d³) once.
    #[default]
    Random,
    /// The reflection Q = I − 2uuᵀ/uᵀu for the given u: dense, and a formula that other programs can repeat.
    Householder(Vec<f64>),
    /// Q = I: the coordinate axes are the eigenvectors, the case in which diagonal preconditioners are perfect.
    Axes,
}

/// Configuration of a [`Quadratic`].
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_model::problems::{Problem, QuadraticConfig, Spectrum};
///
/// let config = QuadraticConfig::new(20, 1e12).with_spectrum(Spectrum::TwoCluster { large: 2 }).with_seed(1);
/// let single = config.init(&Device::flex())?;                  // in the device's default dtype
/// let double = config.init((&Device::flex(), DType::F64))?;    // in f64
/// assert_eq!(double.condition_number(), 1e12);
/// assert_eq!(single.minimum(), 0.0);
/// # Ok::<(), ravine_model::problems::ProblemError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuadraticConfig {
    /// The number of parameters d.
    pub dim: usize,
    /// max|λ| / min|λ|.
    pub condition_number: f64,
    /// How the eigenvalues are spread; log-uniform by default.
    #[serde(default)]
    pub spectrum: Spectrum,
    /// The eigenvectors; random by default.
    #[serde(default)]
    pub basis: Basis,
    /// x*; the origin by default, where f* = 0 and f − f* suffers no cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimiser: Option<Vec<f64>>,
    /// The starting point; by default x* + Q s with random signs s, which excites every eigenvector alike, so that no run
    /// is lucky.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Vec<f64>>,
    /// Decides the random basis and the signs of the starting point.
    #[serde(default)]
    pub seed: u64,
}

impl QuadraticConfig {
    /// A quadratic in `dim` dimensions with eigenvalues log-uniform from 1 to 1/`condition_number`.
    pub fn new(dim: usize, condition_number: f64) -> Self {
        QuadraticConfig {
            dim,
            condition_number,
            spectrum: Spectrum::default(),
            basis: Basis::default(),
            minimiser: None,
            start: None,
            seed: 0,
        }
    }

    /// A quadratic with exactly these eigenvalues; negative ones make saddles, zeros make valleys.
    pub fn from_eigenvalues(eigenvalues: impl Into<Vec<f64>>) -> Self {
        let eigenvalues = eigenvalues.into();
        QuadraticConfig::new(eigenvalues.len(), condition_number(&eigenvalues))
            .with_spectrum(Spectrum::Explicit(eigenvalues))
    }

    /// Sets how the eigenvalues are spread.
    pub fn with_spectrum(mut self, spectrum: Spectrum) -> Self {
        self.spectrum = spectrum;
        self
    }

    /// Sets the eigenvectors.
    pub fn with_basis(mut self, basis: Basis) -> Self {
        self.basis = basis;
        self
    }

    /// Sets x*, and with it b = A x*.
    pub fn with_minimiser(mut self, minimiser: impl Into<Vec<f64>>) -> Self {
        self.minimiser = Some(minimiser.into());
        self
    }

    /// Sets the starting point.
    pub fn with_start(mut self, start: impl Into<Vec<f64>>) -> Self {
        self.start = Some(start.into());
        self
    }

    /// Sets the seed of the basis and of the starting point.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Builds the problem on a device: `init(&device)`, or `init((&device, DType::F64))` for a dtype other than its default.
    ///
    /// Cost: O(d³) for a random basis, O(d²) otherwise, on the host in f64.
    ///
    /// # Errors
    ///
    /// [`ProblemError`] when the spectrum is impossible ([`Spectrum::values`]) or a vector has the wrong length or is not finite.
    pub fn init(
        &self,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Quadratic, ProblemError> {
        let options = options.into();
        let dim = self.dim;
        let eigenvalues = self.spectrum.values(dim, self.condition_number)?;
        let basis = self.eigenvectors()?;
        let minimiser = self.minimiser.clone().unwrap_or_else(|| vec![0.0; dim]);
        check_vector("minimiser", &minimiser, dim)?;
        let start = self.starting_point(&basis, &minimiser)?;

        let coordinates = basis.chunks_exact(dim).map(|q| dot(q, &minimiser));
        let scaled: Vec<(f64, f64)> = coordinates
            .zip(&eigenvalues)
            .map(|(c, lambda)| (c, lambda * c))
            .collect();
        // 0.0 − …, because −½ · 0 would be printed as −0.
        let stationary_value = 0.0 - 0.5 * scaled.iter().map(|(c, lc)| c * lc).sum::<f64>();
        let linear_term = combine(&basis, scaled.into_iter().map(|(_, lc)| lc), dim);

        Ok(Quadratic {
            x: parameter(&start, &options),
            basis: constant(basis, [dim, dim], &options),
            weights: constant(eigenvalues.clone(), [dim, 1], &options),
            centre: constant(minimiser.clone(), [dim], &options),
            facts: Arc::new(Facts {
                eigenvalues,
                start,
                minimiser,
                linear_term,
                stationary_value,
            }),
        })
    }

    /// Qᵀ, row-major: an eigenvector a row.
    fn eigenvectors(&self) -> Result<Vec<f64>, ProblemError> {
        let dim = self.dim;
        match &self.basis {
            Basis::Random => {
                let q = orthonormal_columns(dim, dim, &mut stream(self.seed, "quadratic basis"));
                Ok(tabulate(dim, |i, j| q[(j, i)]))
            }
            Basis::Householder(u) => {
                check_vector("reflection", u, dim)?;
                let square = dot(u, u);
                if !(square.is_finite() && square > 0.0) {
                    return Err(ProblemError::Value {
                        what: "squared norm of the reflection",
                        value: square,
                    });
                }
                Ok(tabulate(dim, |i, j| {
                    identity(i, j) - 2.0 * u[i] * u[j] / square
                }))
            }
            Basis::Axes => Ok(tabulate(dim, identity)),
        }
    }

    fn starting_point(&self, basis: &[f64], minimiser: &[f64]) -> Result<Vec<f64>, ProblemError> {
        if let Some(start) = &self.start {
            check_vector("start", start, self.dim)?;
            return Ok(start.clone());
        }
        let signs = signs(&mut stream(self.seed, "quadratic start"), self.dim);
        let offset = combine(basis, signs.into_iter(), self.dim);
        Ok(offset.iter().zip(minimiser).map(|(o, m)| o + m).collect())
    }
}

fn identity(i: usize, j: usize) -> f64 {
    if i == j { 1.0 } else { 0.0 }
}

fn tabulate(dim: usize, entry: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..dim * dim).map(|k| entry(k / dim, k % dim)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Σᵢ cᵢ qᵢ over the rows qᵢ of `basis`.
fn combine(basis: &[f64], coefficients: impl Iterator<Item = f64>, dim: usize) -> Vec<f64> {
    let mut sum = vec![0.0; dim];
    for (row, c) in basis.chunks_exact(dim).zip(coefficients) {
        for (s, q) in sum.iter_mut().zip(row) {
            *s += c * q;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::tests::dense;
    use super::*;
    use crate::problems::Problem;
    use crate::problems::testing::autodiff_f64;
    use burn::tensor::Device;

    #[test]
    fn a_reflection_gives_the_matrix_of_the_formula() {
        // A_ij = λ_i δ_ij − 2 u_i u_j (λ_i + λ_j − 2s), s = Σ λ_k u_k², for a unit vector u
        let dim = 9;
        let u: Vec<f64> = (0..dim).map(|k| f64::from(k as u32 + 1).sin()).collect();
        let config = QuadraticConfig::new(dim, 1e4).with_basis(Basis::Householder(u.clone()));
        let problem = config.init(autodiff_f64()).unwrap();
        let norm = dot(&u, &u).sqrt();
        let u: Vec<f64> = u.iter().map(|v| v / norm).collect();
        let lambda = problem.eigenvalues();
        let s: f64 = (0..dim).map(|k| lambda[k] * u[k] * u[k]).sum();
        let a = dense(problem.matrix());
        for i in 0..dim {
            for j in 0..dim {
                let expected = lambda[i] * identity(i, j)
                    - 2.0 * u[i] * u[j] * (lambda[i] + lambda[j] - 2.0 * s);
                assert!((a[(i, j)] - expected).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn the_seed_decides_everything_random() {
        let start = |seed| {
            let config = QuadraticConfig::new(5, 10.0).with_seed(seed);
            config.init(&Device::flex()).unwrap().start().to_vec()
        };
        assert_eq!(start(4), start(4));
        assert_ne!(start(4), start(5));
    }

    #[test]
    fn every_eigenvector_is_excited_alike_at_the_start() {
        let problem = QuadraticConfig::new(8, 1e4).init(autodiff_f64()).unwrap();
        let q = dense(problem.eigenvectors());
        for i in 0..8 {
            let c: f64 = (0..8).map(|j| q[(i, j)] * problem.start()[j]).sum();
            assert!((c.abs() - 1.0).abs() < 1e-14);
        }
    }

    #[test]
    fn bad_vectors_are_errors() {
        let config = QuadraticConfig::new(3, 10.0);
        let device = Device::flex();
        let short = config.clone().with_start([1.0]).init(&device);
        assert!(matches!(
            short,
            Err(ProblemError::Length {
                what: "start",
                found: 1,
                dim: 3
            })
        ));
        let zero = config.clone().with_basis(Basis::Householder(vec![0.0; 3]));
        assert!(matches!(
            zero.init(&device),
            Err(ProblemError::Value { .. })
        ));
        let nan = config.with_minimiser([0.0, f64::NAN, 0.0]);
        assert!(matches!(nan.init(&device), Err(ProblemError::Value { .. })));
    }

    #[test]
    fn a_configuration_survives_json_and_refuses_unknown_keys() {
        let config: QuadraticConfig =
            serde_json::from_str(r#"{"dim": 4, "condition_number": 100.0}"#).unwrap();
        assert_eq!(config, QuadraticConfig::new(4, 100.0));
        let text = serde_json::to_string(&config.clone().with_seed(9)).unwrap();
        assert_eq!(
            serde_json::from_str::<QuadraticConfig>(&text).unwrap(),
            config.with_seed(9)
        );
        assert!(
            serde_json::from_str::<QuadraticConfig>(
                r#"{"dim": 4, "condition_number": 1.0, "sead": 1}"#
            )
            .is_err()
        );
    }
}
