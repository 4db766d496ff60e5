//! Where a method's hyperparameters are searched, and whether it fits a budget.

use super::MethodConfig;
use crate::compare::search::{Range, Space};

/// What a method has to fit into.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Parameters of the model.
    pub dim: usize,
    /// Gradient-equivalents that may be spent.
    pub budget: f64,
    /// Gradient-equivalents of a product.
    pub product: f64,
}

impl MethodConfig {
    /// Which hyperparameters are searched, and where.
    pub fn space(&self) -> Space {
        let ranges: &[(&str, Range)] = match self {
            Self::GradientDescent { .. } => &[("learning_rate", Range::log(1e-3, 1e1))],
            Self::CurvatureCap { .. } => &[
                ("learning_rate", Range::log(1e-2, 1e2)),
                (
                    "fraction",
                    Range::linear(0.2, 2.0).at_least(0.05).at_most(2.0),
                ),
            ],
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
                (
                    "beta_1",
                    Range::log_one_minus(0.5, 0.99).at_least(0.0).at_most(0.999),
                ),
                (
                    "beta_2",
                    Range::log_one_minus(0.9, 0.9999)
                        .at_least(0.5)
                        .at_most(0.99999),
                ),
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
                ("max_iterations", Range::integer(2.0, 100.0).at_least(1.0)),
            ],
            Self::SaddleFreeNewton { .. } => &[
                ("lambda", Range::log(1e-4, 1e1)),
                ("dimension", Range::integer(2.0, 100.0).at_least(1.0)),
            ],
            Self::TrustRegion { .. } => &[
                ("radius", Range::log(1e-2, 1e1).at_most(1e3)),
                ("max_iterations", Range::integer(2.0, 100.0).at_least(1.0)),
            ],
            Self::CubicNewton { .. } => &[
                ("sigma", Range::log(1e-4, 1e1)),
                ("max_iterations", Range::integer(2.0, 100.0).at_least(1.0)),
            ],
            Self::NewtonMr { .. } => &[
                ("eta", Range::log(1e-3, 0.9).at_most(0.99)),
                ("max_iterations", Range::integer(2.0, 100.0).at_least(1.0)),
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
            | Self::SaddleFreeNewton { .. } => "lambda",
            Self::NewtonCg { .. } | Self::NewtonMr { .. } => "eta",
            Self::TrustRegion { .. } => "radius",
            Self::CubicNewton { .. } => "sigma",
            _ => "learning_rate",
        }
    }

    /// Why no step fits the budget, if none does.
    pub fn obstacle(&self, setting: Setting) -> Option<String> {
        let products = match self {
            Self::Newton { .. } | Self::LevenbergMarquardt { .. } => setting.dim,
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
