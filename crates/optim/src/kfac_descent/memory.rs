//! What K-FAC remembers, and how it is written down.

use burn::prelude::*;
use ravine_curvature::{Damping, Kfac, KfacFactors, KroneckerOperator, SavedFactors};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schedule::Rates;
use crate::state::Held;
use crate::{OptimError, Oracle};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Steps that were begun.
    pub(super) steps: u64,
    /// Times that factors were gathered.
    pub(super) gathered: u64,
    pub(super) lambda: Option<f64>,
    pub(super) gamma: Option<f64>,
    /// δ₀, or the velocity v.
    pub(super) previous: Option<Held>,
    pub(super) rates: Option<Rates>,
    pub(super) factors: Option<Kept>,
    pub(super) inverse: Option<KeptInverse>,
}

/// Kronecker factors: alive, or as they were read and not yet brought to a point.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Alive(KfacFactors),
    Read(SavedFactors),
}

impl Kept {
    /// The factors, at the parameters of the oracle's model.
    pub(super) fn alive(
        &mut self,
        oracle: &mut Oracle,
        theta: &Tensor<1>,
    ) -> Result<&mut KfacFactors, OptimError> {
        if let Self::Read(saved) = self {
            let (found, expected) = (saved.dim(), oracle.dim());
            if found != expected {
                return Err(OptimError::StateDimension { expected, found });
            }
            *self = Self::Alive(saved.on(&oracle.point(theta)?)?);
        }
        match self {
            Self::Alive(factors) => Ok(factors),
            Self::Read(_) => unreachable!("just brought to life"),
        }
    }
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Alive(factors) => factors.save().serialize(serializer),
            Self::Read(saved) => saved.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SavedFactors::deserialize(deserializer).map(Self::Read)
    }
}

/// An inverse, by the factors and the γ that it was made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeptInverse {
    factors: Kept,
    gamma: f64,
    form: Damping,
    #[serde(skip)]
    operator: Option<KroneckerOperator>,
}

impl KeptInverse {
    /// F̆⁻¹ of the same factors for each of several γ.
    pub(super) fn of(
        factors: &KfacFactors,
        gammas: &[f64],
        form: Damping,
    ) -> Result<Vec<Self>, OptimError> {
        let kfac = Kfac::new(factors.clone());
        let inverses = gammas.iter().map(|&gamma| {
            Ok(Self {
                factors: Kept::Alive(factors.clone()),
                gamma,
                form,
                operator: Some(kfac.inverse(gamma * gamma, form)?),
            })
        });
        inverses.collect()
    }

    /// γ.
    pub(super) fn gamma(&self) -> f64 {
        self.gamma
    }

    /// The operator, made again after it was read.
    pub(super) fn operator(
        &mut self,
        oracle: &mut Oracle,
        theta: &Tensor<1>,
    ) -> Result<&KroneckerOperator, OptimError> {
        if self.operator.is_none() {
            let factors = self.factors.alive(oracle, theta)?.clone();
            let damping = self.gamma * self.gamma;
            self.operator = Some(Kfac::new(factors).inverse(damping, self.form)?);
        }
        Ok(self.operator.as_ref().expect("just made"))
    }
}
