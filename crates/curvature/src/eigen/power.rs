use crate::eigen::basis::{Basis, HostVector};
use crate::eigen::block::{EigenEnding, Eigenpairs};
use crate::eigen::lanczos::start;
use crate::eigen::pairs::{Eigenpair, check as check_common};
use crate::error::{CurvatureError, argument, finite};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::seed::Seed;
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// How far a power iteration goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerOptions {
    /// Number k of eigenpairs.
    pub pairs: usize,
    /// A pair is converged when ‖Av − λv‖ ≤ tolerance · max |λ|.
    pub tolerance: f64,
    /// Most operator applications, for all pairs together.
    pub max_applications: usize,
}

impl Default for PowerOptions {
    fn default() -> Self {
        Self {
            pairs: 1,
            tolerance: 1e-3,
            max_applications: 300,
        }
    }
}

/// The k eigenpairs of largest magnitude, one after the other, by power iteration orthogonal to those found before.
///
/// v ← (I − V Vᵀ) A v / ‖·‖, with λ = vᵀAv. The error falls by |λ₂/λ₁| a step. [`lanczos_top_k`](crate::lanczos_top_k) is better: it
/// takes the best vector of the whole Krylov space, of which this keeps the last, and so needs about the square root of the products.
/// This one is here for comparison, as what PyHessian and hessian-eigenthings do. Where λ and −λ are both largest it does not
/// converge: the ending is [`EigenEnding::MaxIterations`] and the residual of the order of |λ|. The search ends with the first pair that
/// does not converge, a tolerance below the rounding of the products included; that pair is the last one found.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use faer::Mat;
/// use ravine_curvature::eigen::{EigenEnding, PowerOptions, power_iteration};
/// use ravine_curvature::{DenseSymmetric, Seed};
///
/// let matrix = Mat::from_fn(3, 3, |i, j| if i == j { [1.0, -5.0, 2.0][i] } else { 0.0 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let found = power_iteration(&operator, &PowerOptions::default(), Seed::new(0))?;
/// assert_eq!(found.ending, EigenEnding::Converged);
/// assert!((found.pairs[0].value + 5.0).abs() < 1e-4);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// At most `max_applications` operator applications; k + 3 vectors of memory in the operator's precision. The residuals come with the
/// last product of each pair and cost none.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for k = 0, fewer applications than pairs or a tolerance that is not positive, [`CurvatureError::NonFinite`] if a product
/// is not finite, what the operator reports.
///
/// # References
///
/// Golub and Van Loan (2013), Matrix Computations, section 8.2.1; Saad (2011), Numerical Methods for Large Eigenvalue Problems,
/// section 4.2 (deflation).
pub fn power_iteration(
    operator: &dyn LinearOperator,
    options: &PowerOptions,
    seed: Seed,
) -> Result<Eigenpairs, CurvatureError> {
    power_iteration_observed(operator, options, &[], seed, &mut unobserved)
}

/// As [`power_iteration`], and calls `observer` after every product.
///
/// Pair i starts from earlier vector i and a twentieth of its length in a random direction; where there is none, from a random direction.
///
/// # Errors
///
/// As [`power_iteration`]; [`CurvatureError::Dimension`] for an earlier vector of another length.
pub fn power_iteration_observed(
    operator: &dyn LinearOperator,
    options: &PowerOptions,
    earlier: &[Tensor<1>],
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Eigenpairs, CurvatureError> {
    check_common(options.pairs, options.tolerance)?;
    if options.max_applications < options.pairs {
        let value = options.max_applications as f64;
        let requirement = "it must be at least the number of pairs";
        return Err(argument("max_applications", value, requirement));
    }
    let span = tracing::debug_span!("power", dim = operator.dim(), pairs = options.pairs);
    let _entered = span.enter();
    let pairs = options.pairs.min(operator.dim());
    let mut power = Power {
        operator,
        options,
        found: Basis::new(operator.dim(), operator.dtype(), 0),
        scale: 0.0,
        applications: 0,
        // vᵢᵀAv of an earlier pair adds at most its own residual: all k together stay below the tolerance
        tolerance: options.tolerance / (pairs.max(1) as f64).sqrt(),
    };
    let mut found = Vec::with_capacity(pairs);
    let mut ending = match options.pairs > operator.dim() {
        true => EigenEnding::WholeSpace,
        false => EigenEnding::Converged,
    };
    for index in 0..pairs {
        let seed = seed.stream("power").index(index as u64);
        let earlier = earlier.get(index..=index).unwrap_or_default();
        let first = power.direction(start(operator, earlier, seed)?);
        let (pair, end) = power.pair(first, observer)?;
        found.push(pair);
        if end == EigenEnding::Converged && power.applications < options.max_applications {
            continue;
        }
        let last = index + 1 == pairs;
        match end {
            EigenEnding::Converged if last => {}
            EigenEnding::Converged => ending = EigenEnding::MaxIterations,
            other => ending = other,
        }
        break;
    }
    found.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    Ok(Eigenpairs {
        pairs: found,
        ending,
        applications: power.applications,
        iterations: power.applications,
    })
}

struct Power<'a> {
    operator: &'a dyn LinearOperator,
    options: &'a PowerOptions,
    found: Basis,
    scale: f64,
    applications: usize,
    tolerance: f64,
}

impl Power<'_> {
    /// The next pair, and whether it converged.
    fn pair(
        &mut self,
        mut v: HostVector,
        observer: &mut Observer<'_>,
    ) -> Result<(Eigenpair, EigenEnding), CurvatureError> {
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        loop {
            let product = self
                .operator
                .apply(&v.clone().into_tensor(&device, dtype))?;
            self.applications += 1;
            let mut w = HostVector::read(product, dtype);
            let what = "the norm of a product in the power iteration";
            self.scale = self.scale.max(finite(what, w.norm())?);
            let value = v.dot(&w);
            let residual = w.clone().add(-value, &v);
            let (_, length) = self.found.orthogonalise(0, &mut w);
            let deflated = w.clone().add(-value, &v);
            let stopped = observer(&self.progress(residual)).is_break();
            let ending = if deflated <= self.tolerance * self.scale {
                EigenEnding::Converged
            } else if stopped {
                EigenEnding::Stopped
            } else if self.applications == self.options.max_applications || length == 0.0 {
                EigenEnding::MaxIterations
            } else {
                w.scale(1.0 / length);
                v = w;
                continue;
            };
            self.found.push(&v);
            let vector = v.into_tensor(&device, dtype);
            let pair = Eigenpair {
                value,
                vector,
                residual,
            };
            return Ok((pair, ending));
        }
    }

    /// The part of a start that is orthogonal to the vectors found, at length one.
    fn direction(&self, mut v: HostVector) -> HostVector {
        v.scale(1.0 / v.norm().max(f64::MIN_POSITIVE));
        for _ in 0..2 {
            let (_, length) = self.found.orthogonalise(0, &mut v);
            v.scale(1.0 / length.max(f64::MIN_POSITIVE));
        }
        v
    }

    fn progress(&self, residual: f64) -> Progress {
        Progress {
            applications: self.applications,
            most: Some(self.options.max_applications),
            measure: (self.scale > 0.0).then(|| residual / self.scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_operators::{Counted, Nothing, diagonal, operator, with_spectrum};
    use crate::vector::dot;
    use burn::prelude::Device;
    use burn::tensor::DType;
    use std::ops::ControlFlow;

    fn tight(pairs: usize) -> PowerOptions {
        PowerOptions {
            pairs,
            tolerance: 1e-10,
            max_applications: 10_000,
        }
    }

    #[test]
    fn the_largest_magnitudes_of_an_indefinite_spectrum() {
        let mut values = vec![-10.0, 8.0, 6.5, -5.0, -5.0];
        values.extend((0..60).map(|i| f64::from(i - 30) / 10.0));
        let matrix = with_spectrum(&values, 3);
        for (dtype, tolerance, near) in [(DType::F64, 1e-10, 1e-9), (DType::F32, 1e-5, 1e-4)] {
            let op = matrix.operator(&Device::flex(), dtype);
            for seed in 0..3 {
                let counted = Counted::new(&op);
                let options = PowerOptions {
                    tolerance,
                    ..tight(5)
                };
                let found = power_iteration(&counted, &options, Seed::new(seed)).unwrap();
                assert_eq!(found.ending, EigenEnding::Converged);
                assert_eq!(found.applications, counted.applications());
                for (found, expected) in found.values().iter().zip(&values[..5]) {
                    assert!((found - expected).abs() < near, "{found} {expected}");
                }
                assert!(found.worst_residual() <= tolerance * 10.0 * 1.001);
                assert!(dot(&found.pairs[3].vector, &found.pairs[4].vector).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn opposite_eigenvalues_are_not_called_converged() {
        let op = operator(&with_spectrum(&[3.0, -3.0, 1.0, 0.5], 1));
        let options = PowerOptions {
            max_applications: 200,
            ..tight(2)
        };
        let found = power_iteration(&op, &options, Seed::new(0)).unwrap();
        assert_eq!(found.ending, EigenEnding::MaxIterations);
        assert_eq!(found.pairs.len(), 1);
        assert!(found.pairs[0].residual > 0.1);
    }

    #[test]
    fn small_empty_zero_and_broken_operators() {
        let found = power_iteration(&diagonal(&[-7.0]), &tight(3), Seed::new(0)).unwrap();
        assert_eq!(found.ending, EigenEnding::WholeSpace);
        assert!((found.values()[0] + 7.0).abs() < 1e-14);
        let zero = power_iteration(&diagonal(&[0.0; 9]), &tight(2), Seed::new(0)).unwrap();
        assert_eq!((zero.values(), zero.applications), (vec![0.0; 2], 2));
        let nothing = power_iteration(&Nothing, &tight(1), Seed::new(0)).unwrap();
        assert!(nothing.pairs.is_empty());
        let nan = power_iteration(&diagonal(&[1.0, f64::NAN]), &tight(1), Seed::new(0));
        assert!(matches!(nan, Err(CurvatureError::NonFinite { .. })));
        for options in [
            tight(0),
            PowerOptions {
                tolerance: 0.0,
                ..tight(1)
            },
            PowerOptions {
                max_applications: 1,
                ..tight(2)
            },
        ] {
            let refused = power_iteration(&diagonal(&[1.0]), &options, Seed::new(0));
            assert!(matches!(refused, Err(CurvatureError::Argument { .. })));
        }
    }

    #[test]
    fn an_observer_stops_it_with_what_is_there() {
        let op = diagonal(&[2.0, 1.99, 1.0]);
        let mut observer = |progress: &Progress| match progress.applications {
            4.. => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let found =
            power_iteration_observed(&op, &tight(2), &[], Seed::new(1), &mut observer).unwrap();
        assert_eq!(
            (found.ending, found.applications),
            (EigenEnding::Stopped, 4)
        );
        assert_eq!(found.pairs.len(), 1);
    }

    #[test]
    fn clusters_rank_one_and_a_condition_of_1e12() {
        let mut rank_one = vec![0.01; 50];
        rank_one[0] = -100.0;
        let conditioned: Vec<f64> = (0..50)
            .map(|i| 10_f64.powf(-12.0 * f64::from(i) / 49.0))
            .collect();
        let mut clustered = vec![1.0; 50];
        clustered[..4].copy_from_slice(&[3.0, 3.0 - 1e-12, 3.0 - 2e-12, 2.0]);
        for (values, pairs) in [(rank_one, 2), (conditioned, 3), (clustered, 4)] {
            let op = operator(&with_spectrum(&values, 8));
            let found = power_iteration(&op, &tight(pairs), Seed::new(4)).unwrap();
            assert_eq!(found.ending, EigenEnding::Converged);
            for (found, expected) in found.values().iter().zip(&values) {
                assert!((found - expected).abs() < 1e-7, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_warm_start_needs_fewer_products_and_lanczos_fewer_still() {
        let values: Vec<f64> = (0..100).map(|i| 0.9_f64.powi(i)).collect();
        let op = operator(&with_spectrum(&values, 2));
        let options = PowerOptions {
            pairs: 2,
            tolerance: 1e-6,
            max_applications: 1000,
        };
        let cold = power_iteration(&op, &options, Seed::new(0)).unwrap();
        let earlier = cold.vectors();
        let warm = power_iteration_observed(&op, &options, &earlier, Seed::new(1), &mut unobserved)
            .unwrap();
        let lanczos = crate::LanczosOptions {
            pairs: 2,
            tolerance: 1e-6,
            ..Default::default()
        };
        let lanczos = crate::lanczos_top_k(&op, &lanczos, Seed::new(0)).unwrap();
        assert!(warm.applications < cold.applications);
        assert!(3 * lanczos.applications < cold.applications);
        let short = [crate::vector::from_f64(&[1.0], &Device::flex(), DType::F64)];
        let refused =
            power_iteration_observed(&op, &options, &short, Seed::new(1), &mut unobserved);
        assert!(matches!(refused, Err(CurvatureError::Dimension { .. })));
    }

    #[test]
    fn spent_applications_are_told_with_the_pairs_there_are() {
        let op = diagonal(&[3.0, 1.0, 0.5, 0.2]);
        let options = PowerOptions {
            max_applications: 20,
            tolerance: 1e-8,
            pairs: 3,
        };
        let found = power_iteration(&op, &options, Seed::new(0)).unwrap();
        assert_eq!(found.ending, EigenEnding::MaxIterations);
        assert!(found.applications == 20 && found.pairs.len() < 3);
    }
}
