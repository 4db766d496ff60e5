use super::*;
use crate::estimate::Estimate;
use crate::operator::{Definiteness, LinearOperator};
use crate::seed::Seed;
use crate::test_operators::{operator, with_spectrum};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// An operator that knows that it is positive semidefinite.
struct Semidefinite(crate::DenseOperator);

impl LinearOperator for Semidefinite {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn device(&self) -> Device {
        self.0.device()
    }
    fn dtype(&self) -> DType {
        self.0.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, crate::CurvatureError> {
        self.0.apply(v)
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, crate::CurvatureError> {
        self.0.apply_block(vs)
    }
    fn block_size(&self) -> usize {
        self.0.block_size()
    }
    fn definiteness(&self) -> Definiteness {
        Definiteness::PositiveSemidefinite
    }
}

const N: usize = 80;

fn conditioned(decades: f64) -> Vec<f64> {
    (0..N)
        .map(|i| 10_f64.powf(-decades * i as f64 / (N - 1) as f64))
        .collect()
}

fn options(probes: usize, steps: usize) -> SlqOptions {
    SlqOptions {
        probes,
        steps,
        ..Default::default()
    }
}

fn sum(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    values.iter().map(|t| f(*t)).sum()
}

/// How many of some seeds have the truth in the interval of the samples alone, and in that with the quadrature.
fn covered(truth: f64, estimate: impl Fn(Seed) -> Estimate) -> (usize, usize) {
    let (mut before, mut now) = (0, 0);
    let holds = |estimate: Estimate| {
        let (low, high) = estimate.interval(0.95);
        usize::from(low <= truth && truth <= high)
    };
    for seed in 0..40 {
        let found = estimate(Seed::new(seed));
        now += holds(found);
        before += holds(Estimate {
            quadrature_error: 0.0,
            ..found
        });
    }
    (before, now)
}

#[test]
fn few_steps_on_an_ill_conditioned_matrix_are_covered_now() {
    let values = conditioned(12.0);
    let matrix = with_spectrum(&values, 1);
    let unknown = operator(&matrix);
    let semidefinite = Semidefinite(operator(&matrix));
    let known = |steps, seed| slq(&semidefinite, &options(30, steps), seed).unwrap();
    let unknown = |steps, seed| slq(&unknown, &options(30, steps), seed).unwrap();
    for steps in [1, 4, 8] {
        for damping in [0.0, 1e-10, 1e-4] {
            let truth = sum(&values, |t| (t + damping).ln());
            for measure in [&known as &dyn Fn(usize, Seed) -> SpectralMeasure, &unknown] {
                let (before, now) = covered(truth, |seed| {
                    measure(steps, seed).log_determinant(damping).unwrap()
                });
                println!("log-determinant {steps} {damping}: {before} {now} of 40");
                assert!(now >= 38, "{steps} {damping}: {now}");
                assert!(
                    damping == 1e-4 || before == 0,
                    "{steps} {damping}: {before}"
                );
            }
            if damping == 0.0 {
                continue;
            }
            let truth = sum(&values, |t| t / (t + damping));
            let (before, now) = covered(truth, |seed| {
                known(steps, seed).effective_dimension(damping).unwrap()
            });
            println!("effective dimension {steps} {damping}: {before} {now} of 40");
            assert!(now >= 38, "{steps} {damping}: {now}");
            assert!(
                damping == 1e-4 || before == 0,
                "{steps} {damping}: {before}"
            );
        }
        let truth = sum(&values, |t| f64::from(t > 1e-6));
        let (before, now) = covered(truth, |seed| unknown(steps, seed).numerical_rank(1e-6));
        println!("rank {steps}: {before} {now} of 40");
        assert!(now >= 38, "{steps}: {now}");
        assert!(before <= 4, "{steps}: {before}");
        let negative = |seed| unknown(steps, seed).inertia(1e-6).negative;
        assert!(covered(0.0, negative).1 >= 38);
        let positive = |seed| unknown(steps, seed).inertia(1e-6).positive;
        assert!(covered(truth, positive).1 >= 38);
        let zero = |seed| unknown(steps, seed).inertia(1e-6).zero;
        assert!(covered(N as f64 - truth, zero).1 >= 38);
    }
}

/// vᵀ f(A) v itself for the vectors of the measure: the quadrature alone, without chance.
#[test]
fn brackets_hold_the_quadratic_forms_of_the_same_vectors() {
    let spectra = [
        conditioned(3.0),
        (0..N).map(|i| 0.01 + i as f64 / 40.0).collect(),
        (0..N)
            .map(|i| [0.1, 1.0, 5.0, 5.001][i % 4] + 1e-4 * i as f64)
            .collect(),
    ];
    for values in &spectra {
        let op = Semidefinite(operator(&with_spectrum(values, 6)));
        let exact = slq(&op, &options(6, N), Seed::new(2)).unwrap();
        for steps in [2, 5, 10, 20] {
            let few = slq(&op, &options(6, steps), Seed::new(2)).unwrap();
            let pairs = [
                (
                    few.log_determinant(1e-3).unwrap(),
                    exact.log_determinant(1e-3).unwrap(),
                ),
                (
                    few.effective_dimension(0.1).unwrap(),
                    exact.effective_dimension(0.1).unwrap(),
                ),
            ];
            for (few, exact) in pairs {
                // Gauss is above, Radau below
                let error = few.value - exact.value;
                let rounding = 1e-9 * exact.value.abs();
                assert!(error >= -rounding, "{steps} {few:?} {exact:?}");
                assert!(
                    error <= few.quadrature_error + rounding,
                    "{steps} {few:?} {exact:?}"
                );
            }
            for cut in [0.05, 0.7, 1.3, 3.0] {
                let (few, exact) = (few.inertia(cut), exact.inertia(cut));
                for (few, exact) in [
                    (few.positive, exact.positive),
                    (few.zero, exact.zero),
                    (few.negative, exact.negative),
                ] {
                    let error = (few.value - exact.value).abs();
                    assert!(
                        error <= few.quadrature_error + 1e-7,
                        "{steps} {cut} {few:?} {exact:?}"
                    );
                }
            }
        }
        // it falls to nothing with the steps, and is nothing for polynomials of low degree
        let many = slq(&op, &options(6, 70), Seed::new(2)).unwrap();
        let smooth = many.log_determinant(0.1).unwrap();
        assert!(
            smooth.quadrature_error < 1e-6 * smooth.value.abs(),
            "{smooth:?}"
        );
        let few = slq(&op, &options(6, 5), Seed::new(2)).unwrap();
        let polynomial = few.trace_of_function(|t| t * t - t);
        assert!(polynomial.quadrature_error < 1e-10 * polynomial.value.abs().max(1.0));
        assert_eq!(exact.log_determinant(0.1).unwrap().quadrature_error, 0.0);
    }
}

#[test]
fn differences_to_shorter_rules_cover_smooth_functions_of_indefinite_matrices() {
    let values: Vec<f64> = (0..N).map(|i| -1.0 + i as f64 / 20.0).collect();
    let op = operator(&with_spectrum(&values, 4));
    let exact = slq(&op, &options(5, N), Seed::new(3)).unwrap();
    for steps in [4, 8, 12] {
        let few = slq(&op, &options(5, steps), Seed::new(3)).unwrap();
        let functions: [fn(f64) -> f64; 3] =
            [f64::exp, |t| (3.0 * t).cos(), |t| 1.0 / (1.0 + t * t)];
        for f in functions {
            let (few, exact) = (few.trace_of_function(f), exact.trace_of_function(f));
            let error = (few.value - exact.value).abs();
            assert!(
                error <= few.quadrature_error + 1e-9,
                "{steps} {few:?} {exact:?}"
            );
            let far = steps == 12 && few.quadrature_error > 0.5;
            assert!(!far, "{few:?}");
        }
        let (few, exact) = (
            few.effective_dimension(0.3).unwrap(),
            exact.effective_dimension(0.3).unwrap(),
        );
        assert!((few.value - exact.value).abs() <= few.quadrature_error + 1e-9);
    }
}

#[test]
fn nearly_null_spaces_leave_little_doubt() {
    // rank 10 of 80, but for rounding: the null space is a few nodes with nearly all of the weight, far from the cut
    let values: Vec<f64> = (0..N)
        .map(|i| {
            if i < 10 {
                1.0 + i as f64
            } else {
                1e-7 * i as f64
            }
        })
        .collect();
    let op = operator(&with_spectrum(&values, 8));
    let few = slq(&op, &options(10, 10), Seed::new(1)).unwrap();
    assert!(few.numerical_rank(0.5).quadrature_error < 10.0);
    let more = slq(&op, &options(10, 14), Seed::new(1)).unwrap();
    let found = more.numerical_rank(1e-3);
    assert!(
        found.quadrature_error > 0.0 && found.quadrature_error < 0.1,
        "{found:?}"
    );
    let (low, high) = found.interval(0.99);
    assert!(low < 10.0 && 10.0 < high);
}

#[test]
fn f32_and_few_vectors_are_covered_as_well() {
    let values = conditioned(5.0);
    let matrix = with_spectrum(&values, 9);
    let single = Semidefinite(matrix.operator(&Device::flex(), DType::F32));
    let truth = sum(&values, |t| (t + 1e-4).ln());
    let share = sum(&values, |t| t / (t + 1e-4));
    for vectors in [LanczosVectors::All, LanczosVectors::LastTwo] {
        for steps in [3, 8, 20] {
            let options = SlqOptions {
                vectors,
                ..options(20, steps)
            };
            let measure = |seed| slq(&single, &options, seed).unwrap();
            let logarithm = covered(truth, |seed| measure(seed).log_determinant(1e-4).unwrap());
            let effective = covered(share, |seed| {
                measure(seed).effective_dimension(1e-4).unwrap()
            });
            assert!(logarithm.1 >= 36, "{vectors:?} {steps} {logarithm:?}");
            assert!(effective.1 >= 36, "{vectors:?} {steps} {effective:?}");
        }
    }
}
