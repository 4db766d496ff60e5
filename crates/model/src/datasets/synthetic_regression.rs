//! Linear regression with a design of chosen condition number.

use super::{DatasetError, Table};
use crate::orthogonal::orthonormal_columns;
use crate::problems::{ProblemError, Spectrum};
use crate::random::{normals, stream};
use serde::{Deserialize, Serialize};

/// y = Xw + noise with X = √n U diag(σ) Vᵀ: random orthonormal U and V, and the singular values σ of a chosen [`Spectrum`].
///
/// (1/n) XᵀX has the eigenvalues σ², so that mean squared error of a linear model without bias has a Hessian of
/// condition number **κ²**, where κ is that of the design.
#[derive(Clone, Debug)]
pub struct SyntheticRegression {
    table: Table,
    weights: Vec<f64>,
    least_squares_loss: f64,
}

/// Configuration of a [`SyntheticRegression`].
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::datasets::{Dataset, SyntheticRegressionConfig};
///
/// let regression = SyntheticRegressionConfig::new(100, 5, 1e3).with_noise(0.1).init()?;
/// let (inputs, targets) = regression.table().full_batch(&Device::flex());
/// assert_eq!((inputs.dims(), targets.dims()), ([100, 5], [100, 1]));
/// assert!(regression.least_squares_loss() > 0.0);
/// # Ok::<(), ravine_model::datasets::DatasetError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticRegressionConfig {
    /// Rows n of the design, at least as many as features.
    pub examples: usize,
    /// Columns of the design.
    pub features: usize,
    /// κ, the largest singular value of the design over the smallest.
    pub condition_number: f64,
    /// How the singular values are spread; log-uniform by default.
    #[serde(default)]
    pub spectrum: Spectrum,
    /// The standard deviation of the noise on the targets; 0 by default.
    #[serde(default)]
    pub noise: f64,
    /// Decides the design, the weights and the noise.
    #[serde(default)]
    pub seed: u64,
}

impl SyntheticRegressionConfig {
    /// A noiseless regression whose singular values are log-uniform from 1 to 1/`condition_number`.
    pub fn new(examples: usize, features: usize, condition_number: f64) -> Self {
        SyntheticRegressionConfig {
            examples,
            features,
            condition_number,
            spectrum: Spectrum::default(),
            noise: 0.0,
            seed: 0,
        }
    }

    /// Sets how the singular values are spread.
    pub fn with_spectrum(mut self, spectrum: Spectrum) -> Self {
        self.spectrum = spectrum;
        self
    }

    /// Sets the standard deviation of the noise.
    pub fn with_noise(mut self, noise: f64) -> Self {
        self.noise = noise;
        self
    }

    /// Sets the seed of design, weights and noise.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Draws the data, in f64 on the host; the weights w are standard normal. O(n · features²).
    ///
    /// # Errors
    ///
    /// [`DatasetError::Underdetermined`] for fewer examples than features, [`DatasetError::Design`] for an impossible spectrum
    /// or noise.
    pub fn init(&self) -> Result<SyntheticRegression, DatasetError> {
        let (examples, features) = (self.examples, self.features);
        let sigma = self.spectrum.values(features, self.condition_number)?;
        if examples < features {
            return Err(DatasetError::Underdetermined { examples, features });
        }
        if !(self.noise.is_finite() && self.noise >= 0.0) {
            let value = self.noise;
            return Err(ProblemError::Value {
                what: "noise",
                value,
            }
            .into());
        }
        let draw = |name| stream(self.seed, name);
        let u = orthonormal_columns(examples, features, &mut draw("regression left"));
        let v = orthonormal_columns(features, features, &mut draw("regression right"));
        let weights = normals(&mut draw("regression weights"), features);
        let mut noise = normals(&mut draw("regression noise"), examples);
        noise.iter_mut().for_each(|value| *value *= self.noise);

        let root = (examples as f64).sqrt();
        let entry = |i: usize, j: usize| -> f64 {
            let terms = (0..features).map(|k| u[(i, k)] * sigma[k] * v[(j, k)]);
            root * terms.sum::<f64>()
        };
        let design: Vec<f64> = (0..examples * features)
            .map(|k| entry(k / features, k % features))
            .collect();
        let exact = design
            .chunks_exact(features)
            .map(|row| row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>());
        let targets = exact.zip(&noise).map(|(y, e)| y + e).collect();

        // What no weights can explain is the part of the noise outside the span of U.
        let project = |k: usize| (0..examples).map(|i| u[(i, k)] * noise[i]).sum::<f64>();
        let inside: Vec<f64> = (0..features).map(project).collect();
        let outside = (0..examples).map(|i| {
            let fitted: f64 = (0..features).map(|k| u[(i, k)] * inside[k]).sum();
            (noise[i] - fitted).powi(2)
        });
        let least_squares_loss = outside.sum::<f64>() / examples as f64;

        let names = (0..features).map(|k| format!("x{k}"));
        Ok(SyntheticRegression {
            table: Table::new(names, design, targets)?,
            weights,
            least_squares_loss,
        })
    }
}

impl SyntheticRegression {
    /// The examples.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The weights w that the targets were made with.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The smallest mean squared error that a linear model without bias can reach on all examples: 0 without noise.
    pub fn least_squares_loss(&self) -> f64 {
        self.least_squares_loss
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Intercept};
    use super::*;
    use burn::tensor::{DType, Device};
    use faer::Mat;
    use faer::linalg::solvers::SolveLstsq;

    #[test]
    fn the_design_has_the_condition_number_asked_for() {
        for kappa in [1.0, 1e2, 1e6] {
            let regression = SyntheticRegressionConfig::new(50, 8, kappa).init().unwrap();
            let eigenvalues = regression
                .table()
                .second_moment_eigenvalues(Intercept::Absent)
                .unwrap();
            assert!((eigenvalues[0] - 1.0).abs() < 1e-12);
            let found = (eigenvalues[0] / eigenvalues[7]).sqrt();
            assert!((found / kappa - 1.0).abs() < 1e-8, "{found:e}");
        }
    }

    fn data(regression: &SyntheticRegression) -> (Mat<f64>, Mat<f64>) {
        let (x, y) = regression.table().full_batch((&Device::flex(), DType::F64));
        let [rows, columns] = x.dims();
        let x: Vec<f64> = x.into_data().iter::<f64>().collect();
        let y: Vec<f64> = y.into_data().iter::<f64>().collect();
        (
            Mat::from_fn(rows, columns, |i, j| x[i * columns + j]),
            Mat::from_fn(rows, 1, |i, _| y[i]),
        )
    }

    fn mean_square(residual: &Mat<f64>) -> f64 {
        let square: f64 = residual.col(0).iter().map(|r| r * r).sum();
        square / residual.nrows() as f64
    }

    #[test]
    fn without_noise_the_weights_explain_the_targets() {
        let regression = SyntheticRegressionConfig::new(30, 4, 10.0).init().unwrap();
        let (x, y) = data(&regression);
        let w = Mat::from_fn(4, 1, |i, _| regression.weights()[i]);
        assert!(mean_square(&(&x * &w - &y)) < 1e-28);
        assert_eq!(regression.least_squares_loss(), 0.0);
    }

    #[test]
    fn the_least_squares_loss_is_that_of_a_solver() {
        let config = SyntheticRegressionConfig::new(40, 6, 100.0).with_noise(0.5);
        let regression = config.with_seed(3).init().unwrap();
        let (x, y) = data(&regression);
        let solution = x.qr().solve_lstsq(&y);
        let found = mean_square(&(&x * &solution - &y));
        assert!((found / regression.least_squares_loss() - 1.0).abs() < 1e-10);
    }

    #[test]
    fn impossible_designs_are_errors() {
        let few = SyntheticRegressionConfig::new(3, 4, 10.0).init();
        assert!(matches!(few, Err(DatasetError::Underdetermined { .. })));
        let flat = SyntheticRegressionConfig::new(4, 4, 0.1).init();
        assert!(matches!(flat, Err(DatasetError::Design(_))));
        let noise = SyntheticRegressionConfig::new(4, 4, 1.0).with_noise(-1.0);
        assert!(matches!(noise.init(), Err(DatasetError::Design(_))));
    }
}
