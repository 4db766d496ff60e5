//! Layers, losses and tensor functions in f64 and f32: gradients and products with the Hessian and the Gauss-Newton matrix against
//! central differences, and all ways to compute them against each other. [`entries`] is the table; other checks of points and operators
//! can run over it.

mod activation;
mod attention;
mod convolution;
mod double_backward;
mod encoding;
mod entry;
mod executions;
mod figures;
mod gauss_newton;
mod linear;
mod loss;
mod measure;
mod normalisation;
mod own_gradient;
mod page;
mod pooling;
mod random;
mod recurrent;
mod shape;
mod subject;
mod surround;
mod tensor_operation;

use crate::support::{devices, direction, relative};
use burn::prelude::Device;
use entry::Expectation;
pub(crate) use entry::{Entry, Family, PointOptions};
use figures::{Figures, Outcome};
use ravine_curvature::{CurvatureError, LinearOperator, vector};
use std::sync::OnceLock;

/// The conformance set.
pub(crate) fn entries() -> Vec<Entry> {
    Family::ALL.into_iter().flat_map(entries_of).collect()
}

fn entries_of(family: Family) -> Vec<Entry> {
    match family {
        Family::Linear => linear::entries(),
        Family::Convolution => convolution::entries(),
        Family::Normalisation => normalisation::entries(),
        Family::Activation => activation::entries(),
        Family::Recurrent => recurrent::entries(),
        Family::Attention => attention::entries(),
        Family::Pooling => pooling::entries(),
        Family::Shape => shape::entries(),
        Family::Encoding => encoding::entries(),
        Family::Random => random::entries(),
        Family::Loss => loss::entries(),
        Family::TensorOperation => tensor_operation::entries(),
    }
}

/// How the entries of a family ended, measured once for the tests and the page.
fn outcomes(family: Family) -> &'static [Outcome] {
    static ALL: [OnceLock<Vec<Outcome>>; Family::ALL.len()] =
        [const { OnceLock::new() }; Family::ALL.len()];
    ALL[family as usize].get_or_init(|| entries_of(family).iter().map(Outcome::of).collect())
}

fn check(family: Family) {
    let all = outcomes(family);
    let worst = all
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok())
        .fold(Figures::default(), Figures::worst);
    println!("{} {family}:{worst}", all.len());
    let complaints: Vec<String> = all
        .iter()
        .filter(|outcome| !outcome.complaints.is_empty())
        .map(|outcome| format!("{}: {}", outcome.name, outcome.complaints.join("; ")))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn linear_layers() {
    check(Family::Linear);
}

#[test]
fn convolutions() {
    check(Family::Convolution);
}

#[test]
fn normalisations() {
    check(Family::Normalisation);
}

#[test]
fn activations() {
    check(Family::Activation);
}

#[test]
fn recurrent_layers() {
    check(Family::Recurrent);
}

#[test]
fn attention_and_transformers() {
    check(Family::Attention);
}

#[test]
fn poolings() {
    check(Family::Pooling);
}

#[test]
fn layers_that_resize_or_rearrange() {
    check(Family::Shape);
}

#[test]
fn encodings_and_distances() {
    check(Family::Encoding);
}

#[test]
fn random_layers_with_their_masks_fixed() {
    check(Family::Random);
}

#[test]
fn losses() {
    check(Family::Loss);
}

#[test]
fn tensor_operations() {
    check(Family::TensorOperation);
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = entries().into_iter().map(|entry| entry.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Gradient and products with Hessian and Gauss-Newton matrix in f64 on a device.
fn on(entry: &Entry, device: Device) -> Result<[Vec<f64>; 3], CurvatureError> {
    let point = entry.point(PointOptions {
        device,
        ..PointOptions::default()
    })?;
    let v = direction(&point, 1.9);
    let (hv, gv) = (point.hessian().apply(&v)?, point.gauss_newton()?.apply(&v)?);
    Ok([point.gradient()?, hv, gv].map(|x| vector::to_f64(&x)))
}

/// Entries that `Device::ndarray()` computes less exactly, and why.
const INEXACT_ON_NDARRAY: [(&str, &str); 2] = [
    (
        "PairwiseDistance, p = 3",
        "it rounds the exponents of powers to f32, here one third",
    ),
    (
        "powers with whole and broken exponents",
        "it rounds the exponents of powers to f32, here 1.7",
    ),
];

#[test]
fn devices_agree() {
    let [flex, ndarray] = devices();
    for entry in entries() {
        if matches!(entry.expectation, Expectation::Refused(_)) {
            continue;
        }
        let inexact = INEXACT_ON_NDARRAY
            .iter()
            .any(|(name, _)| *name == entry.name);
        let tolerance = if inexact { 1e-7 } else { 1e-10 };
        let [expected, found] = [&flex, &ndarray].map(|device| on(&entry, device.clone()));
        let (expected, found) = match (expected, found) {
            (Ok(expected), Ok(found)) => (expected, found),
            (expected, found) => panic!("{entry:?}: {expected:?} {found:?}"),
        };
        for (expected, found) in expected.iter().zip(&found) {
            let [expected, found] = [expected, found]
                .map(|values| vector::from_f64(values, &flex, burn::tensor::DType::F64));
            let error = relative(&found, &expected);
            assert!(error < tolerance, "{entry:?}: {error:e}");
        }
    }
}
