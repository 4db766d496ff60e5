use super::*;
use crate::dense::DenseSymmetric;
use crate::operators::Diagonal;
use crate::seed::Seed;
use crate::solve::{CgOptions, conjugate_gradient};
use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Device;
use burn::tensor::DType;
use faer::Mat;
use std::ops::ControlFlow;

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn random(n: usize, seed: u64) -> Vec<f64> {
    standard_normal(n, &mut Seed::new(seed).stream("g").rng())
}

fn tight() -> SteihaugOptions<'static> {
    SteihaugOptions {
        relative_tolerance: 1e-12,
        max_iterations: Some(20),
        ..SteihaugOptions::default()
    }
}

/// −gᵀs − ½ sᵀHs.
fn decrease(matrix: &DenseSymmetric, g: &[f64], s: &[f64]) -> f64 {
    let column = Mat::from_fn(s.len(), 1, |i, _| s[i]);
    let product = matrix.matrix() * &column;
    -dot_f64(g, s) - 0.5 * (0..s.len()).map(|i| s[i] * product[(i, 0)]).sum::<f64>()
}

/// The decrease at the minimiser along −g within the region.
fn cauchy_decrease(matrix: &DenseSymmetric, g: &[f64], radius: f64) -> f64 {
    let size = norm(g);
    let unit: Vec<f64> = g.iter().map(|g| -g / size).collect();
    let curvature = -2.0 * (decrease(matrix, g, &unit) - size);
    let length = match curvature > 0.0 {
        true => radius.min(size / curvature),
        false => radius,
    };
    let step: Vec<f64> = unit.iter().map(|u| length * u).collect();
    decrease(matrix, g, &step)
}

#[test]
fn an_interior_step_is_the_newton_step() {
    for seed in 0..4 {
        let matrix = with_spectrum(&[1.0, 2.0, 3.0, 5.0, 8.0, 13.0], seed);
        let (a, g) = (operator(&matrix), random(6, seed));
        let counted = Counted::new(&a);
        let found = steihaug(&counted, &tensor(&g), 100.0, &tight()).unwrap();
        assert_eq!(found.ending, TrustRegionEnding::Interior);
        assert_eq!(found.applications, counted.applications());
        let exact = matrix
            .eigen()
            .unwrap()
            .trust_region_step(&g, 100.0)
            .unwrap();
        assert_eq!(exact.multiplier, 0.0);
        let step = to_f64(&found.step);
        assert!(
            step.iter()
                .zip(&exact.step)
                .all(|(a, b)| (a - b).abs() < 1e-10)
        );
        assert!((found.norm - norm(&step)).abs() < 1e-12);
        assert!((found.predicted_decrease - decrease(&matrix, &g, &step)).abs() < 1e-11);
        let minus: Vec<f64> = g.iter().map(|g| -g).collect();
        let options = CgOptions {
            relative_tolerance: 1e-12,
            ..Default::default()
        };
        let cg = conjugate_gradient(&a, &tensor(&minus), &options).unwrap();
        assert_eq!(cg.iterations, found.iterations);
    }
}

#[test]
fn on_the_boundary_between_cauchy_and_the_best() {
    let mut endings = [0; 2];
    for seed in 0..10 {
        for values in [
            [1.0, 2.0, 3.0, 5.0, 8.0, 13.0],
            [-1.0, 2.0, 3.0, 5.0, 8.0, 13.0],
            [-5.0, -2.0, -3.0, -5.0, 0.0, -1.0],
        ] {
            let matrix = with_spectrum(&values, seed);
            let (a, g) = (operator(&matrix), random(6, seed));
            let eigen = matrix.eigen().unwrap();
            for radius in [1e-3, 0.05, 0.3] {
                let found = steihaug(&a, &tensor(&g), radius, &tight()).unwrap();
                let step = to_f64(&found.step);
                match found.ending {
                    TrustRegionEnding::Boundary => endings[0] += 1,
                    TrustRegionEnding::NegativeCurvature { rayleigh } => {
                        assert!(rayleigh <= 0.0);
                        endings[1] += 1;
                    }
                    other => panic!("{other:?}"),
                }
                assert!(
                    (norm(&step) - radius).abs() < 1e-12 * radius
                        && (found.norm - radius).abs() < 1e-12 * radius
                );
                let measured = decrease(&matrix, &g, &step);
                assert!((found.predicted_decrease - measured).abs() < 1e-11 * measured);
                let best = decrease(
                    &matrix,
                    &g,
                    &eigen.trust_region_step(&g, radius).unwrap().step,
                );
                let cauchy = cauchy_decrease(&matrix, &g, radius);
                assert!(measured <= best * (1.0 + 1e-12) && measured >= cauchy * (1.0 - 1e-12));
                // half of the best for a convex model (Yuan 2000)
                if values[0] > 0.0 {
                    assert!(measured >= 0.5 * best);
                }
            }
        }
    }
    assert!(endings[0] > 20 && endings[1] > 20, "{endings:?}");
}

#[test]
fn a_preconditioner_measures_the_region() {
    for seed in 0..5 {
        let matrix = with_spectrum(&[1.0, 20.0, 300.0, 5.0, 80.0, 13.0], seed);
        let (a, g) = (operator(&matrix), random(6, seed));
        let metric: Vec<f64> = (1..=6).map(f64::from).collect();
        let inverse = Diagonal::new(tensor(&metric)).inverse().unwrap();
        let options = SteihaugOptions {
            preconditioner: Some(&inverse),
            ..tight()
        };
        let in_metric = |s: &[f64]| {
            s.iter()
                .zip(&metric)
                .map(|(s, m)| m * s * s)
                .sum::<f64>()
                .sqrt()
        };
        for radius in [1e-3, 0.1, 1e3] {
            let found = steihaug(&a, &tensor(&g), radius, &options).unwrap();
            let step = to_f64(&found.step);
            assert!((in_metric(&step) - found.norm).abs() < 1e-10 * found.norm);
            match radius > 1.0 {
                true => assert_eq!(found.ending, TrustRegionEnding::Interior),
                false => assert!((found.norm - radius).abs() < 1e-12 * radius),
            }
            assert!((found.predicted_decrease - decrease(&matrix, &g, &step)).abs() < 1e-11);
        }
    }
    let a = diagonal(&[1.0, 1.0]);
    let negative = Diagonal::new(tensor(&[-1.0, -1.0]));
    let options = SteihaugOptions {
        preconditioner: Some(&negative),
        ..tight()
    };
    let found = steihaug(&a, &tensor(&[1.0, 1.0]), 1.0, &options).unwrap();
    assert!(matches!(
        found.ending,
        TrustRegionEnding::IndefinitePreconditioner { .. }
    ));
}

#[test]
fn in_f32() {
    let matrix = with_spectrum(&[-1.0, 2.0, 3.0, 5.0, 8.0, 13.0], 1);
    let a = matrix.operator(&Device::flex(), DType::F32);
    let g = random(6, 1);
    let found = steihaug(
        &a,
        &from_f64(&g, &Device::flex(), DType::F32),
        0.5,
        &tight(),
    )
    .unwrap();
    let step = to_f64(&found.step);
    assert!((norm(&step) - 0.5).abs() < 1e-6);
    assert!((found.predicted_decrease - decrease(&matrix, &g, &step)).abs() < 1e-5);
}

#[test]
fn misuse_and_edges() {
    let a = diagonal(&[1.0, 2.0]);
    for radius in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(steihaug(&a, &tensor(&[1.0, 1.0]), radius, &tight()).is_err());
    }
    assert!(steihaug(&a, &tensor(&[1.0]), 1.0, &tight()).is_err());
    let still = steihaug(&a, &tensor(&[0.0, 0.0]), 1.0, &tight()).unwrap();
    assert_eq!(
        (still.ending, still.norm, still.applications),
        (TrustRegionEnding::Interior, 0.0, 0)
    );
    let nan = steihaug(
        &diagonal(&[f64::NAN, 1.0]),
        &tensor(&[1.0, 1.0]),
        1.0,
        &tight(),
    )
    .unwrap();
    assert_eq!(nan.ending, TrustRegionEnding::NonFinite);
    // no curvature at all: the step of steepest descent
    let flat = steihaug(&diagonal(&[0.0, 0.0]), &tensor(&[3.0, 4.0]), 10.0, &tight()).unwrap();
    assert_eq!(
        flat.ending,
        TrustRegionEnding::NegativeCurvature { rayleigh: 0.0 }
    );
    assert!((flat.predicted_decrease - 50.0).abs() < 1e-12);
    let spent = SteihaugOptions {
        max_iterations: Some(1),
        ..tight()
    };
    let found = steihaug(&a, &tensor(&[1.0, 1.0]), 10.0, &spent).unwrap();
    assert_eq!(
        (found.ending, found.iterations),
        (TrustRegionEnding::MaxIterations, 1)
    );
    let mut stop = |_: &Progress| ControlFlow::Break(());
    let found = steihaug_observed(&a, &tensor(&[1.0, 1.0]), 10.0, &tight(), &mut stop).unwrap();
    assert_eq!(
        (found.ending, found.iterations),
        (TrustRegionEnding::Stopped, 1)
    );
}
