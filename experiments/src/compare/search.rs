//! Spaces of hyperparameters, and quasi-random points in them.

use std::collections::BTreeMap;

use anyhow::ensure;
use rand::RngExt;
use ravine_curvature::Seed;
use serde::{Deserialize, Serialize};

/// Values of the hyperparameters of one trial, by name.
pub type Values = BTreeMap<String, f64>;

/// A part of an edge this wide, in units of the whole width, counts as the edge.
const EDGE: f64 = 0.1;

/// By how much a space is widened beyond an edge, in units of the whole width.
const WIDENING: f64 = 0.5;

/// From where to where a hyperparameter is searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The lowest value.
    pub low: f64,
    /// The highest value.
    pub high: f64,
    /// What is uniform in between.
    #[serde(default)]
    pub scale: Scale,
    /// The space is never widened below: a limit of the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The space is never widened above: a limit of the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
}

/// What is uniform in a [`Range`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// log x.
    #[default]
    Log,
    /// x.
    Linear,
    /// log(1 − x), for momenta and other memories.
    LogOneMinus,
    /// log x, rounded to whole numbers.
    Integer,
}

impl Range {
    /// Log-uniform.
    pub const fn log(low: f64, high: f64) -> Self {
        Self::new(low, high, Scale::Log)
    }

    /// Uniform.
    pub const fn linear(low: f64, high: f64) -> Self {
        Self::new(low, high, Scale::Linear)
    }

    /// 1 − x log-uniform; x stays below 1.
    pub const fn log_one_minus(low: f64, high: f64) -> Self {
        Self::new(low, high, Scale::LogOneMinus)
    }

    /// Whole numbers, log-uniform.
    pub const fn integer(low: f64, high: f64) -> Self {
        Self::new(low, high, Scale::Integer)
    }

    const fn new(low: f64, high: f64, scale: Scale) -> Self {
        Self {
            low,
            high,
            scale,
            minimum: None,
            maximum: None,
        }
    }

    /// With a lower limit for widening.
    pub const fn at_least(mut self, minimum: f64) -> Self {
        self.minimum = Some(minimum);
        self
    }

    /// With an upper limit for widening.
    pub const fn at_most(mut self, maximum: f64) -> Self {
        self.maximum = Some(maximum);
        self
    }

    /// Refuses ranges that cannot be searched.
    ///
    /// # Errors
    ///
    /// A sentence that names the hyperparameter.
    pub fn check(&self, name: &str) -> anyhow::Result<()> {
        let Self { low, high, .. } = *self;
        let finite = low.is_finite() && high.is_finite();
        ensure!(
            finite && low <= high,
            "search.{name}: low = {low} must not be above high = {high}"
        );
        match self.scale {
            Scale::Log => ensure!(
                low > 0.0,
                "search.{name}: low = {low} must be above 0 on a log scale"
            ),
            Scale::Integer => ensure!(
                low >= 1.0,
                "search.{name}: low = {low} must be at least 1 for whole numbers"
            ),
            Scale::LogOneMinus => ensure!(
                high < 1.0,
                "search.{name}: high = {high} must be below 1 where 1 − x is searched"
            ),
            Scale::Linear => {}
        }
        Ok(())
    }

    fn line_at(self, value: f64) -> f64 {
        match self.scale {
            Scale::Log | Scale::Integer => value.ln(),
            Scale::Linear => value,
            Scale::LogOneMinus => -(1.0 - value).ln(),
        }
    }

    fn value_at(self, line: f64) -> f64 {
        match self.scale {
            Scale::Log => line.exp(),
            Scale::Linear => line,
            Scale::LogOneMinus => 1.0 - (-line).exp(),
            Scale::Integer => line.exp().round().max(1.0),
        }
    }

    /// The value at a position; 0 is `low`, 1 is `high`, and positions beyond lie outside of the range.
    pub fn at(&self, position: f64) -> f64 {
        let (from, to) = (self.line_at(self.low), self.line_at(self.high));
        let value = self.value_at(from + position * (to - from));
        value.clamp(
            self.minimum.unwrap_or(f64::NEG_INFINITY),
            self.maximum.unwrap_or(f64::INFINITY),
        )
    }

    /// The position of a value, the inverse of [`Range::at`]; ½ in a range of one value.
    pub fn position(&self, value: f64) -> f64 {
        let (from, to) = (self.line_at(self.low), self.line_at(self.high));
        match to > from {
            true => (self.line_at(value) - from) / (to - from),
            false => 0.5,
        }
    }

    /// The edge that a value lies on, unless it is a limit of the method.
    pub fn edge(&self, value: f64) -> Option<Edge> {
        let position = self.position(value);
        let narrow = self.high <= self.low;
        let limited = |limit: Option<f64>, edge: f64| limit == Some(edge);
        match position {
            _ if narrow => None,
            _ if position <= EDGE && !limited(self.minimum, self.low) => Some(Edge::Low),
            _ if position >= 1.0 - EDGE && !limited(self.maximum, self.high) => Some(Edge::High),
            _ => None,
        }
    }

    /// What lies beyond an edge, as a range of its own.
    pub fn beyond(&self, edge: Edge) -> Self {
        let (from, to) = match edge {
            Edge::Low => (-WIDENING, 0.0),
            Edge::High => (1.0, 1.0 + WIDENING),
        };
        Self {
            low: self.at(from),
            high: self.at(to),
            ..*self
        }
    }

    /// This range and what lies beyond an edge.
    pub fn widened(&self, edge: Edge) -> Self {
        let beyond = self.beyond(edge);
        Self {
            low: self.low.min(beyond.low),
            high: self.high.max(beyond.high),
            ..*self
        }
    }
}

/// An edge of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// The lower tenth.
    Low,
    /// The upper tenth.
    High,
}

/// What is searched: a range for each hyperparameter.
pub type Space = BTreeMap<String, Range>;

/// Point number `index` of a Halton sequence in the space, shifted as a whole by the seed (modulo 1).
///
/// Quasi-random points fill a space more evenly than random ones, which counts where trials are few.
///
/// # References
///
/// J. H. Halton, On the efficiency of certain quasi-random sequences, 1960; R. Cranley and T. Patterson, Randomization of number
/// theoretic methods for multiple integration, 1976; J. Bergstra and Y. Bengio, Random search for hyper-parameter optimization, 2012.
pub fn point(space: &Space, seed: Seed, index: usize) -> Values {
    let dimensions = space.iter().zip(PRIMES.iter().cycle());
    dimensions
        .map(|((name, range), base)| {
            let shift: f64 = seed.stream(name).rng().random();
            let position = (radical_inverse(index as u64 + 1, *base) + shift).fract();
            (name.clone(), range.at(position))
        })
        .collect()
}

const PRIMES: [u64; 8] = [2, 3, 5, 7, 11, 13, 17, 19];

/// The digits of `index` in a base, mirrored at the point.
fn radical_inverse(mut index: u64, base: u64) -> f64 {
    let (mut value, mut unit) = (0.0, 1.0 / base as f64);
    while index > 0 {
        value += (index % base) as f64 * unit;
        index /= base;
        unit /= base as f64;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_values_are_inverse() {
        let ranges = [
            Range::log(1e-4, 10.0),
            Range::linear(-2.0, 3.0),
            Range::log_one_minus(0.5, 0.999),
        ];
        for range in ranges {
            range.check("x").unwrap();
            assert!((range.at(0.0) - range.low).abs() < 1e-12);
            assert!((range.at(1.0) - range.high).abs() < 1e-12);
            assert!((range.position(range.at(0.3)) - 0.3).abs() < 1e-9);
        }
        assert_eq!(Range::integer(1.0, 30.0).at(0.51).fract(), 0.0);
        assert!((Range::log_one_minus(0.9, 0.999).at(0.5) - 0.99).abs() < 1e-12);
    }

    #[test]
    fn ranges_that_cannot_be_searched_are_named() {
        let wrong = [
            Range::log(0.0, 1.0),
            Range::log(2.0, 1.0),
            Range::log_one_minus(0.5, 1.0),
            Range::integer(0.0, 3.0),
            Range::linear(f64::NAN, 1.0),
        ];
        for range in wrong {
            let error = range.check("rate").unwrap_err().to_string();
            assert!(error.contains("search.rate"), "{error}");
        }
    }

    #[test]
    fn edges_are_found_and_widened() {
        let range = Range::log(1e-3, 1e1);
        assert_eq!(range.edge(2e-3), Some(Edge::Low));
        assert_eq!(range.edge(9.0), Some(Edge::High));
        assert_eq!(range.edge(0.1), None);
        let beyond = range.beyond(Edge::High);
        assert!((beyond.low - 10.0).abs() < 1e-9 && (beyond.high - 1e3).abs() < 1e-6);
        let wide = range.widened(Edge::Low);
        assert!((wide.low - 1e-5).abs() < 1e-12 && wide.high == 1e1);
        // A limit of the method is no edge.
        let limited = Range::linear(0.1, 2.0).at_most(2.0);
        assert_eq!(limited.edge(1.99), None);
        assert_eq!(limited.widened(Edge::High).high, 2.0);
        assert_eq!(Range::log(3.0, 3.0).edge(3.0), None);
    }

    #[test]
    fn points_fill_the_space_and_follow_the_seed() {
        let space = Space::from([
            ("a".to_string(), Range::log(1e-4, 1.0)),
            ("b".to_string(), Range::linear(0.0, 1.0)),
        ]);
        let draw = |seed, index| point(&space, Seed::new(seed), index);
        assert_eq!(draw(1, 3), draw(1, 3));
        assert_ne!(draw(1, 3), draw(2, 3));
        // Of 16 points each quarter of a range gets four (base 2) or three to five (base 3).
        for (name, least) in [("a", 4), ("b", 3)] {
            let mut quarters = [0; 4];
            for index in 0..16 {
                let position = space[name].position(draw(5, index)[name]);
                assert!((0.0..1.0).contains(&position));
                quarters[(position * 4.0) as usize] += 1;
            }
            assert!(quarters.iter().all(|count| *count >= least), "{quarters:?}");
        }
    }
}
