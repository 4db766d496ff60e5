//! Symmetries of whole models: losses, spectra, forced zeros and barriers.

use crate::support::{cross_entropy, labels, relative, tensor};
use burn::module::Module;
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::landscape::InterpolationOptions;
use ravine_curvature::symmetry::{
    AlignmentOptions, EquivalentMinima, Generators, HiddenLayers, UnitActivation,
    align_with_barrier, discrete_transformations, distance_modulo_symmetry,
};
use ravine_curvature::{LinearOperator, Objective, Point, Precision, Seed, dense, vector};
use ravine_model::models::{Activation, DeepLinear, DeepLinearConfig, Mlp, MlpConfig};
use ravine_model::models::{Padding, SmallCnn, SmallCnnConfig};

type Labelled = (Tensor<2>, Tensor<1, Int>);
type Targets = (Tensor<2>, Tensor<2>);

const KINDS: [(Activation, UnitActivation); 4] = [
    (Activation::Tanh, UnitActivation::Odd),
    (Activation::Relu, UnitActivation::PositivelyHomogeneous),
    (
        Activation::LeakyRelu { slope: 0.1 },
        UnitActivation::PositivelyHomogeneous,
    ),
    (Activation::Gelu, UnitActivation::Other),
];

fn inputs(rows: usize, columns: usize, seed: u64) -> Tensor<2> {
    let mut rng = Seed::new(seed).stream("inputs").rng();
    let values = vector::standard_normal(rows * columns, &mut rng);
    tensor([rows, columns], &Device::flex(), DType::F64, |k| values[k])
}

fn mlp(widths: [usize; 4], activation: Activation, seed: u64) -> Mlp {
    let [inputs, first, second, outputs] = widths;
    MlpConfig::new(inputs, [first, second], outputs)
        .with_activation(activation)
        .with_seed(seed)
        .init((&Device::flex(), DType::F64))
        .unwrap()
}

/// A classifier on a random batch.
fn classifier(activation: Activation, seed: u64) -> Point {
    let model = mlp([3, 5, 4, 3], activation, seed);
    let objective = Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        |outputs, (_, y)| cross_entropy(outputs, y),
    );
    let batch = (inputs(12, 3, seed), labels(12, 3, &Device::flex()));
    objective.at(&model, &batch).unwrap()
}

/// The squared error of a model to its own outputs: a global minimum, where H is the Gauss-Newton matrix.
fn own_student<M: Module>(
    model: &M,
    forward: impl Fn(&M, Tensor<2>) -> Tensor<2> + Send + Sync + 'static,
    x: Tensor<2>,
) -> Point {
    let targets = forward(model, x.clone());
    let objective = Objective::new(
        move |model: &M, (x, _): &Targets| forward(model, x.clone()),
        |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
    );
    objective.at(model, &(x, targets)).unwrap()
}

#[test]
fn transformations_keep_the_loss_and_carry_derivatives_along() {
    for (activation, kind) in KINDS {
        for seed in 0..3 {
            let point = classifier(activation, seed);
            let layers = HiddenLayers::of_layout(point.layout(), kind).unwrap();
            let t = layers.random_transformation(Seed::new(seed));
            let defect = layers.invariance_defect(&point, &t).unwrap();
            assert!(defect < 1e-13, "{activation:?} {defect:e}");
            let moved = point
                .move_to(layers.apply(&t, point.theta()).unwrap())
                .unwrap();
            let gradient = layers
                .apply_to_gradient(&t, &point.gradient().unwrap())
                .unwrap();
            assert!(relative(&moved.gradient().unwrap(), &gradient) < 1e-12);
            // H(Tθ) T v = T⁻ᵀ H(θ) v
            let v = crate::support::direction(&point, 0.3);
            let there = moved
                .hessian()
                .apply(&layers.apply(&t, &v).unwrap())
                .unwrap();
            let carried = point.hessian().apply(&v).unwrap();
            let carried = layers.apply_to_gradient(&t, &carried).unwrap();
            assert!(relative(&there, &carried) < 1e-12);
        }
    }
}

#[test]
fn permutations_and_signs_keep_the_spectrum() {
    for (activation, kind) in [KINDS[0], KINDS[3]] {
        let point = classifier(activation, 5);
        let layers = HiddenLayers::of_layout(point.layout(), kind).unwrap();
        let t = layers.random_transformation(Seed::new(1));
        assert!(t.is_orthogonal());
        let moved = point
            .move_to(layers.apply(&t, point.theta()).unwrap())
            .unwrap();
        let here = dense(&point.hessian()).unwrap().eigenvalues().unwrap();
        let there = dense(&moved.hessian()).unwrap().eigenvalues().unwrap();
        let largest = here.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for (a, b) in here.iter().zip(&there) {
            assert!((a - b).abs() < 1e-12 * largest, "{a} {b}");
        }
    }
}

#[test]
fn a_wrong_description_shows() {
    let point = classifier(Activation::Gelu, 2);
    let layers = HiddenLayers::of_layout(point.layout(), UnitActivation::Odd).unwrap();
    let t = layers.flip_signs(0, &[0, 1, 2]).unwrap();
    let defect = layers.invariance_defect(&point, &t).unwrap();
    // rounding is 1e-13
    assert!(defect > 1e-6, "{defect:e}");
}

#[test]
fn channels_of_convolutions_are_units_before_a_flattened_head() {
    let device = Device::flex();
    for (activation, kind) in KINDS {
        let model = SmallCnnConfig::new([1, 8, 8], 3)
            .with_channels([3, 4])
            .with_padding(Padding::Same)
            .with_activation(activation)
            .init((&device, DType::F64))
            .unwrap();
        let objective = Objective::new(
            |model: &SmallCnn, (x, _): &Labelled| model.forward_flat(x.clone()),
            |outputs, (_, y)| cross_entropy(outputs, y),
        );
        let batch = (inputs(5, 64, 1), labels(5, 3, &device));
        let point = objective.at(&model, &batch).unwrap();
        let layers = HiddenLayers::of_layout(point.layout(), kind).unwrap();
        assert_eq!(layers.layers().len(), 2);
        let t = layers.random_transformation(Seed::new(3));
        let defect = layers.invariance_defect(&point, &t).unwrap();
        assert!(defect < 1e-13, "{activation:?} {defect:e}");
    }
}

#[test]
fn all_equivalent_minima_of_a_tiny_network_have_its_loss() {
    let model = MlpConfig::new(2, [3], 1)
        .init((&Device::flex(), DType::F64))
        .unwrap();
    let targets = inputs(8, 1, 2);
    let objective = Objective::new(
        |model: &Mlp, (x, _): &Targets| model.forward(x.clone()),
        |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
    );
    let point = objective.at(&model, &(inputs(8, 2, 1), targets)).unwrap();
    let layers = HiddenLayers::of_layout(point.layout(), UnitActivation::Odd).unwrap();
    let all = discrete_transformations(&layers, 100).unwrap();
    assert_eq!(EquivalentMinima::of(&layers).exact, Some(48));
    let mut images: Vec<Vec<u64>> = Vec::new();
    for t in &all {
        let theta = layers.apply(t, point.theta()).unwrap();
        images.push(vector::to_f64(&theta).iter().map(|x| x.to_bits()).collect());
        let loss = point.move_to(theta).unwrap().loss().unwrap();
        assert!((loss / point.loss().unwrap() - 1.0).abs() < 1e-14);
    }
    images.sort();
    images.dedup();
    assert_eq!(images.len(), 48);
}

#[test]
fn identities_of_continuous_symmetries_hold_anywhere() {
    for (activation, kind) in [
        KINDS[1],
        KINDS[2],
        (Activation::Identity, UnitActivation::Linear),
    ] {
        let point = classifier(activation, 4);
        let layers = HiddenLayers::of_layout(point.layout(), kind).unwrap();
        let generators = Generators::of(&layers)
            .with_logit_shift(point.layout(), "layers.2.weight", Some("layers.2.bias"))
            .unwrap();
        let largest = largest(&dense(&point.hessian()).unwrap().eigenvalues().unwrap());
        let defects = generators.defects(&point).unwrap();
        assert_eq!(defects.applications, generators.len());
        assert!(defects.gradient < 1e-12, "{defects:?}");
        assert!(defects.hessian < 1e-12 * largest, "{defects:?}");
        // no stationary point: the tangents are no null vectors
        assert!(defects.null > 1e-3 && defects.gradient_norm > 1e-3);
    }
    // softmax alone: null vectors everywhere
    let point = classifier(Activation::Tanh, 4);
    let layers = HiddenLayers::of_layout(point.layout(), UnitActivation::Odd).unwrap();
    let generators = Generators::of(&layers)
        .with_logit_shift(point.layout(), "layers.2.weight", Some("layers.2.bias"))
        .unwrap();
    assert_eq!(generators.len(), 5);
    let defects = generators.defects(&point).unwrap();
    assert!(
        defects.gradient < 1e-12 && defects.null < 1e-13,
        "{defects:?}"
    );
    // and a layer that is not homogeneous breaks the identity
    let wrong = HiddenLayers::of_layout(point.layout(), UnitActivation::PositivelyHomogeneous);
    let defects = Generators::of(&wrong.unwrap()).defects(&point).unwrap();
    assert!(defects.gradient > 1e-3 && defects.hessian > 1e-3);
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, x| x.abs().max(most))
}

/// Zero eigenvalues of the Hessian.
fn nullity(point: &Point) -> usize {
    let values = dense(&point.hessian()).unwrap().eigenvalues().unwrap();
    let zero = 1e-11 * largest(&values);
    values.iter().filter(|value| value.abs() < zero).count()
}

#[test]
fn a_minimum_of_a_relu_network_has_the_forced_zeros_and_no_others() {
    let mut checked = 0;
    for seed in 0..8 {
        let model = MlpConfig::new(2, [4], 2)
            .with_activation(Activation::Relu)
            .with_seed(seed)
            .init((&Device::flex(), DType::F64))
            .unwrap();
        let x = inputs(200, 2, seed) * 2.0;
        // a unit that is never, or always, on is linear on the data: it has zeros beyond those of its scale
        let before = model.layers[0].forward(x.clone()).into_data();
        let on = |unit: usize| {
            let column = before.iter::<f64>().skip(unit).step_by(4);
            column.filter(|x| *x > 0.0).count()
        };
        if !(0..4).all(|unit| (10..190).contains(&on(unit))) {
            continue;
        }
        checked += 1;
        let point = own_student(&model, Mlp::forward, x);
        let layers =
            HiddenLayers::of_layout(point.layout(), UnitActivation::PositivelyHomogeneous).unwrap();
        let generators = Generators::of(&layers);
        let forced = generators.forced_null_space(point.theta()).unwrap();
        assert_eq!(forced.rank, 4);
        assert_eq!(nullity(&point), 4, "seed {seed}");
        let largest = largest(&dense(&point.hessian()).unwrap().eigenvalues().unwrap());
        assert!(generators.defects(&point).unwrap().null < 1e-12 * largest);
        // the orbit's basis spans the null space
        let products = point.hessian().apply_block(&forced.basis).unwrap();
        let size = vector::norm(&products.flatten::<1>(0, 1));
        assert!(size < 1e-12 * largest, "{size:e}");
    }
    assert!(checked >= 3, "{checked}");
    // an odd activation forces none
    let model = MlpConfig::new(2, [3], 2)
        .init((&Device::flex(), DType::F64))
        .unwrap();
    assert_eq!(
        nullity(&own_student(&model, Mlp::forward, inputs(200, 2, 1) * 2.0)),
        0
    );
}

#[test]
fn a_minimum_of_a_deep_linear_network_has_the_dimension_of_its_orbit() {
    // a layer wider than the rank leaves more ways to make the same product than changes of basis: the orbit is smaller
    for (widths, orbit) in [
        (vec![4, 3, 4], 9),
        (vec![4, 3, 3, 4], 18),
        (vec![4, 2, 3, 4], 13),
    ] {
        let model = DeepLinearConfig::new(widths.clone())
            .init((&Device::flex(), DType::F64))
            .unwrap();
        let point = own_student(&model, DeepLinear::forward, inputs(20, 4, 1));
        let layers = HiddenLayers::of_layout(point.layout(), UnitActivation::Linear).unwrap();
        let forced = Generators::of(&layers).forced_null_space(point.theta());
        assert_eq!(forced.unwrap().rank, orbit);
        // 4 × 4 maps of rank r have r (4 + 4 − r) dimensions
        let r = *widths.iter().min().unwrap();
        let zeros = point.dim() - r * (8 - r);
        assert_eq!(nullity(&point), zeros);
        assert_eq!(zeros - orbit, usize::from(widths == [4, 2, 3, 4]));
    }
}

#[test]
fn alignment_removes_the_barrier_to_a_transformed_copy() {
    for (activation, kind) in KINDS {
        for (noise, bound) in [(0.0, 1e-20), (1e-4, 1e-7)] {
            let model = mlp([3, 8, 7, 2], activation, 3);
            let point = own_student(&model, Mlp::forward, inputs(30, 3, 1));
            let layers = HiddenLayers::of_layout(point.layout(), kind).unwrap();
            let t = layers.random_transformation(Seed::new(2));
            let size = point.dim();
            let mut rng = Seed::new(9).rng();
            let shift = vector::standard_normal(size, &mut rng);
            let shift = vector::from_f64(&shift, point.device(), point.dtype()) * noise;
            let copy = layers.apply(&t, point.theta()).unwrap() + shift.clone();
            let found = align_with_barrier(
                &point,
                &layers,
                [point.theta(), &copy],
                &AlignmentOptions::default(),
                &InterpolationOptions::default(),
                Seed::new(0),
            )
            .unwrap();
            let (before, after) = (found.before.barrier.height, found.after.barrier.height);
            assert!(before > 1e-3, "{activation:?} {before:e}");
            assert!(after < bound, "{activation:?} {after:e}");
            let most = 1e-12 + 10.0 * vector::norm(&shift);
            assert!(found.alignment.distance_after < most);
            assert!(found.alignment.distance_before > 1.0);
            for (found, planted) in found
                .alignment
                .transformation
                .layers
                .iter()
                .zip(t.inverse().layers)
            {
                assert_eq!(found.permutation, planted.permutation);
            }
        }
    }
}

#[test]
fn different_networks_stay_apart() {
    for (activation, kind) in KINDS {
        let points = [1, 2].map(|seed| classifier(activation, seed));
        let layers = HiddenLayers::of_layout(points[0].layout(), kind).unwrap();
        let [a, b] = points.each_ref().map(Point::theta);
        let options = AlignmentOptions::default();
        let distance = distance_modulo_symmetry(&layers, a, b, &options, Seed::new(1)).unwrap();
        assert!(distance > 0.1 && distance.is_finite());
    }
}

#[test]
fn an_f32_model_is_aligned_and_measured_in_f64() {
    let device = Device::flex();
    let model = MlpConfig::new(64, [32, 32], 10)
        .with_activation(Activation::Relu)
        .init((&device, DType::F32))
        .unwrap();
    let objective = |precision| {
        Objective::new(
            |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
            |outputs, (_, y)| cross_entropy(outputs, y),
        )
        .precision(precision)
    };
    let batch = (inputs(16, 64, 1).cast(DType::F32), labels(16, 10, &device));
    for (precision, bound) in [(Precision::Model, 1e-5), (Precision::F64, 1e-13)] {
        let point = objective(precision).at(&model, &batch).unwrap();
        let layers =
            HiddenLayers::of_layout(point.layout(), UnitActivation::PositivelyHomogeneous).unwrap();
        let t = layers.random_transformation(Seed::new(4));
        assert!(layers.invariance_defect(&point, &t).unwrap() < bound);
        let copy = layers.apply(&t, point.theta()).unwrap();
        let options = AlignmentOptions::default();
        let seed = Seed::new(1);
        let distance =
            distance_modulo_symmetry(&layers, point.theta(), &copy, &options, seed).unwrap();
        assert!(
            distance < bound * vector::norm(point.theta()),
            "{distance:e}"
        );
    }
}
