use burn::optim::{AdamWConfig, ModuleOptimizer, MuonConfig};
use burn::prelude::*;
use ravine_curvature::vector;

use super::first_order::{BurnOptimizer, ParameterInfo};
use super::parameters::Blueprint;
use crate::error::in_range;
use crate::{Direction, Heading, Method, MethodState, OptimError, Oracle, Place, Quantity};

/// An optimiser of Burn as a [`Direction`], so that Adam, Muon and the others go with warm-up, caps by curvature and sharpness, rate rules
/// and line searches.
///
/// d = (θ_Burn(s) − θ)/s, where θ_Burn(s) is what Burn's own code makes of θ and g at the rate s = 2⁴⁰: large, so that θ does not round
/// the update away. Decoupled weight decay is part of d: θ + ε d = (1 − ελ)θ − εu. With a constant rate ε the steps are those of
/// [`BurnOptimizer`], to rounding. Burn's state never learns the rate.
///
/// This needs a step that is proportional to the rate. So are those of SGD with and without momentum, Adam, AdamW (cautious decay too),
/// RMSProp, AdaGrad, LAMB, Lion, Muon, and Adan with `no_prox` or without decay. Not so are Adafactor with `relative_step`, its default,
/// which takes min(ε, 1/√t), and Adan's proximal decay, which divides by 1 + ελ. Whatever the optimiser, the first two steps are tried at
/// s and s/2, and one whose directions differ is refused.
///
/// Several optimisers share θ with [`BurnDirection::with_part`], each with a factor for its part of d. Burn's Muon takes matrices alone
/// and panics for other ranks: leave those to another part.
///
/// # Cost
///
/// Nothing but Burn's own step; five of them in the first.
///
/// # Errors
///
/// [`OptimError::NotProportional`], [`OptimError::Rank`] for parameters of rank above 8, [`OptimError::Option`] for a factor that is not
/// positive.
///
/// # Example
///
/// ```
/// use burn::optim::{AdamConfig, AdamWConfig, MuonConfig};
/// use ravine_optim::{BurnDirection, CurvatureCap, Descent, LearningRate, Method};
///
/// let rate = LearningRate::from(1e-2).warmed_up(50).capped(CurvatureCap::default());
/// let adam = Descent::new(BurnDirection::new("adam", AdamConfig::new().init()), rate);
/// let muon = BurnDirection::muon(&MuonConfig::new(), &AdamWConfig::new(), 0.015);
/// assert_eq!([adam.name(), Descent::new(muon, 0.02).name()], ["adam", "muon"]);
/// ```
#[derive(Clone)]
pub struct BurnDirection {
    name: String,
    optimizer: BurnOptimizer,
    factors: Vec<f64>,
    proportional: Proportional,
}

/// Whether the step was seen to be proportional to the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proportional {
    Unknown,
    Seen,
}

/// s.
const RATE: f64 = (1_u64 << 40) as f64;

/// What its states are called.
const KIND: &str = "burn-direction";

impl BurnDirection {
    /// One optimiser for all parameters: what the configurations of `burn::optim` build with `init()`, gradient clipping included.
    pub fn new(name: impl Into<String>, optimizer: impl Into<ModuleOptimizer>) -> Self {
        let name = name.into();
        Self {
            optimizer: BurnOptimizer::new(name.clone(), optimizer, RATE),
            name,
            factors: Vec::new(),
            proportional: Proportional::Unknown,
        }
    }

    /// Another optimiser for the parameters that `takes` chooses, its part of d multiplied by a positive factor; of several, the one added
    /// last.
    pub fn with_part(
        mut self,
        takes: impl Fn(ParameterInfo<'_>) -> bool + Send + Sync + 'static,
        optimizer: impl Into<ModuleOptimizer>,
        factor: f64,
    ) -> Self {
        self.factors.push(factor);
        self.optimizer = self.optimizer.with_part(takes, optimizer, RATE * factor);
        self
    }

    /// Muon for the matrices, AdamW for everything else at `adam_w_factor` times the rate; as [`BurnOptimizer::muon`].
    pub fn muon(muon: &MuonConfig, adam_w: &AdamWConfig, adam_w_factor: f64) -> Self {
        let matrices = |parameter: ParameterInfo<'_>| parameter.shape.len() == 2;
        Self::new("muon", muon.init()).with_part(
            move |p| !matrices(p),
            adam_w.init(),
            adam_w_factor,
        )
    }

    /// That a step at half of the rate is half of the step, twice in a row.
    fn check_proportional(
        &mut self,
        blueprint: &Blueprint,
        place: Place<'_>,
    ) -> Result<(), OptimError> {
        if self.proportional == Proportional::Seen {
            return Ok(());
        }
        let mut whole = self.optimizer.clone();
        let mut half = self.optimizer.clone().at_fraction(0.5);
        for _ in 0..2 {
            let d = direction(&mut whole, blueprint, place, RATE)?;
            let e = direction(&mut half, blueprint, place, 0.5 * RATE)?;
            let size = vector::norm(&d) + vector::norm(&e);
            let defect = vector::norm(&(d - e)) / size;
            // A zero gradient shows nothing, and NaN is reported by the step.
            if !size.is_finite() || size == 0.0 {
                return Ok(());
            }
            if defect > 1e-3 {
                let name = self.name.clone();
                return Err(OptimError::NotProportional { name, defect });
            }
        }
        self.proportional = Proportional::Seen;
        Ok(())
    }
}

/// (θ' − θ)/s.
fn direction(
    optimizer: &mut BurnOptimizer,
    blueprint: &Blueprint,
    place: Place<'_>,
    rate: f64,
) -> Result<Tensor<1>, OptimError> {
    let advanced = optimizer.advance(blueprint, place.theta, place.gradient, place.loss)?;
    let d = (advanced.theta - place.theta.clone()) / rate;
    Ok(d.cast(place.gradient.dtype()))
}

impl Direction for BurnDirection {
    fn name(&self) -> &str {
        &self.name
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        for &factor in &self.factors {
            let inside = factor > 0.0 && factor.is_finite();
            in_range(
                "the factor of a part",
                factor,
                "positive and finite",
                inside,
            )?;
        }
        let blueprint = self.optimizer.blueprint_for(oracle)?;
        self.check_proportional(&blueprint, place)?;
        let d = direction(&mut self.optimizer, &blueprint, place, RATE)?;
        let size = vector::norm(&d);
        match size.is_finite() {
            true => Ok(Heading::plain(d)),
            false => Ok(Heading::non_finite(place.gradient, Quantity::Theta, size)),
        }
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &self.optimizer.state()?)
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        let inner: MethodState = state.memory(KIND)?;
        self.optimizer.load_state(&inner)
    }
}

#[cfg(test)]
mod tests;
