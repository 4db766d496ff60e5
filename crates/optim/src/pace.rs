//! A learning rate at work: what a rule decides, step by step, for any direction.

use burn::prelude::*;
use ravine_curvature::{CurvatureError, vector};
use serde::{Deserialize, Serialize};

use crate::krylov::Krylov;
use crate::method::{Move, Start, along};
use crate::rate_rule::Level;
use crate::schedule::Rates;
use crate::state::Held;
use crate::{
    BarzilaiBorwein, Heading, LearningRate, Line, LineSearch, OptimError, Oracle, Quantity,
    RateRule, Search, SharpnessCap, StepEnding,
};

/// A [`LearningRate`] and what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    rule: LearningRate,
    pub(crate) memory: Memory,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    warmed: u64,
    rates: Option<Rates>,
    last: Option<Last>,
    level: Option<Level>,
    sharpness: Option<Sharpness>,
    /// Losses of the last steps, oldest first, for a nonmonotone search.
    losses: Vec<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Last {
    theta: Held,
    gradient: Held,
    direction: Held,
    rate: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sharpness {
    vector: Held,
    lambda: f64,
    age: u64,
}

/// The quadratic model along d.
struct Model {
    slope: f64,
    curvature: Option<f64>,
    dtd: f64,
}

impl Pace {
    pub(crate) fn new(rule: LearningRate) -> Self {
        Self {
            rule,
            memory: Memory::default(),
        }
    }

    pub(crate) fn asks_for_products(&self) -> bool {
        self.rule.cap.is_some() || self.rule.sharpness.is_some()
    }

    /// The move from `start` along a heading.
    pub(crate) fn go(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        heading: Heading,
    ) -> Result<Move, OptimError> {
        self.rule.check()?;
        let d = heading.d.cast(start.gradient.dtype());
        let mut model = Model {
            slope: vector::dot(&start.gradient, &d),
            curvature: heading.curvature,
            dtd: vector::dot(&d, &d),
        };
        if !model.dtd.is_finite() {
            let (quantity, value) = (Quantity::Theta, model.dtd);
            return Ok(Move::nowhere(
                start,
                StepEnding::NonFinite { quantity, value },
            ));
        }
        if model.dtd == 0.0 {
            return Ok(Move::nowhere(start, StepEnding::Stationary));
        }
        let scheduled = self.scheduled(start.loss)?;
        let mut rate = self.adapted(scheduled, start, &model)?;
        let mut ending = heading.ending;
        if let Some(cap) = self.rule.cap {
            let curvature = match model.curvature {
                Some(curvature) => curvature,
                None => vector::dot(&d, &oracle.hvp(start.theta, &d)?),
            };
            if !curvature.is_finite() {
                let (quantity, value) = (Quantity::Hessian, curvature);
                return Ok(Move::nowhere(
                    start,
                    StepEnding::NonFinite { quantity, value },
                ));
            }
            model.curvature = Some(curvature);
            rate = cap.apply(rate, -model.slope, curvature)?;
            if curvature <= 0.0 && matches!(ending, StepEnding::Accepted) {
                ending = StepEnding::NegativeCurvature {
                    rayleigh: curvature / model.dtd,
                    direction: d.clone(),
                };
            }
        }
        if let Some(cap) = self.rule.sharpness {
            match self.sharpness(oracle, start, cap) {
                Ok(lambda) if lambda > 0.0 => rate = rate.min(cap.fraction / lambda),
                Ok(_) => {}
                Err(OptimError::Curvature(CurvatureError::NonFinite { value, .. })) => {
                    let quantity = Quantity::Hessian;
                    return Ok(Move::nowhere(
                        start,
                        StepEnding::NonFinite { quantity, value },
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        let Some((theta, rate)) = self.search(oracle, start, &d, model.slope, rate)? else {
            let trials = self
                .rule
                .search
                .map_or(0, |search| search.most_trials(model.slope));
            let slope = model.slope;
            return Ok(Move::nowhere(
                start,
                StepEnding::NoDecrease { trials, slope },
            ));
        };
        self.remember(start, d, rate);
        Ok(Move {
            theta,
            learning_rate: Some(rate),
            predicted_change: Some(
                rate * model.slope + 0.5 * rate * rate * model.curvature.unwrap_or(0.0),
            ),
            ending,
        })
    }

    /// The rate of warm-up and schedule.
    fn scheduled(&mut self, loss: f64) -> Result<f64, OptimError> {
        let warmup = self.rule.warmup;
        if self.memory.warmed < warmup {
            self.memory.warmed += 1;
            let fraction = self.memory.warmed as f64 / (warmup + 1) as f64;
            // Starting the schedule checks its numbers.
            self.rule.schedule.start()?;
            return Ok(self.rule.schedule.initial() * fraction);
        }
        let rates = match &mut self.memory.rates {
            Some(rates) => rates,
            None => self.memory.rates.insert(self.rule.schedule.start()?),
        };
        Ok(rates.next_rate(loss))
    }

    /// The rate of the rule, where there is one.
    fn adapted(
        &mut self,
        scheduled: f64,
        start: &Start<'_>,
        model: &Model,
    ) -> Result<f64, OptimError> {
        let Some(rule) = self.rule.rule else {
            return Ok(scheduled);
        };
        match rule {
            RateRule::Polyak { target } => {
                let gap = start.loss - target.aim(&mut self.memory.level, start.loss);
                let downhill = model.slope < 0.0;
                Ok(match downhill {
                    true => (target.relaxation() * gap.max(0.0) / -model.slope).min(scheduled),
                    false => scheduled,
                })
            }
            RateRule::BarzilaiBorwein {
                variant,
                minimum,
                maximum,
            } => {
                let Some(last) = &self.memory.last else {
                    return Ok(scheduled);
                };
                let g = &start.gradient;
                let s = (start.theta.clone() - last.theta.on(start.theta)?).cast(g.dtype());
                let y = g.clone() - last.gradient.on(g)?;
                let sy = vector::dot(&s, &y);
                let rate = match variant {
                    BarzilaiBorwein::Long => vector::dot(&s, &s) / sy,
                    BarzilaiBorwein::Short => sy / vector::dot(&y, &y),
                };
                Ok(match sy > 0.0 && rate.is_finite() {
                    true => rate.clamp(minimum, maximum),
                    false => scheduled,
                })
            }
            RateRule::Hypergradient { beta } => {
                let Some(last) = &self.memory.last else {
                    return Ok(scheduled);
                };
                let before = last.direction.on(&start.gradient)?;
                Ok((last.rate - beta * vector::dot(&start.gradient, &before)).max(0.0))
            }
        }
    }

    /// λ_max, from a Krylov space that starts at the last Ritz vector.
    fn sharpness(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        cap: SharpnessCap,
    ) -> Result<f64, OptimError> {
        if let Some(known) = &mut self.memory.sharpness
            && known.age + 1 < cap.every
        {
            known.age += 1;
            return Ok(known.lambda);
        }
        let from = match &self.memory.sharpness {
            Some(known) => known.vector.on(&start.gradient)?,
            None => {
                let mut rng = cap.seed.stream("sharpness").rng();
                let random = vector::standard_normal(oracle.dim(), &mut rng);
                vector::from_f64(&random, &start.gradient.device(), start.gradient.dtype())
            }
        };
        let hessian = oracle.hessian(start.theta)?;
        let krylov = Krylov::from(&hessian, &from, cap.iterations)?;
        let (lambda, vector, residual) = krylov.highest()?;
        tracing::debug!(lambda, residual, "sharpness");
        self.memory.sharpness = Some(Sharpness {
            vector: Held::new(vector),
            lambda,
            age: 0,
        });
        Ok(lambda)
    }

    fn search(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        d: &Tensor<1>,
        slope: f64,
        rate: f64,
    ) -> Result<Option<(Tensor<1>, f64)>, OptimError> {
        let mut line = Line {
            theta: start.theta,
            loss: start.loss,
            direction: d,
            slope,
        };
        let found = match self.rule.search {
            None => return Ok(Some((along(start.theta, d, rate), rate))),
            Some(Search::Armijo(rule)) => rule.search(oracle, line, rate)?,
            Some(Search::StrongWolfe(rule)) => rule.search(oracle, line, rate)?,
            Some(Search::Nonmonotone(rule)) => {
                let losses = &mut self.memory.losses;
                losses.push(start.loss);
                let surplus = losses.len().saturating_sub(rule.memory.max(1));
                losses.drain(..surplus);
                line.loss = losses.iter().copied().fold(start.loss, f64::max);
                rule.armijo().search(oracle, line, rate)?
            }
        };
        Ok(match found {
            LineSearch::Found { theta, alpha, .. } => Some((theta, alpha)),
            LineSearch::Exhausted { .. } => None,
        })
    }

    fn remember(&mut self, start: &Start<'_>, d: Tensor<1>, rate: f64) {
        if !self
            .rule
            .rule
            .is_some_and(|rule| !matches!(rule, RateRule::Polyak { .. }))
        {
            return;
        }
        self.memory.last = Some(Last {
            theta: Held::new(start.theta.clone()),
            gradient: Held::new(start.gradient.clone()),
            direction: Held::new(d),
            rate,
        });
    }
}

#[cfg(test)]
mod tests;
