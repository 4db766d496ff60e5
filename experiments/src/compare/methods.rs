//! The methods of a comparison: from a description in TOML to a method, in one place.
//!
//! A new method is a variant of [`MethodConfig`] with an arm in [`MethodConfig::name`], [`MethodConfig::space`] and
//! [`MethodConfig::build`]; where its main hyperparameter is not a learning rate, or a step needs many products, also in
//! [`MethodConfig::main`] and [`MethodConfig::obstacle`].

use anyhow::{Context as _, anyhow, ensure};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, LineSearchFn, SgdConfig};
use ravine_optim::{
    AdaptiveDamping, Armijo, BurnLbfgs, BurnOptimizer, CurvatureCap, Damping, Forcing,
    GradientDescent, LearningRate, Method, Newton, NewtonCg, Schedule,
};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::search::{Range, Scale, Space, Values};

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

    fn suffix(self) -> &'static str {
        match self {
            Self::Constant => "",
            Self::Cosine => "-cosine",
            Self::Exponential => "-exponential",
            Self::InverseTime => "-inverse-time",
        }
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
fn twenty() -> usize {
    20
}

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
        }
    }

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
        };
        let owned = ranges
            .iter()
            .map(|(name, range)| (name.to_string(), *range));
        owned.collect()
    }

    /// The hyperparameter whose neighbourhood shows how sensitive the method is.
    pub fn main(&self) -> &'static str {
        match self {
            Self::Newton { .. } | Self::LevenbergMarquardt { .. } => "lambda",
            Self::NewtonCg { .. } => "eta",
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

    /// The method, ready for its first step; rates shrink over `horizon` steps.
    pub fn build(&self, horizon: u64) -> Box<dyn Method> {
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
                    .with_epsilon(epsilon() as f32)
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
        }
    }

    /// A method with the defaults of its description, as in `kind = "adam"`.
    ///
    /// # Panics
    ///
    /// Never: the descriptions of this module are tested.
    fn described(text: &str) -> Self {
        toml::from_str(text).expect("a description of this module")
    }
}

/// An entry of the field: a method, its name, and where it is searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entrant {
    /// Name for tables and plots; that of the method by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The method.
    pub method: MethodConfig,
    /// Ranges that replace or add to the method's own; a range of one value is not searched.
    #[serde(default, skip_serializing_if = "Space::is_empty")]
    pub search: Space,
}

impl Entrant {
    /// An entrant under its method's name and space.
    pub fn of(method: MethodConfig) -> Self {
        Self {
            name: None,
            method,
            search: Space::new(),
        }
    }

    /// Name for tables and plots.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.method.name())
    }

    /// The ranges that are searched.
    ///
    /// # Errors
    ///
    /// When a range is impossible, or the method has no such hyperparameter.
    pub fn space(&self) -> anyhow::Result<Space> {
        let mut space = self.method.space();
        space.extend(self.search.clone());
        for (name, range) in &space {
            range
                .check(name)
                .with_context(|| format!("method `{}`", self.name()))?;
            let values = Values::from([(name.clone(), range.low)]);
            let written = self.method.with_values(&values)?;
            let whole = matches!(
                Table::try_from(&written)?.get(name),
                Some(Value::Integer(_))
            );
            ensure!(
                whole == (range.scale == Scale::Integer),
                "method `{}`: search.{name}: the scale `integer` is for whole numbers, and they need it",
                self.name()
            );
        }
        Ok(space)
    }
}

/// The four that are in every field: tuned momentum SGD and Adam, each with and without a schedule.
pub fn baselines() -> Vec<Entrant> {
    [
        "kind = 'momentum'",
        "kind = 'momentum'\nshrinking = 'cosine'",
        "kind = 'adam'",
        "kind = 'adam'\nshrinking = 'cosine'",
    ]
    .map(|text| Entrant::of(MethodConfig::described(text)))
    .to_vec()
}

/// The baselines, and one entrant for each other family.
pub fn default_field() -> Vec<Entrant> {
    let others = [
        "kind = 'gradient-descent'",
        "kind = 'curvature-cap'",
        "kind = 'armijo'",
        "kind = 'l-bfgs'",
        "kind = 'levenberg-marquardt'",
        "kind = 'newton-cg'",
    ];
    let mut field = baselines();
    field.extend(others.map(|text| Entrant::of(MethodConfig::described(text))));
    field
}

/// A field with the baselines in it, and the names of those that were missing.
///
/// # Errors
///
/// When two entrants have one name, or a space is impossible.
pub fn complete_field(entrants: &[Entrant]) -> anyhow::Result<(Vec<Entrant>, Vec<String>)> {
    let mut field = entrants.to_vec();
    let mut added = Vec::new();
    for baseline in baselines() {
        let same = |entrant: &Entrant| match (&entrant.method, &baseline.method) {
            (
                MethodConfig::Momentum {
                    form: MomentumForm::HeavyBall,
                    shrinking: a,
                    ..
                },
                MethodConfig::Momentum { shrinking: b, .. },
            )
            | (MethodConfig::Adam { shrinking: a, .. }, MethodConfig::Adam { shrinking: b, .. }) => {
                (*a == Shrinking::Constant) == (*b == Shrinking::Constant)
            }
            _ => false,
        };
        if !field.iter().any(same) {
            added.push(baseline.name());
            field.push(baseline);
        }
    }
    for (index, entrant) in field.iter().enumerate() {
        let name = entrant.name();
        let twice = field[..index].iter().any(|other| other.name() == name);
        ensure!(
            !twice,
            "two methods are called `{name}`: give one of them a `name` of its own"
        );
        entrant.space()?;
    }
    Ok((field, added))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::search;
    use ravine_curvature::Seed;

    #[test]
    fn every_point_of_every_space_builds_a_method_of_that_name() {
        for entrant in default_field() {
            let space = entrant.space().unwrap();
            assert!(space.contains_key(entrant.method.main()), "{entrant:?}");
            for index in 0..5 {
                let values = search::point(&space, Seed::new(1), index);
                let method = entrant.method.with_values(&values).unwrap();
                assert_eq!(method.build(100).name(), entrant.name());
                let text = toml::to_string(&method).unwrap();
                assert_eq!(toml::from_str::<MethodConfig>(&text).unwrap(), method);
            }
        }
    }

    #[test]
    fn entrants_round_trip() {
        let text = "name = \"careful\"\n\n[method]\nkind = \"newton-cg\"\neta = 0.1\nmax_iterations = 5\n\n\
                    [search.eta]\nlow = 0.01\nhigh = 0.5\nscale = \"log\"\n";
        let entrant: Entrant = toml::from_str(text).unwrap();
        assert_eq!(entrant.name(), "careful");
        assert_eq!(entrant.space().unwrap()["eta"], Range::log(0.01, 0.5));
        assert_eq!(toml::to_string(&entrant).unwrap(), text);
    }

    #[test]
    fn unknown_keys_and_kinds_are_named() {
        let error = |text: &str| toml::from_str::<Entrant>(text).unwrap_err().to_string();
        assert!(error("method = { kind = 'adam', lr = 0.1 }").contains("`lr`"));
        assert!(error("method = { kind = 'adm' }").contains("`adm`"));
        assert!(error("methods = 1").contains("`methods`"));
        let entrant: Entrant =
            toml::from_str("method = { kind = 'adam' }\nsearch.rate = { low = 1.0, high = 2.0 }")
                .unwrap();
        let error = entrant.space().unwrap_err().to_string();
        assert!(
            error.contains("search.rate") && error.contains("learning_rate"),
            "{error}"
        );
        let entrant: Entrant = toml::from_str(
            "method = { kind = 'l-bfgs' }\nsearch.history = { low = 1.0, high = 2.0 }",
        )
        .unwrap();
        assert!(entrant.space().unwrap_err().to_string().contains("integer"));
    }

    #[test]
    fn baselines_are_always_there() {
        let (field, added) = complete_field(&default_field()).unwrap();
        assert_eq!((field.len(), added.len()), (10, 0));
        let newton = Entrant::of(MethodConfig::described("kind = 'newton'"));
        let (field, added) = complete_field(std::slice::from_ref(&newton)).unwrap();
        assert_eq!(field.len(), 5);
        assert_eq!(
            added,
            ["momentum", "momentum-cosine", "adam", "adam-cosine"]
        );
        let error = complete_field(&[newton.clone(), newton]).unwrap_err();
        assert!(error.to_string().contains("`newton`"));
    }

    #[test]
    fn a_step_beyond_the_budget_is_an_obstacle() {
        let newton = MethodConfig::described("kind = 'newton'");
        let setting = |dim| Setting {
            dim,
            budget: 100.0,
            product: 2.0,
        };
        assert!(newton.obstacle(setting(50)).is_some());
        assert!(newton.obstacle(setting(10)).is_none());
        let adam = MethodConfig::described("kind = 'adam'");
        assert!(adam.obstacle(setting(1_000_000)).is_none());
    }
}
