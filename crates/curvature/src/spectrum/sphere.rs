//! The standard error of a mean over vectors that are uniform on the sphere.

use crate::estimate::{Estimate, quantile};

/// Beyond this Student's distribution is the normal one.
const MANY: f64 = 1e4;

/// The mean of Σ w f over the random vectors, from the terms (w, f) of each, with the larger of two standard errors.
///
/// One is that of the samples X = Σ w f, which knows nothing of where they come from. Where one eigenvalue decides, X is as skewed as χ²
/// with one degree of freedom: samples that are too small lie close together as well, and Student's interval of 95 % from four vectors
/// holds the truth in 82 of 100 cases, from ten in 87, from thirty in 91.
///
/// The other one knows the distribution. For v uniform on the sphere of dimension n
///
/// Var(vᵀ f(A) v) = 2/(n+2) · c₂,  c₂ = ∫ (f − μ)² φ dt,  μ = ∫ f φ dt,
///
/// and the same rules give c₂: with m vectors 2 ĉ₂/((n+2) m − 2) is the unbiased squared standard error of the mean. ĉ₂ is itself a mean of
/// quadratic forms, of the function (f − μ)², so that its relative variance is 2/ν with ν = (n+2) m c₂²/(c₄ − c₂²) ≥ m,
/// c₄ = ∫ (f − μ)⁴ φ dt: the degrees of freedom. It rises and falls with the mean where one eigenvalue decides, which is what makes its
/// interval honest. It knows nothing of nodes that move from vector to vector, as those of few steps do; hence the larger of both.
/// The interval of the larger one covers in 95 to 98 of 100 cases from four vectors on, whatever the spectrum.
///
/// # References
///
/// Epperly (2023), Don't use Gaussians in stochastic trace estimation (the variance); Satterthwaite (1946), An approximate distribution of
/// estimates of variance components (the degrees of freedom).
pub(super) fn mean_on_sphere<T>(
    dim: usize,
    vectors: impl Iterator<Item = T>,
    applications: usize,
) -> Estimate
where
    T: Iterator<Item = (f64, f64)>,
{
    let (mut samples, mut moments) = (Vec::new(), Moments::default());
    for terms in vectors {
        samples.push(terms.map(|(w, f)| moments.add(w, f)).sum());
    }
    let sampled = Estimate::from_samples(&samples, applications);
    let known = moments.known(dim, sampled);
    // known has more degrees of freedom, so that a smaller error reaches less far
    let larger = known.standard_error > sampled.standard_error;
    match larger && half_width(&known) > half_width(&sampled) {
        true => known,
        false => sampled,
    }
}

/// Σ w (f − first)ᵏ for k = 0 to 4, of all vectors: what does not vary cancels before it is summed.
#[derive(Default)]
struct Moments {
    first: Option<f64>,
    sums: [f64; 5],
}

impl Moments {
    /// Returns w f.
    fn add(&mut self, w: f64, f: f64) -> f64 {
        let distance = f - *self.first.get_or_insert(f);
        let mut term = w;
        for sum in &mut self.sums {
            *sum += term;
            term *= distance;
        }
        w * f
    }

    /// The mean with the standard error that vectors on the sphere imply.
    fn known(&self, dim: usize, mean: Estimate) -> Estimate {
        let [weight, first, second, third, fourth] = self.sums;
        let [first, second, third, fourth] = [first, second, third, fourth].map(|m| m / weight);
        let square = first * first;
        let fourth = fourth - 4.0 * first * third + 6.0 * square * second - 3.0 * square * square;
        let second = (second - square).max(0.0);
        let count = mean.samples as f64;
        let forms = (dim as f64 + 2.0) * count;
        let freedom = forms * second * second / (fourth - second * second).max(0.0);
        Estimate {
            standard_error: (2.0 * second / (forms - 2.0)).sqrt(),
            freedom: Some(freedom.max(count).min(MANY)),
            ..mean
        }
    }
}

/// Half of an interval of 95 %.
fn half_width(estimate: &Estimate) -> f64 {
    estimate.standard_error * quantile(0.95, estimate.freedom())
}
