use std::sync::Arc;

use burn::optim::{AdamWConfig, ModuleOptimizer, MuonConfig, OptimizerRecord};
use burn::prelude::*;
use burn::tensor::Bytes;
use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use super::parameters::{Blueprint, Slot};
use crate::method::{Move, Start};
use crate::schedule::Rates;
use crate::state::broken;
use crate::{Method, MethodState, OptimError, Oracle, Schedule, Step, StepEnding};

/// An optimiser of Burn as a [`Method`]: SGD with momentum, Adam, AdamW, RMSProp, AdaGrad, Adafactor, Adan, LAMB, Lion, Muon,
/// or one of the user's own.
///
/// Takes what the configurations of `burn::optim` build with `init()`, gradient clipping included. Burn computes the step, in
/// the dtype of θ; this crate lays θ out as a module, counts, and turns the result into a vector again. The promise is
/// gᵀ(θ' − θ), that of the gradient alone.
///
/// Some of Burn's defaults differ from other frameworks': the ε of Adam, AdamW and RMSProp is 1e-5, the dampening of
/// `MomentumConfig` is 0.1, RMSProp has momentum 0.9, AdamW decays by 1e-4. β and other constants are f32 in Burn even where
/// θ is f64.
///
/// # Cost
///
/// One gradient per step.
///
/// # Example
///
/// ```
/// use burn::optim::{AdamConfig, SgdConfig, momentum::MomentumConfig};
/// use ravine_optim::{BurnOptimizer, Method, Schedule};
///
/// let adam = BurnOptimizer::new("adam", AdamConfig::new().init(), 1e-3);
/// let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
/// let heavy_ball = BurnOptimizer::new(
///     "heavy-ball",
///     SgdConfig::new().with_momentum(Some(momentum)).init(),
///     Schedule::Cosine { initial: 0.1, last: 0.0, steps: 500 },
/// );
/// assert_eq!([adam.name(), heavy_ball.name()], ["adam", "heavy-ball"]);
/// ```
#[derive(Clone)]
pub struct BurnOptimizer {
    name: String,
    /// The first takes every parameter that no later one takes.
    parts: Vec<Part>,
    blueprint: Option<Blueprint>,
    /// Where a state was loaded: the parameters that it belongs to.
    loaded: Option<Loaded>,
}

/// The parameters of a saved state.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Loaded {
    dim: usize,
    ids: Vec<u64>,
}

/// What a [`BurnOptimizer`] saves.
#[derive(Serialize, Deserialize)]
struct Saved {
    parameters: Option<Loaded>,
    parts: Vec<SavedPart>,
}

/// The burnpack bytes of an optimiser, and its rates.
#[derive(Serialize, Deserialize)]
struct SavedPart {
    record: Vec<u8>,
    tensors: usize,
    rates: Option<Rates>,
}

/// What its states are called.
const KIND: &str = "burn-optimizer";

/// A parameter, as the choice of its optimiser sees it.
#[derive(Clone, Copy, Debug)]
pub struct ParameterInfo<'a> {
    /// Its path in the model, such as `layers.0.weight`.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
}

type Takes = Arc<dyn Fn(ParameterInfo<'_>) -> bool + Send + Sync>;

#[derive(Clone)]
struct Part {
    takes: Takes,
    optimizer: ModuleOptimizer,
    schedule: Schedule,
    rates: Option<Rates>,
}

impl Part {
    fn new(takes: Takes, optimizer: impl Into<ModuleOptimizer>, schedule: Schedule) -> Self {
        Self {
            takes,
            optimizer: optimizer.into(),
            schedule,
            rates: None,
        }
    }

    fn next_rate(&mut self, loss: f64) -> Result<f64, OptimError> {
        let rates = match &mut self.rates {
            Some(rates) => rates,
            None => self.rates.insert(self.schedule.start()?),
        };
        Ok(rates.next_rate(loss))
    }
}

impl BurnOptimizer {
    /// One optimiser for all parameters.
    pub fn new(
        name: impl Into<String>,
        optimizer: impl Into<ModuleOptimizer>,
        schedule: impl Into<Schedule>,
    ) -> Self {
        Self {
            name: name.into(),
            parts: vec![Part::new(Arc::new(|_| true), optimizer, schedule.into())],
            blueprint: None,
            loaded: None,
        }
    }

    /// Another optimiser with rates of its own for the parameters that `takes` chooses; of several, the one added last.
    pub fn with_part(
        mut self,
        takes: impl Fn(ParameterInfo<'_>) -> bool + Send + Sync + 'static,
        optimizer: impl Into<ModuleOptimizer>,
        schedule: impl Into<Schedule>,
    ) -> Self {
        let part = Part::new(Arc::new(takes), optimizer, schedule.into());
        self.parts.push(part);
        self
    }

    /// Muon for the matrices, AdamW for everything else, each with its own rates.
    ///
    /// Muon's author wants it for the matrices of hidden layers: embeddings and the output layer, which are matrices as well,
    /// go to AdamW. A shape does not tell them apart: choose them by name with [`BurnOptimizer::with_part`], as the second
    /// example does. Convolution kernels have rank 4 and go to AdamW, since Burn's Muon takes matrices alone.
    ///
    /// # References
    ///
    /// K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::optim::{AdamWConfig, MuonConfig};
    /// use ravine_optim::BurnOptimizer;
    ///
    /// let matrices = BurnOptimizer::muon(&MuonConfig::new(), 0.02, &AdamWConfig::new(), 3e-4);
    /// let hidden = BurnOptimizer::new("muon", AdamWConfig::new().init(), 3e-4).with_part(
    ///     |parameter| parameter.shape.len() == 2 && !parameter.name.starts_with("output"),
    ///     MuonConfig::new().init(),
    ///     0.02,
    /// );
    /// # let _ = (matrices, hidden);
    /// ```
    pub fn muon(
        muon: &MuonConfig,
        muon_schedule: impl Into<Schedule>,
        adam_w: &AdamWConfig,
        adam_w_schedule: impl Into<Schedule>,
    ) -> Self {
        Self::new("muon", adam_w.init(), adam_w_schedule).with_part(
            |parameter| parameter.shape.len() == 2,
            muon.init(),
            muon_schedule,
        )
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Burn's steps for all parts, from θ and its gradient.
    pub(super) fn advance(
        &mut self,
        blueprint: &Blueprint,
        theta: &Tensor<1>,
        gradient: &Tensor<1>,
        loss: f64,
    ) -> Result<Advanced, OptimError> {
        let owners: Vec<usize> = blueprint.slots().iter().map(|s| self.owner(s)).collect();
        let gradient = gradient.clone().cast(theta.dtype());
        let mut module = blueprint.module(theta);
        let mut first_rate = None;
        for (index, part) in self.parts.iter_mut().enumerate() {
            let rate = part.next_rate(loss)?;
            if !owners.contains(&index) {
                continue;
            }
            first_rate.get_or_insert(rate);
            let gradients = blueprint.gradients(&gradient, |slot| owners[slot] == index);
            module = part.optimizer.step(rate, module, gradients);
        }
        Ok(Advanced {
            theta: module.flat(),
            rate: first_rate,
        })
    }

    /// The parameters of the model, the same from step to step.
    pub(super) fn blueprint_for(&mut self, oracle: &Oracle) -> Result<Blueprint, OptimError> {
        let blueprint = match &self.blueprint {
            Some(blueprint) => blueprint.clone(),
            None => self.first_blueprint(oracle)?,
        };
        if blueprint.dim() != oracle.dim() {
            return Err(OptimError::Dimension {
                expected: blueprint.dim(),
                found: oracle.dim(),
            });
        }
        self.blueprint = Some(blueprint.clone());
        Ok(blueprint)
    }

    /// With all rates multiplied by a factor; the rates must be constant.
    pub(super) fn at_fraction(mut self, factor: f64) -> Self {
        for part in &mut self.parts {
            let rate = part.schedule.initial() * factor;
            part.schedule = Schedule::Constant { rate };
            part.rates = None;
        }
        self
    }

    /// The parameters of the model, under the identities of a loaded state where there is one.
    fn first_blueprint(&self, oracle: &Oracle) -> Result<Blueprint, OptimError> {
        let blueprint = Blueprint::new(oracle.layout())?;
        match &self.loaded {
            None => Ok(blueprint),
            Some(loaded) if loaded.dim != oracle.dim() => Err(OptimError::StateDimension {
                expected: oracle.dim(),
                found: loaded.dim,
            }),
            Some(loaded) => blueprint.with_ids(&loaded.ids),
        }
    }

    /// The part that takes a parameter.
    fn owner(&self, slot: &Slot) -> usize {
        let info = ParameterInfo {
            name: &slot.name,
            shape: slot.shape.as_slice(),
        };
        self.parts
            .iter()
            .rposition(|part| (part.takes)(info))
            .unwrap_or(0)
    }
}

pub(super) struct Advanced {
    pub(super) theta: Tensor<1>,
    /// The rate of the first part that has parameters.
    rate: Option<f64>,
}

impl Method for BurnOptimizer {
    fn name(&self) -> &str {
        &self.name
    }

    /// One step; the rate it reports is that of the first optimiser that has parameters.
    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        let start = Start::at(oracle, theta)?;
        // A gradient that is zero does not stop a velocity, unlike a loss or a gradient that is not finite.
        if let Some(obstacle @ StepEnding::NonFinite { .. }) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let blueprint = self.blueprint_for(oracle)?;
        let advanced = self.advance(&blueprint, theta, &start.gradient, start.loss)?;
        let change = advanced.theta.clone() - theta.clone();
        let to = Move {
            predicted_change: Some(vector::dot(
                &start.gradient,
                &change.cast(start.gradient.dtype()),
            )),
            theta: advanced.theta,
            learning_rate: advanced.rate,
            ending: StepEnding::Accepted,
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        let save = |part: &Part| {
            let record = part.optimizer.to_record();
            Ok(SavedPart {
                tensors: record.len(),
                record: record
                    .into_bytes()
                    .map_err(|error| broken(KIND, &error))?
                    .to_vec(),
                rates: part.rates.clone(),
            })
        };
        let parameters = match &self.blueprint {
            None => self.loaded.clone(),
            Some(blueprint) => Some(Loaded {
                dim: blueprint.dim(),
                ids: blueprint.ids(),
            }),
        };
        let parts = self
            .parts
            .iter()
            .map(save)
            .collect::<Result<_, OptimError>>()?;
        MethodState::new(KIND, &Saved { parameters, parts })
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        let saved: Saved = state.memory(KIND)?;
        if saved.parts.len() != self.parts.len() {
            let (found, expected) = (saved.parts.len(), self.parts.len());
            return Err(broken(
                KIND,
                &format!("it has {found} optimisers, this method {expected}"),
            ));
        }
        let mut optimizers = Vec::new();
        for (part, saved) in self.parts.iter().zip(&saved.parts) {
            let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(saved.record.clone()))
                .map_err(|error| broken(KIND, &error))?;
            let optimizer = part.optimizer.clone().load_record(record);
            // Burn leaves out what it cannot place, and would start it anew.
            if optimizer.to_record().len() != saved.tensors {
                return Err(broken(KIND, &"it was made by another optimiser of Burn"));
            }
            optimizers.push(optimizer);
        }
        for ((part, saved), optimizer) in self.parts.iter_mut().zip(saved.parts).zip(optimizers) {
            part.optimizer = optimizer;
            part.rates = saved.rates;
        }
        self.loaded = saved.parameters;
        self.blueprint = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
