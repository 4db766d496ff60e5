//! Where a method's hyperparameters are searched, and whether it fits a budget.

use ravine_curvature::{KfacOptions, Likelihood, Point};
use ravine_optim::CostWeights;

use super::MethodConfig;
use crate::compare::search::{Range, Space};

/// The decay of an average of gradients.
const MEAN: Range = Range::log_one_minus(0.5, 0.99).at_least(0.0).at_most(0.999);

/// The decay of an average of squares.
const SQUARE: Range = Range::log_one_minus(0.9, 0.9999)
    .at_least(0.5)
    .at_most(0.99999);

/// The decay of averages from which bases or roots are made.
const GRAM: Range = Range::log_one_minus(0.5, 0.999)
    .at_least(0.0)
    .at_most(0.9999);

/// The fraction of a cap.
const CAP: Range = Range::linear(0.2, 2.0).at_least(0.05).at_most(2.0);

/// Products of a solve.
const PRODUCTS: Range = Range::integer(2.0, 100.0).at_least(1.0);

/// What a method has to fit into.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Parameters of the model.
    pub dim: usize,
    /// Gradient-equivalents that may be spent.
    pub budget: f64,
    /// Gradient-equivalents of a product.
    pub product: f64,
    /// What is known of the loss beside its value.
    pub structure: Structure,
}

/// What is known of a loss beside its value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Structure {
    /// Whether the loss is a function of outputs, so that there is a Gauss-Newton matrix.
    pub outputs: bool,
    /// Whether layers with Kronecker factors were found.
    pub layers: bool,
    /// The distribution of labels that it is the negative log-likelihood of.
    pub likelihood: Option<Likelihood>,
}

impl Structure {
    /// Tries what a point allows.
    pub fn of(point: &Point) -> Self {
        let all = [
            Likelihood::Categorical,
            Likelihood::Bernoulli,
            Likelihood::Gaussian,
        ];
        let mut fitting = all
            .into_iter()
            .filter(|likelihood| point.label_weight(*likelihood).is_ok());
        Self {
            outputs: point.gauss_newton().is_ok(),
            layers: point.kfac(&KfacOptions::default()).is_ok(),
            likelihood: fitting.next(),
        }
    }
}

impl MethodConfig {
    /// Which hyperparameters are searched, and where.
    pub fn space(&self) -> Space {
        let ranges: &[(&str, Range)] = match self {
            Self::GradientDescent { .. } => &[("learning_rate", Range::log(1e-3, 1e1))],
            Self::CurvatureCap { .. } => {
                &[("learning_rate", Range::log(1e-2, 1e2)), ("fraction", CAP)]
            }
            Self::Armijo { .. } => &[
                ("learning_rate", Range::log(1e-2, 1e2)),
                (
                    "shrink",
                    Range::linear(0.2, 0.8).at_least(0.05).at_most(0.95),
                ),
            ],
            Self::Momentum { .. } => &[
                ("learning_rate", Range::log(1e-4, 1e0)),
                (
                    "momentum",
                    Range::log_one_minus(0.5, 0.998)
                        .at_least(0.0)
                        .at_most(0.9999),
                ),
            ],
            Self::Adam { .. } => &[
                ("learning_rate", Range::log(1e-4, 1e0)),
                ("beta_1", MEAN),
                ("beta_2", SQUARE),
            ],
            Self::AdamW { .. } => &[
                ("learning_rate", Range::log(1e-4, 1e0)),
                ("weight_decay", Range::log(1e-5, 1e-1)),
            ],
            Self::Lbfgs { .. } => &[
                ("learning_rate", Range::log(0.1, 2.0)),
                ("history", Range::integer(3.0, 50.0)),
            ],
            Self::Newton { .. } => &[("lambda", Range::log(1e-6, 1e1))],
            Self::LevenbergMarquardt { .. } => &[
                ("lambda", Range::log(1e-4, 1e2)),
                ("factor", Range::log(2.0, 20.0).at_least(1.2)),
            ],
            Self::NewtonCg { .. } => &[
                ("eta", Range::log(1e-3, 0.9).at_most(0.9)),
                ("max_iterations", PRODUCTS),
            ],
            Self::SaddleFreeNewton { .. } => {
                &[("lambda", Range::log(1e-4, 1e1)), ("dimension", PRODUCTS)]
            }
            Self::TrustRegion { .. } => &[
                ("radius", Range::log(1e-2, 1e1).at_most(1e3)),
                ("max_iterations", PRODUCTS),
            ],
            Self::CubicNewton { .. } => &[
                ("sigma", Range::log(1e-4, 1e1)),
                ("max_iterations", PRODUCTS),
            ],
            Self::NewtonMr { .. } => &[
                ("eta", Range::log(1e-3, 0.9).at_most(0.99)),
                ("max_iterations", PRODUCTS),
            ],
            Self::HessianFree { .. } => &[
                ("lambda", Range::log(1e-3, 1e2)),
                ("max_iterations", Range::integer(5.0, 250.0).at_least(1.0)),
            ],
            Self::NaturalGradient { .. } => &[
                ("learning_rate", Range::log(1e-2, 1e1)),
                ("damping", Range::log(1e-5, 1e0)),
                ("max_iterations", PRODUCTS),
            ],
            Self::Kfac { .. } => &[
                ("lambda", Range::log(1e-2, 1e3)),
                ("inverse_every", Range::integer(1.0, 20.0).at_least(1.0)),
            ],
            Self::KfacRate { .. } => &[
                ("learning_rate", Range::log(1e-3, 1e0)),
                ("damping", Range::log(1e-5, 1e0)),
                ("momentum", MEAN),
            ],
            Self::SharpnessCap { .. } => {
                &[("learning_rate", Range::log(1e-2, 1e2)), ("fraction", CAP)]
            }
            Self::Muon { .. } => &[
                ("learning_rate", Range::log(1e-4, 1e0)),
                ("adam_w_factor", Range::log(1e-2, 1e1)),
            ],
            Self::AdaHessian { .. } => &[
                ("learning_rate", Range::log(1e-3, 1e1)),
                ("beta_1", MEAN),
                ("beta_2", SQUARE),
            ],
            Self::SophiaH { .. } | Self::SophiaG { .. } => &[
                ("learning_rate", Range::log(1e-4, 1e0)),
                ("gamma", Range::log(1e-3, 1e1)),
            ],
            Self::Shampoo { .. } => &[("learning_rate", Range::log(1e-3, 1e1)), ("beta", GRAM)],
            Self::Soap { .. } => &[
                ("learning_rate", Range::log(1e-4, 1e0)),
                ("beta_1", MEAN),
                ("beta_2", GRAM),
            ],
        };
        let owned = ranges
            .iter()
            .map(|(name, range)| (name.to_string(), *range));
        owned.collect()
    }

    /// The hyperparameter whose neighbourhood shows how sensitive the method is.
    pub fn main(&self) -> &'static str {
        match self {
            Self::Newton { .. }
            | Self::LevenbergMarquardt { .. }
            | Self::SaddleFreeNewton { .. }
            | Self::HessianFree { .. }
            | Self::Kfac { .. } => "lambda",
            Self::NewtonCg { .. } | Self::NewtonMr { .. } => "eta",
            Self::TrustRegion { .. } => "radius",
            Self::CubicNewton { .. } => "sigma",
            _ => "learning_rate",
        }
    }

    /// About what a step costs, in gradients: by it schedules know how many steps a budget has. Solves count with all iterations that
    /// they may take.
    pub fn step_cost(&self, dim: usize, weights: &CostWeights) -> f64 {
        let more = match *self {
            Self::CurvatureCap { .. } | Self::AdaHessian { .. } => weights.product,
            // five products in every tenth step
            Self::SharpnessCap { .. } => 0.5 * weights.product,
            Self::Armijo { .. } => weights.loss,
            Self::SophiaH { .. } => 0.1 * weights.product,
            Self::SophiaG { .. } => 0.1,
            Self::KfacRate { .. } => 2.0 * weights.factor_pass,
            Self::Kfac { .. } => 2.0 * (weights.factor_pass + weights.gauss_newton_product),
            Self::Newton { .. } | Self::LevenbergMarquardt { .. } => {
                dim as f64 * weights.product + weights.loss
            }
            Self::NewtonCg { max_iterations, .. }
            | Self::TrustRegion { max_iterations, .. }
            | Self::CubicNewton { max_iterations, .. }
            | Self::NewtonMr { max_iterations, .. }
            | Self::SaddleFreeNewton {
                dimension: max_iterations,
                ..
            } => max_iterations as f64 * weights.product + weights.loss,
            Self::HessianFree { max_iterations, .. }
            | Self::NaturalGradient { max_iterations, .. } => {
                max_iterations as f64 * weights.gauss_newton_product
            }
            _ => 0.0,
        };
        1.0 + more
    }

    /// The method for a problem: with its likelihood, where that is asked for.
    pub fn for_problem(&self, structure: Structure) -> Self {
        match self.clone() {
            Self::SophiaG {
                learning_rate,
                gamma,
                likelihood: None,
                shrinking,
            } => Self::SophiaG {
                learning_rate,
                gamma,
                likelihood: structure.likelihood,
                shrinking,
            },
            other => other,
        }
    }

    /// Why the method cannot take part, if it cannot: a loss of the wrong kind, or no step within the budget.
    pub fn obstacle(&self, setting: Setting) -> Option<String> {
        let known = setting.structure;
        let products = match self {
            Self::Newton { .. } | Self::LevenbergMarquardt { .. } => setting.dim,
            Self::HessianFree { .. } if !known.outputs => {
                return Some("the loss has no outputs, and so no Gauss-Newton matrix".to_string());
            }
            Self::Kfac { .. } | Self::KfacRate { .. } if !known.layers => {
                return Some(
                    "no layers with Kronecker factors were found for all parameters".to_string(),
                );
            }
            Self::NaturalGradient { .. } | Self::SophiaG { .. } if known.likelihood.is_none() => {
                return Some(
                    "the loss is the negative log-likelihood of no known distribution".to_string(),
                );
            }
            _ => return None,
        };
        let step = 1.0 + products as f64 * setting.product;
        (step > setting.budget).then(|| {
            format!(
                "one step costs {step:.0} gradients of the {:.0} allowed",
                setting.budget
            )
        })
    }
}
