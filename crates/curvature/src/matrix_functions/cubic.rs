//! The minimiser of a quadratic with a cubic term, through the eigenvalues of its matrix.

use crate::dense::Eigen;
use crate::error::{CurvatureError, argument};

/// The minimiser of gᵀs + ½ sᵀAs + σ/3 ‖s‖³.
#[derive(Clone, Debug)]
pub struct DenseCubicStep {
    /// s.
    pub step: Vec<f64>,
    /// ν = σ ‖s‖ with (A + νI) s = −g and A + νI positive semidefinite.
    pub multiplier: f64,
}

impl Eigen {
    /// The global minimiser of gᵀs + ½ sᵀAs + σ/3 ‖s‖³, the hard case included: there either sign along the lowest eigenvector is as good.
    ///
    /// ```
    /// use faer::Mat;
    /// use ravine_curvature::DenseSymmetric;
    ///
    /// // −s − s² / 2 + s³ / 3 falls until s² − s = 1
    /// let eigen = DenseSymmetric::from_matrix(Mat::from_fn(1, 1, |_, _| -1.0)).eigen()?;
    /// let found = eigen.cubic_step(&[-1.0], 1.0)?;
    /// assert!((found.step[0] - 0.5 * (1.0 + 5.0_f64.sqrt())).abs() < 1e-14);
    /// # Ok::<(), ravine_curvature::CurvatureError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a gradient of another length, [`CurvatureError::Argument`] for σ that is not positive and finite.
    ///
    /// # References
    ///
    /// Cartis, Gould and Toint (2011), Adaptive cubic regularisation methods for unconstrained optimization, part I, theorem 3.1 and
    /// section 6.1; Nesterov and Polyak (2006), Cubic regularization of Newton method and its global performance, section 5.
    pub fn cubic_step(
        &self,
        gradient: &[f64],
        sigma: f64,
    ) -> Result<DenseCubicStep, CurvatureError> {
        let slopes = self.coordinates(gradient)?;
        if !(sigma > 0.0 && sigma.is_finite()) {
            return Err(argument("sigma", sigma, "it must be positive and finite"));
        }
        let (coefficients, multiplier) = minimiser(self.values(), &slopes, sigma);
        Ok(DenseCubicStep {
            step: self.combined(&coefficients),
            multiplier,
        })
    }
}

fn length(y: &[f64]) -> f64 {
    y.iter().map(|y| y * y).sum::<f64>().sqrt()
}

/// yᵢ = −cᵢ / (λᵢ + ν), and ν = σ ‖y‖ ≥ max(0, −λ₁), for ascending λᵢ.
///
/// In the hard case (c₁ = 0, and σ ‖y(−λ₁)‖ < −λ₁) what is missing of the length lies along the first coordinate. The root is sought in
/// μ = ν − max(0, −λ₁), so that it is exact to rounding even near the hard case.
fn minimiser(values: &[f64], slopes: &[f64], sigma: f64) -> (Vec<f64>, f64) {
    let lowest = values.first().copied().unwrap_or(0.0);
    let highest = values.last().copied().unwrap_or(0.0);
    let shift = (-lowest).max(0.0);
    let gaps: Vec<f64> = values.iter().map(|value| value + shift).collect();
    let at = |mu: f64| -> Vec<f64> {
        let pairs = gaps.iter().zip(slopes);
        pairs.map(|(gap, c)| quotient(-c, gap + mu)).collect()
    };
    let mut hard = at(0.0);
    let missing = (shift / sigma).powi(2) - length(&hard).powi(2);
    if shift > 0.0 && missing >= 0.0 {
        hard[0] += missing.sqrt();
        return (hard, shift);
    }
    let pull = sigma * length(slopes);
    if pull == 0.0 {
        return (hard, shift);
    }
    // ‖c‖/(λₙ + ν) ≤ ‖y(ν)‖ ≤ ‖c‖/(λ₁ + ν) bracket ν; this is ν − max(0, −λ) for ν (λ + ν) = σ‖c‖, without cancellation
    let beyond = |value: f64| pull / ((0.25 * value * value + pull).sqrt() + 0.5 * value.abs());
    let mut low = (beyond(highest) + (-highest).max(0.0) - shift).max(0.0);
    let mut high = beyond(lowest).max(low) * (1.0 + 4.0 * f64::EPSILON);
    // |yᵢ| ≤ ‖y‖ = ν/σ: near the hard case the root is tiny, and this keeps the search to its order
    for (gap, c) in gaps.iter().zip(slopes) {
        low = low.max(sigma * c.abs() / (shift + high) - gap);
    }
    let mut mu = high;
    for _ in 0..200 {
        let y = at(mu);
        let (norm, nu) = (length(&y), shift + mu);
        let excess = sigma * norm - nu;
        if excess.abs() <= 2.0 * f64::EPSILON * nu || high - low <= f64::EPSILON * high {
            break;
        }
        match excess > 0.0 {
            true => low = mu,
            false => high = mu,
        }
        // Newton's method for 1/‖y‖ = σ/ν
        let bend: f64 = y.iter().zip(&gaps).map(|(y, gap)| y * y / (gap + mu)).sum();
        let slope = bend / norm.powi(3) + sigma / (nu * nu);
        let newton = mu - (1.0 / norm - sigma / nu) / slope;
        mu = match newton > low && newton < high {
            true => newton,
            false => between(low, high),
        };
    }
    (at(mu), shift + mu)
}

/// a / b with 0 / 0 = 0.
fn quotient(a: f64, b: f64) -> f64 {
    match a == 0.0 {
        true => 0.0,
        false => a / b,
    }
}

/// The middle, by ratio where the two are far apart.
fn between(low: f64, high: f64) -> f64 {
    match low > 0.0 && high > 4.0 * low {
        true => low.sqrt() * high.sqrt(),
        false => 0.5 * (low + high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_operators::with_spectrum;
    use faer::Mat;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn model(values: &[f64], slopes: &[f64], sigma: f64, y: &[f64]) -> f64 {
        let bend: f64 = values.iter().zip(y).map(|(value, y)| value * y * y).sum();
        dot(slopes, y) + 0.5 * bend + sigma / 3.0 * dot(y, y).sqrt().powi(3)
    }

    #[test]
    fn one_dimension_has_a_closed_form() {
        // −c y: σ y² + λ y − c = 0
        for (value, c, sigma) in [(2.0_f64, 1.0, 0.5), (-2.0, 1.0, 0.5), (0.0, 3.0, 1e-8)] {
            let expected = (-value + (value * value + 4.0 * sigma * c).sqrt()) / (2.0 * sigma);
            let found = minimiser(&[value], &[-c], sigma).0[0];
            assert!((found / expected - 1.0).abs() < 1e-13, "{found} {expected}");
        }
    }

    #[test]
    fn the_conditions_of_a_global_minimiser_hold() {
        let spectra = [
            [1e-3, 1.0, 1e3],
            [-1.0, 2.0, 5.0],
            [-3.0, -1.0, 0.0],
            [0.0, 0.0, 0.0],
            [-1e3, -1e-3, 1e3],
        ];
        let slopes = [
            [1.0, -2.0, 0.5],
            [1e-12, 1.0, 1.0],
            [1e-200, 0.0, 1.0],
            [0.0, 1.0, 1.0],
        ];
        for values in spectra {
            for c in slopes {
                for sigma in [1e-12, 1e-3, 1.0, 1e6] {
                    let (y, multiplier) = minimiser(&values, &c, sigma);
                    let nu = sigma * length(&y);
                    assert!(
                        (multiplier - nu).abs() <= 1e-12 * nu,
                        "{values:?} {c:?} {sigma}"
                    );
                    assert!(nu >= -values[0] * (1.0 - 1e-12), "{values:?} {c:?} {sigma}");
                    for i in 0..3 {
                        let residual = c[i] + (values[i] + nu) * y[i];
                        let scale = c[i].abs() + values[i].abs().max(nu) * y[i].abs();
                        assert!(
                            residual.abs() <= 1e-11 * scale.max(1e-300),
                            "{values:?} {c:?} {sigma} {y:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_hard_case_goes_along_the_lowest_coordinate() {
        // ν = 1: y₂ = −2/2 = −1, ‖y‖ = ν/σ = 2, y₁ = √3
        let (y, _) = minimiser(&[-1.0, 1.0], &[0.0, 2.0], 0.5);
        assert!((y[0] - 3.0_f64.sqrt()).abs() < 1e-14 && (y[1] + 1.0).abs() < 1e-14);
        // A little of c₁ changes the sign, hardly the length.
        let (near, _) = minimiser(&[-1.0, 1.0], &[1e-14, 2.0], 0.5);
        assert!((near[0] + 3.0_f64.sqrt()).abs() < 1e-12, "{near:?}");
        let (hard, near) = (
            model(&[-1.0, 1.0], &[0.0, 2.0], 0.5, &y),
            model(&[-1.0, 1.0], &[0.0, 2.0], 0.5, &near),
        );
        assert!((hard - near).abs() < 1e-12);
    }

    #[test]
    fn no_gradient_goes_nowhere_in_a_bowl_and_somewhere_on_a_hill() {
        let bowl = minimiser(&[1.0, 2.0], &[0.0, 0.0], 1.0);
        assert_eq!(bowl, (vec![0.0, 0.0], 0.0));
        let hill = minimiser(&[-2.0, 1.0], &[0.0, 0.0], 4.0);
        assert_eq!(hill, (vec![0.5, 0.0], 2.0));
        assert!(minimiser(&[], &[], 1.0).0.is_empty());
    }

    #[test]
    fn steps_are_those_of_a_trust_region_of_their_length() {
        let g = [1.0, -2.0, 0.5];
        for (seed, values) in [[1.0, 2.0, 5.0], [-1.0, 2.0, 5.0], [-3.0, -1.0, 0.0]]
            .iter()
            .enumerate()
        {
            let matrix = with_spectrum(values, seed as u64);
            let eigen = matrix.eigen().unwrap();
            for sigma in [1e-3, 0.2, 1.0, 50.0] {
                let found = eigen.cubic_step(&g, sigma).unwrap();
                let radius = length(&found.step);
                let inside = eigen.trust_region_step(&g, radius).unwrap();
                assert!((found.multiplier - inside.multiplier).abs() < 1e-11);
                for (found, expected) in found.step.iter().zip(&inside.step) {
                    assert!((found - expected).abs() < 1e-10 * radius, "{sigma}");
                }
                let s = Mat::from_fn(3, 1, |i, _| found.step[i]);
                let product = matrix.matrix() * &s;
                for i in 0..3 {
                    let stationary = product[(i, 0)] + sigma * radius * s[(i, 0)] + g[i];
                    assert!(stationary.abs() < 1e-10, "{sigma} {stationary}");
                }
            }
        }
    }

    #[test]
    fn near_the_hard_case_steps_are_as_exact() {
        let diagonal = Mat::from_fn(2, 2, |i, j| if i != j { 0.0 } else { [-1.0, 1.0][i] });
        let eigen = crate::DenseSymmetric::from_matrix(diagonal)
            .eigen()
            .unwrap();
        for little in [1e-8, 1e-14, 1e-16, 1e-200, 0.0] {
            // ν → 1: s₁ → −1, ‖s‖ = 2ν → 2, s₀ off by 1.5 times the little
            let found = eigen.cubic_step(&[little, 2.0], 0.5).unwrap();
            assert!((found.multiplier - 1.0).abs() < little + 1e-14);
            let found = [found.step[0].abs(), found.step[1]];
            for (found, expected) in found.iter().zip([3.0_f64.sqrt(), -1.0]) {
                assert!(
                    (found - expected).abs() < 2.0 * little + 1e-14,
                    "{little}: {found}"
                );
            }
        }
    }

    #[test]
    fn misuse_is_an_error() {
        let eigen = with_spectrum(&[1.0, 2.0], 1).eigen().unwrap();
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refused = eigen.cubic_step(&[1.0, 1.0], sigma);
            assert!(matches!(
                refused,
                Err(CurvatureError::Argument { name: "sigma", .. })
            ));
        }
        let refused = eigen.cubic_step(&[1.0], 1.0);
        assert!(matches!(refused, Err(CurvatureError::Dimension { .. })));
    }
}
