//! Spectra with a chosen condition number.

use crate::problems::ProblemError;
use serde::{Deserialize, Serialize};

/// How eigenvalues (or singular values) are spread between 1 and 1/κ.
///
/// Condition numbers say how far apart the ends are; the spread says how hard the problem is for a given method. Krylov
/// methods finish on [`TwoCluster`](Spectrum::TwoCluster) in two steps, whatever κ is, while gradient descent sees only κ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Spectrum {
    /// λ_k = κ^(−k/(d−1)), k = 0 … d−1: as many eigenvalues in each decade.
    #[default]
    LogUniform,
    /// λ_k = 1 − (1 − 1/κ) k/(d−1): most eigenvalues are of the size of the largest.
    Linear,
    /// The first `large` eigenvalues are 1, all others 1/κ: a few stiff directions over a flat bulk.
    TwoCluster {
        /// How many eigenvalues are 1; at least one and fewer than the dimension.
        large: usize,
    },
    /// The values themselves, in any order and scale; negative and zero ones are allowed.
    Explicit(Vec<f64>),
}

impl Spectrum {
    /// The `dim` values of the spectrum, the largest first where the spectrum is generated.
    ///
    /// Generated spectra run from exactly 1 to exactly 1/κ with κ = `condition_number`. An explicit spectrum is returned as it
    /// was given, after its condition number max|λ|/min|λ| was compared with the one asked for.
    ///
    /// # Errors
    ///
    /// [`ProblemError`] when `dim` is zero, κ is not a finite number of at least 1 (an explicit spectrum with a zero has κ = ∞),
    /// a single value is asked to have κ ≠ 1, a cluster is empty, or explicit values contradict `dim` or κ or are not finite.
    ///
    /// ```
    /// use ravine_model::problems::Spectrum;
    /// let values = Spectrum::LogUniform.values(3, 1e4)?;
    /// assert_eq!((values[0], values[2]), (1.0, 1e-4));
    /// assert!((values[1] - 1e-2).abs() < 1e-15);
    /// # Ok::<(), ravine_model::problems::ProblemError>(())
    /// ```
    pub fn values(&self, dim: usize, condition_number: f64) -> Result<Vec<f64>, ProblemError> {
        match self {
            Spectrum::LogUniform => {
                generated(dim, condition_number, |at, _| condition_number.powf(-at))
            }
            Spectrum::Linear => generated(dim, condition_number, |at, _| {
                1.0 - (1.0 - 1.0 / condition_number) * at
            }),
            Spectrum::TwoCluster { large } if *large == 0 || *large >= dim => {
                Err(ProblemError::Cluster { large: *large, dim })
            }
            Spectrum::TwoCluster { large } => generated(dim, condition_number, |_, k| {
                if k < *large {
                    1.0
                } else {
                    1.0 / condition_number
                }
            }),
            Spectrum::Explicit(values) => explicit(values, dim, condition_number),
        }
    }
}

/// max|λ| / min|λ|: infinite when a value is zero.
pub(crate) fn condition_number(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let smallest = values.iter().fold(f64::INFINITY, |m, v| m.min(v.abs()));
    if smallest == 0.0 {
        return f64::INFINITY;
    }
    largest / smallest
}

/// `value(k/(d−1), k)` for every k, with the last value exactly 1/κ.
fn generated(
    dim: usize,
    condition_number: f64,
    value: impl Fn(f64, usize) -> f64,
) -> Result<Vec<f64>, ProblemError> {
    if !(condition_number.is_finite() && condition_number >= 1.0) {
        return Err(ProblemError::ConditionNumber { condition_number });
    }
    match dim {
        0 => Err(ProblemError::Dimension { dim, minimum: 1 }),
        1 if condition_number == 1.0 => Ok(vec![1.0]),
        1 => Err(ProblemError::SingleEigenvalue { condition_number }),
        _ => {
            let last = dim - 1;
            let mut values: Vec<f64> = (0..last)
                .map(|k| value(k as f64 / last as f64, k))
                .collect();
            // Not from the formula: its rounding must not move the end that the condition number is read from.
            values.push(1.0 / condition_number);
            Ok(values)
        }
    }
}

fn explicit(values: &[f64], dim: usize, asked: f64) -> Result<Vec<f64>, ProblemError> {
    if dim == 0 {
        return Err(ProblemError::Dimension { dim, minimum: 1 });
    }
    if values.len() != dim {
        return Err(ProblemError::EigenvalueCount {
            found: values.len(),
            dim,
        });
    }
    if let Some(value) = values.iter().copied().find(|v| !v.is_finite()) {
        return Err(ProblemError::Eigenvalue { value });
    }
    let found = condition_number(values);
    let agree = found == asked || (found / asked - 1.0).abs() < 1e-9;
    if !agree {
        return Err(ProblemError::Contradiction { asked, found });
    }
    Ok(values.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_spectra_have_exactly_the_condition_number_asked_for() {
        for kappa in [1.0, 7.0, 1e4, 1e12] {
            for spectrum in [
                Spectrum::LogUniform,
                Spectrum::Linear,
                Spectrum::TwoCluster { large: 2 },
            ] {
                for dim in [3, 17, 100] {
                    let values = spectrum.values(dim, kappa).unwrap();
                    assert_eq!(values.len(), dim);
                    assert_eq!(values[0], 1.0);
                    assert_eq!(values[dim - 1], 1.0 / kappa, "{spectrum:?}");
                    assert!(values.windows(2).all(|w| w[0] >= w[1]), "{spectrum:?}");
                }
            }
        }
    }

    #[test]
    fn the_spread_is_what_the_name_says() {
        let logarithmic = Spectrum::LogUniform.values(5, 1e4).unwrap();
        let ratios: Vec<f64> = logarithmic.windows(2).map(|w| w[0] / w[1]).collect();
        assert!(ratios.iter().all(|r| (r - 10.0).abs() < 1e-12));
        let linear = Spectrum::Linear.values(5, 4.0).unwrap();
        assert_eq!(linear, [1.0, 0.8125, 0.625, 0.4375, 0.25]);
        let clusters = Spectrum::TwoCluster { large: 1 }.values(4, 8.0).unwrap();
        assert_eq!(clusters, [1.0, 0.125, 0.125, 0.125]);
    }

    #[test]
    fn impossible_spectra_are_errors() {
        let log = Spectrum::LogUniform;
        for kappa in [0.5, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                log.values(3, kappa),
                Err(ProblemError::ConditionNumber { .. })
            ));
        }
        assert!(matches!(
            log.values(0, 1.0),
            Err(ProblemError::Dimension { .. })
        ));
        assert!(matches!(
            log.values(1, 10.0),
            Err(ProblemError::SingleEigenvalue { .. })
        ));
        for large in [0, 3] {
            let clusters = Spectrum::TwoCluster { large };
            assert!(matches!(
                clusters.values(3, 2.0),
                Err(ProblemError::Cluster { .. })
            ));
        }
        let explicit = Spectrum::Explicit(vec![4.0, -2.0]);
        assert_eq!(explicit.values(2, 2.0).unwrap(), [4.0, -2.0]);
        assert!(matches!(
            explicit.values(2, 3.0),
            Err(ProblemError::Contradiction { .. })
        ));
        assert!(matches!(
            explicit.values(3, 2.0),
            Err(ProblemError::EigenvalueCount { .. })
        ));
        assert!(matches!(
            Spectrum::Explicit(vec![f64::NAN]).values(1, 1.0),
            Err(ProblemError::Eigenvalue { .. })
        ));
        assert_eq!(
            Spectrum::Explicit(vec![1.0, 0.0])
                .values(2, f64::INFINITY)
                .unwrap(),
            [1.0, 0.0]
        );
    }
}
