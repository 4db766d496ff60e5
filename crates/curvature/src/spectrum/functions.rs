use super::slq::SpectralMeasure;
use super::sphere::mean_on_sphere;
use crate::error::CurvatureError;
use crate::estimate::Estimate;
use crate::operator::Definiteness;
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

/// Traces of functions.
///
/// Two errors stand beside each value: `standard_error` is that of the random vectors, and falls with their number;
/// `quadrature_error` is that of the Lanczos steps, and falls with theirs. [`Estimate::interval`] holds both.
///
/// The standard error is the larger of that of the samples and the one that vectors on the sphere imply,
/// √(2/((n+2) m) ∫ (f − μ)² φ dt) with m vectors and μ = ∫ f φ dt: the samples alone say too little where one eigenvalue decides.
impl SpectralMeasure {
    /// tr f(A) = n ∫ f(t) φ(t) dt.
    ///
    /// The error of the quadrature is the largest difference to the same rules after a half, three quarters and all but one of the steps:
    /// an estimate, on the safe side where the rules converge geometrically, too small where they hardly do (f with a singularity at the
    /// end of the spectrum). The named functions below have bounds instead, where there are some.
    ///
    /// # References
    ///
    /// Ubaru, Chen and Saad (2017), theorem 4.1 for the error of the quadrature.
    pub fn trace_of_function(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let error = self.difference_to_shorter_rules(&f);
        self.scaled(self.mean_of(f), error)
    }

    /// n times a mean, with the error of its quadrature.
    pub(super) fn scaled(&self, mean: Estimate, quadrature_error: f64) -> Estimate {
        let n = self.dim as f64;
        Estimate {
            value: n * mean.value,
            standard_error: n * mean.standard_error,
            quadrature_error: n * quadrature_error,
            ..mean
        }
    }

    /// ∫ f(t) φ(t) dt.
    pub(super) fn mean_of(&self, f: impl Fn(f64) -> f64) -> Estimate {
        let f = &f;
        let vectors = self.probes.iter().map(|probe| {
            let terms = probe.nodes.iter().zip(&probe.weights);
            terms.map(move |(node, weight)| (*weight, f(*node)))
        });
        mean_on_sphere(self.dim, vectors, self.applications)
    }

    /// log det(A + λI) = tr log(A + λI).
    ///
    /// Gauss's rule lies above the logarithm's mean and that of Radau with a node at the lower end of the spectrum below it; their
    /// difference is the error of the quadrature. The lower end is λ for a positive semidefinite A, and the rounding of the products where
    /// nothing is known: no step sees whether a smaller eigenvalue exists, so few steps on an ill-conditioned matrix leave a wide interval.
    ///
    /// # References
    ///
    /// Golub and Meurant (2010), Matrices, moments and quadrature with applications, chapter 6 (the signs of the errors of Gauss's and
    /// Radau's rules; Radau's Jacobi matrix).
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
        let logarithm = |t: f64| (t + damping).ln();
        let known = match self.definiteness {
            Definiteness::Unknown => 0.0,
            _ => damping,
        };
        // half of a node below the rounding: Radau's node must not lie above the spectrum's end
        let end = known.max(self.rounding()).min(0.5 * smallest);
        let error = self.difference_to_radau(end - damping, &logarithm);
        Ok(self.scaled(self.mean_of(logarithm), error))
    }

    /// The effective dimension tr |A| (|A| + λI)⁻¹: how many directions are curved more than the damping λ.
    ///
    /// For a positive semidefinite A it is tr A (A + λI)⁻¹; with |A| it makes sense for a Hessian as well.
    ///
    /// The error of the quadrature is the difference to Radau's rule with a node at zero, a bound for a positive semidefinite A; where
    /// the signs are unknown that to shorter rules, or the larger of both if no node is negative.
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
        let share = |t: f64| t.abs() / (t.abs() + damping);
        let known = self.definiteness != Definiteness::Unknown;
        let mut error = match known {
            true => 0.0,
            false => self.difference_to_shorter_rules(&share),
        };
        if known || self.smallest() >= 0.0 {
            error = error.max(self.difference_to_radau(self.smallest().min(0.0), &share));
        }
        Ok(self.scaled(self.mean_of(share), error))
    }

    /// The number of eigenvalues beyond the tolerance in absolute value.
    ///
    /// The error of the quadrature is a bound: see [`inertia`](Self::inertia).
    pub fn numerical_rank(&self, tolerance: f64) -> Estimate {
        let error = self.count_error(&[-tolerance, tolerance]);
        self.scaled(self.mean_of(|t| f64::from(t.abs() > tolerance)), error)
    }

    /// Numbers of negative, zero and positive eigenvalues.
    ///
    /// A step is no polynomial: where eigenvalues lie close to ±tolerance the quadrature counts them in part. Its error has a bound: between
    /// two nodes the true distribution differs from that of the rule by the weight of either node at most (the inequality of Chebyshev,
    /// Markov and Stieltjes), and by less where the nodes' residuals are small beside their distance to the step. Once
    /// the quadrature has as many steps as there are distinct eigenvalues it is exact; `DenseSymmetric::inertia` is always, for small models.
    ///
    /// # References
    ///
    /// Szegő (1939), Orthogonal polynomials, theorem 3.41.1 (separation); Parlett (1998), The symmetric eigenvalue problem, theorem 11.7.1
    /// (residuals).
    pub fn inertia(&self, tolerance: f64) -> InertiaEstimate {
        let count = |cuts: &[f64], counted: &dyn Fn(f64) -> bool| {
            let mean = self.mean_of(|t| f64::from(counted(t)));
            self.scaled(mean, self.count_error(cuts))
        };
        InertiaEstimate {
            negative: count(&[-tolerance], &|t| t < -tolerance),
            zero: count(&[-tolerance, tolerance], &|t| t.abs() <= tolerance),
            positive: count(&[tolerance], &|t| t > tolerance),
        }
    }
}
