use crate::engine::Engine;
use crate::error::CurvatureError;
use crate::hessian::{Hessian, HvpMethod};
use crate::layout::ParameterLayout;
use burn::module::Module;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use ravine_graph::{DispatchTensor, GraphError, Prepared};
use std::sync::{Arc, OnceLock};

/// A loss at certain parameters on a certain batch: value, gradient, Hessian.
///
/// Cheap to clone; everything is computed when it is first asked for, and kept.
#[derive(Clone, Debug)]
pub struct Point(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    theta: Tensor<1>,
    /// Fixed floats of the module, batch, random tensors.
    others: Arc<Vec<DispatchTensor>>,
    method: HvpMethod,
    examples: usize,
    loss: OnceLock<f64>,
    outputs: OnceLock<DispatchTensor>,
    gradient: OnceLock<Tensor<1>>,
    prepared: OnceLock<Prepared>,
}

impl Point {
    pub(crate) fn new(
        engine: Arc<Engine>,
        theta: Tensor<1>,
        others: Vec<DispatchTensor>,
        method: HvpMethod,
        examples: usize,
    ) -> Self {
        Self::with(engine, theta, Arc::new(others), method, examples)
    }

    fn with(
        engine: Arc<Engine>,
        theta: Tensor<1>,
        others: Arc<Vec<DispatchTensor>>,
        method: HvpMethod,
        examples: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            engine,
            theta,
            others,
            method,
            examples,
            loss: OnceLock::new(),
            outputs: OnceLock::new(),
            gradient: OnceLock::new(),
            prepared: OnceLock::new(),
        }))
    }

    /// The parameters as a flat vector `[n]`, in the dtype of the evaluation.
    pub fn theta(&self) -> &Tensor<1> {
        &self.0.theta
    }

    /// Number n of trainable parameters.
    pub fn dim(&self) -> usize {
        self.layout().dim()
    }

    /// Names and places of the parameters.
    pub fn layout(&self) -> &ParameterLayout {
        &self.0.engine.layout
    }

    /// Where everything is computed.
    pub fn device(&self) -> &Device {
        self.0.engine.device()
    }

    /// The dtype of the evaluation.
    pub fn dtype(&self) -> DType {
        self.0.engine.dtype()
    }

    /// Number of examples of the batch.
    pub fn examples(&self) -> usize {
        self.0.examples
    }

    /// The loss, with the reduction of the user's closure.
    ///
    /// Costs one forward pass, or nothing if the gradient is known.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Graph`] if the evaluation fails. A loss that is not finite is no error.
    pub fn loss(&self) -> Result<f64, CurvatureError> {
        if let Some(&loss) = self.0.loss.get() {
            return Ok(loss);
        }
        let program = self.0.engine.forward()?;
        let outputs = program.call(&program.prepare(self.inputs())?, Vec::new())?;
        self.keep_heads(&outputs);
        Ok(*self.0.loss.get().expect("just computed"))
    }

    /// The outputs of the model, with their own rank, kept apart from the loss by [`Objective::new`](crate::Objective::new).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`] for an objective that is a loss only; [`CurvatureError::Dimension`] for another rank than `D`.
    pub fn outputs<const D: usize>(&self) -> Result<Tensor<D>, CurvatureError> {
        if !self.0.engine.recording.has_outputs() {
            return Err(CurvatureError::NoOutputs);
        }
        if self.0.outputs.get().is_none() {
            let program = self.0.engine.forward()?;
            let outputs = program.call(&program.prepare(self.inputs())?, Vec::new())?;
            self.keep_heads(&outputs);
        }
        let outputs = self.0.outputs.get().expect("just computed").clone();
        let rank = burn::backend::TensorMetadata::shape(&outputs).num_dims();
        if rank != D {
            return Err(CurvatureError::Dimension {
                what: "the rank of the outputs",
                expected: D,
                found: rank,
            });
        }
        Ok(Tensor::from_dispatch(outputs))
    }

    /// The gradient ∇L `[n]`, in the reduction of the loss.
    ///
    /// Costs one gradient (loss included) the first time.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Graph`] if the evaluation fails.
    pub fn gradient(&self) -> Result<Tensor<1>, CurvatureError> {
        if let Some(gradient) = self.0.gradient.get() {
            return Ok(gradient.clone());
        }
        let program = self.0.engine.gradient()?;
        let outputs = program.call(&program.prepare(self.inputs())?, Vec::new())?;
        self.keep(outputs);
        Ok(self.0.gradient.get().expect("just computed").clone())
    }

    /// Evaluates loss, gradient and everything that products at this point share in one pass: cheaper than the gradient first and a
    /// product afterwards, which evaluate the gradient twice.
    ///
    /// Does nothing for [`HvpMethod::Tape`], which shares nothing between products.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Graph`] if the second backward cannot be recorded or evaluated.
    pub fn prepare(&self) -> Result<(), CurvatureError> {
        if self.0.method == HvpMethod::Recorded {
            self.prepared()?;
        }
        Ok(())
    }

    /// The Hessian ∇²L as an operator.
    pub fn hessian(&self) -> Hessian {
        Hessian::new(self.clone(), self.0.method)
    }

    /// The same loss on the same batch at other parameters; nothing is recorded or copied.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length.
    pub fn move_to(&self, theta: Tensor<1>) -> Result<Point, CurvatureError> {
        self.layout().check("theta", &theta)?;
        let inner = &self.0;
        let theta = Tensor::from_dispatch(inner.engine.cast(theta.into_dispatch()));
        Ok(Self::with(
            inner.engine.clone(),
            theta,
            inner.others.clone(),
            inner.method,
            inner.examples,
        ))
    }

    /// The module with this point's parameters, cast to the module's dtype.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] never for the module that the point was made with.
    pub fn write_back<M: Module>(&self, model: M) -> Result<M, CurvatureError> {
        self.layout().scatter(self.theta(), model)
    }

    /// Bytes kept at this point for Hessian-vector products, parameters and batch included; 0 before the first product.
    pub fn bytes_kept(&self) -> usize {
        self.0.prepared.get().map_or(0, Prepared::bytes)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn inputs(&self) -> Vec<DispatchTensor> {
        let mut inputs = self.layout().split(self.theta());
        inputs.extend(self.0.others.iter().cloned());
        inputs
    }

    /// Everything that products at this point share.
    pub(crate) fn prepared(&self) -> Result<&Prepared, GraphError> {
        if let Some(prepared) = self.0.prepared.get() {
            return Ok(prepared);
        }
        let program = self.0.engine.product()?;
        let prepared = program.prepare(self.inputs())?;
        let recording = &self.0.engine.recording;
        let known = recording.first_gradient() + recording.counts().parameters;
        self.keep(program.fixed_outputs(&prepared, 0..known));
        Ok(self.0.prepared.get_or_init(|| prepared))
    }

    fn keep_heads(&self, outputs: &[DispatchTensor]) {
        let loss = Tensor::<1>::from_dispatch(outputs[0].clone())
            .into_data()
            .iter::<f64>()
            .next()
            .unwrap_or(f64::NAN);
        self.0.loss.get_or_init(|| loss);
        if self.0.engine.recording.has_outputs() {
            self.0.outputs.get_or_init(|| outputs[1].clone());
        }
    }

    fn keep(&self, outputs: Vec<DispatchTensor>) {
        self.keep_heads(&outputs);
        let first = self.0.engine.recording.first_gradient();
        self.0
            .gradient
            .get_or_init(|| self.layout().join(outputs.into_iter().skip(first)));
    }
}
