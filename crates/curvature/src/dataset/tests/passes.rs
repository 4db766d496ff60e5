use super::*;
use crate::progress::Progress;
use std::ops::ControlFlow;

/// Stops after so many batches, and keeps what it saw.
fn stop_after(
    batches: usize,
    seen: &mut Vec<Progress>,
) -> impl FnMut(&Progress) -> ControlFlow<()> {
    move |progress| {
        seen.push(*progress);
        match progress.applications >= batches {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_stopped_pass_is_that_of_the_batches_so_far() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let data = kept(reduction);
        let objective = objective(reduction);
        let first = objective
            .over(&net(), &batches()[..2], Memory::Kept)
            .unwrap();
        let (options, seed) = (options(sampled(Seed::new(2))), Seed::new(3));
        let mut seen = Vec::new();
        let stopped = data
            .kfac_factors_observed(&options, &mut stop_after(2, &mut seen))
            .unwrap();
        let expected = first.kfac_factors(&options).unwrap();
        assert_eq!(stopped.value.save(), expected.save());
        assert_eq!((stopped.batches, stopped.examples), (2, 7));
        assert_eq!(stopped.ending, PassEnding::Stopped);
        let progress = |applications| Progress {
            applications,
            most: Some(3),
            measure: None,
        };
        assert_eq!(seen, [progress(1), progress(2)]);

        let kfac = data.kfac(&options).unwrap();
        let stopped = data
            .ekfac_in_bases_of_observed(&kfac, &options, &mut stop_after(2, &mut Vec::new()))
            .unwrap();
        let expected = first.ekfac_in_bases_of(&kfac, &options).unwrap();
        assert_eq!(stopped.ending, PassEnding::Stopped);
        assert_eq!(stopped.value.eigenvalues(), expected.eigenvalues());

        let stopped = data
            .curvature_diagonal_observed(&options.factors, &mut stop_after(2, &mut Vec::new()))
            .unwrap();
        let expected = first.curvature_diagonal(&options.factors).unwrap();
        assert_eq!(stopped.ending, PassEnding::Stopped);
        assert_eq!(to_f64(&stopped.value.values), to_f64(&expected.values));
        assert_eq!(stopped.value.passes, expected.passes);

        let stopped = data
            .gauss_newton_diagonal_sampled_observed(4, seed, &mut stop_after(2, &mut Vec::new()))
            .unwrap();
        let expected = first.gauss_newton_diagonal_sampled(4, seed).unwrap();
        assert_eq!(stopped.ending, PassEnding::Stopped);
        let errors = [&stopped.value, &expected].map(|found| to_f64(&found.standard_errors));
        assert_eq!(errors[0], errors[1]);
        assert_eq!(to_f64(&stopped.value.values), to_f64(&expected.values));
    }
}

#[test]
fn a_stop_at_the_last_batch_comes_too_late() {
    let data = kept(Reduction::Mean);
    let mut seen = Vec::new();
    let found = data
        .curvature_diagonal_observed(&Factors::Exact, &mut stop_after(3, &mut seen))
        .unwrap();
    assert_eq!((found.ending, found.batches), (PassEnding::Complete, 3));
    assert_eq!((found.examples, seen.len()), (11, 3));
    let expected = to_f64(&data.gauss_newton_diagonal().unwrap());
    assert_eq!(to_f64(&found.value.values), expected);
}

#[test]
fn statistics_of_gradients_of_loaded_batches_are_those_of_one_batch() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let (objective, model) = (objective(reduction), net());
        let expected = objective.gradient_statistics(&model, &[whole()]).unwrap();
        let load = |index: usize| Ok::<_, std::io::Error>(batches()[index].clone());
        let found = objective
            .gradient_statistics_streamed(&model, 3, load)
            .unwrap();
        assert_eq!(found.examples(), 11);
        assert_same(&column(found.mean()), &column(expected.mean()));
        assert_same(&column(&found.norms()), &column(&expected.norms()));
        assert_same(&column(&found.variance()), &column(&expected.variance()));
        let (found, expected) = (found.noise_scale(), expected.noise_scale());
        assert!((found.value / expected.value - 1.0).abs() < 1e-10);
        assert!((found.standard_error / expected.standard_error - 1.0).abs() < 1e-10);
        let missing = objective.gradient_statistics_streamed(&model, 2, |index| match index {
            0 => Ok(whole()),
            _ => Err(std::io::Error::other("no such file")),
        });
        assert!(matches!(
            missing,
            Err(CurvatureError::Load { index: 1, .. })
        ));
        let none = objective.gradient_statistics(&model, &[]);
        assert!(matches!(none, Err(CurvatureError::Argument { .. })));
    }
}
