//! A recording made ready for a device, shared by all points that fit it.

use crate::error::CurvatureError;
use crate::layout::ParameterLayout;
use crate::seed::Seed;
use burn::backend::TensorMetadata;
use burn::prelude::{Device, Int, Tensor};
use burn::tensor::{DType, Distribution, FloatDType, TensorData};
use rand::{Rng, RngExt};
use rand_distr::Distribution as _;
use ravine_graph::{DispatchTensor, GraphError, Kind, Program, RandomInput, Recording, Target};
use std::sync::OnceLock;

/// A recording on a device in a dtype.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) recording: Recording,
    pub(crate) layout: ParameterLayout,
    target: Target,
    forward: OnceLock<Program>,
    gradient: OnceLock<Program>,
    product: OnceLock<Program>,
}

impl Engine {
    pub(crate) fn new(
        recording: Recording,
        layout: ParameterLayout,
        device: &Device,
        float: FloatDType,
    ) -> Self {
        Self {
            recording,
            layout,
            target: Target::values(device, float),
            forward: OnceLock::new(),
            gradient: OnceLock::new(),
            product: OnceLock::new(),
        }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.target.device
    }

    pub(crate) fn float(&self) -> FloatDType {
        self.target.float
    }

    pub(crate) fn dtype(&self) -> DType {
        self.target.float.into()
    }

    /// Loss and outputs.
    pub(crate) fn forward(&self) -> Result<&Program, GraphError> {
        self.program(&self.forward, || Ok((self.recording.forward(), 0)))
    }

    /// Loss, outputs and gradients.
    pub(crate) fn gradient(&self) -> Result<&Program, GraphError> {
        self.program(&self.gradient, || Ok((self.recording.gradient(), 0)))
    }

    /// The same with products, which vary with the direction.
    pub(crate) fn product(&self) -> Result<&Program, GraphError> {
        self.program(&self.product, || {
            let graph = self.recording.product()?;
            Ok((graph, self.recording.counts().parameters))
        })
    }

    fn program<'a>(
        &'a self,
        slot: &'a OnceLock<Program>,
        graph: impl FnOnce() -> Result<(&'a ravine_graph::Graph, usize), GraphError>,
    ) -> Result<&'a Program, GraphError> {
        if let Some(program) = slot.get() {
            return Ok(program);
        }
        let (graph, varying) = graph()?;
        let program = Program::new(graph.clone(), varying, self.target.clone())?;
        Ok(slot.get_or_init(|| program))
    }

    /// A tensor in the dtype of the evaluation.
    pub(crate) fn cast(&self, tensor: DispatchTensor) -> DispatchTensor {
        let dtype = tensor.dtype();
        if dtype.is_float() {
            return match dtype == self.dtype() {
                true => tensor,
                false => Tensor::<1>::from_dispatch(tensor)
                    .cast(self.float())
                    .into_dispatch(),
            };
        }
        if dtype.is_bool() || dtype == DType::from(self.target.int) {
            return tensor;
        }
        Tensor::<1, Int>::from_dispatch(tensor)
            .cast(self.target.int)
            .into_dispatch()
    }

    /// The random tensors of the model, drawn from a seed.
    pub(crate) fn draw(&self, seed: Seed) -> Vec<DispatchTensor> {
        let inputs = self.recording.random_inputs();
        inputs
            .iter()
            .enumerate()
            .map(|(position, input)| {
                let mut rng = seed.stream("random inputs").index(position as u64).rng();
                self.target.constant(&draw(input, &mut rng))
            })
            .collect()
    }
}

fn draw<R: Rng>(input: &RandomInput, rng: &mut R) -> TensorData {
    let count = input.shape.num_elements();
    let values: Vec<f64> = (0..count)
        .map(|_| match input.distribution {
            Distribution::Default => rng.random::<f64>(),
            Distribution::Bernoulli(p) => f64::from(rng.random::<f64>() < p),
            Distribution::Uniform(low, high) => low + (high - low) * rng.random::<f64>(),
            Distribution::Normal(mean, deviation) => {
                let normal: f64 = rand_distr::StandardNormal.sample(rng);
                mean + deviation * normal
            }
        })
        .collect();
    match input.kind {
        Kind::Float => TensorData::new(values, input.shape.clone()),
        _ => TensorData::new(
            values
                .into_iter()
                .map(|x| x.floor() as i64)
                .collect::<Vec<_>>(),
            input.shape.clone(),
        ),
    }
}

/// Names of parameters that the loss does not depend on.
pub(crate) fn unreached_names(recording: &Recording, layout: &ParameterLayout) -> Vec<String> {
    recording
        .unreached()
        .iter()
        .map(|&position| format!("`{}`", layout.entries()[position].name))
        .collect()
}

/// A warning, or an error in strict mode, for parameters without influence.
pub(crate) fn check_unreached(
    recording: &Recording,
    layout: &ParameterLayout,
    unreached: crate::objective::Unreached,
) -> Result<(), CurvatureError> {
    let names = unreached_names(recording, layout).join(", ");
    if names.is_empty() {
        return Ok(());
    }
    match unreached {
        crate::objective::Unreached::Zero => {
            tracing::warn!(
                parameters = names,
                "the loss does not depend on these parameters: their gradient is zero"
            );
            Ok(())
        }
        crate::objective::Unreached::Error => Err(CurvatureError::Unreached { names }),
    }
}
