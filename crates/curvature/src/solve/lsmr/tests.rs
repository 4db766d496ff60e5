use super::*;
use crate::seed::Seed;
use crate::vector::{dot_f64, standard_normal};
use burn::prelude::Device;
use burn::tensor::DType;
use faer::Mat;
use std::ops::ControlFlow;

/// A dense matrix as a map.
struct Dense {
    rows: Tensor<2>,
}

impl Dense {
    fn new(matrix: &Mat<f64>, dtype: DType) -> Self {
        let (m, n) = (matrix.nrows(), matrix.ncols());
        let numbers: Vec<f64> = (0..m * n).map(|i| matrix[(i / n, i % n)]).collect();
        let rows = from_f64(&numbers, &Device::flex(), dtype).reshape([m, n]);
        Self { rows }
    }
}

impl LinearMap for Dense {
    fn rows(&self) -> usize {
        self.rows.dims()[0]
    }
    fn columns(&self) -> usize {
        self.rows.dims()[1]
    }
    fn device(&self) -> Device {
        self.rows.device()
    }
    fn dtype(&self) -> DType {
        self.rows.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let column = v.clone().reshape([self.columns(), 1]);
        Ok(self.rows.clone().matmul(column).reshape([self.rows()]))
    }
    fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let row = u.clone().reshape([1, self.rows()]);
        Ok(row.matmul(self.rows.clone()).reshape([self.columns()]))
    }
}

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn random(n: usize, seed: u64) -> Vec<f64> {
    standard_normal(n, &mut Seed::new(seed).stream("b").rng())
}

/// U diag(values) Vᵀ, m × n.
fn with_singular_values(m: usize, n: usize, values: &[f64], seed: u64) -> Mat<f64> {
    let factor = |rows: usize, seed: u64| {
        let numbers = random(rows * values.len(), seed);
        let gaussian = Mat::from_fn(rows, values.len(), |i, j| numbers[j * rows + i]);
        gaussian.qr().compute_thin_Q()
    };
    let (u, v) = (factor(m, 2 * seed), factor(n, 2 * seed + 1));
    let scaled = Mat::from_fn(m, values.len(), |i, j| u[(i, j)] * values[j]);
    scaled * v.transpose()
}

/// The shortest minimiser by the singular values.
fn least_squares(matrix: &Mat<f64>, b: &[f64], damping: f64) -> Vec<f64> {
    let svd = matrix.thin_svd().unwrap();
    let sizes = svd.S().column_vector();
    let largest = sizes[0];
    let mut x = vec![0.0; matrix.ncols()];
    for (i, &sigma) in sizes.iter().enumerate() {
        let u: Vec<f64> = svd.U().col(i).iter().copied().collect();
        let factor = match sigma > 1e-11 * largest {
            true => sigma / (sigma * sigma + damping * damping),
            false => 0.0,
        };
        let weight = factor * dot_f64(&u, b);
        for (x, v) in x.iter_mut().zip(svd.V().col(i).iter()) {
            *x += weight * v;
        }
    }
    x
}

fn distance(x: &Tensor<1>, expected: &[f64]) -> f64 {
    let x = to_f64(x);
    let difference: Vec<f64> = x.iter().zip(expected).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(expected)
}

fn tight() -> LsmrOptions {
    LsmrOptions {
        normal_tolerance: 1e-13,
        residual_tolerance: 1e-13,
        condition_limit: 1e14,
        max_iterations: Some(500),
        ..LsmrOptions::default()
    }
}

/// ‖r̄‖ and ‖Āᵀr̄‖ from the definitions.
fn measured(matrix: &Mat<f64>, b: &[f64], x: &[f64], damping: f64) -> (f64, f64) {
    let column = |v: &[f64]| Mat::from_fn(v.len(), 1, |i, _| v[i]);
    let residual = column(b) - matrix * column(x);
    let normal = matrix.transpose() * &residual - faer::Scale(damping * damping) * column(x);
    let total = residual.squared_norm_l2() + damping * damping * dot_f64(x, x);
    (total.sqrt(), normal.norm_l2())
}

#[test]
fn least_squares_of_every_shape_rank_and_damping() {
    let values: Vec<f64> = (1..=12).map(f64::from).collect();
    for seed in 0..3 {
        for (m, n, values) in [
            (30, 12, &values[..]),
            (12, 30, &values[..]),
            (20, 20, &values[..]),
            (25, 15, &values[..4]),
        ] {
            let matrix = with_singular_values(m, n, values, seed);
            let map = Dense::new(&matrix, DType::F64);
            let b = random(m, seed + 50);
            for damping in [0.0, 0.5, 20.0] {
                let options = LsmrOptions { damping, ..tight() };
                let solve = lsmr(&map, &tensor(&b), &options).unwrap();
                let expected = least_squares(&matrix, &b, damping);
                let error = distance(&solve.solution, &expected);
                assert!(
                    error < 1e-10,
                    "{m} {n} {damping} {error} {:?}",
                    solve.ending
                );
                let (residual, normal) = measured(&matrix, &b, &to_f64(&solve.solution), damping);
                let claimed = *solve.residual_norms.last().unwrap();
                assert!(
                    (claimed - residual).abs() < 1e-10 * norm(&b),
                    "{claimed} {residual}"
                );
                assert!(normal < 1e-10 * norm(&b) * solve.map_norm);
                let norms = &solve.normal_residual_norms;
                assert!(norms.windows(2).all(|pair| pair[1] <= pair[0]));
                assert_eq!(solve.applications, 2 * solve.iterations + 1);
            }
        }
    }
}

#[test]
fn the_recurrences_of_the_norms_hold_at_every_iteration() {
    let values: Vec<f64> = (1..=20).map(f64::from).collect();
    let matrix = with_singular_values(40, 20, &values, 3);
    let (map, b) = (Dense::new(&matrix, DType::F64), random(40, 3));
    for damping in [0.0, 2.0] {
        for k in 1..15 {
            let options = LsmrOptions {
                damping,
                max_iterations: Some(k),
                ..tight()
            };
            let solve = lsmr(&map, &tensor(&b), &options).unwrap();
            assert_eq!(
                (solve.ending, solve.iterations),
                (LsmrEnding::MaxIterations, k)
            );
            let (residual, normal) = measured(&matrix, &b, &to_f64(&solve.solution), damping);
            assert!((solve.residual_norms[k] - residual).abs() < 1e-11 * norm(&b));
            assert!((solve.normal_residual_norms[k] - normal).abs() < 1e-10 * norm(&b) * 20.0);
        }
    }
}

#[test]
fn endings_tell_consistent_systems_from_least_squares() {
    let values: Vec<f64> = (1..=10).map(f64::from).collect();
    let matrix = with_singular_values(25, 10, &values, 1);
    let map = Dense::new(&matrix, DType::F64);
    let inside = to_f64(&map.apply(&tensor(&random(10, 1))).unwrap());
    let solve = lsmr(&map, &tensor(&inside), &LsmrOptions::default()).unwrap();
    assert_eq!(solve.ending, LsmrEnding::Consistent);
    let solve = lsmr(&map, &tensor(&random(25, 1)), &LsmrOptions::default()).unwrap();
    assert_eq!(solve.ending, LsmrEnding::LeastSquares);
    assert!(
        solve.condition > 3.0 && solve.condition < 11.0,
        "{}",
        solve.condition
    );
    let loose = LsmrOptions {
        condition_limit: 2.0,
        ..tight()
    };
    let solve = lsmr(&map, &tensor(&random(25, 1)), &loose).unwrap();
    assert_eq!(solve.ending, LsmrEnding::ConditionLimit);
    let zero = lsmr(&map, &tensor(&[0.0; 25]), &LsmrOptions::default()).unwrap();
    assert_eq!((zero.ending, zero.iterations), (LsmrEnding::Zero, 0));
}

#[test]
fn in_f32() {
    let values: Vec<f64> = (1..=12).map(f64::from).collect();
    let matrix = with_singular_values(30, 15, &values, 1);
    let map = Dense::new(&matrix, DType::F32);
    let b = random(30, 1);
    let solve = lsmr(
        &map,
        &from_f64(&b, &Device::flex(), DType::F32),
        &LsmrOptions::default(),
    )
    .unwrap();
    assert_eq!(solve.ending, LsmrEnding::LeastSquares);
    assert!(distance(&solve.solution, &least_squares(&matrix, &b, 0.0)) < 1e-4);
}

#[test]
fn misuse_and_edges() {
    let matrix = with_singular_values(5, 3, &[1.0, 2.0], 1);
    let map = Dense::new(&matrix, DType::F64);
    assert!(lsmr(&map, &tensor(&[1.0; 3]), &tight()).is_err());
    for damping in [-1.0, f64::NAN] {
        let options = LsmrOptions { damping, ..tight() };
        assert!(matches!(
            lsmr(&map, &tensor(&[1.0; 5]), &options),
            Err(CurvatureError::Argument { .. })
        ));
    }
    let nan = lsmr(&map, &tensor(&[f64::NAN; 5]), &tight()).unwrap();
    assert_eq!(nan.ending, LsmrEnding::NonFinite);
    let one = Dense::new(&Mat::from_fn(1, 1, |_, _| 4.0), DType::F64);
    let solve = lsmr(
        &one,
        &tensor(&[2.0]),
        &LsmrOptions {
            normal_tolerance: 0.0,
            residual_tolerance: 0.0,
            ..tight()
        },
    )
    .unwrap();
    assert_eq!(to_f64(&solve.solution), [0.5]);
    let nothing = Dense::new(&Mat::zeros(4, 2), DType::F64);
    assert_eq!(
        lsmr(&nothing, &tensor(&[1.0; 4]), &tight()).unwrap().ending,
        LsmrEnding::Zero
    );
}

#[test]
fn the_observer_stops() {
    let values: Vec<f64> = (1..=10).map(f64::from).collect();
    let map = Dense::new(&with_singular_values(20, 10, &values, 1), DType::F64);
    let stop = &mut |progress: &Progress| match progress.applications >= 7 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let solve = lsmr_observed(&map, &tensor(&random(20, 1)), &tight(), stop).unwrap();
    assert_eq!((solve.ending, solve.iterations), (LsmrEnding::Stopped, 3));
}
