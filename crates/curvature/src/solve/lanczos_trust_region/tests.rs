use super::*;
use crate::seed::Seed;
use crate::solve::{SteihaugOptions, steihaug};
use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Device;
use burn::tensor::DType;
use std::ops::ControlFlow;

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn random(n: usize, seed: u64) -> Vec<f64> {
    standard_normal(n, &mut Seed::new(seed).stream("g").rng())
}

fn tight() -> LanczosTrustRegionOptions {
    LanczosTrustRegionOptions {
        relative_tolerance: 1e-11,
        ..LanczosTrustRegionOptions::default()
    }
}

#[test]
fn finds_the_global_minimiser() {
    let definite: Vec<f64> = (1..=30).map(f64::from).collect();
    let mut indefinite = definite.clone();
    indefinite[..3].copy_from_slice(&[-4.0, -1.0, 0.0]);
    for seed in 0..4 {
        for values in [&definite, &indefinite] {
            let matrix = with_spectrum(values, seed);
            let (a, g) = (operator(&matrix), random(30, seed));
            let counted = Counted::new(&a);
            let eigen = matrix.eigen().unwrap();
            for radius in [1e-3, 0.1, 1.0, 50.0] {
                let before = counted.applications();
                let found = lanczos_trust_region(&counted, &tensor(&g), radius, &tight()).unwrap();
                assert_eq!(found.applications, counted.applications() - before);
                let exact = eigen.trust_region_step(&g, radius).unwrap();
                let difference: Vec<f64> = to_f64(&found.step)
                    .iter()
                    .zip(&exact.step)
                    .map(|(a, b)| a - b)
                    .collect();
                assert!(norm(&difference) < 1e-8 * norm(&exact.step), "{radius}");
                assert!(
                    (found.multiplier.unwrap() - exact.multiplier).abs()
                        < 1e-8 * (1.0 + exact.multiplier)
                );
                match exact.multiplier > 0.0 {
                    true => assert_eq!(found.ending, TrustRegionEnding::Boundary),
                    false => assert_eq!(found.ending, TrustRegionEnding::Interior),
                }
                let steihaug =
                    steihaug(&a, &tensor(&g), radius, &SteihaugOptions::default()).unwrap();
                assert!(found.predicted_decrease >= steihaug.predicted_decrease * (1.0 - 1e-10));
            }
        }
    }
}

#[test]
fn early_iterations_already_beat_the_path() {
    let values: Vec<f64> = (0..60)
        .map(|i| 10.0_f64.powf(f64::from(i) / 12.0))
        .collect();
    let a = operator(&with_spectrum(&values, 1));
    let g = tensor(&random(60, 1));
    let path = steihaug(&a, &g, 0.5, &SteihaugOptions::default()).unwrap();
    let options = LanczosTrustRegionOptions {
        max_iterations: path.iterations,
        ..tight()
    };
    let found = lanczos_trust_region(&a, &g, 0.5, &options).unwrap();
    assert_eq!(found.applications, path.applications);
    assert!(found.predicted_decrease >= path.predicted_decrease);
}

#[test]
fn in_f32() {
    let values: Vec<f64> = (-3..27).map(f64::from).collect();
    let matrix = with_spectrum(&values, 1);
    let a = matrix.operator(&Device::flex(), DType::F32);
    let g = random(30, 1);
    let found = lanczos_trust_region(
        &a,
        &from_f64(&g, &Device::flex(), DType::F32),
        1.0,
        &Default::default(),
    )
    .unwrap();
    assert_eq!(found.ending, TrustRegionEnding::Boundary);
    let exact = matrix.eigen().unwrap().trust_region_step(&g, 1.0).unwrap();
    assert!((found.multiplier.unwrap() - exact.multiplier).abs() < 1e-4);
}

#[test]
fn misuse_and_edges() {
    let a = diagonal(&[1.0, 2.0]);
    assert!(lanczos_trust_region(&a, &tensor(&[1.0, 1.0]), 0.0, &tight()).is_err());
    assert!(lanczos_trust_region(&a, &tensor(&[1.0]), 1.0, &tight()).is_err());
    let still = lanczos_trust_region(&a, &tensor(&[0.0, 0.0]), 1.0, &tight()).unwrap();
    assert_eq!(
        (still.ending, still.norm),
        (TrustRegionEnding::Interior, 0.0)
    );
    let nan = lanczos_trust_region(
        &diagonal(&[f64::NAN, 1.0]),
        &tensor(&[1.0, 1.0]),
        1.0,
        &tight(),
    )
    .unwrap();
    assert_eq!(nan.ending, TrustRegionEnding::NonFinite);
    let one = lanczos_trust_region(&diagonal(&[-1.0]), &tensor(&[3.0]), 2.0, &tight()).unwrap();
    assert!((to_f64(&one.step)[0] + 2.0).abs() < 1e-14);
    // an eigenvector as gradient: the space is exhausted at once
    let early = lanczos_trust_region(
        &diagonal(&[2.0, 5.0, 7.0]),
        &tensor(&[4.0, 0.0, 0.0]),
        9.0,
        &tight(),
    )
    .unwrap();
    assert_eq!(
        (early.ending, early.iterations, to_f64(&early.step)[0]),
        (TrustRegionEnding::Interior, 1, -2.0)
    );
    let mut stop = |_: &Progress| ControlFlow::Break(());
    let values: Vec<f64> = (1..=20).map(f64::from).collect();
    let a = operator(&with_spectrum(&values, 1));
    let found =
        lanczos_trust_region_observed(&a, &tensor(&random(20, 1)), 1.0, &tight(), &mut stop)
            .unwrap();
    assert_eq!(
        (found.ending, found.iterations),
        (TrustRegionEnding::Stopped, 1)
    );
}
