//! What a method is in a configuration.

use anyhow::{Context as _, anyhow};
use ravine_curvature::Likelihood;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::compare::search::Values;

/// A method with its hyperparameters: the table `method` of a field's entry.
///
/// Hyperparameters that are searched are overwritten by the values of each trial; the others stay as they are given here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MethodConfig {
    /// θ ← θ − ε g.
    GradientDescent {
        /// ε of the first step.
        #[serde(default = "tenth")]
        learning_rate: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Gradient descent with ε ≤ c gᵀg/gᵀHg.
    CurvatureCap {
        /// ε where the cap does not bind.
        #[serde(default = "one")]
        learning_rate: f64,
        /// c.
        #[serde(default = "one")]
        fraction: f64,
    },
    /// Gradient descent with Armijo backtracking.
    Armijo {
        /// ε of the first trial of each step.
        #[serde(default = "one")]
        learning_rate: f64,
        /// Factor of a trial that failed.
        #[serde(default = "half")]
        shrink: f64,
    },
    /// Heavy ball, or Nesterov's acceleration in the form of Burn and PyTorch.
    Momentum {
        /// ε of the first step.
        #[serde(default = "hundredth")]
        learning_rate: f64,
        /// β.
        #[serde(default = "nine_tenths")]
        momentum: f64,
        /// Where the gradient is taken.
        #[serde(default)]
        form: MomentumForm,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Adam.
    Adam {
        /// ε of the first step.
        #[serde(default = "thousandth")]
        learning_rate: f64,
        /// β₁.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// β₂.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// ε of the first step.
        #[serde(default = "thousandth")]
        learning_rate: f64,
        /// Weight decay.
        #[serde(default = "hundredth")]
        weight_decay: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// L-BFGS with strong Wolfe conditions, one iteration a step.
    #[serde(rename = "l-bfgs")]
    Lbfgs {
        /// Length of the first trial of a line search.
        #[serde(default = "one")]
        learning_rate: f64,
        /// Pairs that are remembered.
        #[serde(default = "ten")]
        history: usize,
    },
    /// Newton's method with the dense Hessian and a fixed λ, with backtracking.
    Newton {
        /// λ; 0 is Newton's method as it is.
        #[serde(default)]
        lambda: f64,
    },
    /// Newton's method with the dense Hessian and Levenberg's and Marquardt's λ.
    LevenbergMarquardt {
        /// λ of the first step.
        #[serde(default = "hundredth")]
        lambda: f64,
        /// Factor of λ after a bad step; its inverse after a good one.
        #[serde(default = "four")]
        factor: f64,
    },
    /// Line-search Newton-CG.
    NewtonCg {
        /// Relative residual at which conjugate gradients stop.
        #[serde(default = "tenth")]
        eta: f64,
        /// Their iterations at most.
        #[serde(default = "twenty")]
        max_iterations: usize,
    },
    /// Saddle-free Newton on the Krylov space of the gradient, with an adaptive λ.
    SaddleFreeNewton {
        /// λ of the first step.
        #[serde(default = "hundredth")]
        lambda: f64,
        /// Dimensions of the Krylov space.
        #[serde(default = "twenty")]
        dimension: usize,
    },
    /// A trust region with Steihaug's conjugate gradients.
    TrustRegion {
        /// Δ of the first step.
        #[serde(default = "one")]
        radius: f64,
        /// Iterations at most.
        #[serde(default = "twenty")]
        max_iterations: usize,
    },
    /// Adaptive cubic regularisation on the Krylov space of the gradient.
    CubicNewton {
        /// σ of the first step.
        #[serde(default = "one")]
        sigma: f64,
        /// Dimensions of the Krylov space at most.
        #[serde(default = "twenty")]
        max_iterations: usize,
    },
    /// Newton-MR for any loss: MINRES, with directions of negative curvature.
    NewtonMr {
        /// η, at which MINRES stops.
        #[serde(default = "tenth")]
        eta: f64,
        /// Its iterations at most.
        #[serde(default = "twenty")]
        max_iterations: usize,
    },
    /// Gradient descent with ε ≤ c/λ_max, λ_max by a few Lanczos steps now and then.
    SharpnessCap {
        /// ε where the cap does not bind.
        #[serde(default = "one")]
        learning_rate: f64,
        /// c.
        #[serde(default = "one")]
        fraction: f64,
    },
    /// Muon for matrices, AdamW at `adam_w_factor` times the rate for the rest.
    Muon {
        /// ε of the first step.
        #[serde(default = "hundredth")]
        learning_rate: f64,
        /// The rate of AdamW over that of Muon.
        #[serde(default = "tenth")]
        adam_w_factor: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// AdaHessian, with one product in every step.
    AdaHessian {
        /// ε of the first step.
        #[serde(default = "tenth")]
        learning_rate: f64,
        /// β₁.
        #[serde(default = "nine_tenths")]
        beta_1: f64,
        /// β₂.
        #[serde(default = "beta_2")]
        beta_2: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Sophia with Hutchinson's estimate of the Hessian's diagonal in every tenth step.
    SophiaH {
        /// ε of the first step.
        #[serde(default = "thousandth")]
        learning_rate: f64,
        /// γ: the smaller, the more is clipped.
        #[serde(default = "hundredth")]
        gamma: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Sophia with the Gauss-Newton-Bartlett estimate in every tenth step, for losses that are a negative log-likelihood.
    SophiaG {
        /// ε of the first step.
        #[serde(default = "thousandth")]
        learning_rate: f64,
        /// γ: the smaller, the more is clipped.
        #[serde(default = "twentieth")]
        gamma: f64,
        /// The likelihood; that of the problem where it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        likelihood: Option<Likelihood>,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Shampoo with averages, grafted to the length of the gradient, with momentum 0.9; new roots in every fifth step.
    Shampoo {
        /// ε of the first step.
        #[serde(default = "tenth")]
        learning_rate: f64,
        /// The decay of the averages.
        #[serde(default = "ninety_nine")]
        beta: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// SOAP, its bases renewed in every fifth step.
    Soap {
        /// ε of the first step.
        #[serde(default = "hundredth")]
        learning_rate: f64,
        /// β₁.
        #[serde(default = "ninety_five")]
        beta_1: f64,
        /// β₂.
        #[serde(default = "ninety_five")]
        beta_2: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// Hessian-free optimisation: conjugate gradients on the Gauss-Newton matrix with an adaptive λ.
    HessianFree {
        /// λ of the first step.
        #[serde(default = "one")]
        lambda: f64,
        /// Iterations of conjugate gradients at most.
        #[serde(default = "fifty")]
        max_iterations: usize,
    },
    /// The natural gradient, by conjugate gradients on the Fisher matrix with a fixed λ.
    NaturalGradient {
        /// ε of the first step.
        #[serde(default = "one")]
        learning_rate: f64,
        /// λ.
        #[serde(default = "thousandth")]
        damping: f64,
        /// Iterations of conjugate gradients at most.
        #[serde(default = "twenty")]
        max_iterations: usize,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
    /// K-FAC as in its paper: step and momentum from the Gauss-Newton model, an adaptive λ.
    Kfac {
        /// λ of the first step.
        #[serde(default = "one")]
        lambda: f64,
        /// Steps between two inverses.
        #[serde(default = "five")]
        inverse_every: usize,
    },
    /// K-FAC with a learning rate, momentum, and a fixed damping.
    KfacRate {
        /// ε of the first step.
        #[serde(default = "hundredth")]
        learning_rate: f64,
        /// λ.
        #[serde(default = "hundredth")]
        damping: f64,
        /// μ.
        #[serde(default = "nine_tenths")]
        momentum: f64,
        /// How ε shrinks.
        #[serde(default)]
        shrinking: Shrinking,
    },
}

/// Where momentum takes its gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MomentumForm {
    /// At θ.
    #[default]
    HeavyBall,
    /// Ahead of θ, to first order.
    Nesterov,
}

/// How a learning rate shrinks over the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shrinking {
    /// Not at all.
    #[default]
    Constant,
    /// Half a cosine, from ε to 0 at the end of the budget.
    Cosine,
    /// Linearly falling logarithm, from ε to ε/1000 at the end of the budget.
    Exponential,
    /// ε/(1 + 9 k/T): a tenth at the end of the budget.
    InverseTime,
}

impl MethodConfig {
    /// Name for tables and plots.
    pub fn name(&self) -> String {
        match self {
            Self::GradientDescent { shrinking, .. } => format!("sgd{}", shrinking.suffix()),
            Self::CurvatureCap { .. } => "curvature-cap".to_string(),
            Self::Armijo { .. } => "armijo".to_string(),
            Self::Momentum {
                form, shrinking, ..
            } => {
                let form = match form {
                    MomentumForm::HeavyBall => "momentum",
                    MomentumForm::Nesterov => "nesterov",
                };
                format!("{form}{}", shrinking.suffix())
            }
            Self::Adam { shrinking, .. } => format!("adam{}", shrinking.suffix()),
            Self::AdamW { shrinking, .. } => format!("adam-w{}", shrinking.suffix()),
            Self::Lbfgs { .. } => "l-bfgs".to_string(),
            Self::Newton { .. } => "newton".to_string(),
            Self::LevenbergMarquardt { .. } => "levenberg-marquardt".to_string(),
            Self::NewtonCg { .. } => "newton-cg".to_string(),
            Self::SaddleFreeNewton { .. } => "saddle-free-newton".to_string(),
            Self::TrustRegion { .. } => "trust-region".to_string(),
            Self::CubicNewton { .. } => "cubic-newton".to_string(),
            Self::NewtonMr { .. } => "newton-mr".to_string(),
            Self::HessianFree { .. } => "hessian-free".to_string(),
            Self::NaturalGradient { shrinking, .. } => {
                format!("natural-gradient{}", shrinking.suffix())
            }
            Self::Kfac { .. } => "kfac".to_string(),
            Self::KfacRate { shrinking, .. } => format!("kfac-rate{}", shrinking.suffix()),
            Self::SharpnessCap { .. } => "sharpness-cap".to_string(),
            Self::Muon { shrinking, .. } => format!("muon{}", shrinking.suffix()),
            Self::AdaHessian { shrinking, .. } => format!("ada-hessian{}", shrinking.suffix()),
            Self::SophiaH { shrinking, .. } => format!("sophia-h{}", shrinking.suffix()),
            Self::SophiaG { shrinking, .. } => format!("sophia-g{}", shrinking.suffix()),
            Self::Shampoo { shrinking, .. } => format!("shampoo{}", shrinking.suffix()),
            Self::Soap { shrinking, .. } => format!("soap{}", shrinking.suffix()),
        }
    }

    /// The method with the values of a trial in place of its own.
    ///
    /// # Errors
    ///
    /// When the method has no such hyperparameter, or the value does not fit it.
    pub fn with_values(&self, values: &Values) -> anyhow::Result<Self> {
        let mut table = Table::try_from(self).context("the method as TOML")?;
        for (name, value) in values {
            let value = match table.get(name) {
                Some(Value::Float(_)) => Value::Float(*value),
                Some(Value::Integer(_)) => Value::Integer(value.round() as i64),
                _ => return Err(self.no_number(name, &table)),
            };
            table.insert(name.clone(), value);
        }
        Ok(table.try_into()?)
    }

    fn no_number(&self, name: &str, table: &Table) -> anyhow::Error {
        let numbers = table
            .iter()
            .filter(|(_, value)| value.is_float() || value.is_integer());
        let known: Vec<&str> = numbers.map(|(name, _)| name.as_str()).collect();
        anyhow!(
            "search.{name}: the method `{}` has no number of that name; it has {}",
            self.name(),
            known.join(", ")
        )
    }

    /// A method with the defaults of its description, as in `kind = "adam"`.
    ///
    /// # Panics
    ///
    /// Never: the descriptions of this module are tested.
    pub(super) fn described(text: &str) -> Self {
        toml::from_str(text).expect("a description of this module")
    }
}

fn one() -> f64 {
    1.0
}
fn half() -> f64 {
    0.5
}
fn tenth() -> f64 {
    0.1
}
fn hundredth() -> f64 {
    1e-2
}
fn thousandth() -> f64 {
    1e-3
}
fn nine_tenths() -> f64 {
    0.9
}
fn beta_2() -> f64 {
    0.999
}
fn epsilon() -> f64 {
    1e-8
}
fn four() -> f64 {
    4.0
}
fn ten() -> usize {
    10
}
fn twentieth() -> f64 {
    0.05
}
fn ninety_five() -> f64 {
    0.95
}
fn ninety_nine() -> f64 {
    0.99
}
fn five() -> usize {
    5
}
fn fifty() -> usize {
    50
}
fn twenty() -> usize {
    20
}
