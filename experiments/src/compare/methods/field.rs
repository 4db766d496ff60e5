//! Who takes part.

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{MethodConfig, MomentumForm, Shrinking};
use crate::compare::search::{Range, Scale, Space, Values};

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
        for (name, range) in &self.search {
            // what the method cannot go beyond stays a limit
            let own = space.get(name).copied();
            let range = Range {
                minimum: range.minimum.or(own.and_then(|own| own.minimum)),
                maximum: range.maximum.or(own.and_then(|own| own.maximum)),
                ..*range
            };
            space.insert(name.clone(), range);
        }
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
        "kind = 'saddle-free-newton'",
        "kind = 'trust-region'",
        "kind = 'cubic-newton'",
        "kind = 'newton-mr'",
        "kind = 'hessian-free'",
        "kind = 'natural-gradient'",
        "kind = 'kfac'",
        "kind = 'kfac-rate'\nshrinking = 'cosine'",
        "kind = 'sharpness-cap'",
        "kind = 'muon'\nshrinking = 'cosine'",
        "kind = 'ada-hessian'\nshrinking = 'cosine'",
        "kind = 'sophia-h'\nshrinking = 'cosine'",
        "kind = 'sophia-g'\nshrinking = 'cosine'",
        "kind = 'shampoo'\nshrinking = 'cosine'",
        "kind = 'soap'\nshrinking = 'cosine'",
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
        // one that is held in a part of the space is no tuned baseline
        let tuned = |entrant: &Entrant| {
            let own = entrant.method.space();
            let narrowed = |(name, range): (&String, &Range)| {
                own.get(name)
                    .is_some_and(|own| range.low > own.low || range.high < own.high)
            };
            !entrant.search.iter().any(narrowed)
        };
        let alike = |entrant: &Entrant| match (&entrant.method, &baseline.method) {
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
        if !field.iter().any(|entrant| alike(entrant) && tuned(entrant)) {
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
