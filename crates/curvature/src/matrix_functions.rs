//! Functions of a dense symmetric matrix, through its eigenvalues.

use crate::dense::{DenseSymmetric, Eigen};
use crate::error::{CurvatureError, check_dimension};
use faer::Mat;
use serde::{Deserialize, Serialize};

mod cubic;

pub use cubic::DenseCubicStep;

/// How many eigenvalues are positive, negative and zero (within rounding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inertia {
    /// Number of positive eigenvalues.
    pub positive: usize,
    /// Number of negative eigenvalues.
    pub negative: usize,
    /// Number of eigenvalues with |λ| ≤ n u max |λ|, u the rounding unit.
    pub zero: usize,
}

/// The minimiser of gᵀs + ½ sᵀAs within a ball.
#[derive(Clone, Debug)]
pub struct DenseTrustRegionStep {
    /// s.
    pub step: Vec<f64>,
    /// λ ≥ 0 with (A + λI) s = −g, A + λI positive semidefinite and λ (Δ − ‖s‖) = 0.
    pub multiplier: f64,
}

impl Eigen {
    /// f(A) = Σ f(λᵢ) uᵢ uᵢᵀ.
    pub fn function(&self, f: impl Fn(f64) -> f64) -> DenseSymmetric {
        let (n, u) = (self.values().len(), self.vectors());
        let scaled = Mat::from_fn(n, n, |i, j| u[(i, j)] * f(self.values()[j]));
        DenseSymmetric::from_matrix(scaled * u.transpose())
    }

    /// The pseudo-inverse A⁺: 1/λ where |λ| > `relative` · max |λ|, 0 elsewhere.
    pub fn pseudo_inverse(&self, relative: f64) -> DenseSymmetric {
        let zero = relative * self.largest_size();
        self.function(|value| if value.abs() > zero { 1.0 / value } else { 0.0 })
    }

    /// Number of positive, negative and zero eigenvalues.
    pub fn inertia(&self) -> Inertia {
        let zero = self.values().len() as f64 * f64::EPSILON * self.largest_size();
        let count = |sign: &dyn Fn(f64) -> bool| self.values().iter().filter(|v| sign(**v)).count();
        Inertia {
            positive: count(&|value| value > zero),
            negative: count(&|value| value < -zero),
            zero: count(&|value| value.abs() <= zero),
        }
    }

    /// ln |det A|; −∞ for a singular matrix.
    pub fn ln_absolute_determinant(&self) -> f64 {
        self.values().iter().map(|value| value.abs().ln()).sum()
    }

    fn largest_size(&self) -> f64 {
        self.values().iter().fold(0.0, |m, v| m.max(v.abs()))
    }

    /// The global minimiser of gᵀs + ½ sᵀAs with ‖s‖ ≤ Δ, the hard case included.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a gradient of another length, [`CurvatureError::Argument`] for a radius that is not positive.
    ///
    /// # References
    ///
    /// Moré and Sorensen (1983), Computing a trust region step; Conn, Gould and Toint (2000), Trust-region methods, section 7.3.
    pub fn trust_region_step(
        &self,
        gradient: &[f64],
        radius: f64,
    ) -> Result<DenseTrustRegionStep, CurvatureError> {
        let g = self.coordinates(gradient)?;
        check_radius(radius)?;
        let (mut coefficients, multiplier) = secular(self.values(), &g, radius);
        let length = coefficients.iter().map(|s| s * s).sum::<f64>().sqrt();
        if multiplier > 0.0 && length < radius * (1.0 - 1e-12) {
            // the hard case: the rest of the length lies along the lowest eigenvector, where the model is flat
            let rest = (radius * radius - length * length).max(0.0).sqrt();
            coefficients[0] += if coefficients[0] < 0.0 { -rest } else { rest };
        }
        Ok(DenseTrustRegionStep {
            step: self.combined(&coefficients),
            multiplier,
        })
    }

    /// Uᵀg.
    fn coordinates(&self, gradient: &[f64]) -> Result<Vec<f64>, CurvatureError> {
        check_dimension("the gradient", gradient.len(), self.values().len())?;
        let overlap = |i: usize| -> f64 {
            let column = self.vectors().col(i);
            column.iter().zip(gradient).map(|(u, g)| u * g).sum()
        };
        Ok((0..gradient.len()).map(overlap).collect())
    }

    /// U y.
    fn combined(&self, coefficients: &[f64]) -> Vec<f64> {
        let row = |row: usize| -> f64 {
            let columns = coefficients.iter().enumerate();
            columns.map(|(i, s)| self.vectors()[(row, i)] * s).sum()
        };
        (0..coefficients.len()).map(row).collect()
    }
}

pub(crate) fn check_radius(radius: f64) -> Result<(), CurvatureError> {
    match radius > 0.0 && radius.is_finite() {
        true => Ok(()),
        false => Err(CurvatureError::Argument {
            name: "radius",
            value: radius,
            requirement: "it must be positive and finite",
        }),
    }
}

/// Coefficients −gᵢ / (λᵢ + λ) and λ, at the least λ ≥ max(0, −λ₁) with ‖s‖ ≤ Δ.
///
/// The root is sought in μ = λ − max(0, −λ₁), which is exact to rounding where λ + λ₁ is tiny.
fn secular(values: &[f64], g: &[f64], radius: f64) -> (Vec<f64>, f64) {
    let lowest = values.first().copied().unwrap_or(0.0);
    let shift = (-lowest).max(0.0);
    let gaps: Vec<f64> = values.iter().map(|value| value + shift).collect();
    let at = |mu: f64| -> Vec<f64> {
        let pairs = gaps.iter().zip(g);
        pairs
            .map(|(gap, g)| if *g == 0.0 { 0.0 } else { -g / (gap + mu) })
            .collect()
    };
    let length = |s: &[f64]| s.iter().map(|s| s * s).sum::<f64>().sqrt();
    let interior = at(0.0);
    if length(&interior) <= radius {
        return (interior, shift);
    }
    // |gᵢ| / (λᵢ + λ) ≤ Δ ≤ ‖g‖ / (λ₁ + λ)
    let bounds = gaps.iter().zip(g).map(|(gap, g)| g.abs() / radius - gap);
    let mut low = bounds.fold(0.0, f64::max);
    let mut high = (length(g) / radius - gaps[0]).max(low) * (1.0 + 4.0 * f64::EPSILON);
    let mut mu = high;
    for _ in 0..200 {
        let s = at(mu);
        let norm = length(&s);
        if (norm - radius).abs() <= 1e-15 * radius || high - low <= f64::EPSILON * high {
            break;
        }
        match norm > radius {
            true => low = mu,
            false => high = mu,
        }
        // Newton's method for 1/‖s‖ = 1/Δ, which is nearly linear
        let slope: f64 = s.iter().zip(&gaps).map(|(s, gap)| s * s / (gap + mu)).sum();
        let newton = mu + (norm - radius) / radius * (norm * norm / slope);
        mu = match newton > low && newton < high {
            true => newton,
            false if low > 0.0 && high > 4.0 * low => low.sqrt() * high.sqrt(),
            false => 0.5 * (low + high),
        };
    }
    (at(mu), shift + mu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_operators::with_spectrum;

    #[test]
    fn functions_of_a_matrix() {
        let matrix = with_spectrum(&[4.0, 9.0, 1.0], 3);
        let eigen = matrix.eigen().unwrap();
        let root = eigen.function(f64::sqrt);
        let again = root.matrix() * root.matrix();
        assert!((&again - matrix.matrix()).norm_l2() < 1e-13);
        assert!((eigen.ln_absolute_determinant() - 36.0_f64.ln()).abs() < 1e-13);
        let singular = with_spectrum(&[2.0, 0.0, -5.0, 3.0], 4);
        let eigen = singular.eigen().unwrap();
        let expected = Inertia {
            positive: 2,
            negative: 1,
            zero: 1,
        };
        assert_eq!(eigen.inertia(), expected);
        // A A⁺ A = A
        let a = singular.matrix();
        let product = a * eigen.pseudo_inverse(1e-12).matrix() * a;
        assert!((product - a).norm_l2() < 1e-13);
    }

    #[test]
    fn trust_region_steps_satisfy_their_conditions() {
        for (seed, values) in [[1.0, 2.0, 5.0], [-1.0, 2.0, 5.0], [-3.0, -1.0, 0.0]]
            .iter()
            .enumerate()
        {
            let matrix = with_spectrum(values, seed as u64);
            let eigen = matrix.eigen().unwrap();
            let g = [1.0, -2.0, 0.5];
            for radius in [0.01, 0.3, 1.0, 100.0] {
                let found = eigen.trust_region_step(&g, radius).unwrap();
                let s = Mat::from_fn(3, 1, |i, _| found.step[i]);
                let product = matrix.matrix() * &s;
                let length = s.norm_l2();
                assert!(length <= radius * (1.0 + 1e-12));
                assert!(found.multiplier * (radius - length) <= 1e-10 * radius);
                assert!(found.multiplier >= -values[0] - 1e-12);
                for i in 0..3 {
                    let stationary = product[(i, 0)] + found.multiplier * s[(i, 0)] + g[i];
                    assert!(stationary.abs() < 1e-11, "{stationary}");
                }
            }
        }
    }

    #[test]
    fn the_hard_case_goes_along_the_lowest_eigenvector() {
        let diagonal = Mat::from_fn(2, 2, |i, j| if i != j { 0.0 } else { [-1.0, 1.0][i] });
        let eigen = DenseSymmetric::from_matrix(diagonal).eigen().unwrap();
        let found = eigen.trust_region_step(&[0.0, 2.0], 2.0).unwrap();
        assert!((found.multiplier - 1.0).abs() < 1e-14);
        assert!((found.step[1] + 1.0).abs() < 1e-14);
        assert!((found.step[0].abs() - 3.0_f64.sqrt()).abs() < 1e-14);
        assert!(eigen.trust_region_step(&[0.0, 2.0], 0.0).is_err());
    }

    #[test]
    fn near_the_hard_case_steps_are_as_exact() {
        let diagonal = Mat::from_fn(2, 2, |i, j| if i != j { 0.0 } else { [-1.0, 1.0][i] });
        let eigen = DenseSymmetric::from_matrix(diagonal).eigen().unwrap();
        for little in [1e-8, 1e-14, 1e-16, 1e-200] {
            // λ → 1: s₁ → −1, s₀ → −√3
            let found = eigen.trust_region_step(&[little, 2.0], 2.0).unwrap();
            let length = found.step[0].hypot(found.step[1]);
            assert!((length - 2.0).abs() < 1e-14, "{little}: {length}");
            let expected = [-(3.0_f64.sqrt()), -1.0];
            for (found, expected) in found.step.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < little + 1e-14,
                    "{little}: {found}"
                );
            }
        }
    }
}
