use super::*;
use crate::layout::ParameterLayout;
use crate::seed::Seed;
use crate::vector::{dot, from_f64, norm, standard_normal, to_f64};
use crate::{CurvatureError, Progress};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::DType;
use std::ops::ControlFlow;

fn layout(widths: &[usize], bias: bool) -> ParameterLayout {
    let device = Device::flex();
    let layer = |pair: &[usize]| {
        LinearConfig::new(pair[0], pair[1])
            .with_bias(bias)
            .init(&device)
    };
    let layers: Vec<Linear> = widths.windows(2).map(layer).collect();
    ParameterLayout::of(&layers).unwrap()
}

fn hidden(widths: &[usize], activation: UnitActivation) -> HiddenLayers {
    HiddenLayers::of_layout(&layout(widths, true), activation).unwrap()
}

fn random(layers: &HiddenLayers, seed: u64) -> Tensor<1> {
    let mut rng = Seed::new(seed).rng();
    let values = standard_normal(layers.dim(), &mut rng);
    from_f64(&values, &Device::flex(), DType::F64)
}

fn distance(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    norm(&(a.clone() - b.clone()))
}

const ACTIVATIONS: [UnitActivation; 4] = [
    UnitActivation::Odd,
    UnitActivation::PositivelyHomogeneous,
    UnitActivation::Linear,
    UnitActivation::Other,
];

#[test]
fn a_transformation_moves_what_belongs_to_a_unit() {
    // weights [2, 2] and [2, 1]
    let layers = hidden(&[2, 2, 1], UnitActivation::Odd);
    let theta = from_f64(
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        &Device::flex(),
        DType::F64,
    );
    let swap = layers.permute(0, &[1, 0]).unwrap();
    let swapped = layers.apply(&swap, &theta).unwrap();
    assert_eq!(
        to_f64(&swapped),
        [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0, 9.0]
    );
    let flip = layers.flip_signs(0, &[1]).unwrap();
    let flipped = layers.apply(&flip, &theta).unwrap();
    assert_eq!(
        to_f64(&flipped),
        [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0]
    );
    let layers = hidden(&[2, 2, 1], UnitActivation::PositivelyHomogeneous);
    let scale = layers.rescale(0, &[2.0, 0.5]).unwrap();
    let scaled = layers.apply(&scale, &theta).unwrap();
    assert_eq!(
        to_f64(&scaled),
        [2.0, 1.0, 6.0, 2.0, 10.0, 3.0, 3.5, 16.0, 9.0]
    );
    assert!(!scale.is_orthogonal() && swap.is_orthogonal() && flip.is_orthogonal());
}

#[test]
fn transformations_form_a_group() {
    for activation in ACTIVATIONS {
        let layers = hidden(&[3, 5, 4, 2], activation);
        let (theta, gradient) = (random(&layers, 1), random(&layers, 2));
        let first = layers.random_transformation(Seed::new(1));
        let second = layers.random_transformation(Seed::new(2));
        assert_ne!(first, second);
        let both = first.then(&second).unwrap();
        let at_once = layers.apply(&both, &theta).unwrap();
        let stepwise = layers.apply(&first, &theta).unwrap();
        let stepwise = layers.apply(&second, &stepwise).unwrap();
        assert!(distance(&at_once, &stepwise) < 1e-13 * norm(&at_once));
        let back = layers.apply(&both.inverse(), &at_once).unwrap();
        assert!(distance(&back, &theta) < 1e-13 * norm(&theta));
        // ⟨T⁻ᵀ g, T θ⟩ = ⟨g, θ⟩
        let moved = layers.apply_to_gradient(&both, &gradient).unwrap();
        let difference = dot(&moved, &at_once) - dot(&gradient, &theta);
        assert!(difference.abs() < 1e-12, "{difference:e}");
        if activation == UnitActivation::Odd {
            assert!(both.is_orthogonal());
            assert!((norm(&at_once) / norm(&theta) - 1.0).abs() < 1e-14);
        }
    }
}

#[test]
fn what_is_no_symmetry_is_refused() {
    let relu = hidden(&[2, 3, 1], UnitActivation::PositivelyHomogeneous);
    let tanh = hidden(&[2, 3, 1], UnitActivation::Odd);
    let refused = |result: Result<Transformation, CurvatureError>| {
        assert!(
            matches!(result, Err(CurvatureError::NoSymmetry { .. })),
            "{result:?}"
        );
    };
    refused(relu.flip_signs(0, &[0]));
    refused(tanh.flip_signs(0, &[3]));
    refused(tanh.rescale(0, &[1.0, 2.0, 1.0]));
    for scales in [[1.0, -1.0, 1.0], [1.0, 0.0, 1.0], [1.0, f64::NAN, 1.0]] {
        refused(relu.rescale(0, &scales));
    }
    refused(relu.rescale(0, &[1.0]));
    refused(relu.permute(0, &[0, 1]));
    refused(relu.permute(0, &[0, 1, 1]));
    refused(relu.permute(0, &[0, 1, 3]));
    refused(relu.permute(1, &[0, 1, 2]));
    let other = hidden(&[2, 4, 1], UnitActivation::Odd);
    assert!(tanh.apply(&other.identity(), &random(&tanh, 0)).is_err());
    assert!(tanh.apply(&tanh.identity(), &random(&other, 0)).is_err());
    assert!(tanh.identity().then(&other.identity()).is_err());
}

#[test]
fn descriptions_that_do_not_fit_say_why() {
    let layout = layout(&[4, 3, 2], true);
    let described = |weight: &str, bias: &str, outgoing: &str, units| HiddenLayer {
        weight: weight.into(),
        bias: Some(bias.into()),
        outgoing: outgoing.into(),
        units,
        activation: UnitActivation::Odd,
    };
    let message = |layers: Vec<HiddenLayer>| {
        let error = HiddenLayers::new(&layout, layers);
        error.expect_err("it does not fit").to_string()
    };
    let (w0, b0, w1, b1) = ("0.weight", "0.bias", "1.weight", "1.bias");
    assert!(HiddenLayers::new(&layout, [described(w0, b0, w1, 3)]).is_ok());
    let unknown = message(vec![described("2.weight", b0, w1, 3)]);
    assert!(
        unknown.contains("2.weight") && unknown.contains("0.bias"),
        "{unknown}"
    );
    assert!(message(vec![described(w0, b0, w1, 2)]).contains("[4, 3]"));
    assert!(message(vec![described(w0, b1, w1, 3)]).contains("the bias of 3 units"));
    assert!(message(vec![described(w0, b0, w0, 3)]).contains("0.weight"));
    assert!(message(vec![described(b0, b0, w1, 3)]).contains("0.bias"));
    assert!(message(vec![described(w0, b0, b1, 3)]).contains("1.bias"));
    let twice = described(w0, b0, w1, 3);
    assert!(message(vec![twice.clone(), twice]).contains("feeds two"));
    let disordered = HiddenLayers::chain(&layout, [b0, w0, w1], UnitActivation::Odd);
    assert!(disordered.unwrap_err().to_string().contains("right after"));
    let skipped = HiddenLayers::chain(&layout, [w1, w0], UnitActivation::Odd);
    assert!(matches!(
        skipped,
        Err(CurvatureError::ParameterShape { .. })
    ));
}

#[derive(Module, Debug)]
struct Cnn {
    first: Conv2d,
    second: Conv2d,
    head: Linear,
}

#[test]
fn channels_are_units() {
    let device = Device::flex();
    let cnn = Cnn {
        first: Conv2dConfig::new([1, 3], [2, 2]).init(&device),
        second: Conv2dConfig::new([3, 4], [2, 2]).init(&device),
        head: LinearConfig::new(4 * 5, 2).init(&device),
    };
    let layout = ParameterLayout::of(&cnn).unwrap();
    let layers = HiddenLayers::of_layout(&layout, UnitActivation::Odd).unwrap();
    let units: Vec<usize> = layers.layers().iter().map(|layer| layer.units).collect();
    assert_eq!(units, [3, 4]);
    let theta = random(&layers, 3);
    let flip = layers.flip_signs(1, &[2]).unwrap();
    let (before, after) = (
        to_f64(&theta),
        to_f64(&layers.apply(&flip, &theta).unwrap()),
    );
    let changed: Vec<usize> = (0..before.len())
        .filter(|&i| before[i] != after[i])
        .collect();
    let start = |name: &str| layout.range(name).unwrap().start;
    let (second, bias) = (start("second.weight"), start("second.bias"));
    let head = start("head.weight");
    let mut expected: Vec<usize> = (second + 2 * 12..second + 3 * 12).collect();
    expected.push(bias + 2);
    expected.extend(head + 2 * 5 * 2..head + 3 * 5 * 2); // 5 pixels a channel, 2 outputs
    expected.sort_unstable();
    assert_eq!(changed, expected);
}

#[test]
fn counts_are_those_of_an_enumeration() {
    for (widths, activation, expected) in [
        (vec![2, 3, 1], UnitActivation::Odd, 48),
        (vec![2, 3, 1], UnitActivation::Other, 6),
        (vec![2, 2, 3, 1], UnitActivation::Odd, 8 * 48),
        (vec![2, 3, 2, 1], UnitActivation::PositivelyHomogeneous, 12),
        (vec![2, 1], UnitActivation::Odd, 1),
    ] {
        let layers = hidden(&widths, activation);
        let count = EquivalentMinima::of(&layers);
        assert_eq!(count.exact, Some(expected));
        assert_eq!(count.decimal(), expected.to_string());
        assert!((count.log10 - (expected as f64).log10()).abs() < 1e-12);
        let theta = random(&layers, 0);
        let all = discrete_transformations(&layers, 1000).unwrap();
        let mut images: Vec<Vec<u64>> = all
            .iter()
            .map(|t| to_f64(&layers.apply(t, &theta).unwrap()))
            .map(|image| image.iter().map(|x| x.to_bits()).collect())
            .collect();
        images.sort();
        images.dedup();
        assert_eq!(images.len() as u128, expected);
    }
}

#[test]
fn large_counts_have_all_their_digits() {
    let count = EquivalentMinima::of(&hidden(&[2, 30, 1], UnitActivation::Other));
    assert_eq!(count.decimal(), "265252859812191058636308480000000");
    assert_eq!(count.exact.unwrap().to_string(), count.decimal());
    // 1000! has 2568 digits and begins with 402387260077
    let count = EquivalentMinima::of(&hidden(&[1, 1000, 1], UnitActivation::Other));
    assert_eq!((count.exact, count.decimal().len()), (None, 2568));
    assert!(count.decimal().starts_with("402387260077"));
    assert!((count.log10 - 2_567.604_644_222_133).abs() < 1e-9);
    let wide = hidden(&[1, 1000, 1], UnitActivation::Odd);
    assert!(discrete_transformations(&wide, usize::MAX).is_err());
    assert!(discrete_transformations(&hidden(&[1, 3, 1], UnitActivation::Odd), 47).is_err());
}

#[test]
fn balancing_makes_both_sides_equal_and_is_unique() {
    let layers = hidden(&[3, 5, 6, 4, 2], UnitActivation::PositivelyHomogeneous);
    let theta = random(&layers, 8);
    let (balanced_theta, scales) = balanced(&layers, &theta).unwrap();
    let again = layers.apply(&scales, &theta).unwrap();
    assert!(distance(&again, &balanced_theta) < 1e-13 * norm(&theta));
    let values = to_f64(&balanced_theta);
    for places in layers.places() {
        let mut incoming = vec![0.0; places.units()];
        for view in places.incoming() {
            let squares = view.squares(&values);
            incoming.iter_mut().zip(squares).for_each(|(a, b)| *a += b);
        }
        for (a, b) in incoming.iter().zip(places.outgoing.squares(&values)) {
            assert!((a / b - 1.0).abs() < 1e-13);
        }
    }
    let transformed = layers.random_transformation(Seed::new(3));
    let only_scales = Transformation {
        layers: transformed
            .layers
            .iter()
            .map(|map| UnitMap {
                permutation: (0..map.permutation.len()).collect(),
                scales: map.scales.clone(),
            })
            .collect(),
    };
    let other = layers.apply(&only_scales, &theta).unwrap();
    let (other, _) = balanced(&layers, &other).unwrap();
    assert!(distance(&other, &balanced_theta) < 1e-12 * norm(&theta));
}

#[test]
fn a_unit_that_nothing_reads_keeps_its_scale() {
    let layers = hidden(&[1, 2, 1], UnitActivation::PositivelyHomogeneous);
    let values = [3.0, 4.0, 0.0, 0.0, 0.0, 1.0, 2.0];
    let theta = from_f64(&values, &Device::flex(), DType::F64);
    let (result, scales) = balanced(&layers, &theta).unwrap();
    assert_eq!(scales.layers[0].scales, [1.0, 0.5]);
    assert_eq!(to_f64(&result), [3.0, 2.0, 0.0, 0.0, 0.0, 2.0, 2.0]);
}

#[test]
fn canonical_representatives_of_equivalent_networks_agree() {
    for activation in ACTIVATIONS {
        for seed in 0..5 {
            let layers = hidden(&[3, 6, 5, 2], activation);
            let theta = random(&layers, seed);
            let transformation = layers.random_transformation(Seed::new(seed));
            let other = layers.apply(&transformation, &theta).unwrap();
            let (first, by) = canonical(&layers, &theta).unwrap();
            let (second, _) = canonical(&layers, &other).unwrap();
            let difference = distance(&first, &second);
            assert!(difference < 1e-12 * norm(&theta), "{difference:e}");
            let (again, _) = canonical(&layers, &first).unwrap();
            assert!(distance(&again, &first) < 1e-12 * norm(&theta));
            let applied = layers.apply(&by, &theta).unwrap();
            assert!(distance(&applied, &first) < 1e-12 * norm(&theta));
            let (different, _) = canonical(&layers, &random(&layers, 100 + seed)).unwrap();
            assert!(distance(&different, &first) > 0.1);
        }
    }
}

#[test]
fn a_planted_transformation_is_found() {
    for activation in ACTIVATIONS {
        for seed in 0..5 {
            let layers = hidden(&[4, 8, 7, 6, 3], activation);
            let theta = random(&layers, seed);
            let planted = layers.random_transformation(Seed::new(seed));
            let copy = layers.apply(&planted, &theta).unwrap();
            let options = AlignmentOptions::default();
            let found = align(&layers, &theta, &copy, &options, Seed::new(seed)).unwrap();
            assert_eq!(found.ending, AlignmentEnding::Converged);
            assert!(found.distance_before > 1.0);
            let (after, modulo) = (found.distance_after, found.distance_modulo_symmetry);
            match planted.is_orthogonal() {
                true => {
                    assert_eq!((after, modulo), (0.0, 0.0));
                    assert_eq!(found.transformation, planted.inverse());
                }
                false => assert!(after.max(modulo) < 1e-12 * norm(&theta), "{found:?}"),
            }
        }
    }
}

#[test]
fn a_planted_transformation_is_found_under_noise_and_in_f32() {
    for seed in 0..5 {
        let layers = hidden(&[4, 8, 7, 3], UnitActivation::Odd);
        let theta = random(&layers, seed).cast(DType::F32);
        let planted = layers.random_transformation(Seed::new(seed));
        let noise = random(&layers, 50 + seed).cast(DType::F32) * 1e-2;
        let size = norm(&noise);
        let copy = layers.apply(&planted, &theta).unwrap() + noise;
        let options = AlignmentOptions::default();
        let found = align(&layers, &theta, &copy, &options, Seed::new(1)).unwrap();
        assert_eq!(found.transformation, planted.inverse());
        assert!((found.distance_after / size - 1.0).abs() < 1e-3);
    }
}

#[test]
fn one_hidden_layer_is_matched_as_well_as_possible() {
    for activation in [UnitActivation::Odd, UnitActivation::Other] {
        for seed in 0..5 {
            let layers = hidden(&[2, 4, 2], activation);
            let (a, b) = (random(&layers, seed), random(&layers, 70 + seed));
            let options = AlignmentOptions::default();
            let found = align(&layers, &a, &b, &options, Seed::new(0)).unwrap();
            let all = discrete_transformations(&layers, 1000).unwrap();
            let least = all
                .iter()
                .map(|t| distance(&a, &layers.apply(t, &b).unwrap()))
                .fold(f64::INFINITY, f64::min);
            assert!((found.distance_after - least).abs() < 1e-12);
            let other_way = distance_modulo_symmetry(&layers, &b, &a, &options, Seed::new(0));
            assert!((other_way.unwrap() - least).abs() < 1e-12);
        }
    }
}

#[test]
fn descents_never_end_farther_and_the_best_is_kept() {
    for activation in ACTIVATIONS {
        let layers = hidden(&[3, 6, 6, 6, 2], activation);
        let (a, b) = (random(&layers, 1), random(&layers, 2));
        let options = AlignmentOptions {
            starts: 8,
            ..Default::default()
        };
        let found = align(&layers, &a, &b, &options, Seed::new(4)).unwrap();
        assert_eq!(found.distances.len(), 8);
        let least = found
            .distances
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min);
        assert_eq!(found.distance_modulo_symmetry, least);
        assert_eq!(found.distances[found.best_start], least);
        assert!(least > 0.1);
        let same = align(&layers, &a, &b, &options, Seed::new(4)).unwrap();
        assert_eq!(found, same);
    }
}

#[test]
fn alignments_stop_and_refuse() {
    let layers = hidden(&[3, 6, 6, 2], UnitActivation::Odd);
    let (a, b) = (random(&layers, 1), random(&layers, 2));
    let options = AlignmentOptions::default();
    let mut stop = |progress: &Progress| match progress.applications {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let seed = Seed::new(0);
    let stopped = align_observed(&layers, &a, &b, &options, seed, &mut stop).unwrap();
    assert_eq!(
        (stopped.assignments, stopped.ending),
        (3, AlignmentEnding::Stopped)
    );
    assert!(stopped.distance_after < stopped.distance_before);
    let none = AlignmentOptions {
        starts: 0,
        ..options
    };
    assert!(align(&layers, &a, &b, &none, seed).is_err());
    let nan = b.clone() * f64::NAN;
    assert!(align(&layers, &a, &nan, &options, seed).is_err());
    assert!(canonical(&layers, &nan).is_err() && balanced(&layers, &nan).is_err());
    // without hidden layers, and without difference
    let linear = hidden(&[3, 2], UnitActivation::Odd);
    let theta = random(&linear, 0);
    let found = align(&linear, &theta, &theta, &options, seed).unwrap();
    assert_eq!((found.distance_after, found.assignments), (0.0, 0));
    let zero = a.clone() * 0.0;
    let found = align(&layers, &zero, &zero, &options, seed).unwrap();
    assert_eq!(found.distance_after, 0.0);
}

#[test]
fn orbits_of_linear_layers_have_their_dimension() {
    // m² less the mixtures that change nothing, (m − rank in)(m − rank out)
    for (widths, expected) in [
        ([5, 3, 4], 9),
        ([2, 3, 4], 9),
        ([2, 4, 3], 16 - 2),
        ([1, 5, 2], 25 - 4 * 3),
    ] {
        let layout = layout(&widths, false);
        let layers = HiddenLayers::of_layout(&layout, UnitActivation::Linear).unwrap();
        let generators = Generators::of(&layers);
        assert_eq!(generators.len(), widths[1] * widths[1]);
        let theta = random(&layers, 4);
        let space = generators.forced_null_space(&theta).unwrap();
        assert_eq!(space.rank, expected, "{:?}", space.singular_values);
        assert_eq!(space.basis.dims(), [expected, layers.dim()]);
        let gram = space.basis.clone().matmul(space.basis.transpose());
        let identity = Tensor::<2>::eye(expected, &Device::flex()).cast(DType::F64);
        let defect = norm(&(gram - identity).flatten::<1>(0, 1));
        assert!(defect < 1e-13, "{defect:e}");
        // in f32 the same
        let single = theta.cast(DType::F32);
        assert_eq!(
            generators.forced_null_space(&single).unwrap().rank,
            expected
        );
    }
}

#[test]
fn generators_are_derivatives_of_transformations() {
    let layers = hidden(&[2, 3, 4, 2], UnitActivation::PositivelyHomogeneous);
    let theta = random(&layers, 6);
    let generators = Generators::of(&layers);
    assert_eq!(generators.len(), 7);
    let h = 1e-4;
    for unit in 0..4 {
        let moved = |step: f64| {
            let mut scales = [1.0; 4];
            scales[unit] = step.exp();
            let t = layers.rescale(1, &scales).unwrap();
            layers.apply(&t, &theta).unwrap()
        };
        let difference = (moved(h) - moved(-h)) / (2.0 * h);
        let tangent = generators.tangent(3 + unit, &theta).unwrap();
        assert!(distance(&difference, &tangent) < 1e-7 * norm(&tangent));
    }
    assert!(generators.tangent(7, &theta).is_err());
    let none = Generators::of(&hidden(&[2, 3, 2], UnitActivation::Odd));
    assert!(none.is_empty());
    let theta = random(&hidden(&[2, 3, 2], UnitActivation::Odd), 0);
    assert_eq!(none.forced_null_space(&theta).unwrap().rank, 0);
}

#[test]
fn a_logit_shift_has_a_generator_for_each_input_and_one_for_the_bias() {
    let layout = layout(&[2, 3, 4], true);
    let layers = HiddenLayers::of_layout(&layout, UnitActivation::Odd).unwrap();
    let with = |weight: &str, bias: Option<&str>| {
        Generators::of(&layers).with_logit_shift(&layout, weight, bias)
    };
    let generators = with("1.weight", Some("1.bias")).unwrap();
    assert_eq!(generators.len(), 4);
    let theta = random(&layers, 0);
    assert_eq!(generators.forced_null_space(&theta).unwrap().rank, 4);
    let tangent = generators.tangent(1, &theta).unwrap();
    let start = layout.range("1.weight").unwrap().start;
    let ones: Vec<usize> = (0..layers.dim())
        .filter(|&i| to_f64(&tangent)[i] == 1.0)
        .collect();
    assert_eq!(ones, (start + 4..start + 8).collect::<Vec<_>>());
    assert!(with("1.bias", None).is_err() && with("1.weight", Some("0.bias")).is_err());
    assert!(with("2.weight", None).is_err());
}
