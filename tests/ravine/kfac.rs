//! Kronecker factors and the exact Gauss-Newton diagonal over the conformance set: every layer of Burn in its surroundings.

use crate::conformance::{PointOptions, entries};
use crate::support::{devices, direction, relative};
use ravine_curvature::{
    CurvatureError, EkFac, Execution, KfacFactors, KfacOptions, LinearOperator, Others, Point,
    dense, vector,
};

/// Losses that have no factors: not convex in the outputs, or no sum over examples.
fn has_factors(error: &CurvatureError) -> bool {
    !matches!(
        error,
        CurvatureError::LossNotConvex { .. } | CurvatureError::ExamplesCoupled { .. }
    )
}

#[test]
fn the_diagonal_of_the_gauss_newton_matrix_is_that_of_the_dense_matrix() {
    let (mut checked, mut without) = (0, Vec::new());
    for entry in entries() {
        let Ok(point) = entry.point(PointOptions::default()) else {
            continue;
        };
        match point.gauss_newton_diagonal() {
            Ok(diagonal) => {
                let expected = dense(&point.gauss_newton().unwrap()).unwrap().diagonal();
                let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                let found = vector::to_f64(&diagonal);
                for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = (found - expected).abs();
                    assert!(
                        error <= 1e-10 * largest,
                        "{entry:?} {place}: {found} {expected}"
                    );
                }
                checked += 1;
            }
            Err(error) if !has_factors(&error) => without.push(entry.name.clone()),
            Err(error) => panic!("{entry:?}: {error}"),
        }
    }
    println!("{checked} entries; without factors: {without:?}");
    assert!(checked > 150, "{checked}");
}

/// The trace of EK-FAC over the layers is that of the Gauss-Newton matrix.
#[test]
fn traces_of_eigenvalue_corrected_factors_are_exact() {
    let options = KfacOptions {
        others: Others::Zero,
        ..KfacOptions::default()
    };
    let (mut layers, mut parameters, mut inside) = (0, 0, 0);
    for entry in entries() {
        let Ok(point) = entry.point(PointOptions::default()) else {
            continue;
        };
        let ekfac = match EkFac::at(&point, &options) {
            Ok(ekfac) => ekfac,
            // batch norm in training mode
            Err(CurvatureError::ExamplesMixed { .. }) => continue,
            Err(error) if !has_factors(&error) => continue,
            Err(error) => panic!("{entry:?}: {error}"),
        };
        let factors = KfacFactors::at(&point, &options).unwrap();
        layers += factors.layers().count();
        parameters += point.dim();
        inside += of_layers(&point, &factors);
        let expected = trace_of_layers(&point, &factors);
        let error = (ekfac.trace() - expected).abs();
        assert!(
            error <= 1e-10 * expected.abs(),
            "{entry:?}: {} {expected}",
            ekfac.trace()
        );
        if factors
            .other_parameters()
            .iter()
            .any(|name| name.ends_with("weight"))
        {
            println!("{}: {:?}", entry.name, factors.other_parameters());
        }
    }
    println!("{layers} layers with {inside} of {parameters} parameters");
    assert!(layers > 200, "{layers}");
}

fn of_layers(point: &Point, factors: &KfacFactors) -> usize {
    let others = factors.other_parameters();
    let entries = point.layout().entries().iter();
    entries
        .filter(|entry| !others.contains(&entry.name.as_str()))
        .map(|entry| entry.range.len())
        .sum()
}

fn trace_of_layers(point: &Point, factors: &KfacFactors) -> f64 {
    let diagonal = dense(&point.gauss_newton().unwrap()).unwrap().diagonal();
    let others = factors.other_parameters();
    let entries = point.layout().entries().iter();
    let inside = entries.filter(|entry| !others.contains(&entry.name.as_str()));
    inside
        .map(|entry| diagonal[entry.range.clone()].iter().sum::<f64>())
        .sum()
}

#[test]
fn devices_and_executions_agree() {
    let [flex, ndarray] = devices();
    let ways = [
        (flex.clone(), Execution::Native),
        (flex, Execution::Device),
        (ndarray, Execution::Device),
    ];
    let mut checked = 0;
    for entry in entries() {
        let families = ["linear", "convolution", "attention", "recurrent"];
        if !families
            .iter()
            .any(|family| entry.family.to_string().to_lowercase().contains(family))
        {
            continue;
        }
        let products = ways.clone().map(|(device, execution)| {
            let point = entry.point(PointOptions {
                device,
                execution: Some(execution),
                ..PointOptions::default()
            });
            let point = point.ok()?;
            let kfac = point.kfac(&KfacOptions::default()).ok()?;
            let product = kfac.apply(&direction(&point, 0.4)).unwrap();
            Some(vector::to_f64(&product))
        });
        let [Some(first), Some(second), Some(third)] = products else {
            continue;
        };
        let flat = |values: &[f64]| {
            vector::from_f64(
                values,
                &burn::prelude::Device::flex(),
                burn::tensor::DType::F64,
            )
        };
        for other in [second, third] {
            let error = relative(&flat(&other), &flat(&first));
            assert!(error < 1e-10, "{entry:?}: {error:e}");
        }
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}
