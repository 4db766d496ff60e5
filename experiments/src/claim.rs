//! Claims: what an experiment's header states, and the numbers that decide it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::header::Statement;
use crate::significant;

/// Where a number must lie for a claim to hold.
///
/// ```
/// use ravine_experiments::Band;
///
/// let band = Band::around(3.0, 0.1);
/// assert!(band.holds(2.95) && !band.holds(3.2) && !band.holds(f64::NAN));
/// assert_eq!(band.to_string(), "3 ± 0.1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Band {
    /// |x − centre| ≤ tolerance.
    Around {
        /// The value that theory gives.
        centre: f64,
        /// How far off it may be.
        tolerance: f64,
    },
    /// x ≤ limit.
    AtMost {
        /// The largest value that will do.
        limit: f64,
    },
    /// x ≥ limit.
    AtLeast {
        /// The smallest value that will do.
        limit: f64,
    },
    /// low ≤ x ≤ high.
    Between {
        /// The smallest value that will do.
        low: f64,
        /// The largest value that will do.
        high: f64,
    },
}

impl Band {
    /// |x − centre| ≤ tolerance.
    pub fn around(centre: f64, tolerance: f64) -> Self {
        Self::Around { centre, tolerance }
    }

    /// x ≤ limit.
    pub fn at_most(limit: f64) -> Self {
        Self::AtMost { limit }
    }

    /// x ≥ limit.
    pub fn at_least(limit: f64) -> Self {
        Self::AtLeast { limit }
    }

    /// low ≤ x ≤ high.
    pub fn between(low: f64, high: f64) -> Self {
        Self::Between { low, high }
    }

    /// x = count.
    pub fn exactly(count: usize) -> Self {
        Self::around(count as f64, 0.0)
    }

    /// Whether a value lies in it; NaN lies nowhere.
    pub fn holds(&self, value: f64) -> bool {
        match *self {
            Self::Around { centre, tolerance } => (value - centre).abs() <= tolerance,
            Self::AtMost { limit } => value <= limit,
            Self::AtLeast { limit } => value >= limit,
            Self::Between { low, high } => (low..=high).contains(&value),
        }
    }
}

impl fmt::Display for Band {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: f64| significant(value, 4);
        match *self {
            Self::Around {
                centre,
                tolerance: 0.0,
            } => {
                write!(formatter, "= {}", shown(centre))
            }
            Self::Around { centre, tolerance } => {
                write!(formatter, "{} ± {}", shown(centre), shown(tolerance))
            }
            Self::AtMost { limit } => write!(formatter, "≤ {}", shown(limit)),
            Self::AtLeast { limit } => write!(formatter, "≥ {}", shown(limit)),
            Self::Between { low, high } => write!(formatter, "{} to {}", shown(low), shown(high)),
        }
    }
}

/// One number that a claim is decided by: its band, and what each seed measured.
///
/// It holds when the value of **every** seed lies in the band; a seed that gave no value fails it.
///
/// ```
/// use ravine_experiments::{Band, Criterion};
///
/// let slope = Criterion::new("slope", Band::around(3.0, 0.1))
///     .measured(0, 3.02)
///     .measured(1, 2.99);
/// assert!(slope.holds());
/// assert!(!slope.measured(2, f64::NAN).holds());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    name: String,
    band: Band,
    measured: Vec<Measured>,
}

/// What a seed measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Measured {
    seed: u64,
    value: f64,
}

impl Criterion {
    /// A number by its name, without values yet.
    pub fn new(name: impl Into<String>, band: Band) -> Self {
        Self {
            name: name.into(),
            band,
            measured: Vec::new(),
        }
    }

    /// With the value of a seed.
    pub fn measured(mut self, seed: u64, value: f64) -> Self {
        self.push(seed, value);
        self
    }

    /// With the values of seeds.
    pub fn over_seeds(mut self, values: impl IntoIterator<Item = (u64, f64)>) -> Self {
        for (seed, value) in values {
            self.push(seed, value);
        }
        self
    }

    /// Adds the value of a seed, for loops.
    pub fn push(&mut self, seed: u64, value: f64) {
        self.measured.push(Measured { seed, value });
    }

    /// What is measured.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where every value must lie.
    pub fn band(&self) -> Band {
        self.band
    }

    /// Whether there are values and all lie in the band.
    pub fn holds(&self) -> bool {
        !self.measured.is_empty() && self.outside().next().is_none()
    }

    /// How many seeds gave a value.
    pub fn seeds(&self) -> usize {
        self.measured.len()
    }

    /// `2.98` of one seed, `3.01 (2.98 to 3.05)` of several: the median, the lowest and the highest.
    pub fn values(&self) -> String {
        let mut sorted: Vec<f64> = self.measured.iter().map(|m| m.value).collect();
        sorted.sort_by(f64::total_cmp);
        let shown = |value: f64| significant(value, 4);
        let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else {
            return "nothing".to_owned();
        };
        if low == high {
            return shown(low);
        }
        let median = crate::median(sorted);
        format!("{} ({} to {})", shown(median), shown(low), shown(high))
    }

    fn outside(&self) -> impl Iterator<Item = &Measured> {
        self.measured.iter().filter(|m| !self.band.holds(m.value))
    }

    /// Why it does not hold, with the numbers.
    fn failure(&self) -> Option<String> {
        if self.holds() {
            return None;
        }
        let mut seeds: Vec<String> = self
            .outside()
            .map(|m| format!("{} (seed {})", significant(m.value, 4), m.seed))
            .collect();
        if seeds.is_empty() {
            seeds.push("nothing".to_owned());
        }
        Some(format!(
            "{}: {}, where {} is needed",
            self.name,
            seeds.join(", "),
            self.band
        ))
    }
}

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Every criterion holds.
    Pass,
    /// Some criterion does not hold: a result like any other.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
        })
    }
}

/// A claim with what decided it: `claim.json` in a run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JudgedClaim {
    pub(crate) statement: String,
    pub(crate) source: String,
    pub(crate) verdict: Verdict,
    pub(crate) criteria: Vec<Criterion>,
    /// Why it failed, number by number; empty for one that holds.
    pub(crate) failures: Vec<String>,
    /// What the experiment has to say about the verdict.
    pub(crate) remarks: Vec<String>,
}

impl JudgedClaim {
    /// The claim of a header, judged by the criteria of a report.
    ///
    /// # Errors
    ///
    /// A claim without criteria, and criteria without a claim.
    pub(crate) fn new(
        statement: Option<&Statement>,
        criteria: &[Criterion],
        remarks: &[String],
    ) -> anyhow::Result<Option<Self>> {
        let statement = match (statement, criteria.is_empty()) {
            (None, true) => return Ok(None),
            (Some(statement), false) => statement,
            (None, false) => anyhow::bail!(
                "the report has criteria, but the header of the file states no claim: add `//! - **Claim:** ..` and `//! - **Source:** ..`"
            ),
            (Some(_), true) => anyhow::bail!(
                "the header of the file states a claim, but the report has no criterion that decides it"
            ),
        };
        let failures: Vec<String> = criteria.iter().filter_map(Criterion::failure).collect();
        Ok(Some(Self {
            statement: statement.claim.clone(),
            source: statement.source.clone(),
            verdict: match failures.is_empty() {
                true => Verdict::Pass,
                false => Verdict::Fail,
            },
            criteria: criteria.to_vec(),
            failures,
            remarks: remarks.to_vec(),
        }))
    }

    /// The claim and its verdict as lines for a terminal.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("claim: {}", self.statement)];
        for criterion in &self.criteria {
            let mark = match criterion.holds() {
                true => "holds",
                false => "fails",
            };
            lines.push(format!(
                "  {mark}: {}: {} (band: {})",
                criterion.name,
                criterion.values(),
                criterion.band
            ));
        }
        lines.extend(self.remarks.iter().map(|remark| format!("  {remark}")));
        lines.push(self.verdict.to_string());
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            claim: "it falls".to_owned(),
            source: "Newton (1687)".to_owned(),
        }
    }

    #[test]
    fn bands() {
        let inside = [
            (Band::around(1.0, 0.5), 1.5),
            (Band::at_most(2.0), 2.0),
            (Band::at_least(2.0), 2.0),
            (Band::between(0.0, 1.0), 1.0),
            (Band::exactly(48), 48.0),
        ];
        let outside = [1.6, 2.1, 1.9, -0.1, 47.0];
        for ((band, inside), outside) in inside.into_iter().zip(outside) {
            assert!(band.holds(inside), "{band}");
            assert!(!band.holds(outside), "{band}");
            assert!(!band.holds(f64::NAN), "{band}");
        }
        assert_eq!(Band::exactly(48).to_string(), "= 48");
    }

    #[test]
    fn every_seed_must_lie_in_the_band() {
        let criterion = Criterion::new("x", Band::at_most(1.0));
        assert!(!criterion.holds(), "no value decides nothing");
        let criterion = criterion.over_seeds([(0, 0.5), (1, 0.7)]);
        assert!(criterion.holds());
        assert_eq!(criterion.values(), "0.6 (0.5 to 0.7)");
        let criterion = criterion.measured(2, 3.0);
        assert_eq!(
            criterion.failure().unwrap(),
            "x: 3 (seed 2), where ≤ 1 is needed"
        );
    }

    #[test]
    fn a_claim_is_judged_by_all_of_its_criteria() {
        let good = Criterion::new("a", Band::at_least(0.0)).measured(0, 1.0);
        let bad = Criterion::new("b", Band::at_least(2.0)).measured(0, 1.0);
        let judge = |criteria: &[Criterion]| {
            JudgedClaim::new(Some(&statement()), criteria, &[])
                .unwrap()
                .unwrap()
        };
        assert_eq!(judge(std::slice::from_ref(&good)).verdict, Verdict::Pass);
        let failed = judge(&[good, bad]);
        assert_eq!(failed.verdict, Verdict::Fail);
        assert_eq!(failed.failures, ["b: 1 (seed 0), where ≥ 2 is needed"]);
        assert_eq!(failed.lines().last().unwrap(), "FAIL");
    }

    #[test]
    fn claims_and_criteria_belong_together() {
        let criterion = Criterion::new("a", Band::at_least(0.0)).measured(0, 1.0);
        assert!(JudgedClaim::new(None, &[], &[]).unwrap().is_none());
        assert!(JudgedClaim::new(None, &[criterion], &[]).is_err());
        assert!(JudgedClaim::new(Some(&statement()), &[], &[]).is_err());
    }
}
