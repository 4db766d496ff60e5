use super::*;
use crate::test_operators::{Counted, Nothing, diagonal, operator, with_spectrum};
use crate::vector::from_f64;
use burn::prelude::Device;
use burn::tensor::DType;
use std::ops::ControlFlow;

fn tight(pairs: usize, end: SpectrumEnd) -> LobpcgOptions {
    LobpcgOptions {
        pairs,
        end,
        tolerance: 1e-11,
        max_iterations: 500,
        block: None,
    }
}

fn assert_near(found: &[f64], expected: &[f64], near: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= near, "{found:?} {expected:?}");
    }
}

#[test]
fn both_ends_of_clustered_and_multiple_values() {
    let mut values: Vec<f64> = (0..90).map(|i| f64::from(i) / 50.0 - 0.9).collect();
    values.extend([5.0, 5.0, 5.0, 4.999, 3.0, -4.0, -4.0, -3.0]);
    let matrix = with_spectrum(&values, 2);
    let cases = [
        (SpectrumEnd::Largest, [5.0, 5.0, 5.0, 4.999, 3.0].as_slice()),
        (SpectrumEnd::Smallest, &[-4.0, -4.0, -3.0, -0.9, -0.88]),
    ];
    for (end, expected) in cases {
        for seed in 0..2 {
            let op = operator(&matrix);
            let counted = Counted::new(&op);
            let found = lobpcg(&counted, &tight(5, end), Seed::new(seed)).unwrap();
            assert_eq!(found.ending, EigenEnding::Converged);
            assert_eq!(found.applications, counted.applications());
            assert!(found.worst_residual() <= 5e-11);
            assert_near(&found.values(), expected, 1e-9);
        }
        let op = matrix.operator(&Device::flex(), DType::F32);
        let options = LobpcgOptions {
            tolerance: 2e-6,
            ..tight(5, end)
        };
        let found = lobpcg(&op, &options, Seed::new(3)).unwrap();
        assert_eq!(found.ending, EigenEnding::Converged);
        assert_near(&found.values(), expected, 1e-5);
    }
}

#[test]
fn a_tolerance_below_the_rounding_of_f32_is_told() {
    let values: Vec<f64> = (0..100).map(|i| 0.9_f64.powi(i)).collect();
    let op = with_spectrum(&values, 2).operator(&Device::flex(), DType::F32);
    let found = lobpcg(&op, &tight(3, SpectrumEnd::Largest), Seed::new(3)).unwrap();
    assert_eq!(found.ending, EigenEnding::Rounding);
    assert!(found.worst_residual() < 2e-6, "{}", found.worst_residual());
    assert!(found.iterations < 100, "{}", found.iterations);
}

#[test]
fn a_condition_number_of_1e12() {
    let values: Vec<f64> = (0..100)
        .map(|i| 10_f64.powf(-12.0 * f64::from(i) / 99.0))
        .collect();
    let op = operator(&with_spectrum(&values, 5));
    let options = LobpcgOptions {
        tolerance: 1e-13,
        ..tight(6, SpectrumEnd::Largest)
    };
    let found = lobpcg(&op, &options, Seed::new(1)).unwrap();
    assert_near(&found.values(), &values[..6], 1e-12);
    assert!(found.worst_residual() < 1e-12);
}

#[test]
fn a_preconditioner_and_earlier_vectors_save_products() {
    let values: Vec<f64> = (1..=200).map(|i| f64::from(i).powi(2)).collect();
    let op = diagonal(&values);
    let shift: Vec<f64> = values.iter().map(|x| 1.0 / (x + 0.1 * x.sqrt())).collect();
    let preconditioner = diagonal(&shift);
    let options = LobpcgOptions {
        tolerance: 1e-9,
        ..tight(3, SpectrumEnd::Smallest)
    };
    let cold = lobpcg(&op, &options, Seed::new(0)).unwrap();
    let with = |knowledge: LobpcgKnowledge<'_>| {
        lobpcg_observed(&op, &options, &knowledge, Seed::new(0), &mut unobserved).unwrap()
    };
    let preconditioned = with(LobpcgKnowledge {
        preconditioner: Some(&preconditioner),
        earlier: &[],
    });
    let earlier = cold.vectors();
    let warm = with(LobpcgKnowledge {
        preconditioner: None,
        earlier: &earlier,
    });
    println!(
        "{} {} {}",
        cold.applications, preconditioned.applications, warm.applications
    );
    for found in [&cold, &preconditioned, &warm] {
        assert_eq!(found.ending, EigenEnding::Converged);
        assert_near(&found.values(), &[1.0, 4.0, 9.0], 1e-4);
    }
    assert!(3 * preconditioned.applications < cold.applications);
    assert!(4 * warm.applications < cold.applications);
}

#[test]
fn small_empty_zero_and_broken_operators() {
    let end = SpectrumEnd::Largest;
    let one = lobpcg(&diagonal(&[-7.0]), &tight(1, end), Seed::new(0)).unwrap();
    assert_eq!(one.ending, EigenEnding::Converged);
    assert_near(&one.values(), &[-7.0], 1e-14);
    let small = lobpcg(&diagonal(&[1.0, 3.0, 3.0]), &tight(10, end), Seed::new(0)).unwrap();
    assert_eq!(small.ending, EigenEnding::WholeSpace);
    assert_near(&small.values(), &[3.0, 3.0, 1.0], 1e-13);
    let zero = lobpcg(&diagonal(&[0.0; 30]), &tight(3, end), Seed::new(0)).unwrap();
    assert_eq!(
        (zero.ending, zero.values()),
        (EigenEnding::Converged, vec![0.0; 3])
    );
    let nothing = lobpcg(&Nothing, &tight(2, end), Seed::new(0)).unwrap();
    assert!(nothing.pairs.is_empty());
    let nan = lobpcg(
        &diagonal(&[1.0, f64::NAN, 0.0]),
        &tight(1, end),
        Seed::new(0),
    );
    assert!(matches!(nan, Err(CurvatureError::NonFinite { .. })));
    for options in [
        tight(0, end),
        LobpcgOptions {
            tolerance: 0.0,
            ..tight(1, end)
        },
        LobpcgOptions {
            block: Some(1),
            ..tight(2, end)
        },
    ] {
        let refused = lobpcg(&diagonal(&[1.0]), &options, Seed::new(0));
        assert!(matches!(refused, Err(CurvatureError::Argument { .. })));
    }
    let earlier = [from_f64(&[1.0], &Device::flex(), DType::F64)];
    let knowledge = LobpcgKnowledge {
        preconditioner: None,
        earlier: &earlier,
    };
    let op = diagonal(&[1.0, 2.0]);
    let refused = lobpcg_observed(
        &op,
        &tight(1, end),
        &knowledge,
        Seed::new(0),
        &mut unobserved,
    );
    assert!(matches!(refused, Err(CurvatureError::Dimension { .. })));
}

#[test]
fn it_stops_when_asked_or_spent_with_honest_residuals() {
    let values: Vec<f64> = (0..150).map(f64::from).collect();
    let op = diagonal(&values);
    let end = SpectrumEnd::Largest;
    let options = LobpcgOptions {
        max_iterations: 3,
        ..tight(4, end)
    };
    let spent = lobpcg(&op, &options, Seed::new(0)).unwrap();
    assert_eq!(
        (spent.ending, spent.iterations),
        (EigenEnding::MaxIterations, 3)
    );
    for pair in &spent.pairs {
        let nearest = values
            .iter()
            .fold(f64::INFINITY, |m, x| m.min((x - pair.value).abs()));
        assert!(nearest <= pair.residual && pair.residual > 1e-3);
    }
    let knowledge = LobpcgKnowledge::default();
    let mut stop = |_: &Progress| ControlFlow::Break(());
    let stopped =
        lobpcg_observed(&op, &tight(4, end), &knowledge, Seed::new(0), &mut stop).unwrap();
    assert_eq!(
        (stopped.ending, stopped.pairs.len()),
        (EigenEnding::Stopped, 4)
    );
}

#[test]
fn all_pairs_of_degenerate_and_indefinite_matrices() {
    let spectra = [
        vec![2.0; 12],
        vec![0.0, 0.0, 0.0, 7.0, 0.0, 0.0],
        vec![-3.0, -3.0, -1.0, 0.0, 0.0, 2.0, 2.0, 2.0, 9.0],
        (0..20).map(|i| f64::from(i % 3) - 1.0).collect(),
    ];
    for values in &spectra {
        let n = values.len();
        let op = operator(&with_spectrum(values, 4));
        for end in [SpectrumEnd::Largest, SpectrumEnd::Smallest] {
            let mut expected = values.clone();
            expected.sort_by(|a, b| match end {
                SpectrumEnd::Largest => b.total_cmp(a),
                SpectrumEnd::Smallest => a.total_cmp(b),
            });
            for pairs in [1, n / 2, n - 1, n] {
                let found = lobpcg(&op, &tight(pairs, end), Seed::new(5)).unwrap();
                assert_eq!(found.ending, EigenEnding::Converged, "{values:?} {pairs}");
                assert_near(&found.values(), &expected[..pairs], 1e-9);
                for (i, a) in found.pairs.iter().enumerate() {
                    for b in &found.pairs[..i] {
                        assert!(crate::vector::dot(&a.vector, &b.vector).abs() < 1e-12);
                    }
                }
            }
        }
    }
}

#[test]
fn ill_conditioned_preconditioners_and_dependent_starts_do_no_harm() {
    let values: Vec<f64> = (0..80)
        .map(|i| 10_f64.powf(-12.0 * f64::from(i) / 79.0))
        .collect();
    let op = diagonal(&values);
    // nearly the inverse: directions of very different length, dependent on X and P once they converge
    let inverse: Vec<f64> = values.iter().map(|x| 1.0 / (x + 1e-12)).collect();
    let inverse = diagonal(&inverse);
    let mut first = vec![0.0; 80];
    first[79] = 1.0;
    let first = from_f64(&first, &Device::flex(), DType::F64);
    let earlier = [first.clone(), first.clone().mul_scalar(3.0), first];
    let knowledge = LobpcgKnowledge {
        preconditioner: Some(&inverse),
        earlier: &earlier,
    };
    let options = LobpcgOptions {
        tolerance: 1e-15,
        ..tight(3, SpectrumEnd::Smallest)
    };
    let found = lobpcg_observed(&op, &options, &knowledge, Seed::new(2), &mut unobserved).unwrap();
    for (found, expected) in found.values().iter().zip(values.iter().rev()) {
        assert!((found / expected - 1.0).abs() < 1e-2, "{found} {expected}");
    }
    let earlier = [from_f64(&[f64::NAN; 80], &Device::flex(), DType::F64)];
    let knowledge = LobpcgKnowledge {
        preconditioner: None,
        earlier: &earlier,
    };
    let options = tight(2, SpectrumEnd::Largest);
    let found = lobpcg_observed(&op, &options, &knowledge, Seed::new(2), &mut unobserved).unwrap();
    assert_near(&found.values(), &values[..2], 1e-10);
}

/// Products of a preconditioned search, which must end as the plain one does.
fn preconditioned(
    op: &dyn LinearOperator,
    options: &LobpcgOptions,
    preconditioner: &dyn LinearOperator,
    expected: &[f64],
) -> Eigenpairs {
    let knowledge = LobpcgKnowledge {
        preconditioner: Some(preconditioner),
        earlier: &[],
    };
    let counted = Counted::new(op);
    let found = lobpcg_observed(&counted, options, &knowledge, Seed::new(0), &mut unobserved);
    let found = found.unwrap();
    assert_eq!(found.ending, EigenEnding::Converged);
    assert_eq!(found.applications, counted.applications());
    assert_near(&found.values(), expected, 1e-8);
    found
}

#[test]
fn preconditioners_without_use_give_way_to_plain_residuals() {
    let n = 120;
    let values: Vec<f64> = (1..=n).map(f64::from).collect();
    let op = diagonal(&values);
    let expected = [1.0, 2.0, 3.0];
    let options = LobpcgOptions {
        tolerance: 1e-10,
        ..tight(3, SpectrumEnd::Smallest)
    };
    let plain = lobpcg(&op, &options, Seed::new(0)).unwrap();
    assert_eq!(plain.ending, EigenEnding::Converged);
    let with = |entries: &dyn Fn(usize) -> f64| {
        let entries: Vec<f64> = (0..n as usize).map(entries).collect();
        preconditioned(&op, &options, &diagonal(&entries), &expected)
    };
    let nothing = with(&|_| 0.0);
    assert_eq!(nothing.applications, plain.applications);
    assert_eq!(nothing.values(), plain.values());
    let tiny = with(&|_| 1e-30);
    assert!(tiny.iterations.abs_diff(plain.iterations) <= 2);
    // in f32 as well, where squares of 1e-30 are zero
    let single = |entries: &[f64]| with_spectrum(entries, 1).operator(&Device::flex(), DType::F32);
    let coarse = LobpcgOptions {
        tolerance: 1e-5,
        ..options
    };
    let op32 = single(&values);
    let scaled = crate::operators::Scaled::new(single(&[1.0; 120]), 1e-30);
    let knowledge = LobpcgKnowledge {
        preconditioner: Some(&scaled),
        earlier: &[],
    };
    let found = lobpcg_observed(&op32, &coarse, &knowledge, Seed::new(0), &mut unobserved).unwrap();
    assert_eq!(found.ending, EigenEnding::Converged);
    assert_near(&found.values(), &expected, 1e-3);
    let block = 5;
    let rank_one = with(&|i| f64::from(u8::from(i == 7)));
    println!(
        "plain {}, rank one {}",
        plain.applications, rank_one.applications
    );
    assert!(rank_one.applications <= plain.applications * 5 / 4 + 2 * block);
    // directions that never lead to the wanted vectors: idle until that is noticed
    let elsewhere = with(&|i| f64::from(u8::from(i >= 60)));
    println!(
        "elsewhere {} of {}",
        elsewhere.applications, elsewhere.iterations
    );
    assert!(elsewhere.applications <= plain.applications * 5 / 4 + 60 * block);
}

#[test]
fn an_error_of_the_preconditioner_names_it() {
    let op = diagonal(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let broken = diagonal(&[1.0, f64::NAN, 1.0, 1.0, 1.0, 1.0]);
    let options = tight(1, SpectrumEnd::Largest);
    let with = |op: &dyn LinearOperator, preconditioner: &dyn LinearOperator| {
        let knowledge = LobpcgKnowledge {
            preconditioner: Some(preconditioner),
            earlier: &[],
        };
        let found = lobpcg_observed(op, &options, &knowledge, Seed::new(0), &mut unobserved);
        found.unwrap_err().to_string()
    };
    let error = with(&op, &broken);
    assert!(
        error.contains("a product with the preconditioner is not finite"),
        "{error}"
    );
    let error = with(&broken, &op);
    assert!(
        error.contains("a product with the operator is not finite"),
        "{error}"
    );
    let error = with(&op, &Cut { length: 4, rows: 9 });
    let expected = "a product of the preconditioner has dimension 4, but 6 is needed";
    assert_eq!(error, expected);
    let error = with(&Cut { length: 4, rows: 9 }, &op);
    assert!(
        error.starts_with("a product of the operator has dimension 4"),
        "{error}"
    );
    let error = with(&op, &Cut { length: 6, rows: 1 });
    let expected = "the number of products of the preconditioner with a block has dimension 1";
    assert!(error.starts_with(expected), "{error}");
}

/// Claims six dimensions and cuts its products.
struct Cut {
    length: usize,
    rows: usize,
}

impl LinearOperator for Cut {
    fn dim(&self) -> usize {
        6
    }
    fn device(&self) -> Device {
        Device::flex()
    }
    fn dtype(&self) -> DType {
        DType::F64
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(v.clone().slice(0..self.length))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let rows = self.rows.min(vs.dims()[0]);
        Ok(vs.clone().slice([0..rows, 0..self.length]))
    }
    fn block_size(&self) -> usize {
        8
    }
}
