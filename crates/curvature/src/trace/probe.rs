use crate::eigen::basis::Numbers;
use crate::operator::LinearOperator;
use crate::rows::{Rows, dot};
use crate::seed::Seed;
use burn::tensor::DType;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the entries of a random vector v are drawn; all have E\[v vᵀ\] = I, so that E\[vᵀAv\] = tr A.
///
/// The variance of vᵀAv for symmetric A: 2 (‖A‖²_F − Σ Aᵢᵢ²) for signs, 2 ‖A‖²_F for normal entries, and
/// 2n/(n+2) · (‖A‖²_F − (tr A)²/n) on the sphere.
///
/// # References
///
/// Avron and Toledo (2011), Randomized algorithms for estimating the trace, for the first two; Epperly (2023), Don't use Gaussians in
/// stochastic trace estimation, for all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Signs ±1 with equal chance: exact for diagonal matrices, and by far the cheapest to draw.
    #[default]
    Rademacher,
    /// Independent standard normal entries.
    Gaussian,
    /// Uniform on the sphere of radius √n: exact for multiples of the identity.
    Sphere,
}

/// Random vectors for one operator, each from a generator of its own: vector i is the same however they are put into blocks.
pub(crate) struct Probes {
    probe: Probe,
    seed: Seed,
    dim: usize,
    single: bool,
}

/// Vectors shorter than this together are drawn in one thread.
const PARALLEL: usize = 1 << 16;

impl Probes {
    pub(crate) fn new(operator: &dyn LinearOperator, probe: Probe, seed: Seed) -> Self {
        Self {
            probe,
            seed: seed.stream("probes"),
            dim: operator.dim(),
            single: operator.dtype() != DType::F64,
        }
    }

    /// Vectors `first` to `first + count`, directly in the dtype of the operator.
    pub(crate) fn block(&self, first: usize, count: usize) -> Rows {
        let numbers = match self.single {
            true => {
                let mut numbers = vec![0.0; count * self.dim];
                self.rows(first, &mut numbers, |row, rng| self.fill_f32(row, rng));
                Numbers::F32(numbers)
            }
            false => {
                let mut numbers = vec![0.0; count * self.dim];
                self.rows(first, &mut numbers, |row, rng| self.fill_f64(row, rng));
                Numbers::F64(numbers)
            }
        };
        Rows {
            numbers,
            count,
            dim: self.dim,
        }
    }

    fn rows<T: Send>(
        &self,
        first: usize,
        numbers: &mut [T],
        fill: impl Fn(&mut [T], &mut ChaCha8Rng) + Sync,
    ) {
        let rng = |row: usize| self.seed.index((first + row) as u64).rng();
        let large = numbers.len() >= PARALLEL;
        let width = self.dim.max(1);
        match large {
            true => numbers
                .par_chunks_exact_mut(width)
                .enumerate()
                .for_each(|(row, entries)| fill(entries, &mut rng(row))),
            false => numbers
                .chunks_exact_mut(width)
                .enumerate()
                .for_each(|(row, entries)| fill(entries, &mut rng(row))),
        }
    }

    fn fill_f32(&self, row: &mut [f32], rng: &mut ChaCha8Rng) {
        match self.probe {
            // the sign bit of 1.0
            Probe::Rademacher => signs(row, rng, |bit| {
                f32::from_bits(0x3f80_0000 | (bit as u32) << 31)
            }),
            Probe::Gaussian => row.iter_mut().for_each(|x| *x = StandardNormal.sample(rng)),
            Probe::Sphere => {
                row.iter_mut().for_each(|x| *x = StandardNormal.sample(rng));
                let scale = (row.len() as f64 / dot(row, row)).sqrt();
                row.iter_mut()
                    .for_each(|x| *x = (f64::from(*x) * scale) as f32);
            }
        }
    }

    fn fill_f64(&self, row: &mut [f64], rng: &mut ChaCha8Rng) {
        match self.probe {
            Probe::Rademacher => signs(row, rng, |bit| {
                f64::from_bits(0x3ff0_0000_0000_0000 | bit << 63)
            }),
            Probe::Gaussian => row.iter_mut().for_each(|x| *x = StandardNormal.sample(rng)),
            Probe::Sphere => {
                row.iter_mut().for_each(|x| *x = StandardNormal.sample(rng));
                let scale = (row.len() as f64 / dot(row, row)).sqrt();
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
}

/// A sign for each bit of the generator.
fn signs<T>(row: &mut [T], rng: &mut ChaCha8Rng, sign: impl Fn(u64) -> T) {
    for entries in row.chunks_mut(64) {
        let bits = rng.next_u64();
        for (index, entry) in entries.iter_mut().enumerate() {
            *entry = sign(bits >> index & 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_operators::diagonal;

    fn probes(probe: Probe, single: bool, dim: usize) -> Probes {
        let operator = diagonal(&[1.0]);
        Probes {
            dim,
            single,
            ..Probes::new(&operator, probe, Seed::new(3))
        }
    }

    #[test]
    fn a_probe_does_not_depend_on_its_block() {
        for probe in [Probe::Rademacher, Probe::Gaussian, Probe::Sphere] {
            for single in [true, false] {
                let probes = probes(probe, single, 70);
                let (mut whole, mut part) = (Vec::new(), Vec::new());
                probes.block(0, 5).read_row(3, &mut whole);
                probes.block(3, 1).read_row(0, &mut part);
                assert_eq!(whole, part);
            }
        }
    }

    #[test]
    fn moments_of_the_entries() {
        for probe in [Probe::Rademacher, Probe::Gaussian, Probe::Sphere] {
            for single in [true, false] {
                let probes = probes(probe, single, 1000);
                let block = probes.block(0, 200);
                let (mut row, mut sum, mut squares, mut lagged) = (Vec::new(), 0.0, 0.0, 0.0);
                for i in 0..200 {
                    block.read_row(i, &mut row);
                    sum += row.iter().sum::<f64>();
                    squares += row.iter().map(|x| x * x).sum::<f64>();
                    lagged += row.windows(2).map(|x| x[0] * x[1]).sum::<f64>();
                }
                let count = 200_000.0_f64;
                // four standard errors
                assert!((sum / count).abs() < 4.0 / count.sqrt());
                assert!((squares / count - 1.0).abs() < 6.0 / count.sqrt());
                assert!((lagged / count).abs() < 4.0 / count.sqrt());
            }
        }
    }

    #[test]
    fn signs_are_signs_and_the_sphere_has_its_radius() {
        let mut row = Vec::new();
        probes(Probe::Rademacher, true, 130)
            .block(0, 1)
            .read_row(0, &mut row);
        assert!(row.iter().all(|x| x.abs() == 1.0));
        probes(Probe::Sphere, false, 130)
            .block(0, 1)
            .read_row(0, &mut row);
        assert!((dot(&row, &row) - 130.0).abs() < 1e-10);
    }
}
