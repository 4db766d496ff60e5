use ravine_curvature::vector;

use crate::test_problems::{quadratic_in_f64, rosenbrock, vector32};
use crate::{
    Armijo, BarzilaiBorwein, CurvatureCap, Descent, GradientDescent, HeavyBall, LearningRate,
    Method, Nonmonotone, OptimError, Oracle, PolyakTarget, RateRule, Schedule, SharpnessCap, Step,
    StepEnding, StrongWolfe,
};

const EIGENVALUES: [f32; 4] = [1.0, 3.0, 20.0, 50.0];

fn steps(method: &mut dyn Method, count: usize) -> Vec<Step> {
    let point = quadratic_in_f64(&EIGENVALUES);
    let mut theta = point.theta().clone();
    let mut oracle = Oracle::new(point);
    let step = |_| {
        let step = method.step(&mut oracle, &theta).unwrap();
        theta = step.theta.clone();
        step
    };
    (0..count).map(step).collect()
}

fn rates(rule: LearningRate, count: usize) -> Vec<f64> {
    let taken = steps(&mut GradientDescent::new(rule), count);
    taken
        .iter()
        .map(|step| step.learning_rate.unwrap())
        .collect()
}

/// The same descent in plain numbers, with the rate of each step from its gradient and the one before.
fn by_hand(count: usize, mut rate: impl FnMut(&[f64], Option<&[f64]>, f64) -> f64) -> Vec<f64> {
    let lambda = EIGENVALUES.map(f64::from);
    let mut theta = [1.0; 4];
    let (mut last, mut used, mut rates) = (None::<[f64; 4]>, 0.0, Vec::new());
    for _ in 0..count {
        let g: [f64; 4] = std::array::from_fn(|i| lambda[i] * theta[i]);
        used = rate(&g, last.as_ref().map(|last| last.as_slice()), used);
        for i in 0..4 {
            theta[i] -= used * g[i];
        }
        last = Some(g);
        rates.push(used);
    }
    rates
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (x, e) in found.iter().zip(expected) {
        assert!((x - e).abs() < 1e-9 * e.abs(), "{found:?} {expected:?}");
    }
}

fn form(g: &[f64], power: i32) -> f64 {
    let term = |(g, l): (&f64, f32)| g * g * f64::from(l).powi(power);
    g.iter().zip(EIGENVALUES).map(term).sum()
}

#[test]
fn the_cap_reproduces_exact_line_search() {
    let capped = LearningRate::from(1e6).capped(CurvatureCap::default());
    assert_close(
        &rates(capped, 20),
        &by_hand(20, |g, _, _| form(g, 0) / form(g, 1)),
    );
    // Along a velocity as well: the slope at the end of the step is zero.
    let mut method = Descent::new(HeavyBall::new(0.9), capped);
    let point = quadratic_in_f64(&EIGENVALUES);
    let mut oracle = Oracle::new(point.clone());
    let mut theta = point.theta().clone();
    for _ in 0..10 {
        let step = method.step(&mut oracle, &theta).unwrap();
        let d = step.theta.clone() - theta;
        let (loss, gradient) = oracle.gradient(&step.theta).unwrap();
        assert!(vector::dot(&d, &gradient).abs() < 1e-10 * step.loss_before.max(1e-3));
        let measured = loss - step.loss_before;
        assert!(
            (step.predicted_change.unwrap() - measured).abs() < 1e-12 * step.loss_before.max(1.0)
        );
        theta = step.theta;
    }
}

#[test]
fn barzilai_borwein_rates_are_rayleigh_quotients_of_the_last_step() {
    // s = −εg₋ and y = Hs: BB1 = g₋ᵀg₋/g₋ᵀHg₋, BB2 = g₋ᵀHg₋/g₋ᵀH²g₋.
    for (variant, power) in [(BarzilaiBorwein::Long, 0), (BarzilaiBorwein::Short, 1)] {
        let rule = RateRule::BarzilaiBorwein {
            variant,
            minimum: 1e-10,
            maximum: 1e10,
        };
        let expected = by_hand(12, |_, last, _| {
            last.map_or(0.01, |g| form(g, power) / form(g, power + 1))
        });
        assert_close(&rates(LearningRate::from(0.01).by(rule), 12), &expected);
    }
}

#[test]
fn a_nonmonotone_search_lets_the_loss_rise_and_converges() {
    let rule = RateRule::BarzilaiBorwein {
        variant: BarzilaiBorwein::Long,
        minimum: 1e-10,
        maximum: 1e10,
    };
    let rate = LearningRate::from(0.01).by(rule);
    let losses = |rate: LearningRate| -> Vec<f64> {
        let taken = steps(&mut GradientDescent::new(rate), 60);
        taken.iter().map(|step| step.loss_before).collect()
    };
    let nonmonotone = losses(rate.searching(Nonmonotone::default()));
    assert!(nonmonotone.windows(2).any(|pair| pair[1] > pair[0]));
    assert!(nonmonotone[59] < 1e-12);
    for (k, loss) in nonmonotone.iter().enumerate().skip(1) {
        let worst = nonmonotone[k.saturating_sub(10)..k]
            .iter()
            .copied()
            .fold(0.0, f64::max);
        assert!(*loss <= worst);
    }
    let monotone = losses(rate.searching(Nonmonotone {
        memory: 1,
        ..Nonmonotone::default()
    }));
    assert!(monotone.windows(2).all(|pair| pair[1] <= pair[0]));
    assert_close(&monotone, &losses(rate.backtracking(Armijo::default())));
}

#[test]
fn polyak_steps_are_the_gap_over_the_squared_gradient() {
    let known = RateRule::Polyak {
        target: PolyakTarget::Known { loss: 0.0 },
    };
    let expected = by_hand(15, |g, _, _| 0.5 * form(g, -1) / form(g, 0));
    assert_close(&rates(LearningRate::from(1e6).by(known), 15), &expected);
    let bounded = rates(LearningRate::from(0.012).by(known), 15);
    assert!(bounded.iter().all(|&rate| rate <= 0.012) && bounded.contains(&0.012));
    let estimated = RateRule::Polyak {
        target: PolyakTarget::Estimated {
            margin: 10.0,
            grow: 1.5,
            shrink: 0.5,
            minimum: 1e-12,
            relaxation: 1.2,
        },
    };
    let taken = steps(
        &mut GradientDescent::new(LearningRate::from(1e6).by(estimated)),
        200,
    );
    let first = taken[0].learning_rate.unwrap();
    assert!((first - 12.0 / taken[0].gradient_norm.unwrap().powi(2)).abs() < 1e-12);
    assert!(taken[199].loss_before < 1e-8 * taken[0].loss_before);
}

#[test]
fn hypergradients_follow_their_formula() {
    let beta = 1e-7;
    let expected = by_hand(20, |g, last, rate| match last {
        None => 0.001,
        Some(last) => rate + beta * g.iter().zip(last).map(|(a, b)| a * b).sum::<f64>(),
    });
    let found = rates(
        LearningRate::from(0.001).by(RateRule::Hypergradient { beta }),
        20,
    );
    assert_close(&found, &expected);
    assert!(found[19] > 1.05 * found[0]);
}

#[test]
fn the_sharpness_cap_finds_lambda_max_and_pays_for_it() {
    let cap = SharpnessCap {
        fraction: 1.5,
        every: 3,
        iterations: 4,
        ..SharpnessCap::default()
    };
    let taken = steps(
        &mut GradientDescent::new(LearningRate::from(1.0).below_sharpness(cap)),
        7,
    );
    for (k, step) in taken.iter().enumerate() {
        assert!((step.learning_rate.unwrap() - 1.5 / 50.0).abs() < 1e-9);
        // From the eigenvector that it found the space is invariant after one product.
        let products = [4, 0, 0, 1, 0, 0, 1];
        assert_eq!(step.cost.products, products[k]);
    }
    // One product a step, warm: a power iteration that climbs from step to step.
    let power = SharpnessCap {
        fraction: 1.0,
        every: 1,
        iterations: 2,
        ..cap
    };
    let found = rates(LearningRate::from(1.0).below_sharpness(power), 12);
    assert!(
        found
            .windows(2)
            .all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12))
    );
    assert!((found[11] * 50.0 - 1.0).abs() < 1e-3, "{found:?}");
}

#[test]
fn warm_up_stands_in_front_of_any_schedule() {
    let schedule = Schedule::Exponential {
        initial: 0.01,
        factor: 0.5,
    };
    let found = rates(LearningRate::from(schedule).warmed_up(3), 6);
    assert_close(&found, &[0.0025, 0.005, 0.0075, 0.01, 0.005, 0.0025]);
}

#[test]
fn strong_wolfe_serves_any_direction_and_a_search_that_fails_is_an_ending() {
    let rate = LearningRate::from(1.0).searching(StrongWolfe::default());
    let mut oracle = Oracle::new(rosenbrock());
    let mut theta = vector32(&[-1.2, 1.0]);
    let mut method = GradientDescent::new(rate);
    for _ in 0..20 {
        let step = method.step(&mut oracle, &theta).unwrap();
        assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
        theta = step.theta;
    }
    let impossible = StrongWolfe {
        max_trials: 1,
        ..StrongWolfe::default()
    };
    let rate = LearningRate::from(1e3).searching(impossible);
    let step = GradientDescent::new(rate)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::NoDecrease { trials: 1, .. }
    ));
}

#[test]
fn numbers_out_of_range_are_named() {
    let wrong = [
        LearningRate::from(0.1).by(RateRule::Hypergradient { beta: -1.0 }),
        LearningRate::from(0.1).below_sharpness(SharpnessCap {
            every: 0,
            ..SharpnessCap::default()
        }),
        LearningRate::from(0.1).below_sharpness(SharpnessCap {
            fraction: 3.0,
            ..SharpnessCap::default()
        }),
        LearningRate::from(0.1).searching(Nonmonotone {
            memory: 0,
            ..Nonmonotone::default()
        }),
        LearningRate::from(-0.1).warmed_up(5),
    ];
    for rate in wrong {
        let mut oracle = Oracle::new(rosenbrock());
        let step = GradientDescent::new(rate).step(&mut oracle, &vector32(&[0.0, 0.0]));
        assert!(matches!(step, Err(OptimError::Option { .. })), "{rate:?}");
    }
}
