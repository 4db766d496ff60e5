//! The truncated Neumann series of an inverse.

use super::host::{Operand, axpy, norm};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// How far a Neumann series goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NeumannOptions {
    /// ω, below 2/λ_max; 1 is the plain series Σ (I − A)ʲ.
    pub step: f64,
    /// Terms beyond the first at most, an operator application each.
    pub max_terms: usize,
    /// ‖b − Ax‖ allowed, relative to ‖b‖.
    pub relative_tolerance: f64,
}

impl Default for NeumannOptions {
    /// ω = 1, 100 terms, a relative tolerance of 1e-5.
    fn default() -> Self {
        Self {
            step: 1.0,
            max_terms: 100,
            relative_tolerance: 1e-5,
        }
    }
}

/// How a Neumann series ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NeumannEnding {
    /// The residual is within the tolerance.
    Converged,
    /// The terms are spent first.
    MaxTerms,
    /// The residual grew 100 times beyond ‖b‖: ω λ is above 2 or below 0 for an eigenvalue λ.
    Diverged,
    /// A product is NaN or infinite.
    NonFinite,
    /// The observer asked to stop.
    Stopped,
}

/// What a Neumann series gave.
#[derive(Clone, Debug)]
pub struct NeumannResult {
    /// The partial sum x, flat.
    pub solution: Tensor<1>,
    /// ‖b − Ax‖ of the partial sums: of x = 0, ωb, and so on; of the last but one where the terms were spent.
    pub residual_norms: Vec<f64>,
    /// Operator applications.
    pub applications: usize,
    /// How it ended.
    pub ending: NeumannEnding,
}

/// x = ω Σⱼ (I − ωA)ʲ b, the truncated series of A⁻¹ b: for A positive definite and 0 < ω < 2/λ_max.
///
/// It converges like (1 − ω λ_min)ʲ, far slower than conjugate gradients; it is a polynomial in A alone, hence exactly linear in b. So do
/// influence functions and truncated back-propagation use it.
///
/// # Cost
///
/// One operator application per term beyond the first.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a `b` of another length, [`CurvatureError::Argument`] for an ω that is not positive, and whatever
/// the operator reports.
///
/// # References
///
/// Agarwal, Bullins and Hazan (2017), Second-order stochastic optimization for machine learning in linear time; Saad (2003), Iterative
/// methods for sparse linear systems, section 12.3.1.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::solve::{NeumannEnding, NeumannOptions, neumann};
/// use ravine_curvature::vector;
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let a = Diagonal::new(tensor(&[0.5, 1.5]));
/// let sum = neumann(&a, &tensor(&[1.0, 1.0]), &NeumannOptions::default())?;
/// assert_eq!(sum.ending, NeumannEnding::Converged);
/// assert!((vector::to_f64(&sum.solution)[0] - 2.0).abs() < 1e-4);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn neumann(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &NeumannOptions,
) -> Result<NeumannResult, CurvatureError> {
    neumann_observed(op, b, options, &mut unobserved)
}

/// As [`neumann`], and calls `observer` after each term with ‖b − Ax‖ / ‖b‖.
///
/// # Errors
///
/// As [`neumann`].
pub fn neumann_observed(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &NeumannOptions,
    observer: &mut Observer<'_>,
) -> Result<NeumannResult, CurvatureError> {
    let span = tracing::debug_span!("neumann", dim = op.dim());
    let _entered = span.enter();
    if !(options.step > 0.0 && options.step.is_finite()) {
        return Err(CurvatureError::Argument {
            name: "step",
            value: options.step,
            requirement: "it must be positive and finite",
        });
    }
    let mut operand = Operand::new(op);
    let mut residual = operand.read("the right-hand side", b)?;
    let b_norm = norm(&residual);
    let mut residual_norms = vec![b_norm];
    let mut solution = vec![0.0; residual.len()];
    let ending = loop {
        let now = residual_norms.last().copied().unwrap_or(0.0);
        if !now.is_finite() {
            break NeumannEnding::NonFinite;
        }
        if now <= options.relative_tolerance * b_norm {
            break NeumannEnding::Converged;
        }
        if now > 100.0 * b_norm {
            break NeumannEnding::Diverged;
        }
        // x + ω r, whose residual is r − ω A r
        axpy(&mut solution, options.step, &residual);
        if operand.applications >= options.max_terms {
            break NeumannEnding::MaxTerms;
        }
        let product = operand.apply(&residual)?;
        axpy(&mut residual, -options.step, &product);
        residual_norms.push(norm(&residual));
        let flow = observer(&Progress {
            applications: operand.applications,
            most: Some(options.max_terms),
            measure: residual_norms.last().map(|norm| norm / b_norm),
        });
        if flow.is_break() {
            break NeumannEnding::Stopped;
        }
    };
    Ok(NeumannResult {
        solution: operand.tensor(&solution),
        residual_norms,
        applications: operand.applications,
        ending,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
    use crate::vector::{from_f64, to_f64};
    use burn::prelude::Device;
    use burn::tensor::DType;

    fn tensor(values: &[f64]) -> Tensor<1> {
        from_f64(values, &Device::flex(), DType::F64)
    }

    #[test]
    fn the_partial_sum_is_the_polynomial_it_says() {
        let matrix = with_spectrum(&[0.2, 0.5, 0.9, 1.4], 1);
        let (a, b) = (operator(&matrix), [1.0, -2.0, 0.5, 3.0]);
        let eigen = matrix.eigen().unwrap();
        for (terms, omega) in [(0, 1.0), (1, 1.0), (7, 0.6)] {
            let options = NeumannOptions {
                step: omega,
                max_terms: terms,
                relative_tolerance: 0.0,
            };
            let counted = Counted::new(&a);
            let found = neumann(&counted, &tensor(&b), &options).unwrap();
            assert_eq!(found.ending, NeumannEnding::MaxTerms);
            assert_eq!((found.applications, counted.applications()), (terms, terms));
            // ω Σ (1 − ωλ)ʲ, j = 0 … terms, is (1 − (1 − ωλ)^(terms + 1)) / λ
            let power = terms as i32 + 1;
            let expected = eigen.apply_function(|v| (1.0 - (1.0 - omega * v).powi(power)) / v, &b);
            for (x, expected) in to_f64(&found.solution).iter().zip(expected) {
                assert!((x - expected).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn divergence_misuse_and_edges() {
        let options = NeumannOptions::default();
        let found = neumann(&diagonal(&[3.0, 0.5]), &tensor(&[1.0, 1.0]), &options).unwrap();
        assert_eq!(found.ending, NeumannEnding::Diverged);
        let found = neumann(&diagonal(&[f64::NAN]), &tensor(&[1.0]), &options).unwrap();
        assert_eq!(found.ending, NeumannEnding::NonFinite);
        let zero = neumann(&diagonal(&[1.0]), &tensor(&[0.0]), &options).unwrap();
        assert_eq!(
            (zero.ending, zero.applications),
            (NeumannEnding::Converged, 0)
        );
        assert!(neumann(&diagonal(&[1.0]), &tensor(&[1.0, 2.0]), &options).is_err());
        for step in [0.0, -1.0, f64::NAN] {
            let options = NeumannOptions { step, ..options };
            assert!(neumann(&diagonal(&[1.0]), &tensor(&[1.0]), &options).is_err());
        }
    }
}
