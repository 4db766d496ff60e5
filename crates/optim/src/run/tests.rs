use std::ops::ControlFlow;

use super::*;
use crate::test_problems::{logistic, quadratic, rosenbrock, saddle, vector32};
use crate::{
    Armijo, Cost, CostWeights, CurvatureCap, Damping, EndingKind, GradientDescent, LearningRate,
    Newton, NewtonCg,
};

#[test]
fn rows_tell_the_story() {
    let point = quadratic(&[1.0, 10.0], &[0.0, 0.0]);
    let rate = LearningRate::from(1.0).capped(CurvatureCap::default());
    let mut method = GradientDescent::new(rate);
    let theta = vector32(&[1.0, 1.0]);
    let run = run(&mut method, &point, &theta, &Budget::steps(5), &mut Silent).unwrap();
    assert_eq!(
        run.ending,
        Ending::BudgetSpent {
            step: 5,
            limit: Limit::Steps
        }
    );
    assert_eq!(run.rows.len(), 5);
    for (row, next) in run.rows.iter().zip(&run.rows[1..]) {
        let measured = row.measured_change.unwrap();
        assert!((measured - (next.loss - row.loss)).abs() < 1e-12);
        assert!((measured - row.predicted_change.unwrap()).abs() < 1e-5);
        assert!(next.seconds >= row.seconds);
    }
    let cost = |n| Cost {
        losses: 0,
        gradients: n,
        products: n,
        ..Cost::default()
    };
    assert_eq!(run.rows[2].cost, cost(3));
    assert_eq!(run.rows[2].gradient_equivalents, 9.0);
    assert_eq!(run.cost, cost(5));
    assert!(run.final_loss.unwrap() < run.rows[4].loss);
}

#[test]
fn a_target_is_reached_before_a_step_is_wasted() {
    let point = quadratic(&[1.0, 1.0], &[0.0, 0.0]);
    let theta = vector32(&[1.0, 1.0]);
    let budget = Budget::steps(50).target_loss(1e-3);
    let run = run(
        &mut Newton::new(Damping::None),
        &point,
        &theta,
        &budget,
        &mut Silent,
    )
    .unwrap();
    assert!(matches!(run.ending, Ending::TargetReached { step: 1, loss } if loss <= 1e-3));
    assert_eq!(
        run.cost,
        Cost {
            losses: 0,
            gradients: 1,
            products: 2,
            ..Cost::default()
        }
    );
}

#[test]
fn the_cost_limit_counts_by_its_weights() {
    let point = quadratic(&[1.0, 2.0], &[0.0, 0.0]);
    let weights = CostWeights {
        loss: 0.5,
        gradient: 1.0,
        product: 3.0,
        ..CostWeights::default()
    };
    let rate = LearningRate::from(0.1).capped(CurvatureCap::default());
    let budget = Budget::gradient_equivalents(8.0, weights);
    let run = run(
        &mut GradientDescent::new(rate),
        &point,
        &vector32(&[1.0, 1.0]),
        &budget,
        &mut Silent,
    )
    .unwrap();
    assert_eq!(
        run.ending,
        Ending::BudgetSpent {
            step: 2,
            limit: Limit::GradientEquivalents
        }
    );
}

#[test]
fn divergence_and_nan_are_endings() {
    let point = quadratic(&[1.0, 100.0], &[0.0, 0.0]);
    let theta = vector32(&[1.0, 1.0]);
    let uphill = || GradientDescent::new(0.5);
    let budget = Budget::steps(1000);
    let overflow = run(&mut uphill(), &point, &theta, &budget, &mut Silent).unwrap();
    assert!(
        matches!(overflow.ending, Ending::Diverged { loss, .. } if !loss.is_finite()),
        "{:?}",
        overflow.ending
    );
    let bounded = budget.max_loss(1e6);
    let bounded = run(&mut uphill(), &point, &theta, &bounded, &mut Silent).unwrap();
    assert!(
        matches!(bounded.ending, Ending::Diverged { loss, .. } if loss > 1e6 && loss.is_finite())
    );
    let nan = vector32(&[f32::NAN, 1.0]);
    let nan = run(&mut uphill(), &point, &nan, &budget, &mut Silent).unwrap();
    assert!(matches!(nan.ending, Ending::Diverged { step: 0, loss } if loss.is_nan()));
    assert!(nan.rows.is_empty());
}

#[test]
fn stalled_and_stopped_runs() {
    let begin = vector32(&[0.0, 0.0]);
    let mut method = GradientDescent::new(0.1);
    let budget = Budget::steps(10);
    let stalled = run(&mut method, saddle(), &begin, &budget, &mut Silent).unwrap();
    assert_eq!(
        stalled.ending,
        Ending::Stalled {
            step: 0,
            ending: EndingKind::Stationary
        }
    );
    let mut steps = 0;
    let mut stop = |progress: &Progress<'_>| {
        assert_eq!(progress.row.step, steps);
        assert!(progress.point.loss().unwrap() == progress.row.loss);
        steps += 1;
        match steps {
            3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let point = logistic();
    let stopped = run(&mut method, &point, point.theta(), &budget, &mut stop).unwrap();
    assert_eq!(stopped.ending, Ending::Stopped { step: 3 });
    assert_eq!(stopped.rows.len(), 3);
}

#[test]
fn streams_evaluate_elsewhere_and_measure_on_their_own_batch() {
    // Two batches that pull towards 0 and towards 2: the whole data has its minimum at 1.
    let batches = [quadratic(&[1.0], &[0.0]), quadratic(&[1.0], &[2.0])];
    let whole = quadratic(&[1.0], &[1.0]);
    let mut asked = Vec::new();
    let stream = Batches::stream(|step| {
        asked.push(step);
        Ok(batches[step % 2].clone())
    })
    .evaluated_on(whole, 2)
    .measuring_changes();
    let run = run(
        &mut GradientDescent::new(0.5),
        stream,
        &vector32(&[4.0]),
        &Budget::steps(4).target_loss(1e-9),
        &mut Silent,
    )
    .unwrap();
    // 4 → 2 → 2 → 1 → 1.5
    let losses: Vec<f64> = run.rows.iter().map(|row| row.loss).collect();
    assert_eq!(losses, [8.0, 0.0, 2.0, 0.5]);
    let evaluations: Vec<_> = run.rows.iter().map(|row| row.evaluation).collect();
    assert_eq!(evaluations, [Some(4.5), None, Some(0.5), None]);
    assert_eq!(run.rows[0].measured_change, Some(2.0 - 8.0));
    assert_eq!(run.cost.losses, 0);
    assert_eq!(asked, [0, 1, 2, 3]);
}

#[test]
fn every_method_reaches_the_valley_floor_of_rosenbrock() {
    let point = rosenbrock();
    let budget = Budget::steps(5000).target_loss(1e-2);
    let searching = LearningRate::from(1.0).backtracking(Armijo::default());
    let methods: Vec<Box<dyn Method>> = vec![
        Box::new(GradientDescent::new(searching)),
        Box::new(Newton::new(Damping::adaptive())),
        Box::new(Newton::new(Damping::None).backtracking(Armijo::default())),
        Box::new(NewtonCg::new()),
    ];
    for mut method in methods {
        let run = run(&mut method, &point, point.theta(), &budget, &mut Silent).unwrap();
        assert!(
            matches!(run.ending, Ending::TargetReached { .. }),
            "{}: {:?}",
            method.name(),
            run.ending
        );
    }
}

#[test]
fn budgets_without_sense_are_errors() {
    let point = saddle();
    let theta = vector32(&[1.0, 1.0]);
    let mut method = GradientDescent::new(0.1);
    let endless = Budget::default().target_loss(0.1);
    let refused = run(&mut method, &point, &theta, &endless, &mut Silent);
    assert!(matches!(refused, Err(OptimError::Unbounded)));
    let stream = Batches::stream(|_| Ok(saddle()));
    let budget = Budget::steps(5).target_loss(0.1);
    let refused = run(&mut method, stream, &theta, &budget, &mut Silent);
    assert!(matches!(refused, Err(OptimError::TargetWithoutEvaluation)));
    let short = run(
        &mut method,
        &point,
        &vector32(&[1.0]),
        &Budget::steps(1),
        &mut Silent,
    );
    assert!(matches!(short, Err(OptimError::Dimension { .. })));
}
