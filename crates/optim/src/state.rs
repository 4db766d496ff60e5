use std::path::Path;

use burn::prelude::*;
use burn::tensor::TensorData;
use ciborium::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::OptimError;

/// What a method remembers from step to step, taken out of it: with it a run that was cut goes on bitwise as if it had not been.
///
/// Made by [`Method::state`](crate::Method::state) and given back by [`Method::load_state`](crate::Method::load_state). It holds
/// moments, velocities and pairs in their dtype, the age of schedules, damping and the current rates; it does not hold the
/// options of a method, which come from its constructor, nor θ. [`MethodState::to_bytes`] writes CBOR, which keeps every bit.
///
/// # Example
///
/// ```
/// use ravine_optim::{GradientDescent, Method, MethodState, Schedule};
///
/// let schedule = Schedule::Exponential { initial: 0.5, factor: 0.99 };
/// let bytes = GradientDescent::new(schedule).state()?.to_bytes()?;
/// let mut resumed = GradientDescent::new(schedule);
/// resumed.load_state(&MethodState::from_bytes(&bytes)?)?;
/// # Ok::<(), ravine_optim::OptimError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodState {
    /// Which kind of method it belongs to.
    kind: String,
    memory: Value,
}

impl MethodState {
    /// The state of a method of a kind; for methods outside of this crate too.
    ///
    /// # Errors
    ///
    /// [`OptimError::State`] when the memory cannot be serialised.
    pub fn new<T: Serialize>(kind: &str, memory: &T) -> Result<Self, OptimError> {
        Ok(Self {
            kind: kind.to_string(),
            memory: Value::serialized(memory).map_err(|error| broken(kind, &error))?,
        })
    }

    /// The kind of method it belongs to.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The memory, for a method of this kind.
    ///
    /// # Errors
    ///
    /// [`OptimError::StateOfAnother`] for a state of another kind, [`OptimError::State`] when it does not read.
    pub fn memory<T: DeserializeOwned>(&self, kind: &str) -> Result<T, OptimError> {
        if self.kind != kind {
            return Err(OptimError::StateOfAnother {
                expected: kind.to_string(),
                found: self.kind.clone(),
            });
        }
        self.memory
            .deserialized()
            .map_err(|error| broken(kind, &error))
    }

    /// The state as CBOR.
    ///
    /// # Errors
    ///
    /// [`OptimError::State`] when it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, OptimError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).map_err(|error| broken(&self.kind, &error))?;
        Ok(bytes)
    }

    /// A state from CBOR.
    ///
    /// # Errors
    ///
    /// [`OptimError::State`] when the bytes are no state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OptimError> {
        ciborium::from_reader(bytes).map_err(|error| broken("any method", &error))
    }

    /// Writes the state to a file: first beside it, then under its name, so that a kill leaves the old file or the new one.
    ///
    /// # Errors
    ///
    /// [`OptimError::State`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), OptimError> {
        let path = path.as_ref();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let bytes = self.to_bytes()?;
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|error| broken(&self.kind, &error))
    }

    /// Reads a state from a file.
    ///
    /// # Errors
    ///
    /// [`OptimError::State`] when the file cannot be read or is no state.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, OptimError> {
        let bytes = std::fs::read(path).map_err(|error| broken("any method", &error))?;
        Self::from_bytes(&bytes)
    }
}

pub(crate) fn broken(kind: &str, error: &dyn std::fmt::Display) -> OptimError {
    OptimError::State {
        kind: kind.to_string(),
        reason: error.to_string(),
    }
}

/// A vector that a method remembers; read back it lies on the default device until [`Held::on`] brings it to θ's.
#[derive(Clone, Debug)]
pub struct Held(Tensor<1>);

impl Held {
    /// Remembers a vector.
    pub fn new(vector: Tensor<1>) -> Self {
        Self(vector)
    }

    /// The vector on the device of `theta`.
    ///
    /// # Errors
    ///
    /// [`OptimError::StateDimension`] when θ has another length.
    pub fn on(&self, theta: &Tensor<1>) -> Result<Tensor<1>, OptimError> {
        let ([expected], [found]) = (theta.dims(), self.0.dims());
        if expected != found {
            return Err(OptimError::StateDimension { expected, found });
        }
        match self.0.device() == theta.device() {
            true => Ok(self.0.clone()),
            false => Ok(self.0.clone().to_device(&theta.device())),
        }
    }
}

impl Serialize for Held {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_data().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = TensorData::deserialize(deserializer)?;
        if data.shape().num_dims() != 1 {
            return Err(serde::de::Error::custom("a vector must have rank 1"));
        }
        let dtype = data.dtype();
        Ok(Self(Tensor::from_data(data, (&Device::default(), dtype))))
    }
}

/// The remembered vector, or zeros like `like` before there is one.
pub(crate) fn held_or_zeros(
    held: &Option<Held>,
    like: &Tensor<1>,
) -> Result<Tensor<1>, OptimError> {
    match held {
        Some(held) => held.on(like),
        None => Ok(like.zeros_like()),
    }
}

#[cfg(test)]
mod tests;
