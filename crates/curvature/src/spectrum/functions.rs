use super::slq::SpectralMeasure;
use crate::error::CurvatureError;
use crate::estimate::Estimate;
use serde::{Deserialize, Serialize};

/// Numbers of negative, zero and positive eigenvalues, each with its standard error; they sum to n.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InertiaEstimate {
    /// Eigenvalues below −tolerance: the index of a saddle.
    pub negative: Estimate,
    /// Eigenvalues within the tolerance.
    pub zero: Estimate,
    /// Eigenvalues above it.
    pub positive: Estimate,
}

/// Traces of functions. Their standard errors are those of the random vectors; what the quadrature of a function that is no polynomial of
/// low degree leaves out comes on top, and falls with the number of steps.
impl SpectralMeasure {
    /// tr f(A) = n ∫ f(t) φ(t) dt.
    ///
    /// # References
    ///
    /// Ubaru, Chen and Saad (2017), theorem 4.1 for the error of the quadrature.
    pub fn trace_of_function(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let mean = self.mean_of(f);
        let n = self.dim as f64;
        Estimate {
            value: n * mean.value,
            standard_error: n * mean.standard_error,
            ..mean
        }
    }

    /// ∫ f(t) φ(t) dt.
    pub(super) fn mean_of(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let samples: Vec<f64> = self
            .probes
            .iter()
            .map(|probe| {
                let terms = probe.nodes.iter().zip(&probe.weights);
                terms.map(|(node, weight)| weight * f(*node)).sum()
            })
            .collect();
        Estimate::from_samples(&samples, self.applications)
    }

    /// log det(A + λI) = tr log(A + λI).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Indefinite`] if a Ritz value of A + λI is not positive.
    pub fn log_determinant(&self, damping: f64) -> Result<Estimate, CurvatureError> {
        let smallest = self.smallest() + damping;
        if smallest.is_nan() || smallest <= 0.0 {
            return Err(CurvatureError::Indefinite {
                what: "a log-determinant",
                eigenvalue: smallest,
            });
        }
        Ok(self.trace_of_function(|t| (t + damping).ln()))
    }

    /// The effective dimension tr |A| (|A| + λI)⁻¹: how many directions are curved more than the damping λ.
    ///
    /// For a positive semidefinite A it is tr A (A + λI)⁻¹; with |A| it makes sense for a Hessian as well.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a damping that is not positive.
    ///
    /// # References
    ///
    /// MacKay (1992), Bayesian interpolation, equation 2.25 (γ); Maddox, Benton and Wilson (2020), Rethinking parameter counting.
    pub fn effective_dimension(&self, damping: f64) -> Result<Estimate, CurvatureError> {
        if damping.is_nan() || damping <= 0.0 {
            return Err(CurvatureError::Argument {
                name: "damping",
                value: damping,
                requirement: "an effective dimension needs a positive one",
            });
        }
        Ok(self.trace_of_function(|t| t.abs() / (t.abs() + damping)))
    }

    /// The number of eigenvalues beyond the tolerance in absolute value.
    pub fn numerical_rank(&self, tolerance: f64) -> Estimate {
        self.trace_of_function(|t| f64::from(t.abs() > tolerance))
    }

    /// Numbers of negative, zero and positive eigenvalues.
    ///
    /// A step is no polynomial: where eigenvalues lie close to ±tolerance the quadrature counts them in part, which the standard errors
    /// do not show. Once the quadrature has as many steps as there are distinct eigenvalues it is exact; `DenseSymmetric::inertia` is
    /// always, for small models.
    pub fn inertia(&self, tolerance: f64) -> InertiaEstimate {
        InertiaEstimate {
            negative: self.trace_of_function(|t| f64::from(t < -tolerance)),
            zero: self.trace_of_function(|t| f64::from(t.abs() <= tolerance)),
            positive: self.trace_of_function(|t| f64::from(t > tolerance)),
        }
    }
}
