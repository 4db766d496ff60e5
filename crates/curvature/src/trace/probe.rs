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
        self.block_in(None, first, count)
    }

    /// As [`Probes::block`], in the memory of an earlier block.
    pub(crate) fn block_in(&self, memory: Option<Numbers>, first: usize, count: usize) -> Rows {
        let numbers = match self.single {
            true => {
                let mut numbers = match memory {
                    Some(Numbers::F32(numbers)) => numbers,
                    _ => Vec::new(),
                };
                numbers.resize(count * self.dim, 0.0);
                self.rows(first, &mut numbers, sign_f32, normal_f32);
                Numbers::F32(numbers)
            }
            false => {
                let mut numbers = match memory {
                    Some(Numbers::F64(numbers)) => numbers,
                    _ => Vec::new(),
                };
                numbers.resize(count * self.dim, 0.0);
                self.rows(first, &mut numbers, sign_f64, normal_f64);
                Numbers::F64(numbers)
            }
        };
        Rows {
            numbers,
            count,
            dim: self.dim,
        }
    }

    fn rows<T: Copy + Send + Into<f64>>(
        &self,
        first: usize,
        numbers: &mut [T],
        sign: impl Fn(u64) -> T + Sync,
        normal: impl Fn(f64) -> T + Sync,
    ) {
        let rng = |row: usize| self.seed.index((first + row) as u64).rng();
        let signs_from = |row: usize, piece: usize, entries: &mut [T]| {
            let mut rng = rng(row);
            // two words of the generator for 64 signs
            rng.set_word_pos((piece * PIECE / 32) as u128);
            signs(entries, &mut rng, &sign);
        };
        let fill = |row: usize, entries: &mut [T]| match self.probe {
            Probe::Rademacher if entries.len() > PIECE => entries
                .par_chunks_mut(PIECE)
                .enumerate()
                .for_each(|(piece, entries)| signs_from(row, piece, entries)),
            Probe::Rademacher => signs_from(row, 0, entries),
            Probe::Gaussian => normals(entries, &mut rng(row), &normal),
            Probe::Sphere => {
                normals(entries, &mut rng(row), &normal);
                let scale = (entries.len() as f64 / dot(entries, entries)).sqrt();
                entries
                    .iter_mut()
                    .for_each(|x| *x = normal((*x).into() * scale));
            }
        };
        let large = numbers.len() >= PARALLEL;
        let width = self.dim.max(1);
        match large {
            true => numbers
                .par_chunks_exact_mut(width)
                .enumerate()
                .for_each(|(row, entries)| fill(row, entries)),
            false => numbers
                .chunks_exact_mut(width)
                .enumerate()
                .for_each(|(row, entries)| fill(row, entries)),
        }
    }
}

/// Signs that are drawn by one thread, a multiple of 64.
const PIECE: usize = 1 << 15;

/// 1.0 with this bit as its sign.
fn sign_f32(bit: u64) -> f32 {
    f32::from_bits(0x3f80_0000 | (bit as u32) << 31)
}

fn sign_f64(bit: u64) -> f64 {
    f64::from_bits(0x3ff0_0000_0000_0000 | bit << 63)
}

fn normal_f32(x: f64) -> f32 {
    x as f32
}

fn normal_f64(x: f64) -> f64 {
    x
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

fn normals<T>(row: &mut [T], rng: &mut ChaCha8Rng, narrow: impl Fn(f64) -> T) {
    for entry in row {
        *entry = narrow(StandardNormal.sample(rng));
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
    fn long_signs_in_pieces_are_those_of_one_generator() {
        let dim = 3 * PIECE + 77;
        let probes = probes(Probe::Rademacher, true, dim);
        let mut row = Vec::new();
        let memory = Some(Numbers::F32(vec![3.0; 2 * dim]));
        probes.block_in(memory, 4, 1).read_row(0, &mut row);
        let mut expected = vec![0.0; dim];
        signs(&mut expected, &mut probes.seed.index(4).rng(), sign_f64);
        assert_eq!(row, expected);
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
