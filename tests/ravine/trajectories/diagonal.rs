//! Methods that scale or rotate coordinates, with the probes and labels of the fixture.

use ravine_curvature::Likelihood;
use ravine_optim::*;

use super::{fixture, follow, numbers, tensor_of};

/// A list that the fixture gives to a method, each entry as numbers.
fn given(name: &str, key: &str) -> Vec<Vec<f64>> {
    let lists = fixture()["trajectories"][name][key].as_array().unwrap();
    lists.iter().map(numbers).collect()
}

fn probes(name: &str) -> HutchinsonProbes {
    let vectors = given(name, "probes");
    let tensors = vectors.iter().map(|v| tensor_of([v.len()], v));
    HutchinsonProbes::Given(tensors.collect())
}

#[test]
fn ada_hessian_against_torch_optimizer() {
    let name = "ada-hessian";
    let direction = AdaHessian::new()
        .betas(0.9, 0.99)
        .epsilon(1e-3)
        .weight_decay(0.05)
        .hessian_power(0.7)
        .probes(probes(name));
    follow(name, Descent::new(direction, 0.1));
}

#[test]
fn ada_hessian_with_signed_blocks_against_the_paper() {
    let name = "ada-hessian/signed-blocks";
    let direction = AdaHessian::new()
        .betas(0.9, 0.99)
        .epsilon(0.1)
        .every(2)
        .samples(2)
        .averaging(SpatialAveraging::Blocks { size: 3 })
        .averaged(Averaged::Signed)
        .probes(probes(name));
    follow(name, Descent::new(direction, 0.1));
}

#[test]
fn sophia_h_against_pytorch_optimizer() {
    let name = "sophia-h";
    let direction = SophiaH::new()
        .betas(0.9, 0.95)
        .gamma(0.2)
        .epsilon(0.2 * 1e-3)
        .weight_decay(0.25)
        .every(3)
        .probes(probes(name));
    // The decay is multiplied by the rate, which is that of the package times its p.
    follow(name, Descent::new(direction, 0.5 * 0.2));
}

#[test]
fn sophia_g_against_the_paper() {
    let name = "sophia-g";
    let direction = SophiaG::new(Likelihood::Categorical)
        .betas(0.9, 0.95)
        .gamma(0.5)
        .epsilon(1e-3)
        .weight_decay(0.02)
        .every(2)
        .labels(SampledLabels::Given(given(name, "labels")));
    follow(name, Descent::new(direction, 0.1));
}

#[test]
fn shampoo_against_pytorch_optimizer() {
    let direction = Shampoo::new().epsilon(1e-3);
    follow("shampoo", Descent::new(direction, 0.2));
}

#[test]
fn averaging_shampoo_against_the_papers() {
    let direction = Shampoo::new()
        .epsilon(1e-3)
        .every(3)
        .statistics(Statistics::Average { beta: 0.9 })
        .grafting(Grafting::Gradient)
        .momentum(0.8)
        .weight_decay(0.01);
    follow("shampoo/average", Descent::new(direction, 0.3));
}

#[test]
fn soap_against_pytorch_optimizer() {
    let direction = Soap::new()
        .betas(0.9, 0.95)
        .shampoo_beta(0.8)
        .epsilon(1e-6)
        .every(2);
    follow("soap", Descent::new(direction, 0.1));
}
