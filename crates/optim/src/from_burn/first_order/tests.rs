use burn::grad_clipping::GradientClippingConfig;
use burn::module::ParamGroup;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdaGradConfig, AdafactorConfig, AdamConfig, AdanConfig, GradientsParams, LambConfig,
    LionConfig, RmsPropConfig, SgdConfig,
};
use burn::tensor::{DType, Tolerance};

use super::*;
use crate::Cost;
use crate::test_problems::{
    Logistic, ToVec, coupled_in_f64, logistic, logistic_batch, logistic_loss, logistic_model,
    quadratic, vector32,
};

fn momentum() -> SgdConfig {
    SgdConfig::new().with_momentum(Some(MomentumConfig::new()))
}

fn optimizers() -> Vec<(&'static str, ModuleOptimizer, f64)> {
    vec![
        ("momentum", momentum().init(), 0.05),
        ("adam", AdamConfig::new().init(), 0.05),
        ("adamw", AdamWConfig::new().init(), 0.05),
        ("rmsprop", RmsPropConfig::new().init(), 0.01),
        ("adagrad", AdaGradConfig::new().init(), 0.1),
        ("adafactor", AdafactorConfig::new().init(), 0.1),
        ("adan", AdanConfig::new().init(), 0.05),
        ("lamb", LambConfig::new().init(), 0.05),
        ("lion", LionConfig::new().init(), 0.01),
    ]
}

/// θ of the logistic model after some steps of Burn's own on an autodiff device.
fn burn_alone(mut optimizer: ModuleOptimizer, rate: f64, steps: usize) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let mut model: Logistic = logistic_model(&device);
    let batch = logistic_batch(&device);
    for _ in 0..steps {
        let gradients = logistic_loss(&model, &batch).backward();
        let gradients = GradientsParams::from_grads(gradients, &model);
        model = optimizer.step(rate, model, gradients);
    }
    let mut values = model.weight.val().inner().to_vec_f32();
    values.extend(model.bias.val().inner().to_vec_f32());
    values
}

#[test]
fn every_optimizer_does_what_burn_does_alone() {
    let steps = 15;
    for (name, optimizer, rate) in optimizers() {
        let expected = burn_alone(optimizer.clone(), rate, steps);
        let problem = logistic();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = BurnOptimizer::new(name, optimizer, rate);
        for _ in 0..steps {
            let step = method.step(&mut oracle, &theta).unwrap();
            assert_eq!(step.learning_rate, Some(rate));
            theta = step.theta;
        }
        let found = theta.to_vec_f32();
        for (x, e) in found.iter().zip(&expected) {
            assert!((x - e).abs() < 2e-5, "{name}: {found:?} {expected:?}");
        }
        let gradients = steps as u64;
        let cost = Cost {
            gradients,
            ..Cost::default()
        };
        assert_eq!(oracle.cost(), cost, "{name}");
    }
}

#[test]
fn every_optimizer_decreases_the_loss_and_predicts_its_sign() {
    for (name, optimizer, rate) in optimizers() {
        let problem = logistic();
        let mut theta = problem.theta().clone();
        let mut oracle = Oracle::new(problem);
        let mut method = BurnOptimizer::new(name, optimizer, rate);
        let first = method.step(&mut oracle, &theta).unwrap();
        assert!(first.predicted_change.unwrap() < 0.0, "{name}");
        for _ in 0..30 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        assert!(oracle.loss(&theta).unwrap() < first.loss_before, "{name}");
    }
}

#[test]
fn muon_orthogonalises_matrices_and_leaves_the_rest_to_adam_w() {
    let (muon, adam_w) = (MuonConfig::new(), AdamWConfig::new());
    let problem = logistic();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut method = BurnOptimizer::muon(&muon, 0.02, &adam_w, 0.003);
    let step = method.step(&mut oracle, &theta).unwrap();
    assert_eq!(step.learning_rate, Some(0.003));
    let change: Vec<f32> = (step.theta - theta).to_vec_f32();
    // The [2, 1] matrix moves by about rate · √2 (Burn's factor for tall ones) of a unit vector: the iteration brings
    // singular values between 0.7 and 1.2. AdamW's first step is its rate, but for a decay of 1e-4.
    let length = change[0].hypot(change[1]) / (0.02 * 2f32.sqrt());
    assert!((0.6..1.3).contains(&length), "{length}");
    assert!((change[2].abs() - 0.003).abs() < 1e-5, "{change:?}");
}

#[test]
fn rates_follow_their_schedule() {
    let mut oracle = Oracle::new(quadratic(&[1.0], &[0.0]));
    let schedule = Schedule::Exponential {
        initial: 0.5,
        factor: 0.5,
    };
    let mut method = BurnOptimizer::new("sgd", SgdConfig::new().init(), schedule);
    let first = method.step(&mut oracle, &vector32(&[8.0])).unwrap();
    let second = method.step(&mut oracle, &first.theta).unwrap();
    assert_eq!(second.learning_rate, Some(0.25));
    assert_eq!(second.theta.to_vec_f32(), [3.0]);
}

#[test]
fn adam_runs_in_f64() {
    let problem = coupled_in_f64();
    let mut theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut method = BurnOptimizer::new("adam", AdamConfig::new().init(), 0.1);
    let first = method.step(&mut oracle, &theta).unwrap();
    // The first step of Adam is its rate along the signs of the gradient, but for ε.
    let change = vector::to_f64(&(first.theta.clone() - theta));
    assert!(
        change.iter().all(|c| (c.abs() - 0.1).abs() < 1e-6),
        "{change:?}"
    );
    theta = first.theta;
    for _ in 0..20 {
        theta = method.step(&mut oracle, &theta).unwrap().theta;
    }
    assert_eq!(theta.dtype(), DType::F64);
    assert!(oracle.loss(&theta).unwrap() < first.loss_before);
}

/// The update alone, on both devices and in both dtypes.
#[test]
fn updates_agree_between_devices_and_dtypes() {
    let blueprint = Blueprint::new(logistic().layout()).unwrap();
    for (name, optimizer, rate) in optimizers() {
        let mut results = Vec::new();
        // Burn marks its ndarray device as deprecated; it is supported here as long as Burn has it.
        #[allow(deprecated)]
        for device in [Device::flex(), Device::ndarray()] {
            for dtype in [DType::F32, DType::F64] {
                let options = (&device, dtype);
                let mut theta = Tensor::<1>::from_data([0.3, -0.2, 0.1], options);
                let gradient = Tensor::<1>::from_data([0.5, -1.5, 0.25], options);
                let mut method = BurnOptimizer::new(name, optimizer.clone(), rate);
                for _ in 0..3 {
                    let advanced = method.advance(&blueprint, &theta, &gradient, 1.0).unwrap();
                    theta = advanced.theta;
                }
                assert_eq!(theta.dtype(), dtype, "{name}");
                results.push(theta.into_data_as::<f32>());
            }
        }
        for result in &results[1..] {
            results[0].assert_approx_eq::<f32>(result, Tolerance::absolute(1e-5));
        }
    }
}

#[test]
fn groups_and_clipping_of_burn_find_their_parameters() {
    let problem = logistic();
    let theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let (_, gradient) = oracle.gradient(&theta).unwrap();
    let clipped = SgdConfig::new()
        .with_gradient_clipping(Some(GradientClippingConfig::Value(1e-3)))
        .init();
    let bias = ParamGroup::from_path("bias");
    let grouped = clipped.with_group(bias, SgdConfig::new().build(), None);
    let mut method = BurnOptimizer::new("grouped", grouped, 1.0);
    let step = method.step(&mut oracle, &theta).unwrap();
    let change = (theta - step.theta).to_vec_f32();
    let gradient = gradient.to_vec_f32();
    assert!(gradient.iter().all(|g| g.abs() > 2e-3), "{gradient:?}");
    for weight in 0..2 {
        assert!((change[weight].abs() - 1e-3).abs() < 1e-6, "{change:?}");
    }
    assert!((change[2] - gradient[2]).abs() < 1e-6, "{change:?}");
}
