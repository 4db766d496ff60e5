use burn::prelude::*;
use rand::RngExt;
use ravine_curvature::{LinearOperator, Probe, Seed, vector};

use crate::error::in_range;
use crate::{OptimError, Oracle};

/// The random vectors z of an estimate z ⊙ Hz of the diagonal of the Hessian.
///
/// The vectors of a run are numbered from 0 on, in the order in which they are drawn: an estimate with S samples takes the next S.
///
/// # Example
///
/// ```
/// use burn::prelude::*;
/// use ravine_curvature::Seed;
/// use ravine_optim::{AdaHessian, HutchinsonProbes};
///
/// let random = AdaHessian::new().probes(HutchinsonProbes::rademacher(Seed::new(7)));
/// let ones = Tensor::<1>::ones([3], &Device::flex());
/// let given = AdaHessian::new().probes(HutchinsonProbes::Given(vec![ones; 10]));
/// # let _ = (random, given);
/// ```
#[derive(Clone, Debug)]
pub enum HutchinsonProbes {
    /// Vector k is drawn from `seed.stream("hutchinson").index(k)`, in f64, and rounded to the dtype of the gradient.
    Seeded {
        /// The seed of the run.
        seed: Seed,
        /// The distribution of the entries.
        probe: Probe,
    },
    /// Vector k is entry k of the list; a run that needs more ends with an error.
    Given(Vec<Tensor<1>>),
}

impl HutchinsonProbes {
    /// Signs ±1 with equal chance.
    pub fn rademacher(seed: Seed) -> Self {
        Self::Seeded {
            seed,
            probe: Probe::Rademacher,
        }
    }

    /// Independent standard normal entries.
    pub fn gaussian(seed: Seed) -> Self {
        Self::Seeded {
            seed,
            probe: Probe::Gaussian,
        }
    }

    /// 1/S Σ z ⊙ Hz over the vectors from number `first` on; S products.
    pub(super) fn diagonal(
        &self,
        oracle: &mut Oracle,
        theta: &Tensor<1>,
        first: u64,
        samples: usize,
    ) -> Result<Tensor<1>, OptimError> {
        let hessian = oracle.hessian(theta)?;
        let vectors = (0..samples as u64).map(|sample| self.vector(first + sample, &hessian));
        let vectors = vectors.collect::<Result<Vec<_>, _>>()?;
        if let [z] = &vectors[..] {
            return Ok(z.clone() * hessian.apply(z)?);
        }
        let z = Tensor::stack::<2>(vectors, 0);
        let products = z.clone() * hessian.apply_block(&z)?;
        Ok(products.mean_dim(0).flatten(0, 1))
    }

    fn vector(&self, number: u64, hessian: &dyn LinearOperator) -> Result<Tensor<1>, OptimError> {
        let n = hessian.dim();
        match self {
            Self::Seeded { seed, probe } => {
                let entries = drawn(seed.stream("hutchinson").index(number), *probe, n);
                Ok(vector::from_f64(
                    &entries,
                    &hessian.device(),
                    hessian.dtype(),
                ))
            }
            Self::Given(list) => {
                let count = list.len();
                in_range(
                    "the number of given probes",
                    count as f64,
                    "at least what all estimates of the run take",
                    number < count as u64,
                )?;
                let given = &list[number as usize];
                let [length] = given.dims();
                in_range(
                    "the length of a given probe",
                    length as f64,
                    "the number of parameters",
                    length == n,
                )?;
                let given = given.clone().to_device(&hessian.device());
                Ok(given.cast(hessian.dtype()))
            }
        }
    }
}

fn drawn(seed: Seed, probe: Probe, n: usize) -> Vec<f64> {
    let mut rng = seed.rng();
    if probe == Probe::Rademacher {
        let sign = |up: bool| if up { 1.0 } else { -1.0 };
        return (0..n).map(|_| sign(rng.random())).collect();
    }
    let mut entries = vector::standard_normal(n, &mut rng);
    if probe == Probe::Sphere {
        let square: f64 = entries.iter().map(|x| x * x).sum();
        let scale = (n as f64 / square).sqrt();
        entries.iter_mut().for_each(|x| *x *= scale);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::quadratic_in_f64;

    #[test]
    fn signs_find_a_diagonal_matrix_at_once_and_the_others_on_average() {
        let eigenvalues = [1.0, 4.0, 0.5];
        let point = quadratic_in_f64(&eigenvalues);
        let theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let signs = HutchinsonProbes::rademacher(Seed::new(1));
        let found = signs.diagonal(&mut oracle, &theta, 5, 1).unwrap();
        assert_eq!(vector::to_f64(&found), [1.0, 4.0, 0.5]);
        for probe in [Probe::Gaussian, Probe::Sphere] {
            let seed = Seed::new(1);
            let probes = HutchinsonProbes::Seeded { seed, probe };
            let found = probes.diagonal(&mut oracle, &theta, 0, 4000).unwrap();
            for (found, exact) in vector::to_f64(&found).iter().zip(&eigenvalues) {
                // five standard errors of a squared normal number
                let bound = 5.0 * (2.0_f64 / 4000.0).sqrt();
                assert!((found / f64::from(*exact) - 1.0).abs() < bound, "{found}");
            }
        }
        assert_eq!(oracle.cost().products, 8001);
    }

    #[test]
    fn given_probes_are_taken_in_turn_and_checked() {
        let point = quadratic_in_f64(&[1.0, 4.0]);
        let theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let z = |x: f64, y: f64| Tensor::<1>::from_data([x, y], &Device::flex());
        let probes = HutchinsonProbes::Given(vec![z(1.0, 1.0), z(3.0, 0.5), z(1.0, 2.0)]);
        let found = probes.diagonal(&mut oracle, &theta, 1, 2).unwrap();
        assert_eq!(vector::to_f64(&found), [5.0, 8.5]);
        let beyond = probes.diagonal(&mut oracle, &theta, 2, 2);
        assert!(matches!(beyond, Err(OptimError::Option { value: 3.0, .. })));
        let short = HutchinsonProbes::Given(vec![Tensor::ones([1], &Device::flex())]);
        let short = short.diagonal(&mut oracle, &theta, 0, 1);
        assert!(matches!(short, Err(OptimError::Option { value: 1.0, .. })));
    }
}
