//! A recording made ready for a device, shared by all points that fit it.

use crate::error::CurvatureError;
use crate::kfac::RowOrders;
use crate::layout::ParameterLayout;
use crate::products::Products;
use crate::seed::Seed;
use burn::backend::TensorMetadata;
use burn::prelude::{Device, Int, Tensor};
use burn::tensor::{DType, Distribution, FloatDType, TensorData};
use rand::{Rng, RngExt};
use rand_distr::Distribution as _;
use ravine_graph::{
    Array, DispatchTensor, Executable, Execution, GaussNewton, Graph, GraphError, Keep, Kind,
    Layer, LayerGradients, ModuleTensors, RandomInput, Recording, Target, arrange,
};
use std::sync::OnceLock;

/// A recording on a device in a dtype.
///
/// Its graphs take the parameters as one flat vector, then the other inputs of the recording.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) recording: Recording,
    pub(crate) layout: ParameterLayout,
    target: Target,
    settings: Settings,
    forward: OnceLock<Executable>,
    gradient: OnceLock<Executable>,
    hessian: OnceLock<Products>,
    gauss_newton: OnceLock<Products>,
    jacobian: OnceLock<Products>,
    transposed_jacobian: OnceLock<Products>,
    loss_hessian: OnceLock<Products>,
    loss_gradient: OnceLock<Executable>,
    layer_gradients: OnceLock<Products>,
    /// How the rows of activations belong to examples, once that is known.
    pub(crate) row_orders: OnceLock<RowOrders>,
}

/// How graphs are evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) float: FloatDType,
    pub(crate) execution: Execution,
    pub(crate) keep: Keep,
}

impl Engine {
    pub(crate) fn new(
        recording: Recording,
        layout: ParameterLayout,
        device: &Device,
        settings: Settings,
    ) -> Self {
        Self {
            recording,
            layout,
            target: Target::values(device, settings.float),
            settings,
            forward: OnceLock::new(),
            gradient: OnceLock::new(),
            hessian: OnceLock::new(),
            gauss_newton: OnceLock::new(),
            jacobian: OnceLock::new(),
            transposed_jacobian: OnceLock::new(),
            loss_hessian: OnceLock::new(),
            loss_gradient: OnceLock::new(),
            layer_gradients: OnceLock::new(),
            row_orders: OnceLock::new(),
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

    pub(crate) fn execution(&self) -> Execution {
        self.settings.execution
    }

    fn parameters(&self) -> usize {
        self.recording.counts().parameters
    }

    /// Loss and outputs.
    pub(crate) fn forward(&self) -> Result<&Executable, GraphError> {
        get_or_try(&self.forward, || {
            let graph = self.recording.forward().clone();
            self.executable(graph.with_joined_inputs(0..self.parameters()))
        })
    }

    /// Loss, outputs and the gradient, flat.
    pub(crate) fn gradient(&self) -> Result<&Executable, GraphError> {
        get_or_try(&self.gradient, || {
            let first = self.recording.first_gradient();
            let graph = self.recording.gradient().clone();
            let graph = graph
                .with_joined_outputs(first..first + self.parameters())
                .with_joined_inputs(0..self.parameters());
            self.executable(graph)
        })
    }

    /// Loss, outputs and gradient at a point, products for each direction.
    pub(crate) fn hessian(&self) -> Result<&Products, GraphError> {
        get_or_try(&self.hessian, || {
            let (count, first) = (self.parameters(), self.recording.first_gradient());
            let graph = self.recording.product()?.clone();
            let graph = graph
                .with_joined_outputs(first + count..first + 2 * count)
                .with_joined_outputs(first..first + count);
            self.products(self.flat_direction(graph), count)
        })
    }

    /// Products with the Gauss-Newton matrix.
    pub(crate) fn gauss_newton(&self) -> Result<&Products, CurvatureError> {
        let recorded = self.recorded_gauss_newton()?;
        Ok(get_or_try(&self.gauss_newton, || {
            let graph = recorded.product.clone();
            let graph = graph.with_joined_outputs(0..self.parameters());
            self.products(self.flat_direction(graph), self.parameters())
        })?)
    }

    /// J v.
    pub(crate) fn jacobian(&self) -> Result<&Products, CurvatureError> {
        let recorded = self.recorded_gauss_newton()?;
        Ok(get_or_try(&self.jacobian, || {
            self.products(
                self.flat_direction(recorded.jacobian.clone()),
                self.parameters(),
            )
        })?)
    }

    /// Jᵀ u.
    pub(crate) fn transposed_jacobian(&self) -> Result<&Products, CurvatureError> {
        let recorded = self.recorded_gauss_newton()?;
        Ok(get_or_try(&self.transposed_jacobian, || {
            let graph = recorded.transposed_jacobian.clone();
            self.products(
                graph.with_joined_outputs(0..self.parameters()),
                self.parameters(),
            )
        })?)
    }

    /// H_L w.
    pub(crate) fn loss_hessian(&self) -> Result<&Products, CurvatureError> {
        let recorded = self.recorded_gauss_newton()?;
        Ok(get_or_try(&self.loss_hessian, || {
            self.products(recorded.loss_hessian.clone(), self.parameters())
        })?)
    }

    /// ∂L/∂outputs.
    pub(crate) fn loss_gradient(&self) -> Result<&Executable, CurvatureError> {
        let recorded = self.recorded_gauss_newton()?;
        Ok(get_or_try(&self.loss_gradient, || {
            let graph = recorded.loss_gradient.clone();
            self.executable(graph.with_joined_inputs(0..self.parameters()))
        })?)
    }

    /// The layers of the model.
    pub(crate) fn layers(&self) -> Result<&[Layer], CurvatureError> {
        Ok(&self.recorded_layers()?.layers)
    }

    /// The activations of all layers at a point, and the gradients of ⟨outputs, u⟩ by their products; none without layers.
    pub(crate) fn layer_gradients(&self) -> Result<Option<&Products>, CurvatureError> {
        let Some(graph) = &self.recorded_layers()?.graph else {
            return Ok(None);
        };
        let products = get_or_try(&self.layer_gradients, || {
            self.products(graph.clone(), self.parameters())
        })?;
        Ok(Some(products))
    }

    fn recorded_layers(&self) -> Result<&LayerGradients, CurvatureError> {
        self.recording.layers()?.ok_or(CurvatureError::NoOutputs)
    }

    fn recorded_gauss_newton(&self) -> Result<&GaussNewton, CurvatureError> {
        self.recording
            .gauss_newton()?
            .ok_or(CurvatureError::NoOutputs)
    }

    /// The last inputs, one for each parameter, as one vector.
    fn flat_direction(&self, graph: Graph) -> Graph {
        let inputs = graph.inputs.len();
        graph.with_joined_inputs(inputs - self.parameters()..inputs)
    }

    /// Products of a graph whose last input is a direction and whose last output is the product.
    fn products(&self, graph: Graph, parameters: usize) -> Result<Products, GraphError> {
        Products::new(
            graph.with_joined_inputs(0..parameters),
            &self.target,
            self.settings,
        )
    }

    fn executable(&self, graph: Graph) -> Result<Executable, GraphError> {
        Executable::new(arrange(graph), self.target.clone(), self.settings.execution)
    }

    /// A tensor as the execution holds it, in the dtype of the evaluation.
    pub(crate) fn bring(&self, tensor: DispatchTensor) -> Result<Array, GraphError> {
        Array::bring(self.cast(tensor), self.float(), self.execution())
    }

    /// The parameters as one vector in the dtype of the evaluation.
    pub(crate) fn theta(&self, tensors: &ModuleTensors) -> Tensor<1> {
        let values = tensors.values.iter().cloned();
        self.layout.join(values.map(|tensor| self.cast(tensor)))
    }

    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// A flat vector on the device.
    pub(crate) fn vector(&self, array: Array) -> Tensor<1> {
        Tensor::from_dispatch(array.into_tensor(&self.target))
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
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

/// What the cell holds, made when it is first asked for.
fn get_or_try<T>(
    slot: &OnceLock<T>,
    make: impl FnOnce() -> Result<T, GraphError>,
) -> Result<&T, GraphError> {
    if let Some(known) = slot.get() {
        return Ok(known);
    }
    let made = make()?;
    Ok(slot.get_or_init(|| made))
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
