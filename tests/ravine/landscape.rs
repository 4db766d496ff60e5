//! Losses along lines and planes of whole models.

use crate::support::{cross_entropy, labels, tensor};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::landscape::{
    DirectionOptions, Grid, InterpolationOptions, Plane, Profile, ProfileOptions, Surface,
    SurfaceOptions, interpolate, profile, random_direction, surface,
};
use ravine_curvature::{LanczosOptions, Objective, Point, Seed, lanczos_top_k};
use ravine_model::models::{Activation, Mlp, MlpConfig};

type Labelled = (Tensor<2>, Tensor<1, Int>);

/// A classifier in f64 with parameters from a seed.
fn point(seed: u64) -> Point {
    let device = Device::flex();
    let model = MlpConfig::new(4, [6, 5], 3)
        .with_activation(Activation::Tanh)
        .with_seed(seed)
        .init((&device, DType::F64))
        .unwrap();
    let x = tensor([20, 4], &device, DType::F64, |k| {
        (0.7 + 3.1 * k as f64).sin()
    });
    let objective = Objective::new(
        |model: &Mlp, (x, _): &Labelled| model.forward(x.clone()),
        |outputs, (_, y)| cross_entropy(outputs, y),
    );
    objective.at(&model, &(x, labels(20, 3, &device))).unwrap()
}

#[test]
fn curvature_along_an_eigenvector_is_its_eigenvalue() {
    let point = point(1);
    let options = LanczosOptions {
        pairs: 1,
        tolerance: 1e-10,
        ..Default::default()
    };
    let top = lanczos_top_k(&point.hessian(), &options, Seed::new(0)).unwrap();
    let pair = &top.pairs[0];
    let options = ProfileOptions {
        grid: Grid::symmetric(1e-2, 3),
        ..Default::default()
    };
    let along = profile(&point, &pair.vector, &options).unwrap();
    let curvature = along.quadratic.as_ref().unwrap().curvatures[0][0];
    assert!((curvature / pair.value - 1.0).abs() < 1e-9);
    // the losses themselves: a second difference
    let [left, middle, right] = along.losses[..] else {
        panic!("three losses");
    };
    let difference = (left - 2.0 * middle + right) / 1e-4;
    assert!((difference / pair.value - 1.0).abs() < 1e-3);
}

#[test]
fn the_plane_of_three_networks_shows_their_losses() {
    let points = [1, 2, 3].map(point);
    let plane = Plane::through(points.each_ref().map(Point::theta)).unwrap();
    for (network, coordinates) in points.iter().zip(plane.coordinates()) {
        let here = points[0].move_to(plane.at(coordinates)).unwrap();
        let (found, expected) = (here.loss().unwrap(), network.loss().unwrap());
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
    // an edge of the plane is the interpolation of two networks
    let length = plane.coordinates()[1][0];
    let edge = Grid {
        low: 0.0,
        high: length,
        points: 5,
    };
    let options = SurfaceOptions {
        grids: [edge, Grid { high: 0.0, ..edge }],
        ..Default::default()
    };
    let surface = plane.surface(&points[2], &options).unwrap();
    let options = InterpolationOptions {
        points: 5,
        refinements: 0,
        ..Default::default()
    };
    let [first, second, third] = &points;
    let path = interpolate(third, first.theta(), second.theta(), &options).unwrap();
    assert_eq!(path.losses.len(), 5);
    for (column, loss) in path.losses.iter().enumerate() {
        assert!((surface.loss(column, 0).unwrap() - loss).abs() < 1e-13);
    }
    assert_eq!(path.losses[4], second.loss().unwrap());
}

#[test]
fn slices_survive_json_with_their_gaps() {
    let point = point(4);
    let direction = random_direction(&point, &DirectionOptions::default(), Seed::new(1)).unwrap();
    let mut found = profile(&point, &direction, &ProfileOptions::default()).unwrap();
    let read = |profile: &Profile| -> Profile {
        serde_json::from_str(&serde_json::to_string(profile).unwrap()).unwrap()
    };
    assert_eq!(read(&found), found);
    found.losses[3] = f64::NAN;
    let back = read(&found);
    assert!(back.losses[3].is_nan());
    assert_eq!(back.losses[4..], found.losses[4..]);
    let options = SurfaceOptions {
        grids: [Grid::symmetric(0.5, 3); 2],
        ..Default::default()
    };
    let other = random_direction(&point, &DirectionOptions::default(), Seed::new(2)).unwrap();
    let found = surface(&point, [&direction, &other], &options).unwrap();
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Surface>(&text).unwrap(), found);
    let options: DirectionOptions = serde_json::from_str(
        r#"{"normalisation": "layer", "overrides": {"layers.0.weight": {"axis": 0}}}"#,
    )
    .unwrap();
    assert!(random_direction(&point, &options, Seed::new(0)).is_ok());
}
