use super::*;
use crate::dense::{DenseOperator, DenseSymmetric};
use crate::objective::Objective;
use crate::test_operators::{Counted, Nothing, diagonal, operator, with_spectrum};
use crate::vector::{dot, from_f64, standard_normal};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::DType;
use std::ops::ControlFlow;

/// A(t) = Q(t) diag(values) Q(t)ᵀ, where Q(t) is a fixed random basis turned by `angle` in each of the planes of neighbours (2i, 2i + 1) of a
/// second fixed basis, so that every eigenvector turns by at most about `angle`.
struct Family {
    basis: Mat<f64>,
    planes: Mat<f64>,
}

fn orthogonal(n: usize, seed: u64) -> Mat<f64> {
    let numbers = standard_normal(n * n, &mut Seed::new(seed).stream("family").rng());
    Mat::from_fn(n, n, |i, j| numbers[i * n + j])
        .qr()
        .compute_thin_Q()
}

impl Family {
    fn new(n: usize, seed: u64) -> Self {
        let (basis, planes) = (orthogonal(n, seed), orthogonal(n, seed + 1000));
        Self { basis, planes }
    }

    /// The eigenvectors in columns.
    fn vectors(&self, angle: f64) -> Mat<f64> {
        let n = self.basis.nrows();
        let (s, c) = angle.sin_cos();
        let last = n - n % 2;
        let turn = Mat::from_fn(n, n, |i, j| {
            match (i == j, i / 2 == j / 2 && i.max(j) < last) {
                (true, _) if i < last => c,
                (true, _) => 1.0,
                (false, true) => s * (i as f64 - j as f64),
                _ => 0.0,
            }
        });
        &self.planes * turn * self.planes.transpose() * &self.basis
    }

    fn at(&self, values: &[f64], angle: f64) -> DenseSymmetric {
        let q = self.vectors(angle);
        let n = values.len();
        let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * values[j]);
        DenseSymmetric::from_matrix(&scaled * q.transpose())
    }
}

/// Some levels over a bulk in [−1, 1].
fn spectrum(levels: &[f64], n: usize) -> Vec<f64> {
    let bulk = n - levels.len();
    let bulk = (0..bulk).map(|i| (1.7 * i as f64).sin());
    levels.iter().copied().chain(bulk).collect()
}

fn options(pairs: usize, tolerance: f64) -> TrackerOptions {
    TrackerOptions {
        pairs,
        tolerance,
        ..Default::default()
    }
}

fn column(matrix: &Mat<f64>, j: usize) -> Tensor<1> {
    let values: Vec<f64> = matrix.col(j).iter().copied().collect();
    from_f64(&values, &Device::flex(), DType::F64)
}

/// |⟨q, v⟩| of the pair at the position of a direction.
fn overlap_with(tracked: &Tracked, id: u64, q: &Tensor<1>) -> f64 {
    let position = |direction: &Direction| direction.id == id;
    let position = tracked.summary.directions.iter().position(position);
    dot(&tracked.top.pairs[position.unwrap()].vector, q).abs()
}

#[test]
fn a_crossing_is_found_at_its_step_with_the_right_identities() {
    for seed in 0..4 {
        let family = Family::new(60, seed);
        let mut tracker = Tracker::new(options(3, 1e-9), Seed::new(seed));
        for step in 0..10 {
            let (t, angle) = (f64::from(step), 0.05 * f64::from(step));
            // the first two meet at t = 4.44
            let levels = [10.0 - 0.5 * t, 6.0 + 0.4 * t, 3.0];
            let matrix = family.at(&spectrum(&levels, 60), angle);
            let tracked = tracker.step(&operator(&matrix)).unwrap();
            let summary = &tracked.summary;
            assert_eq!(summary.step, step as u64);
            let q = family.vectors(angle);
            for (id, level) in levels.iter().enumerate() {
                let direction = summary.direction(id as u64).unwrap();
                assert!((direction.value - level).abs() < 1e-8);
                assert_eq!(direction.since, 0);
                let overlap = overlap_with(&tracked, id as u64, &column(&q, id));
                assert!((overlap - 1.0).abs() < 1e-8);
            }
            assert!(summary.lost.is_empty() && summary.exchanges.is_empty());
            match step {
                0 => assert_eq!(summary.entered, [0, 1, 2]),
                _ => assert!(summary.entered.is_empty()),
            }
            if step != 5 {
                assert!(
                    summary.crossings.is_empty(),
                    "{step} {:?}",
                    summary.crossings
                );
                continue;
            }
            let [crossing] = summary.crossings.as_slice() else {
                panic!("{:?}", summary.crossings)
            };
            assert_eq!(
                (crossing.rising, crossing.falling, crossing.since),
                (1, 0, 4)
            );
            assert!((crossing.before + 0.4).abs() < 1e-8 && (crossing.after - 0.5).abs() < 1e-8);
            assert!(crossing.overlaps.iter().all(|&overlap| overlap > 0.95));
        }
    }
}

#[test]
fn overlaps_are_those_of_the_eigenvectors() {
    let family = Family::new(40, 7);
    let values = spectrum(&[9.0, 7.0, 5.0, 3.0], 40);
    let mut tracker = Tracker::new(options(4, 1e-10), Seed::new(1));
    let first = tracker.step(&operator(&family.at(&values, 0.0))).unwrap();
    assert_eq!(first.summary.subspace_overlap, None);
    assert!(first.summary.overlaps.is_empty());
    let second = tracker.step(&operator(&family.at(&values, 0.3))).unwrap();
    let (before, after) = (family.vectors(0.0), family.vectors(0.3));
    let expected = before.transpose() * after;
    let mut squares = 0.0;
    for i in 0..4 {
        for j in 0..4 {
            let found = second.summary.overlaps[i][j];
            assert!((found - expected[(i, j)].abs()).abs() < 1e-8);
            squares += expected[(i, j)].powi(2);
        }
    }
    let found = second.summary.subspace_overlap.unwrap();
    assert!((found - squares / 4.0).abs() < 1e-8 && found < 0.99);
}

#[test]
fn directions_come_out_of_an_exact_meeting_as_they_went_in() {
    for seed in 0..4 {
        let family = Family::new(40, seed);
        let q = family.vectors(0.0);
        let searched = TrackerOptions {
            multiplicity: Multiplicity::Searched,
            ..options(3, 1e-9)
        };
        let mut tracker = Tracker::new(searched, Seed::new(seed));
        let mut crossings = Vec::new();
        for step in 0..5 {
            let t = f64::from(step);
            let levels = [10.0 - 0.5 * t, 8.0 + 0.5 * t, 4.0]; // the same at t = 2
            let matrix = family.at(&spectrum(&levels, 40), 0.0);
            let tracked = tracker.step(&operator(&matrix)).unwrap();
            assert!(tracked.summary.lost.is_empty() && tracked.summary.exchanges.is_empty());
            let together =
                tracked.summary.directions[0].group == tracked.summary.directions[1].group;
            assert_eq!(together, step == 2);
            crossings.extend(tracked.summary.crossings.iter().map(|c| (step, *c)));
            if step == 4 {
                assert!((overlap_with(&tracked, 0, &column(&q, 0)) - 1.0).abs() < 1e-8);
                assert!((overlap_with(&tracked, 1, &column(&q, 1)) - 1.0).abs() < 1e-8);
            }
        }
        let [(3, crossing)] = crossings.as_slice() else {
            panic!("{crossings:?}")
        };
        assert_eq!(
            (crossing.rising, crossing.falling, crossing.since),
            (1, 0, 1)
        );
    }
}

#[test]
fn rotation_inside_a_group_is_no_crossing() {
    let q = orthogonal(30, 3);
    let mut tracker = Tracker::new(options(3, 1e-10), Seed::new(0));
    for step in 0..8 {
        // two eigenvalues 1e-4 apart, their vectors at any angle
        let (s, c) = (1.3 * f64::from(step)).sin_cos();
        let turned = Mat::from_fn(30, 30, |i, j| match j {
            0 => c * q[(i, 0)] + s * q[(i, 1)],
            1 => c * q[(i, 1)] - s * q[(i, 0)],
            _ => q[(i, j)],
        });
        let values = spectrum(&[5.0001, 5.0, 3.0], 30);
        let scaled = Mat::from_fn(30, 30, |i, j| turned[(i, j)] * values[j]);
        let matrix = DenseSymmetric::from_matrix(&scaled * turned.transpose());
        let summary = tracker.step(&operator(&matrix)).unwrap().summary;
        assert!(summary.crossings.is_empty() && summary.exchanges.is_empty());
        assert!(summary.lost.is_empty());
        let overlaps = summary.directions.iter().filter_map(|d| d.overlap);
        assert!(overlaps.into_iter().all(|overlap| overlap > 1.0 - 1e-6));
        if step == 1 {
            // cos 1.3
            assert!((summary.overlaps[0][0] - 1.3_f64.cos()).abs() < 1e-4);
        }
    }
}

/// 10 + [[t, g], [g, −t]] over a bulk.
fn two_levels(t: f64, g: f64) -> DenseOperator {
    let values = spectrum(&[10.0 + t, 10.0 - t], 25);
    operator(&DenseSymmetric::from_matrix(Mat::from_fn(
        25,
        25,
        |i, j| match (i == j, i + j == 1) {
            (true, _) => values[i],
            (_, true) => g,
            _ => 0.0,
        },
    )))
}

#[test]
fn an_avoided_crossing_is_an_exchange_of_directions() {
    let mut tracker = Tracker::new(options(2, 1e-10), Seed::new(5));
    let mut exchanges = Vec::new();
    let (mut least, mut ends) = (1.0_f64, Vec::new());
    for step in 0..=60 {
        let t = -3.0 + 0.1 * f64::from(step);
        let tracked = tracker.step(&two_levels(t, 0.5)).unwrap();
        let summary = &tracked.summary;
        assert!(summary.crossings.is_empty() && summary.lost.is_empty());
        assert_eq!(summary.directions[0].id, 0);
        least = summary
            .directions
            .iter()
            .filter_map(|d| d.overlap)
            .fold(least, f64::min);
        exchanges.extend(summary.exchanges.iter().map(|found| (step, *found)));
        if step % 60 == 0 {
            ends.push(tracked.top.pairs[0].vector.clone());
        }
    }
    // the upper vector lies at ½ atan2(g, t): π/3 from its start is passed at t = 0.41, hence first seen at t = 0.5
    let at = |t: f64| 0.5 * 0.5_f64.atan2(t);
    let [(step, exchange)] = exchanges.as_slice() else {
        panic!("{exchanges:?}")
    };
    assert_eq!(*step, 35);
    assert!((exchange.turn.abs() - (at(-3.0) - at(0.5))).abs() < 1e-6);
    assert_eq!((exchange.first, exchange.second), (0, 1));
    assert!(least < 0.998 && least > 0.9, "{least}");
    let expected = (0.5_f64 / 3.0).atan().sin(); // the upper vector turns by π/2 − atan(g / 3)
    assert!((dot(&ends[0], &ends[1]).abs() - expected).abs() < 1e-6);

    // steps that jump across the gap see a crossing instead
    let mut tracker = Tracker::new(options(2, 1e-10), Seed::new(5));
    tracker.step(&two_levels(-3.0, 0.5)).unwrap();
    let summary = tracker.step(&two_levels(3.0, 0.5)).unwrap().summary;
    assert_eq!(summary.crossings.len(), 1);
    assert!(summary.exchanges.is_empty());
}

#[test]
fn directions_that_leave_are_listed_and_numbers_are_not_used_again() {
    let mut tracker = Tracker::new(options(2, 1e-9), Seed::new(0));
    let family = Family::new(30, 2);
    let mut step = |levels: [f64; 3]| {
        let matrix = family.at(&spectrum(&levels, 30), 0.0);
        tracker.step(&operator(&matrix)).unwrap().summary
    };
    assert_eq!(step([6.0, 5.0, 3.0]).entered, [0, 1]);
    let summary = step([6.0, 4.0, 5.0]);
    assert_eq!(summary.entered, [2]);
    let [lost] = summary.lost.as_slice() else {
        panic!()
    };
    assert_eq!((lost.id, lost.since), (1, 0));
    assert!((lost.value - 5.0).abs() < 1e-9 && lost.within < 1e-6);
    assert_eq!(summary.directions[1].continuity, Continuity::Entered);
    assert!((summary.subspace_overlap.unwrap() - 0.5).abs() < 1e-8);
    // back again: another number, since nobody remembers
    let summary = step([6.0, 5.0, 3.0]);
    assert_eq!((summary.entered, summary.lost[0].id), (vec![3], 2));
    assert!(summary.crossings.is_empty());
}

#[test]
fn a_warm_start_needs_fewer_applications() {
    let n = 200;
    let values: Vec<f64> = (0..n)
        .map(|i| match i {
            0..12 => 10.0 * 0.8_f64.powi(i),
            _ => 0.5 * (f64::from(i) * 1.7).sin(),
        })
        .collect();
    let family = Family::new(n as usize, 4);
    let spent = |start: TrackerStart| {
        let options = TrackerOptions {
            start,
            ..options(4, 1e-3)
        };
        let mut tracker = Tracker::new(options, Seed::new(6));
        let mut total = 0;
        for step in 0..12 {
            let matrix = operator(&family.at(&values, 0.005 * f64::from(step)));
            let counted = Counted::new(&matrix);
            let summary = tracker.step(&counted).unwrap().summary;
            assert_eq!(summary.applications, counted.applications());
            total += summary.applications;
            assert_eq!(summary.total_applications, total);
            for (direction, value) in summary.directions.iter().zip(&values) {
                assert!((direction.value - value).abs() < 1e-2);
            }
        }
        total
    };
    let (warm, cold) = (spent(TrackerStart::Warm), spent(TrackerStart::Cold));
    println!("warm {warm}, cold {cold}");
    assert!(warm * 10 < cold * 9, "warm {warm}, cold {cold}");
}

#[test]
fn a_restored_tracker_goes_on_as_the_saved_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracker");
    for dtype in [DType::F32, DType::F64] {
        let family = Family::new(40, 8);
        let at = |step: u32| {
            let t = f64::from(step);
            let levels = [10.0 - 0.5 * t, 6.0 + 0.4 * t, 3.0, 2.999];
            let matrix = family.at(&spectrum(&levels, 40), 0.05 * t);
            matrix.operator(&Device::flex(), dtype)
        };
        let mut whole = Tracker::new(options(4, 1e-5), Seed::new(2));
        let mut again = Tracker::new(options(4, 1e-5), Seed::new(2));
        let mut crossings = 0;
        for step in 0..8 {
            let expected = whole.step(&at(step)).unwrap();
            let found = again.step(&at(step)).unwrap();
            assert_eq!(found.summary, expected.summary);
            crossings += found.summary.crossings.len();
            for (found, expected) in found.top.pairs.iter().zip(&expected.top.pairs) {
                assert_eq!(found.vector.to_data(), expected.vector.to_data());
            }
            again.save(format!("step {step}"), &path).unwrap();
            again = Tracker::load(&path, &Device::flex()).unwrap();
            assert_eq!(again.steps(), u64::from(step) + 1);
            assert_eq!(again.directions(), whole.directions());
        }
        assert_eq!(crossings, 1);
        // the file is one of eigenpairs as well
        let saved = SavedEigenpairs::load(&path, &Device::flex()).unwrap();
        assert_eq!((saved.label(), saved.pairs().len()), ("step 7", 4));
    }
    let saved = SavedEigenpairs::new("pairs only", &[]).unwrap();
    saved.save(&path).unwrap();
    let error = Tracker::load(&path, &Device::flex()).unwrap_err();
    let CurvatureError::File { problem, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(problem, FileProblem::NoTracker));
    // nothing seen, nothing lost
    Tracker::new(options(2, 1e-4), Seed::new(0))
        .save("", &path)
        .unwrap();
    assert_eq!(Tracker::load(&path, &Device::flex()).unwrap().steps(), 0);
}

#[test]
fn another_seed_takes_other_vectors_to_the_same_pairs() {
    let op = operator(&with_spectrum(&spectrum(&[4.0, 3.0, 2.0], 30), 1));
    let step = |seed| {
        Tracker::new(options(2, 1e-8), Seed::new(seed))
            .step(&op)
            .unwrap()
    };
    let (one, other) = (step(1), step(2));
    assert_ne!(one.top.alpha, other.top.alpha);
    for (one, other) in one.top.pairs.iter().zip(&other.top.pairs) {
        assert!((one.value - other.value).abs() < 1e-10);
    }
}

#[test]
fn misuse_is_an_error_and_leaves_the_tracker_as_it_was() {
    let op = diagonal(&[5.0, 3.0, 1.0, 0.0]);
    let wrong = [
        options(0, 1e-4),
        options(2, 0.0),
        TrackerOptions {
            least_overlap: 0.0,
            ..options(2, 1e-4)
        },
        TrackerOptions {
            least_overlap: f64::NAN,
            ..options(2, 1e-4)
        },
        TrackerOptions {
            degenerate_gap: -1.0,
            ..options(2, 1e-4)
        },
        TrackerOptions {
            max_iterations: 1,
            ..options(2, 1e-4)
        },
    ];
    for options in wrong {
        let error = Tracker::new(options, Seed::new(0)).step(&op).unwrap_err();
        assert!(matches!(error, CurvatureError::Argument { .. }), "{error}");
    }
    let mut tracker = Tracker::new(options(2, 1e-8), Seed::new(0));
    tracker.step(&op).unwrap();
    let before = tracker.state.clone();
    let error = tracker.step(&diagonal(&[1.0; 5])).unwrap_err();
    assert!(matches!(
        error,
        CurvatureError::Dimension {
            expected: 4,
            found: 5,
            ..
        }
    ));
    let error = tracker.step(&diagonal(&[f64::NAN; 4])).unwrap_err();
    assert!(matches!(error, CurvatureError::NonFinite { .. }));
    assert_eq!(tracker.state, before);
    assert_eq!(tracker.step(&op).unwrap().summary.step, 1);
}

#[test]
fn small_zero_and_stopped_operators() {
    let mut tracker = Tracker::new(options(3, 1e-6), Seed::new(0));
    for _ in 0..2 {
        let summary = tracker.step(&Nothing).unwrap().summary;
        assert!(summary.directions.is_empty() && summary.subspace_overlap.is_none());
    }
    for values in [vec![2.0], vec![0.0; 2], vec![3.0, -1.0]] {
        let mut tracker = Tracker::new(options(3, 1e-6), Seed::new(0));
        for step in 0..3 {
            let summary = tracker.step(&diagonal(&values)).unwrap().summary;
            assert_eq!(summary.directions.len(), values.len());
            assert!(step == 0 || (summary.subspace_overlap.unwrap() - 1.0).abs() < 1e-12);
            assert!(summary.lost.is_empty() && summary.crossings.is_empty());
        }
    }
    let op = operator(&with_spectrum(&spectrum(&[4.0, 3.0], 60), 1));
    let mut tracker = Tracker::new(options(2, 1e-12), Seed::new(0));
    let stopped = tracker
        .step_observed(&op, &mut |_| ControlFlow::Break(()))
        .unwrap();
    assert_eq!(stopped.summary.ending, crate::LanczosEnding::Stopped);
    let tracked = tracker.step(&op).unwrap();
    assert!((tracked.top.pairs[0].value - 4.0).abs() < 1e-9);
}

#[test]
fn a_model_in_training_is_tracked() {
    let device = Device::flex();
    let model: Linear = LinearConfig::new(5, 3).init(&device);
    let layout = crate::ParameterLayout::of(&model).unwrap();
    let theta = standard_normal(18, &mut Seed::new(2).rng());
    let theta = from_f64(&theta, &device, DType::F32) * 0.5;
    let mut model = layout.scatter(&theta, model).unwrap();
    let numbers = standard_normal(16 * 8, &mut Seed::new(1).rng());
    let x = from_f64(&numbers[..80], &device, DType::F32).reshape([16, 5]);
    let y = from_f64(&numbers[80..], &device, DType::F32).reshape([16, 3]);
    let objective = Objective::new(
        |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()).tanh(),
        |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
    );
    let batch = (x, y);
    let mut tracker = Tracker::new(options(3, 1e-6), Seed::new(0));
    let (mut losses, mut before) = (Vec::new(), None::<Mat<f64>>);
    for _ in 0..6 {
        let point = objective.at(&model, &batch).unwrap();
        losses.push(point.loss().unwrap());
        let summary = tracker.step(&point.hessian()).unwrap().summary;
        assert_eq!(summary.directions.len(), 3);
        let exact = crate::dense(&point.hessian()).unwrap().eigen().unwrap();
        let top = exact.values().last().unwrap();
        assert!((summary.directions[0].value - top).abs() < 1e-4);
        // the three largest of 18, in ascending order
        let vectors = exact.vectors().subcols(15, 3).to_owned();
        let expected = before.map(|before| {
            let overlaps = before.transpose() * &vectors;
            overlaps.squared_norm_l2() / 3.0
        });
        match (summary.subspace_overlap, expected) {
            (Some(found), Some(expected)) => assert!(
                (found - expected).abs() < 1e-3,
                "{found} {expected} {:?}",
                exact.values()
            ),
            (found, expected) => assert_eq!(found, expected),
        }
        before = Some(vectors);
        let theta = point.theta().clone() - point.gradient().unwrap() * 0.2;
        model = point.layout().scatter(&theta, model).unwrap();
    }
    assert!(losses[5] < losses[0]);
}
