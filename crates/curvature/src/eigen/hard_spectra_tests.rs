//! Lanczos iterations on spectra that are known and hard.

use super::*;
use crate::Seed;
use crate::dense::dense;
use crate::test_operators::{operator, spiked, with_spectrum};
use crate::vector::dot;
use burn::prelude::Device;
use burn::tensor::DType;

fn tight(pairs: usize, which: Which) -> LanczosOptions {
    LanczosOptions {
        pairs,
        which,
        tolerance: 1e-12,
        max_iterations: 3000,
        multiplicity: Multiplicity::Searched,
        ..Default::default()
    }
}

/// What f32 allows: vectors and products are rounded to 6e-8.
fn coarse(pairs: usize, which: Which) -> LanczosOptions {
    LanczosOptions {
        tolerance: 1e-5,
        ..tight(pairs, which)
    }
}

/// Values as wanted, an eigenvalue within the residual of each, vectors orthonormal.
#[track_caller]
fn assert_pairs(found: &TopEigenpairs, spectrum: &[f64], expected: &[f64], near: f64) {
    println!("{:?}, {} products", found.ending, found.applications);
    let values = found.ritz_values();
    assert_eq!(values.len(), expected.len(), "{:?}", found.ending);
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() <= near, "{values:?} {expected}");
    }
    let scale = spectrum.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    // the matrix itself is rounded
    let (rounding, root) = match found.pairs[0].vector.dtype() {
        DType::F64 => (1e-14, 1e-7),
        _ => (1e-6, 1e-3),
    };
    for (i, pair) in found.pairs.iter().enumerate() {
        let distances = spectrum.iter().map(|x| (x - pair.value).abs());
        let nearest = distances.fold(f64::INFINITY, f64::min);
        assert!(
            nearest <= pair.residual + rounding * scale,
            "{nearest:e} {:e}",
            pair.residual
        );
        for (j, other) in found.pairs.iter().enumerate() {
            let overlap = dot(&pair.vector, &other.vector) - f64::from(u8::from(i == j));
            assert!(overlap.abs() < root, "{i} {j} {overlap:e}");
        }
    }
}

/// Five eigenvalues that differ by a relative gap, above a bulk.
fn clustered(gap: f64) -> Vec<f64> {
    let mut values: Vec<f64> = (0..5).map(|i| 2.0 * (1.0 - gap * f64::from(i))).collect();
    values.push(1.5);
    values.extend((0..150).map(|i| f64::from(i) / 150.0));
    values
}

#[test]
fn clusters_of_near_eigenvalues() {
    for gap in [1e-6, 1e-9] {
        let values = clustered(gap);
        let matrix = with_spectrum(&values, 71);
        for reorthogonalisation in [Reorthogonalisation::Full, Reorthogonalisation::Selective] {
            for vectors in [None, Some(20), Some(156)] {
                let options = LanczosOptions {
                    reorthogonalisation,
                    vectors,
                    // of a pair within the cluster the residual cannot be told from the gap
                    tolerance: 1e-2 * gap,
                    ..tight(6, Which::LargestAlgebraic)
                };
                let found = lanczos_top_k(&operator(&matrix), &options, Seed::new(1)).unwrap();
                println!("{gap:e} {reorthogonalisation:?} {vectors:?}");
                assert_pairs(&found, &values, &values[..6], 0.1 * gap);
            }
        }
        let single = matrix.operator(&Device::flex(), DType::F32);
        let options = coarse(6, Which::LargestAlgebraic);
        let found = lanczos_top_k(&single, &options, Seed::new(1)).unwrap();
        assert_pairs(&found, &values, &values[..6], 2e-5);
    }
}

#[test]
fn multiple_eigenvalues_at_both_ends() {
    let mut values: Vec<f64> = (0..120).map(|i| f64::from(i) / 60.0 - 1.0).collect();
    values.extend([4.0, 4.0, 4.0, -5.0, -5.0, -3.0]);
    let matrix = with_spectrum(&values, 72);
    let single = matrix.operator(&Device::flex(), DType::F32);
    let cases = [
        (Which::BothEnds, [4.0, -5.0, 4.0, -5.0, 4.0, -3.0]),
        (Which::LargestMagnitude, [-5.0, -5.0, 4.0, 4.0, 4.0, -3.0]),
    ];
    for (which, expected) in cases {
        for vectors in [None, Some(12)] {
            for seed in 0..3 {
                let options = |options| LanczosOptions { vectors, ..options };
                let double = options(tight(6, which));
                let found = lanczos_top_k(&operator(&matrix), &double, Seed::new(seed)).unwrap();
                assert_pairs(&found, &values, &expected, 1e-10);
                let coarse = options(coarse(6, which));
                let found = lanczos_top_k(&single, &coarse, Seed::new(seed)).unwrap();
                assert_pairs(&found, &values, &expected, 1e-4);
            }
        }
    }
}

#[test]
fn pairs_of_opposite_signs_and_equal_size() {
    let mut values: Vec<f64> = (0..100).map(|i| f64::from(i) / 50.0 - 1.0).collect();
    values.extend([3.0, -3.0, 2.5, -2.5]);
    let op = operator(&with_spectrum(&values, 73));
    let options = tight(4, Which::LargestMagnitude);
    let found = lanczos_top_k(&op, &options, Seed::new(2)).unwrap();
    let sizes: Vec<f64> = found.pairs.iter().map(|pair| pair.value.abs()).collect();
    for (size, expected) in sizes.iter().zip([3.0, 3.0, 2.5, 2.5]) {
        assert!((size - expected).abs() < 1e-10, "{sizes:?}");
    }
    let sum: f64 = found.ritz_values().iter().sum();
    assert!(sum.abs() < 1e-10, "each with its opposite");
}

#[test]
fn one_outlier_and_the_edges_of_a_semicircle() {
    let (n, spike) = (400, 4.0);
    let matrix = spiked(n, spike, 74);
    let values = matrix.eigenvalues().unwrap();
    let top: Vec<f64> = values.iter().rev().take(4).copied().collect();
    // the law: θ + 1/θ with fluctuations of √(2 (1 − 1/θ²)/n), and the edge 2 to a few n^(−2/3)
    assert!((top[0] - spike - 1.0 / spike).abs() < 4.0 * (2.0 / n as f64).sqrt());
    assert!((top[1] - 2.0).abs() < 4.0 * (n as f64).powf(-2.0 / 3.0));
    let both = [top[0], values[0], top[1], values[1]];
    let single = matrix.operator(&Device::flex(), DType::F32);
    for (which, expected) in [
        (Which::LargestAlgebraic, top.as_slice()),
        (Which::BothEnds, &both),
    ] {
        let options = tight(4, which);
        let found = lanczos_top_k(&operator(&matrix), &options, Seed::new(3)).unwrap();
        assert_pairs(&found, &values, expected, 1e-10);
        let found = lanczos_top_k(&single, &coarse(4, which), Seed::new(3)).unwrap();
        assert_pairs(&found, &values, expected, 1e-4);
    }
}

#[test]
fn both_ends_of_a_condition_number_of_1e12() {
    let values: Vec<f64> = (0..100)
        .map(|i| 10_f64.powf(-12.0 * f64::from(i) / 99.0))
        .collect();
    let smallest: Vec<f64> = values.iter().rev().take(3).copied().collect();
    let matrix = with_spectrum(&values, 75);
    let single = matrix.operator(&Device::flex(), DType::F32);
    for (which, expected) in [
        (Which::LargestAlgebraic, &values[..3]),
        (Which::SmallestAlgebraic, &smallest),
    ] {
        // the lower end lies too close together for a restarted iteration
        let options = LanczosOptions {
            vectors: Some(100),
            tolerance: 1e-15,
            ..tight(3, which)
        };
        let found = lanczos_top_k(&operator(&matrix), &options, Seed::new(4)).unwrap();
        // to the rounding of the matrix, not of the eigenvalue
        assert_pairs(&found, &values, expected, 3e-15);
        for vectors in [Some(39), None] {
            let options = LanczosOptions {
                vectors,
                ..coarse(3, which)
            };
            let found = lanczos_top_k(&single, &options, Seed::new(4)).unwrap();
            assert_pairs(&found, &values, expected, 1e-5);
        }
    }
    // what it has with restarts is no eigenvalue to twelve digits, and it says so
    let options = LanczosOptions {
        vectors: Some(39),
        max_iterations: 300,
        ..tight(3, Which::SmallestAlgebraic)
    };
    let found = lanczos_top_k(&operator(&matrix), &options, Seed::new(4)).unwrap();
    assert_eq!(found.ending, LanczosEnding::MaxIterations);
    assert_pairs(&found, &values, &smallest, 1e-4);
    assert!(found.pairs.iter().all(|pair| pair.residual > 1e-12));
    // the rounded matrix has its own spectrum
    let rounded = dense(&single).unwrap().eigenvalues().unwrap();
    assert!((rounded[99] - 1.0).abs() < 1e-6);
}
