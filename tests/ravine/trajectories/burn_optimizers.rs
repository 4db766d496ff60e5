//! The optimisers of Burn, with numbers that are exact in f32.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::*;
use ravine_optim::{BurnDirection, BurnLbfgs, BurnOptimizer, Descent};

use super::{follow, follow_within};

const EPSILON: f32 = 1.0 / 131_072.0;
const BETAS: (f32, f32) = (0.875, 0.9375);
const DECAY: f32 = 1.0 / 16.0;

/// Where Burn corrects the bias of its moments in f32; the worst found was 3e-8.
const BIAS_IN_F32: f64 = 5e-7;

fn optimizer(optimizer: ModuleOptimizer, rate: f64) -> BurnOptimizer {
    BurnOptimizer::new("burn", optimizer, rate)
}

fn momentum(dampening: f64, nesterov: bool) -> MomentumConfig {
    MomentumConfig::new()
        .with_momentum(0.875)
        .with_dampening(dampening)
        .with_nesterov(nesterov)
}

#[test]
fn momentum_against_torch() {
    let config = SgdConfig::new()
        .with_momentum(Some(momentum(0.25, false)))
        .with_weight_decay(Some(WeightDecayConfig::new(1.0 / 64.0)));
    follow("burn/momentum", optimizer(config.init(), 0.5));
}

#[test]
fn nesterov_against_torch() {
    let config = SgdConfig::new().with_momentum(Some(momentum(0.0, true)));
    follow("burn/nesterov", optimizer(config.init(), 0.3));
}

#[test]
fn adam_against_torch() {
    let config = AdamConfig::new()
        .with_beta_1(BETAS.0)
        .with_beta_2(BETAS.1)
        .with_epsilon(EPSILON);
    follow_within("burn/adam", optimizer(config.init(), 0.1), BIAS_IN_F32);
    let direction = BurnDirection::new("adam", config.init());
    follow_within("burn/adam", Descent::new(direction, 0.1), BIAS_IN_F32);
    let config = config.with_amsgrad(true);
    follow_within("burn/amsgrad", optimizer(config.init(), 0.2), BIAS_IN_F32);
}

fn adamw() -> AdamWConfig {
    AdamWConfig::new()
        .with_beta_1(BETAS.0)
        .with_beta_2(BETAS.1)
        .with_epsilon(EPSILON)
}

#[test]
fn adamw_against_torch() {
    let config = adamw().with_weight_decay(DECAY);
    follow_within("burn/adamw", optimizer(config.init(), 0.1), BIAS_IN_F32);
}

#[test]
fn rmsprop_against_torch() {
    let config = RmsPropConfig::new()
        .with_alpha(0.9375)
        .with_epsilon(EPSILON)
        .with_momentum(0.5)
        .with_centered(true);
    follow("burn/rmsprop", optimizer(config.init(), 0.01));
}

#[test]
fn adagrad_against_torch() {
    let config = AdaGradConfig::new()
        .with_lr_decay(0.1)
        .with_epsilon(EPSILON);
    follow("burn/adagrad", optimizer(config.init(), 0.2));
}

#[test]
fn adan_against_pytorch_optimizer() {
    let config = AdanConfig::new()
        .with_beta_1(0.9375)
        .with_beta_2(0.875)
        .with_beta_3(0.9375)
        .with_epsilon(EPSILON)
        .with_weight_decay(DECAY);
    follow_within("burn/adan", optimizer(config.init(), 0.05), BIAS_IN_F32);
}

#[test]
fn lamb_against_optax() {
    let config = LambConfig::new()
        .with_beta_1(BETAS.0)
        .with_beta_2(BETAS.1)
        .with_epsilon(EPSILON)
        .with_weight_decay(DECAY);
    follow_within("burn/lamb", optimizer(config.init(), 0.1), BIAS_IN_F32);
}

#[test]
fn lion_against_optax() {
    let config = LionConfig::new()
        .with_beta_1(0.875)
        .with_beta_2(0.96875)
        .with_weight_decay(DECAY);
    follow("burn/lion", optimizer(config.init(), 0.02));
}

#[test]
fn muon_and_adamw_against_torch() {
    let muon = MuonConfig::new()
        .with_momentum(momentum(0.0, true))
        .with_weight_decay(Some(WeightDecayConfig::new(DECAY)));
    let method = BurnOptimizer::muon(&muon, 0.05, &adamw().with_weight_decay(0.0), 0.1);
    follow_within("burn/muon", method, BIAS_IN_F32);
    let direction = BurnDirection::muon(&muon, &adamw().with_weight_decay(0.0), 2.0);
    follow_within("burn/muon", Descent::new(direction, 0.05), BIAS_IN_F32);
}

#[test]
fn adafactor_against_torch() {
    let config = AdafactorConfig::new().with_epsilon_2(1.0 / 1024.0);
    follow("burn/adafactor", optimizer(config.init(), 0.2));
}

fn lbfgs(search: LineSearchFn, rate: f64) -> BurnLbfgs {
    BurnLbfgs::by_iterations(5, search, rate)
}

#[test]
fn lbfgs_against_torch() {
    follow("burn/lbfgs", lbfgs(LineSearchFn::StrongWolfe, 1.0));
    follow("burn/lbfgs-fixed", lbfgs(LineSearchFn::None, 0.5));
}
