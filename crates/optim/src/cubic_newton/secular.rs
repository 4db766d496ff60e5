//! The minimiser of cᵀy + ½ Σ λᵢ yᵢ² + σ/3 ‖y‖³.

use crate::krylov::dot;

/// The global minimiser for σ > 0 and ascending λᵢ: yᵢ = −cᵢ / (λᵢ + ν) with ν = σ ‖y‖ ≥ max(0, −λ₁).
///
/// In the hard case (c₁ = 0, and σ ‖y(−λ₁)‖ < −λ₁) what is missing of the length lies along the first coordinate, where either sign is as
/// good; it is positive here. The root is sought in μ = ν − max(0, −λ₁), so that it is exact to rounding even near the hard case.
///
/// # References
///
/// C. Cartis, N. I. M. Gould and P. L. Toint, Adaptive cubic regularisation methods, Part I, 2011, Theorem 3.1 and section 6.1.
pub(super) fn minimiser(values: &[f64], slopes: &[f64], sigma: f64) -> Vec<f64> {
    let lowest = values.first().copied().unwrap_or(0.0);
    let highest = values.last().copied().unwrap_or(0.0);
    let shift = (-lowest).max(0.0);
    let gaps: Vec<f64> = values.iter().map(|value| value + shift).collect();
    let at = |mu: f64| -> Vec<f64> {
        let pairs = gaps.iter().zip(slopes);
        pairs.map(|(gap, c)| quotient(-c, gap + mu)).collect()
    };
    let length = |y: &[f64]| dot(y, y).sqrt();
    let mut hard = at(0.0);
    let missing = (shift / sigma).powi(2) - length(&hard).powi(2);
    if shift > 0.0 && missing >= 0.0 {
        hard[0] += missing.sqrt();
        return hard;
    }
    let pull = sigma * length(slopes);
    if pull == 0.0 {
        return hard;
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
    at(mu)
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

    fn model(values: &[f64], slopes: &[f64], sigma: f64, y: &[f64]) -> f64 {
        let bend: f64 = values.iter().zip(y).map(|(value, y)| value * y * y).sum();
        dot(slopes, y) + 0.5 * bend + sigma / 3.0 * dot(y, y).sqrt().powi(3)
    }

    #[test]
    fn one_dimension_has_a_closed_form() {
        // −c y: σ y² + λ y − c = 0
        for (value, c, sigma) in [(2.0_f64, 1.0, 0.5), (-2.0, 1.0, 0.5), (0.0, 3.0, 1e-8)] {
            let expected = (-value + (value * value + 4.0 * sigma * c).sqrt()) / (2.0 * sigma);
            let found = minimiser(&[value], &[-c], sigma)[0];
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
                    let y = minimiser(&values, &c, sigma);
                    let nu = sigma * dot(&y, &y).sqrt();
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
        let y = minimiser(&[-1.0, 1.0], &[0.0, 2.0], 0.5);
        assert!((y[0] - 3.0_f64.sqrt()).abs() < 1e-14 && (y[1] + 1.0).abs() < 1e-14);
        // A little of c₁ changes the sign, hardly the length.
        let near = minimiser(&[-1.0, 1.0], &[1e-14, 2.0], 0.5);
        assert!((near[0] + 3.0_f64.sqrt()).abs() < 1e-12, "{near:?}");
        let (hard, near) = (
            model(&[-1.0, 1.0], &[0.0, 2.0], 0.5, &y),
            model(&[-1.0, 1.0], &[0.0, 2.0], 0.5, &near),
        );
        assert!((hard - near).abs() < 1e-12);
    }

    #[test]
    fn no_gradient_goes_nowhere_in_a_bowl_and_somewhere_on_a_hill() {
        assert_eq!(minimiser(&[1.0, 2.0], &[0.0, 0.0], 1.0), [0.0, 0.0]);
        assert_eq!(minimiser(&[-2.0, 1.0], &[0.0, 0.0], 4.0), [0.5, 0.0]);
        assert!(minimiser(&[], &[], 1.0).is_empty());
    }
}
