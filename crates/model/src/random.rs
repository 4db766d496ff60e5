//! Named streams of random numbers: every random choice of the crate is a function of a seed and of what it is for.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The generator for the choice `name` under `seed`.
///
/// Two names under one seed are two streams of one ChaCha key. They do not overlap, so that a new choice added somewhere
/// never changes the values of the others.
pub(crate) fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(fnv1a(name));
    rng
}

/// `count` independent draws from N(0, 1).
pub(crate) fn normals(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.sample(StandardNormal)).collect()
}

/// `count` independent draws from U(−1, 1).
pub(crate) fn uniforms(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// `count` independent signs, ±1 with equal probability.
pub(crate) fn signs(rng: &mut ChaCha8Rng, count: usize) -> Vec<f64> {
    (0..count)
        .map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 })
        .collect()
}

/// FNV-1a, 64 bits: a fixed function, where `std`'s hasher may change with the release of Rust.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_differs_by_seed_and_by_name() {
        let draw = |seed, name| normals(&mut stream(seed, name), 4);
        assert_eq!(draw(1, "basis"), draw(1, "basis"));
        assert_ne!(draw(1, "basis"), draw(2, "basis"));
        assert_ne!(draw(1, "basis"), draw(1, "start"));
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let count = 40_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>() / count as f64;
        let mut rng = stream(3, "moments");
        let (normal, uniform) = (normals(&mut rng, count), uniforms(&mut rng, count));
        let sign = signs(&mut rng, count);
        // Five standard errors of each mean.
        let bound = 5.0 / (count as f64).sqrt();
        for values in [&normal, &uniform, &sign] {
            assert!(mean(values).abs() < bound);
        }
        assert!((square(&normal) - 1.0).abs() < bound * 2f64.sqrt());
        assert!((square(&uniform) - 1.0 / 3.0).abs() < bound);
        assert_eq!(square(&sign), 1.0);
    }
}
