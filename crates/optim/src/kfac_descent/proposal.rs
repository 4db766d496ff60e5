//! The steps that the inverses of one or several γ give, and the best of them.

use burn::prelude::*;
use ravine_curvature::{Accumulation, Factors, KfacOptions, LinearOperator, Others, Seed, vector};

use super::memory::{Kept, KeptInverse};
use super::model::{Length, Model, Previous};
use super::{KfacDamping, KfacDescent, KfacLength, ModelMomentum};
use crate::method::Start;
use crate::{CountedGaussNewton, OptimError, Oracle, StepEnding};

/// A step that one γ gives.
pub(super) struct Proposal {
    pub(super) d: Tensor<1>,
    pub(super) learning_rate: f64,
    /// M(δ).
    pub(super) change: Option<f64>,
    pub(super) ending: StepEnding,
    /// What the next step calls the previous one.
    pub(super) previous: Option<Tensor<1>>,
    pub(super) inverse: KeptInverse,
}

/// What the proposals of a step share.
struct Ask<'a> {
    matrix: Option<CountedGaussNewton>,
    gradient: &'a Tensor<1>,
    lambda: f64,
    previous: Option<Tensor<1>>,
    rate: f64,
}

impl KfacDescent {
    /// The options with the random choices of step k.
    fn options_at(&self, k: u64) -> KfacOptions {
        let at = |seed: Seed| seed.stream("kfac").index(k);
        let factors = match self.options.factors {
            Factors::MonteCarlo { samples, seed } => Factors::MonteCarlo {
                samples,
                seed: at(seed),
            },
            other => other,
        };
        let others = match self.options.others {
            Others::Diagonal { samples, seed } => Others::Diagonal {
                samples,
                seed: at(seed),
            },
            other => other,
        };
        KfacOptions {
            factors,
            others,
            ..self.options
        }
    }

    /// Takes the factors at θ into the moving average.
    fn gather(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<(), OptimError> {
        let new = oracle.kfac_factors(theta, &self.options_at(self.memory.steps))?;
        self.memory.gathered += 1;
        let decay = (1.0 - 1.0 / self.memory.gathered as f64).min(self.decay);
        match &mut self.memory.factors {
            Some(kept) => {
                let factors = kept.alive(oracle, theta)?;
                factors.accumulate(&new, Accumulation::Decay(decay))?;
            }
            None => self.memory.factors = Some(Kept::Alive(new)),
        }
        Ok(())
    }

    /// The inverses that the step tries.
    fn inverses(
        &mut self,
        oracle: &mut Oracle,
        theta: &Tensor<1>,
    ) -> Result<Vec<KeptInverse>, OptimError> {
        let k = self.memory.steps;
        let gammas = self.damping.gammas(k, self.lambda(), self.memory.gamma);
        let due = k <= 3 || k.is_multiple_of(self.inverse_every) || gammas.len() > 1;
        match (&mut self.memory.factors, &self.memory.inverse) {
            (_, Some(inverse)) if !due => Ok(vec![inverse.clone()]),
            (Some(kept), _) => {
                let factors = kept.alive(oracle, theta)?;
                KeptInverse::of(factors, &gammas, self.damping.form())
            }
            (None, _) => unreachable!("the first step gathers factors"),
        }
    }

    /// Whether M(δ) is needed beside what [`KfacLength::Model`] computes.
    pub(super) fn adapts(&self) -> bool {
        match self.damping {
            KfacDamping::Fixed { .. } => false,
            KfacDamping::Adaptive { every, .. } => self.memory.steps.is_multiple_of(every),
        }
    }

    /// The best of the steps that the inverses give.
    pub(super) fn propose(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
    ) -> Result<Proposal, OptimError> {
        let theta = start.theta;
        if (self.memory.steps - 1).is_multiple_of(self.factors_every) {
            self.gather(oracle, theta)?;
        }
        let inverses = self.inverses(oracle, theta)?;
        let rate = self.rate(start.loss)?;
        let modelled = matches!(self.length, KfacLength::Model { .. });
        let asks = modelled || self.adapts() || inverses.len() > 1;
        let previous = self.memory.previous.as_ref();
        let ask = Ask {
            matrix: match asks {
                true => Some(oracle.gauss_newton(theta)?),
                false => None,
            },
            gradient: &start.gradient,
            lambda: self.lambda(),
            previous: previous.map(|held| held.on(theta)).transpose()?,
            rate,
        };
        let model = ask.matrix.as_ref().map(|matrix| Model {
            matrix,
            gradient: ask.gradient,
            lambda: ask.lambda,
        });
        let previous = match (&model, self.length, &ask.previous) {
            (
                Some(model),
                KfacLength::Model {
                    momentum: ModelMomentum::Previous,
                },
                Some(previous),
            ) => Some(model.previous(previous.clone())?),
            _ => None,
        };
        let mut best: Option<Proposal> = None;
        for mut inverse in inverses {
            let d = -inverse.operator(oracle, theta)?.apply(ask.gradient)?;
            let proposal = match self.length {
                KfacLength::Model { .. } => {
                    let model = model.as_ref().expect("asked for above");
                    of_model(model, previous.as_ref(), d, inverse)?
                }
                KfacLength::Rate {
                    momentum, clipping, ..
                } => of_rate(&ask, model.as_ref(), (momentum, clipping), d, inverse)?,
            };
            let better = match &best {
                None => true,
                Some(best) => proposal.change < best.change,
            };
            if better {
                best = Some(proposal);
            }
        }
        Ok(best.expect("there is at least one inverse"))
    }

    /// ε of the schedule, 1 where there is none.
    fn rate(&mut self, loss: f64) -> Result<f64, OptimError> {
        let KfacLength::Rate { schedule, .. } = self.length else {
            return Ok(1.0);
        };
        let rates = match &mut self.memory.rates {
            Some(rates) => rates,
            None => self.memory.rates.insert(schedule.start()?),
        };
        Ok(rates.next_rate(loss))
    }
}

/// δ = αΔ + μδ₀ by the quadratic model.
fn of_model(
    model: &Model<'_>,
    previous: Option<&Previous>,
    d: Tensor<1>,
    inverse: KeptInverse,
) -> Result<Proposal, OptimError> {
    let Length {
        alpha,
        mu,
        change,
        downwards,
    } = model.best(&d, previous)?;
    let ending = match downwards {
        Some(rayleigh) => StepEnding::NegativeCurvature {
            rayleigh,
            direction: d.clone(),
        },
        None => StepEnding::Accepted,
    };
    let step = match previous {
        Some(previous) if mu != 0.0 => d * alpha + previous.d.clone() * mu,
        _ => d * alpha,
    };
    Ok(Proposal {
        previous: Some(step.clone()),
        d: step,
        learning_rate: alpha,
        change: Some(change),
        ending,
        inverse,
    })
}

/// δ = ε (μv + νΔ).
fn of_rate(
    ask: &Ask<'_>,
    model: Option<&Model<'_>>,
    (momentum, clipping): (f64, Option<f64>),
    d: Tensor<1>,
    inverse: KeptInverse,
) -> Result<Proposal, OptimError> {
    let slope = vector::dot(ask.gradient, &d).abs();
    let clip = match clipping {
        Some(kappa) => {
            let size = ask.rate * ask.rate * slope;
            if size > kappa {
                (kappa / size).sqrt()
            } else {
                1.0
            }
        }
        None => 1.0,
    };
    let velocity = match &ask.previous {
        Some(previous) if momentum > 0.0 => previous.clone() * momentum + d * clip,
        _ => d * clip,
    };
    let step = velocity.clone() * ask.rate;
    Ok(Proposal {
        change: model.map(|model| model.change(&step)).transpose()?,
        d: step,
        learning_rate: ask.rate,
        ending: StepEnding::Accepted,
        previous: (momentum > 0.0).then_some(velocity),
        inverse,
    })
}
