//! From a description to a method.

use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, LineSearchFn, MuonConfig, SgdConfig};
use ravine_curvature::{Factors, KfacOptions, Likelihood, Seed};
use ravine_optim::{
    AdaHessian, AdaptiveDamping, Armijo, BurnDirection, BurnLbfgs, BurnOptimizer, CubicNewton,
    CubicStop, CubicSubproblem, CubicWeight, CurvatureCap, Damping, Descent, Forcing,
    GradientDescent, Grafting, HessianFree, HutchinsonProbes, KfacDamping, KfacDescent, KfacGamma,
    KfacLength, LearningRate, LevenbergMarquardt, Merit, Method, NaturalGradient, Newton, NewtonCg,
    NewtonMr, RadiusRule, RegionSubproblem, SaddleFreeNewton, SampledLabels, Schedule, Shampoo,
    SharpnessCap, Soap, SophiaG, SophiaH, Spectrum, Statistics, TrustRegion,
};

use super::{MethodConfig, MomentumForm, Shrinking};

impl Shrinking {
    fn schedule(self, initial: f64, horizon: u64) -> Schedule {
        let steps = horizon.max(1);
        match self {
            Self::Constant => Schedule::Constant { rate: initial },
            Self::Cosine => Schedule::Cosine {
                initial,
                last: 0.0,
                steps,
            },
            Self::Exponential => Schedule::Exponential {
                initial,
                factor: 1e-3f64.powf(1.0 / steps as f64),
            },
            Self::InverseTime => Schedule::InverseTime {
                initial,
                decay: 9.0 / steps as f64,
            },
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Constant => "",
            Self::Cosine => "-cosine",
            Self::Exponential => "-exponential",
            Self::InverseTime => "-inverse-time",
        }
    }
}

impl MethodConfig {
    /// The method, ready for its first step; rates shrink over `horizon` steps, and random vectors come from `seed`.
    pub fn build(&self, horizon: u64, seed: Seed) -> Box<dyn Method> {
        let name = self.name();
        match *self {
            Self::GradientDescent {
                learning_rate,
                shrinking,
            } => {
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(GradientDescent::new(schedule).named(name))
            }
            Self::CurvatureCap {
                learning_rate,
                fraction,
            } => {
                let rate = LearningRate::from(learning_rate).capped(CurvatureCap { fraction });
                Box::new(GradientDescent::new(rate).named(name))
            }
            Self::Armijo {
                learning_rate,
                shrink,
            } => {
                let search = Armijo {
                    shrink,
                    ..Armijo::default()
                };
                let rate = LearningRate::from(learning_rate).backtracking(search);
                Box::new(GradientDescent::new(rate).named(name))
            }
            Self::Momentum {
                learning_rate,
                momentum,
                form,
                shrinking,
            } => {
                let rule = MomentumConfig::new()
                    .with_momentum(momentum)
                    .with_dampening(0.0)
                    .with_nesterov(form == MomentumForm::Nesterov);
                let optimizer = SgdConfig::new().with_momentum(Some(rule)).init();
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(BurnOptimizer::new(name, optimizer, schedule))
            }
            Self::Adam {
                learning_rate,
                beta_1,
                beta_2,
                epsilon,
                shrinking,
            } => {
                let optimizer = AdamConfig::new()
                    .with_beta_1(beta_1 as f32)
                    .with_beta_2(beta_2 as f32)
                    .with_epsilon(epsilon as f32)
                    .init();
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(BurnOptimizer::new(name, optimizer, schedule))
            }
            Self::AdamW {
                learning_rate,
                weight_decay,
                shrinking,
            } => {
                let optimizer = AdamWConfig::new()
                    .with_epsilon(1e-8)
                    .with_weight_decay(weight_decay as f32)
                    .init();
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(BurnOptimizer::new(name, optimizer, schedule))
            }
            Self::Lbfgs {
                learning_rate,
                history,
            } => {
                let method =
                    BurnLbfgs::by_iterations(history, LineSearchFn::StrongWolfe, learning_rate);
                Box::new(method.named(name))
            }
            Self::Newton { lambda } => {
                let damping = match lambda == 0.0 {
                    true => Damping::None,
                    false => Damping::Fixed { lambda },
                };
                let method = Newton::new(damping).backtracking(Armijo::default());
                Box::new(method.named(name))
            }
            Self::LevenbergMarquardt { lambda, factor } => {
                let rule = AdaptiveDamping {
                    initial: lambda,
                    increase: factor,
                    decrease: 1.0 / factor,
                    ..AdaptiveDamping::default()
                };
                Box::new(Newton::new(Damping::Adaptive(rule)).named(name))
            }
            Self::NewtonCg {
                eta,
                max_iterations,
            } => {
                let method = NewtonCg::new()
                    .forcing(Forcing::Constant { eta })
                    .max_iterations(max_iterations);
                Box::new(method.named(name))
            }
            Self::SaddleFreeNewton { lambda, dimension } => {
                let rule = AdaptiveDamping {
                    initial: lambda,
                    ..AdaptiveDamping::default()
                };
                let method = SaddleFreeNewton::new(Spectrum::Krylov { dimension })
                    .damping(Damping::Adaptive(rule));
                Box::new(method.named(name))
            }
            Self::TrustRegion {
                radius,
                max_iterations,
            } => {
                let rule = RadiusRule {
                    initial: radius,
                    ..RadiusRule::default()
                };
                let method = TrustRegion::new(RegionSubproblem::Steihaug {
                    max_iterations: Some(max_iterations),
                });
                Box::new(method.radius(rule).named(name))
            }
            Self::CubicNewton {
                sigma,
                max_iterations,
            } => {
                let weight = CubicWeight {
                    initial: sigma,
                    ..CubicWeight::default()
                };
                let method = CubicNewton::new(CubicSubproblem::Krylov {
                    max_iterations,
                    stop: CubicStop::default(),
                });
                Box::new(method.weight(weight).named(name))
            }
            Self::NewtonMr {
                eta,
                max_iterations,
            } => {
                let method = NewtonMr::new(Merit::Loss)
                    .forcing(Forcing::Constant { eta })
                    .max_iterations(max_iterations);
                Box::new(method.named(name))
            }
            Self::HessianFree {
                lambda,
                max_iterations,
            } => {
                let damping = LevenbergMarquardt {
                    initial: lambda,
                    ..LevenbergMarquardt::default()
                };
                let method = HessianFree::new()
                    .damping(damping)
                    .max_iterations(max_iterations);
                Box::new(method.named(name))
            }
            Self::NaturalGradient {
                learning_rate,
                damping,
                max_iterations,
                shrinking,
            } => {
                let direction = NaturalGradient::new(damping).max_iterations(max_iterations);
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(Descent::new(direction, schedule).named(name))
            }
            Self::Kfac {
                lambda,
                inverse_every,
            } => {
                let rule = LevenbergMarquardt {
                    initial: lambda,
                    increase: 20.0 / 19.0,
                    decrease: 19.0 / 20.0,
                    ..LevenbergMarquardt::default()
                };
                let damping = KfacDamping::Adaptive {
                    lambda: rule,
                    every: 5,
                    gamma: KfacGamma::Search { every: 20 },
                };
                let method = KfacDescent::new()
                    .options(one_random_vector(seed))
                    .damping(damping)
                    .inverse_every(inverse_every as u64);
                Box::new(method.named(name))
            }
            Self::KfacRate {
                learning_rate,
                damping,
                momentum,
                shrinking,
            } => {
                let length = KfacLength::Rate {
                    schedule: shrinking.schedule(learning_rate, horizon),
                    momentum,
                    clipping: None,
                };
                let method = KfacDescent::plain(learning_rate, damping)
                    .options(one_random_vector(seed))
                    .length(length);
                Box::new(method.inverse_every(5).named(name))
            }
            Self::SharpnessCap {
                learning_rate,
                fraction,
            } => {
                let cap = SharpnessCap {
                    fraction,
                    seed,
                    ..SharpnessCap::default()
                };
                let rate = LearningRate::from(learning_rate).below_sharpness(cap);
                Box::new(GradientDescent::new(rate).named(name))
            }
            Self::Muon {
                learning_rate,
                adam_w_factor,
                shrinking,
            } => {
                let adam_w = AdamWConfig::new().with_weight_decay(0.0);
                let direction = BurnDirection::muon(&MuonConfig::new(), &adam_w, adam_w_factor);
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(Descent::new(direction, schedule).named(name))
            }
            Self::AdaHessian {
                learning_rate,
                beta_1,
                beta_2,
                shrinking,
            } => {
                let direction = AdaHessian::new()
                    .betas(beta_1, beta_2)
                    .probes(HutchinsonProbes::rademacher(seed));
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(Descent::new(direction, schedule).named(name))
            }
            Self::SophiaH {
                learning_rate,
                gamma,
                shrinking,
            } => {
                let schedule = shrinking.schedule(learning_rate, horizon);
                let probes = HutchinsonProbes::gaussian(seed);
                let direction = SophiaH::new().gamma(gamma).probes(probes);
                Box::new(Descent::new(direction, schedule).named(name))
            }
            Self::SophiaG {
                learning_rate,
                gamma,
                likelihood,
                shrinking,
            } => {
                let schedule = shrinking.schedule(learning_rate, horizon);
                let likelihood = likelihood.unwrap_or(Likelihood::Categorical);
                let direction = SophiaG::new(likelihood)
                    .gamma(gamma)
                    .labels(SampledLabels::Seeded(seed));
                Box::new(Descent::new(direction, schedule).named(name))
            }
            Self::Shampoo {
                learning_rate,
                beta,
                shrinking,
            } => {
                let direction = Shampoo::new()
                    .every(5)
                    .statistics(Statistics::Average { beta })
                    .grafting(Grafting::Gradient)
                    .momentum(0.9);
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(Descent::new(direction, schedule).named(name))
            }
            Self::Soap {
                learning_rate,
                beta_1,
                beta_2,
                shrinking,
            } => {
                let direction = Soap::new().betas(beta_1, beta_2).every(5);
                let schedule = shrinking.schedule(learning_rate, horizon);
                Box::new(Descent::new(direction, schedule).named(name))
            }
        }
    }
}

/// Factors from one random vector for each example.
fn one_random_vector(seed: Seed) -> KfacOptions {
    KfacOptions {
        factors: Factors::MonteCarlo { samples: 1, seed },
        ..KfacOptions::default()
    }
}
