use super::*;
use crate::objective::{Objective, Precision};
use crate::progress::unobserved;
use crate::seed::Seed;
use crate::vector::{dot, from_f64, norm, to_f64};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{DType, TensorData};

/// Filters of both kinds, and biases.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    head: Linear,
}

fn net_point(seed: u64, precision: Precision) -> Point {
    let device = Device::flex();
    let zeros = Initializer::Zeros;
    let net = Net {
        conv: Conv2dConfig::new([2, 3], [2, 2])
            .with_initializer(zeros.clone())
            .init(&device),
        head: LinearConfig::new(12, 4)
            .with_initializer(zeros)
            .init(&device),
    };
    let objective = Objective::of_loss(|net: &Net, x: &Tensor<4>| {
        let hidden = net.conv.forward(x.clone()).tanh();
        net.head
            .forward(hidden.flatten::<2>(1, 3))
            .powi_scalar(2)
            .mean()
    })
    .precision(precision);
    let mut rng = Seed::new(seed).rng();
    let x: Vec<f32> = crate::vector::standard_normal(5 * 2 * 9, &mut rng)
        .iter()
        .map(|&x| x as f32)
        .collect();
    let x = Tensor::<4>::from_data(TensorData::new(x, [5, 2, 3, 3]), &device);
    let point = objective.at(&net, &x).unwrap();
    let theta = crate::vector::standard_normal(point.dim(), &mut rng);
    point
        .move_to(from_f64(&theta, &device, point.dtype()))
        .unwrap()
}

/// L = Σ wᵢ⁴ − 2 wᵢ² of one parameter w: two wells at ±1 with a barrier of height 1 between them.
fn double_well(dim: usize) -> Point {
    let device = Device::flex();
    let w = Tensor::<1>::zeros([dim], (&device, DType::F64));
    let well = Well {
        w: Param::from_tensor(w),
    };
    let objective = Objective::of_loss(|well: &Well, _: &Tensor<1>| {
        let square = well.w.val().powi_scalar(2);
        (square.clone() * square.clone()).sum() - square.sum() * 2.0
    });
    let batch = Tensor::<1>::zeros([1], (&device, DType::F64));
    objective.at(&well, &batch).unwrap()
}

#[derive(Module, Debug)]
struct Well {
    w: Param<Tensor<1>>,
}

fn vector(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

#[test]
fn filters_have_the_norms_of_the_weights() {
    for seed in 0..3 {
        let point = net_point(seed, Precision::F64);
        let options = DirectionOptions::default();
        let direction = random_direction(&point, &options, Seed::new(seed)).unwrap();
        let (d, theta) = (to_f64(&direction), to_f64(point.theta()));
        let norm_of =
            |x: &[f64], indices: &[usize]| indices.iter().map(|&i| x[i] * x[i]).sum::<f64>().sqrt();
        let layout = point.layout();
        let conv = layout.range("conv.weight").unwrap().start;
        let head = layout.range("head.weight").unwrap().start;
        let channels = (0..3).map(|c| (0..8).map(|k| conv + 8 * c + k).collect::<Vec<_>>());
        let columns = (0..4).map(|j| (0..12).map(|i| head + 4 * i + j).collect::<Vec<_>>());
        for filter in channels.chain(columns) {
            let (found, wanted) = (norm_of(&d, &filter), norm_of(&theta, &filter));
            assert!((found / wanted - 1.0).abs() < 1e-14, "{found} {wanted}");
        }
        for name in ["conv.bias", "head.bias"] {
            assert!(d[layout.range(name).unwrap()].iter().all(|x| *x == 0.0));
        }
    }
}

#[test]
fn layers_overrides_and_vectors() {
    let point = net_point(4, Precision::F64);
    let theta = to_f64(point.theta());
    let direction = |options: &DirectionOptions| {
        to_f64(&random_direction(&point, options, Seed::new(1)).unwrap())
    };
    let part = |x: &[f64], name: &str| {
        let range = point.layout().range(name).unwrap();
        x[range].iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    let layers = direction(&DirectionOptions {
        normalisation: Normalisation::Layer,
        vectors: Vectors::Whole,
        ..Default::default()
    });
    for name in ["conv.weight", "conv.bias", "head.weight", "head.bias"] {
        assert!((part(&layers, name) / part(&theta, name) - 1.0).abs() < 1e-14);
    }
    let plain = direction(&DirectionOptions {
        normalisation: Normalisation::Unnormalised,
        ..Default::default()
    });
    assert!(part(&plain, "head.bias") > 0.1);
    let overrides = [
        ("head.weight".to_owned(), FilterRule::Axis(0)),
        ("conv.weight".to_owned(), FilterRule::Zero),
    ];
    let rows = direction(&DirectionOptions {
        overrides: overrides.into(),
        ..Default::default()
    });
    assert_eq!(part(&rows, "conv.weight"), 0.0);
    let head = point.layout().range("head.weight").unwrap();
    for (d, w) in rows[head.clone()].chunks(4).zip(theta[head].chunks(4)) {
        let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
        assert!((square(d) / square(w) - 1.0).abs() < 1e-14);
    }
}

#[test]
fn overrides_of_nothing_are_refused() {
    let point = net_point(4, Precision::F64);
    let with = |name: &str, rule| DirectionOptions {
        overrides: [(name.to_owned(), rule)].into(),
        ..Default::default()
    };
    let error = |options| random_direction(&point, &options, Seed::new(0)).unwrap_err();
    let unknown = error(with("had.weight", FilterRule::Whole)).to_string();
    assert!(unknown.contains("head.weight"), "{unknown}");
    let axis = error(with("head.weight", FilterRule::Axis(2)));
    assert!(
        matches!(axis, CurvatureError::ParameterShape { .. }),
        "{axis}"
    );
}

#[test]
fn slices_are_the_losses_there() {
    for precision in [Precision::Model, Precision::F64] {
        let point = net_point(7, precision);
        let [d1, d2] = [1, 2].map(|seed| {
            random_direction(&point, &DirectionOptions::default(), Seed::new(seed)).unwrap()
        });
        let options = ProfileOptions {
            grid: Grid::symmetric(0.5, 5),
            ..Default::default()
        };
        let profile = profile(&point, &d1, &options).unwrap();
        assert_eq!(profile.ending, SliceEnding::Complete);
        for (&a, &loss) in profile.coordinates.iter().zip(&profile.losses) {
            let theta = point.theta().clone() + d1.clone() * a;
            assert_eq!(loss, point.move_to(theta).unwrap().loss().unwrap());
        }
        let options = SurfaceOptions {
            grids: [Grid::symmetric(0.5, 3), Grid::symmetric(0.2, 5)],
            ..Default::default()
        };
        let surface = surface(&point, [&d1, &d2], &options).unwrap();
        for (column, &x) in surface.x.iter().enumerate() {
            for (row, &y) in surface.y.iter().enumerate() {
                let theta = point.theta().clone() + d2.clone() * y + d1.clone() * x;
                let expected = point.move_to(theta).unwrap().loss().unwrap();
                assert_eq!(surface.loss(column, row), Some(expected));
            }
        }
        assert_eq!((surface.loss(3, 0), surface.loss(0, 5)), (None, None));
    }
}

#[test]
fn the_quadratic_model_is_exact_to_third_order() {
    let point = net_point(3, Precision::F64);
    let gradient = gradient_direction(&point).unwrap();
    assert!((norm(&gradient) - 1.0).abs() < 1e-14);
    let other = random_direction(&point, &DirectionOptions::default(), Seed::new(3)).unwrap();
    let largest = |radius: f64| {
        let options = SurfaceOptions {
            grids: [Grid::symmetric(radius, 3); 2],
            ..Default::default()
        };
        let surface = surface(&point, [&gradient, &other], &options).unwrap();
        let model = surface.quadratic.as_ref().unwrap();
        assert!((model.slopes[0] / norm(&point.gradient().unwrap()) - 1.0).abs() < 1e-12);
        surface
            .deviations()
            .iter()
            .fold(0.0_f64, |most, x| most.max(x.abs()))
    };
    let (far, near) = (largest(2e-3), largest(1e-3));
    let order = (far / near).log2();
    assert!((order - 3.0).abs() < 0.1, "{order}");
    let options = ProfileOptions {
        grid: Grid::symmetric(1.0, 201),
        ..Default::default()
    };
    let profile = profile(&point, &gradient, &options).unwrap();
    let (low, high) = profile.quadratic_range(1e-2).unwrap();
    assert!(-1.0 < low && low < 0.0 && 0.0 < high && high < 1.0);
    let all = profile.quadratic_range(f64::INFINITY).unwrap();
    assert_eq!(all, (-1.0, 1.0));
}

#[test]
fn a_barrier_is_found_between_the_points_of_the_grid() {
    let point = double_well(1);
    // from −1 to 1: the barrier of height 1 lies at t = ½, and 4 points miss it
    let options = InterpolationOptions {
        points: 4,
        refinements: 40,
        tolerance: 1e-7,
    };
    let path = interpolate(&point, &vector(&[-1.0]), &vector(&[1.0]), &options).unwrap();
    assert!((path.barrier.height - 1.0).abs() < 1e-12, "{path:?}");
    assert!((path.barrier.t - 0.5).abs() < 1e-6);
    assert_eq!((path.distance, path.ending), (2.0, SliceEnding::Complete));
    assert!(path.coordinates.is_sorted() && path.coordinates.len() > 10);
    // a convex piece lies below its chord
    let convex = interpolate(&point, &vector(&[1.0]), &vector(&[2.0]), &options).unwrap();
    assert_eq!((convex.barrier.height, convex.barrier.t), (0.0, 0.0));
    // the chord is subtracted: −1 to 0.5, L(w) − chord has its maximum where L′ equals the chord's slope
    let slanted = interpolate(&point, &vector(&[-1.0]), &vector(&[0.5]), &options).unwrap();
    let excess = |t: f64| {
        let w = -1.0 + 1.5 * t;
        let loss = |w: f64| w.powi(4) - 2.0 * w * w;
        loss(w) - ((1.0 - t) * loss(-1.0) + t * loss(0.5))
    };
    let best = (0..=100_000)
        .map(|k| excess(f64::from(k) * 1e-5))
        .fold(0.0, f64::max);
    assert!((slanted.barrier.height - best).abs() < 1e-9);
}

#[test]
fn losses_that_are_not_finite_are_data() {
    let point = double_well(1);
    let direction = vector(&[1.0]);
    let options = ProfileOptions {
        grid: Grid::symmetric(1e200, 3),
        ..Default::default()
    };
    let profile = profile(&point, &direction, &options).unwrap();
    assert!(!profile.losses[0].is_finite() && profile.losses[1] == 0.0);
    let path = |from: f64, to: f64| {
        let options = InterpolationOptions::default();
        interpolate(&point, &vector(&[from]), &vector(&[to]), &options).unwrap()
    };
    assert!(path(f64::NAN, 1.0).barrier.height.is_nan());
    assert!(path(0.0, 1e200).barrier.height.is_nan());
    let point = double_well(2);
    let nan = vector(&[f64::NAN, 0.0]);
    assert!(gradient_direction(&point.move_to(nan.clone()).unwrap()).is_ok());
    let plane = Plane::through([&nan, &vector(&[1.0, 0.0]), &vector(&[0.0, 1.0])]);
    assert!(matches!(plane, Err(CurvatureError::NonFinite { .. })));
}

#[test]
fn a_plane_contains_its_three_solutions() {
    let point = double_well(5);
    let solutions = [0.0, 1.0, 2.0].map(|phase| {
        let x: Vec<f64> = (0..5)
            .map(|i| (phase + 2.3 * f64::from(i)).sin() * 2.0)
            .collect();
        vector(&x)
    });
    let plane = Plane::through(solutions.each_ref()).unwrap();
    let [u, v] = plane.basis();
    assert!(dot(u, v).abs() < 1e-15 && (norm(u) - 1.0).abs() < 1e-15);
    assert!((norm(v) - 1.0).abs() < 1e-15);
    for (solution, coordinates) in solutions.iter().zip(plane.coordinates()) {
        let difference = norm(&(plane.at(coordinates) - solution.clone()));
        assert!(difference < 1e-14, "{difference:e}");
        let ([x, y], distance) = plane.project(solution).unwrap();
        assert!(distance < 1e-14);
        assert!((x - coordinates[0]).abs() + (y - coordinates[1]).abs() < 1e-14);
    }
    let [_, [length, _], [along, height]] = plane.coordinates();
    let options = SurfaceOptions {
        grids: [[0.0, length], [0.0, height]].map(|[low, high]| Grid {
            low,
            high,
            points: 2,
        }),
        ..Default::default()
    };
    let surface = plane.surface(&point, &options).unwrap();
    let loss = |k: usize| point.move_to(solutions[k].clone()).unwrap().loss().unwrap();
    assert_eq!(surface.loss(0, 0), Some(loss(0)));
    assert!((surface.loss(1, 0).unwrap() - loss(1)).abs() < 1e-12);
    let third = point.move_to(plane.at([along, height])).unwrap();
    assert!((third.loss().unwrap() - loss(2)).abs() < 1e-12);
    let [a, b, _] = &solutions;
    let middle = (a.clone() + b.clone()) * 0.5;
    assert!(matches!(
        Plane::through([a, b, &middle]),
        Err(CurvatureError::Argument { .. })
    ));
    assert!(Plane::through([a, a, b]).is_err());
    assert!(Plane::through([a, b, &vector(&[1.0])]).is_err());
}

#[test]
fn observers_stop_slices_with_what_is_there() {
    let point = double_well(2);
    let direction = vector(&[1.0, 0.0]);
    let mut stop_at = |progress: &Progress| match progress.applications {
        4 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let options = ProfileOptions::default();
    let profile = profile_observed(&point, &direction, &options, &mut stop_at).unwrap();
    assert_eq!(
        (profile.losses.len(), profile.ending),
        (4, SliceEnding::Stopped)
    );
    assert_eq!(profile.deviations().len(), 4);
    let options = SurfaceOptions {
        quadratic: Quadratic::Omitted,
        ..Default::default()
    };
    let other = vector(&[0.0, 1.0]);
    let surface = surface_observed(&point, [&direction, &other], &options, &mut stop_at).unwrap();
    assert_eq!(
        (surface.losses.len(), surface.ending),
        (4, SliceEnding::Stopped)
    );
    assert!(surface.quadratic.is_none() && surface.deviations().is_empty());
    let plane = Plane::through([&vector(&[0.0, 0.0]), &direction, &other]).unwrap();
    let whole = plane.surface(&point, &options).unwrap();
    let found = plane
        .surface_observed(&point, &options, &mut stop_at)
        .unwrap();
    assert_eq!(found.ending, SliceEnding::Stopped);
    assert_eq!(found.losses[..], whole.losses[..4]);
    let watched = plane
        .surface_observed(&point, &options, &mut unobserved)
        .unwrap();
    assert_eq!(watched, whole);
    let options = InterpolationOptions::default();
    let path = interpolate_observed(&point, &direction, &other, &options, &mut stop_at).unwrap();
    assert_eq!((path.losses.len(), path.ending), (4, SliceEnding::Stopped));
}

#[test]
fn misuse_is_an_error() {
    let point = double_well(2);
    let (long, fine) = (vector(&[1.0; 3]), vector(&[1.0; 2]));
    assert!(profile(&point, &long, &ProfileOptions::default()).is_err());
    assert!(surface(&point, [&fine, &long], &SurfaceOptions::default()).is_err());
    assert!(interpolate(&point, &fine, &long, &InterpolationOptions::default()).is_err());
    assert!(normalised(&point, &long, &DirectionOptions::default()).is_err());
    let options = InterpolationOptions {
        points: 1,
        ..Default::default()
    };
    assert!(interpolate(&point, &fine, &fine, &options).is_err());
    assert_eq!(quadratic_model(&point, &[]).unwrap().at(&[1.0]), 0.0);
}
