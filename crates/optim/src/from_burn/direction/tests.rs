use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdaGradConfig, AdafactorConfig, AdamConfig, AdanConfig, GradientsParams, LambConfig,
    LionConfig, RmsPropConfig, SgdConfig,
};

use super::*;
use crate::test_problems::{
    Logistic, ToVec, coupled_in_f64, logistic, logistic_batch, logistic_loss, logistic_model,
    quadratic, vector32,
};
use crate::{
    Armijo, Cost, CurvatureCap, Descent, LearningRate, MethodState, Schedule, SharpnessCap,
    StepEnding,
};

fn proportional() -> Vec<(&'static str, ModuleOptimizer, f64)> {
    let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
    let absolute = AdafactorConfig::new()
        .with_relative_step(false)
        .with_weight_decay(0.1);
    let cautious = AdamWConfig::new()
        .with_weight_decay(0.1)
        .with_cautious_weight_decay(true);
    let adan = AdanConfig::new().with_weight_decay(0.1).with_no_prox(true);
    vec![
        ("sgd", SgdConfig::new().init(), 0.05),
        ("momentum", momentum.init(), 0.05),
        ("adam", AdamConfig::new().init(), 0.05),
        (
            "adamw",
            AdamWConfig::new().with_weight_decay(0.1).init(),
            0.05,
        ),
        ("cautious-adamw", cautious.init(), 0.05),
        ("rmsprop", RmsPropConfig::new().init(), 0.01),
        (
            "adagrad",
            AdaGradConfig::new().with_lr_decay(0.1).init(),
            0.1,
        ),
        ("adafactor", absolute.init(), 0.1),
        ("adan", adan.init(), 0.05),
        ("adan-without-decay", AdanConfig::new().init(), 0.05),
        (
            "lamb",
            LambConfig::new().with_weight_decay(0.1).init(),
            0.05,
        ),
        (
            "lion",
            LionConfig::new().with_weight_decay(0.1).init(),
            0.01,
        ),
    ]
}

#[test]
fn at_a_constant_rate_the_steps_are_those_of_burn() {
    for (name, optimizer, rate) in proportional() {
        // Without a division by the size of gradients the rate must be below 2/1000 here.
        let rate = match name {
            "sgd" | "momentum" => 1e-4,
            _ => rate,
        };
        let problem = coupled_in_f64();
        let (mut theta, mut expected) = (problem.theta().clone(), problem.theta().clone());
        let (mut oracle, mut other) = (Oracle::new(problem.clone()), Oracle::new(problem));
        let mut whole = BurnOptimizer::new(name, optimizer.clone(), rate);
        let mut method = Descent::new(BurnDirection::new(name, optimizer), rate);
        for _ in 0..15 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            expected = whole.step(&mut other, &expected).unwrap().theta;
        }
        let distance = vector::norm(&(theta - expected));
        assert!(distance < 1e-9, "{name} {distance}");
    }
}

#[test]
fn in_f32_as_well_on_a_model_with_a_matrix() {
    for (name, optimizer, rate) in proportional() {
        let problem = logistic();
        let (mut theta, mut expected) = (problem.theta().clone(), problem.theta().clone());
        let (mut oracle, mut other) = (Oracle::new(problem.clone()), Oracle::new(problem));
        let mut whole = BurnOptimizer::new(name, optimizer.clone(), rate);
        let mut method = Descent::new(BurnDirection::new(name, optimizer), rate);
        for _ in 0..15 {
            let step = method.step(&mut oracle, &theta).unwrap();
            assert_eq!(step.learning_rate, Some(rate));
            theta = step.theta;
            expected = whole.step(&mut other, &expected).unwrap().theta;
        }
        for (x, e) in theta.to_vec_f32().iter().zip(expected.to_vec_f32()) {
            assert!((x - e).abs() < 2e-5, "{name} {x} {e}");
        }
        let cost = Cost {
            gradients: 15,
            ..Cost::default()
        };
        assert_eq!(oracle.cost(), cost, "{name}");
    }
}

#[test]
fn small_gradients_are_not_rounded_away_beside_large_parameters() {
    let mut oracle = Oracle::new(quadratic(&[1e-7, 1.0], &[0.0, 0.0]));
    let theta = vector32(&[1000.0, 1e-7]);
    let (_, gradient) = oracle.gradient(&theta).unwrap();
    let place = Place {
        theta: &theta,
        loss: 1.0,
        gradient: &gradient,
    };
    let mut sgd = BurnDirection::new("sgd", SgdConfig::new().init());
    let d = sgd.heading(&mut oracle, place).unwrap().d.to_vec_f32();
    for (d, g) in d.iter().zip(gradient.to_vec_f32()) {
        assert!((d / g + 1.0).abs() < 1e-3, "{d} {g}");
    }
}

#[test]
fn steps_that_are_not_proportional_to_the_rate_are_refused() {
    let proximal = AdanConfig::new().with_weight_decay(0.1).init();
    for (name, optimizer) in [
        ("adafactor", AdafactorConfig::new().init()),
        ("adan", proximal),
    ] {
        let problem = logistic();
        let theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = Descent::new(BurnDirection::new(name, optimizer), 0.1);
        let step = method.step(&mut oracle, &theta);
        assert!(
            matches!(&step, Err(OptimError::NotProportional { defect, .. }) if *defect > 0.1),
            "{name} {step:?}"
        );
    }
}

#[test]
fn warm_up_gives_each_step_of_burn_its_rate() {
    let rates = [0.0125, 0.025, 0.0375, 0.05, 0.05];
    let device = Device::flex().autodiff();
    let mut optimizer = AdamWConfig::new().with_weight_decay(0.1).init();
    let mut model: Logistic = logistic_model(&device);
    let batch = logistic_batch(&device);
    for rate in rates {
        let gradients = logistic_loss(&model, &batch).backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = optimizer.step(rate, model, gradients);
    }
    let mut expected = model.weight.val().inner().to_vec_f32();
    expected.extend(model.bias.val().inner().to_vec_f32());

    let problem = logistic();
    let mut theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let adam_w = AdamWConfig::new().with_weight_decay(0.1).init();
    let rate = LearningRate::from(0.05).warmed_up(3);
    let mut method = Descent::new(BurnDirection::new("adamw", adam_w), rate);
    for rate in rates {
        let step = method.step(&mut oracle, &theta).unwrap();
        assert!((step.learning_rate.unwrap() - rate).abs() < 1e-15);
        theta = step.theta;
    }
    for (x, e) in theta.to_vec_f32().iter().zip(&expected) {
        assert!((x - e).abs() < 1e-5, "{x} {e}");
    }
}

#[test]
fn caps_and_searches_choose_the_rate_of_adam() {
    // d of Adam's first step is −sign g; on ½ Σ λθ² the cap is at −gᵀd/dᵀHd = Σ λ|θ| / Σ λ.
    let adam = || BurnDirection::new("adam", AdamConfig::new().with_epsilon(1e-12).init());
    let rate = LearningRate::from(100.0).capped(CurvatureCap::default());
    let mut oracle = Oracle::new(quadratic(&[1.0, 3.0], &[0.0, 0.0]));
    let theta = vector32(&[4.0, -2.0]);
    let step = Descent::new(adam(), rate)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!((step.learning_rate.unwrap() - 2.5).abs() < 1e-4);
    let measured = oracle.loss(&step.theta).unwrap() - step.loss_before;
    assert!((measured - step.predicted_change.unwrap()).abs() < 1e-3);

    let rate = LearningRate::from(100.0).below_sharpness(SharpnessCap::default());
    let step = Descent::new(adam(), rate)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!((step.learning_rate.unwrap() - 1.0 / 3.0).abs() < 1e-4);

    let rate = LearningRate::from(100.0).backtracking(Armijo::default());
    let step = Descent::new(adam(), rate)
        .step(&mut oracle, &theta)
        .unwrap();
    assert!(oracle.loss(&step.theta).unwrap() < step.loss_before);
}

#[test]
fn muon_takes_the_matrices_and_adam_w_the_rest_at_its_factor() {
    let problem = logistic();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let (muon, adam_w) = (MuonConfig::new(), AdamWConfig::new());
    let mut whole = BurnOptimizer::muon(&muon, 0.02, &adam_w, 0.003);
    let mut method = Descent::new(BurnDirection::muon(&muon, &adam_w, 0.15), 0.02);
    let (mut found, mut expected) = (theta.clone(), theta);
    for _ in 0..5 {
        found = method.step(&mut oracle, &found).unwrap().theta;
        expected = whole.step(&mut oracle, &expected).unwrap().theta;
    }
    for (x, e) in found.to_vec_f32().iter().zip(expected.to_vec_f32()) {
        assert!((x - e).abs() < 1e-5, "{x} {e}");
    }
}

#[test]
fn a_cut_run_goes_on_bitwise_with_other_identities_of_the_parameters() {
    let make = || {
        let rate = Schedule::Exponential {
            initial: 0.1,
            factor: 0.9,
        };
        Descent::new(BurnDirection::new("adam", AdamConfig::new().init()), rate)
    };
    let go_on = |method: &mut dyn Method, theta: Tensor<1>, steps: usize| {
        let mut oracle = Oracle::new(logistic());
        (0..steps).fold(theta, |theta, _| {
            method.step(&mut oracle, &theta).unwrap().theta
        })
    };
    let begin = logistic().theta().clone();
    let expected = go_on(&mut make(), begin.clone(), 12);
    let mut cut = make();
    let middle = go_on(&mut cut, begin, 5);
    let bytes = cut.state().unwrap().to_bytes().unwrap();
    let mut resumed = make();
    resumed
        .load_state(&MethodState::from_bytes(&bytes).unwrap())
        .unwrap();
    let found = go_on(&mut resumed, middle, 7);
    assert_eq!(found.to_vec_f32(), expected.to_vec_f32());
    let mut sgd = Descent::new(BurnDirection::new("sgd", SgdConfig::new().init()), 0.1);
    let state = MethodState::from_bytes(&bytes).unwrap();
    assert!(matches!(
        sgd.load_state(&state),
        Err(OptimError::State { .. })
    ));
}

#[test]
fn zero_gradients_nan_and_factors_are_said() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
    let adam = || BurnDirection::new("adam", AdamConfig::new().init());
    let mut method = Descent::new(adam(), 0.1);
    let step = method.step(&mut oracle, &vector32(&[0.0, 0.0])).unwrap();
    assert!(matches!(step.ending, StepEnding::Stationary));
    let step = method.step(&mut oracle, &vector32(&[1.0, 1.0])).unwrap();
    assert!(step.ending.moved());
    let step = method
        .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
        .unwrap();
    assert!(matches!(step.ending, StepEnding::NonFinite { .. }));
    for factor in [0.0, -1.0, f64::NAN] {
        let two = adam().with_part(|_| true, SgdConfig::new().init(), factor);
        let step = Descent::new(two, 0.1).step(&mut oracle, &vector32(&[1.0, 1.0]));
        assert!(matches!(step, Err(OptimError::Option { .. })));
    }
}
