use crate::engine::Engine;
use crate::error::{CurvatureError, check_dimension};
use crate::hessian::{Hessian, HvpMethod};
use crate::layout::ParameterLayout;
use crate::objective::Reduction;
use crate::products::{Products, Shared};
use crate::vector::to_f64;
use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::module::Module;
use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, Shape};
use ravine_graph::{Array, DispatchTensor, GraphError};
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
    others: Arc<Others>,
    given: Given,
    loss: OnceLock<f64>,
    outputs: OnceLock<DispatchTensor>,
    gradient: OnceLock<Tensor<1>>,
    hessian: OnceLock<Shared>,
    gauss_newton: OnceLock<Shared>,
    jacobian: OnceLock<Shared>,
    transposed_jacobian: OnceLock<Shared>,
    loss_hessian: OnceLock<Shared>,
}

/// What the objective and the batch say of themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) method: HvpMethod,
    pub(crate) examples: usize,
    pub(crate) reduction: Reduction,
}

/// Fixed floats of the module, batch, random tensors.
#[derive(Debug)]
struct Others {
    tensors: Vec<DispatchTensor>,
    /// As the execution holds them.
    arrays: OnceLock<Vec<Array>>,
}

impl Point {
    pub(crate) fn new(
        engine: Arc<Engine>,
        theta: Tensor<1>,
        others: Vec<DispatchTensor>,
        given: Given,
    ) -> Self {
        let others = Others {
            tensors: others,
            arrays: OnceLock::new(),
        };
        Self::with(engine, theta, Arc::new(others), given)
    }

    fn with(engine: Arc<Engine>, theta: Tensor<1>, others: Arc<Others>, given: Given) -> Self {
        Self(Arc::new(Inner {
            engine,
            theta,
            others,
            given,
            loss: OnceLock::new(),
            outputs: OnceLock::new(),
            gradient: OnceLock::new(),
            hessian: OnceLock::new(),
            gauss_newton: OnceLock::new(),
            jacobian: OnceLock::new(),
            transposed_jacobian: OnceLock::new(),
            loss_hessian: OnceLock::new(),
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
        self.0.given.examples
    }

    /// How the loss is made of the losses of the examples, as [`Objective::reduction`](crate::Objective::reduction) says.
    pub fn reduction(&self) -> Reduction {
        self.0.given.reduction
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
        let outputs = self.0.engine.forward()?.run(&self.arrays()?)?;
        self.keep_heads(&outputs);
        Ok(*self.0.loss.get().expect("just computed"))
    }

    /// The outputs of the model, with their own rank, kept apart from the loss by [`Objective::new`](crate::Objective::new).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`] for an objective that is a loss only; [`CurvatureError::Dimension`] for another rank than `D`.
    pub fn outputs<const D: usize>(&self) -> Result<Tensor<D>, CurvatureError> {
        let outputs = self.kept_outputs()?;
        let rank = burn::backend::TensorMetadata::shape(&outputs).num_dims();
        check_dimension("the rank of the outputs", rank, D)?;
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
        let outputs = self.0.engine.gradient()?.run(&self.arrays()?)?;
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
        if self.0.given.method == HvpMethod::Recorded {
            self.shared_by_hessian()?;
        }
        Ok(())
    }

    /// The Hessian ∇²L as an operator.
    pub fn hessian(&self) -> Hessian {
        Hessian::new(self.clone(), self.0.given.method)
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
            inner.given,
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

    /// Bytes kept at this point for products with the Hessian and the Gauss-Newton matrix, beyond parameters and batch; 0 before
    /// the first product. [`Objective::keep`](crate::Objective::keep) bounds it.
    pub fn bytes_kept(&self) -> usize {
        let kept = [
            &self.0.hessian,
            &self.0.gauss_newton,
            &self.0.jacobian,
            &self.0.transposed_jacobian,
            &self.0.loss_hessian,
        ];
        let shared = kept.into_iter().filter_map(OnceLock::get);
        shared.map(Shared::bytes).sum()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// All inputs as tensors, one a parameter.
    pub(crate) fn inputs(&self) -> Vec<DispatchTensor> {
        let mut inputs = self.layout().split(self.theta());
        inputs.extend(self.0.others.tensors.iter().cloned());
        inputs
    }

    /// All inputs as the execution holds them, the parameters as one vector.
    fn arrays(&self) -> Result<Vec<Array>, GraphError> {
        let (engine, others) = (&self.0.engine, &self.0.others);
        let mut arrays = vec![engine.bring(self.theta().clone().into_dispatch())?];
        if others.arrays.get().is_none() {
            let brought = others
                .tensors
                .iter()
                .map(|tensor| engine.bring(tensor.clone()));
            let brought = brought.collect::<Result<Vec<_>, _>>()?;
            others.arrays.get_or_init(|| brought);
        }
        arrays.extend(others.arrays.get().into_iter().flatten().cloned());
        Ok(arrays)
    }

    /// Everything that products with the Hessian at this point share.
    pub(crate) fn shared_by_hessian(&self) -> Result<&Shared, GraphError> {
        if let Some(shared) = self.0.hessian.get() {
            return Ok(shared);
        }
        let (shared, outputs) = self.0.engine.hessian()?.prepare(&self.arrays()?)?;
        self.keep(outputs);
        Ok(self.0.hessian.get_or_init(|| shared))
    }

    /// Everything that products of another kind share.
    pub(crate) fn shared_by(&self, map: Map) -> Result<(&Products, &Shared), CurvatureError> {
        let (inner, engine) = (&self.0, &self.0.engine);
        let (products, slot) = match map {
            Map::GaussNewton => (engine.gauss_newton()?, &inner.gauss_newton),
            Map::Jacobian => (engine.jacobian()?, &inner.jacobian),
            Map::TransposedJacobian => (engine.transposed_jacobian()?, &inner.transposed_jacobian),
            Map::LossHessian => (engine.loss_hessian()?, &inner.loss_hessian),
        };
        if let Some(shared) = slot.get() {
            return Ok((products, shared));
        }
        let (shared, _) = products.prepare(&self.arrays()?)?;
        Ok((products, slot.get_or_init(|| shared)))
    }

    /// Everything that products of a map of the caller's share, with the outputs that depend on the point only.
    pub(crate) fn prepare_products(
        &self,
        products: &Products,
    ) -> Result<(Shared, Vec<Array>), CurvatureError> {
        Ok(products.prepare(&self.arrays()?)?)
    }

    /// The outputs, computed when they are first asked for.
    fn kept_outputs(&self) -> Result<DispatchTensor, CurvatureError> {
        if !self.0.engine.recording.has_outputs() {
            return Err(CurvatureError::NoOutputs);
        }
        if self.0.outputs.get().is_none() {
            let outputs = self.0.engine.forward()?.run(&self.arrays()?)?;
            self.keep_heads(&outputs);
        }
        Ok(self.0.outputs.get().expect("just computed").clone())
    }

    /// The outputs, flat.
    pub(crate) fn flat_outputs(&self) -> Result<Vec<f64>, CurvatureError> {
        let outputs = self.kept_outputs()?;
        let numbers = Tensor::<1>::from_dispatch(outputs).into_data();
        Ok(numbers.iter::<f64>().collect())
    }

    /// ∂L/∂outputs, flat.
    pub(crate) fn loss_gradient(&self) -> Result<Vec<f64>, CurvatureError> {
        let gradient = self.output_gradient_array()?.as_vector();
        Ok(to_f64(&self.0.engine.vector(gradient)))
    }

    fn output_gradient_array(&self) -> Result<Array, CurvatureError> {
        let mut results = self.0.engine.loss_gradient()?.run(&self.arrays()?)?;
        Ok(results.swap_remove(0))
    }

    /// The product of one of the maps with a direction.
    pub(crate) fn map(&self, map: Map, direction: DispatchTensor) -> Result<Array, CurvatureError> {
        let (products, shared) = self.shared_by(map)?;
        products.apply(shared, self.0.engine.bring(direction)?)
    }

    /// The products of a map between flat vectors with several directions, a row each.
    pub(crate) fn map_block(&self, map: Map, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let (products, shared) = self.shared_by(map)?;
        self.block(products, shared, vs)
    }

    /// The products with several directions, a row each.
    pub(crate) fn block(
        &self,
        products: &Products,
        shared: &Shared,
        vs: &Tensor<2>,
    ) -> Result<Tensor<2>, CurvatureError> {
        let engine = &self.0.engine;
        let [count, found] = vs.dims();
        check_dimension("a row of the block", found, self.dim())?;
        if count == 0 {
            return Ok(vs.clone());
        }
        let directions = engine.bring(vs.clone().into_dispatch())?;
        let product = products.apply_block(shared, &directions)?;
        Ok(Tensor::from_dispatch(product.into_tensor(engine.target())))
    }

    /// Shape of the outputs.
    pub(crate) fn outputs_shape(&self) -> Result<Shape, CurvatureError> {
        let recording = &self.0.engine.recording;
        if !recording.has_outputs() {
            return Err(CurvatureError::NoOutputs);
        }
        let forward = recording.forward();
        Ok(forward.values[forward.outputs[1]].shape.clone())
    }

    /// Number of outputs of one example; the examples must lie along the first dimension of the outputs.
    pub(crate) fn outputs_per_example(&self) -> Result<usize, CurvatureError> {
        let (shape, examples) = (self.outputs_shape()?, self.examples());
        match shape.first() {
            Some(&rows) if rows == examples && rows > 0 => Ok(shape.num_elements() / rows),
            rows => Err(CurvatureError::OutputsPerExample {
                rows: rows.copied().unwrap_or(0),
                examples,
            }),
        }
    }

    /// The outputs, a row an example.
    pub(crate) fn output_rows(&self) -> Result<Tensor<2>, CurvatureError> {
        let width = self.outputs_per_example()?;
        Ok(reshaped(self.kept_outputs()?, [self.examples(), width]))
    }

    /// ∂L/∂z, the gradient of the loss by the outputs z, in the reduction of the loss.
    ///
    /// # Shapes
    ///
    /// That of the outputs, whose rank is `D`.
    ///
    /// # Cost
    ///
    /// One forward pass.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`], [`CurvatureError::Dimension`] for outputs of another rank.
    pub fn output_gradient<const D: usize>(&self) -> Result<Tensor<D>, CurvatureError> {
        self.of_outputs(self.output_gradient_array()?)
    }

    /// The same, a row an example.
    pub(crate) fn output_gradient_rows(&self) -> Result<Tensor<2>, CurvatureError> {
        let width = self.outputs_per_example()?;
        let gradient = self
            .output_gradient_array()?
            .into_tensor(self.0.engine.target());
        Ok(reshaped(gradient, [self.examples(), width]))
    }

    /// A map applied to flat vectors, parameters or outputs, a row each.
    pub(crate) fn map_rows(&self, map: Map, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let (products, shared) = self.shared_by(map)?;
        let engine = &self.0.engine;
        let [count, _] = vs.dims();
        let (from, to) = match map {
            Map::GaussNewton => (self.flat_shape(), self.flat_shape()),
            Map::Jacobian => (self.flat_shape(), self.outputs_shape()?),
            Map::TransposedJacobian => (self.outputs_shape()?, self.flat_shape()),
            Map::LossHessian => (self.outputs_shape()?, self.outputs_shape()?),
        };
        let columns = to.num_elements();
        if count == 0 {
            return Ok(Tensor::zeros([0, columns], (&vs.device(), self.dtype())));
        }
        // one row alone needs no graph for several
        if count == 1 {
            let direction = Dispatch::float_reshape(vs.clone().into_dispatch(), from);
            let product = products.apply(shared, engine.bring(direction)?)?;
            return Ok(reshaped(product.into_tensor(engine.target()), [1, columns]));
        }
        let mut dims = vec![count];
        dims.extend_from_slice(&from);
        let directions = Dispatch::float_reshape(vs.clone().into_dispatch(), Shape::from(dims));
        let product = products.apply_block(shared, &engine.bring(directions)?)?;
        Ok(reshaped(
            product.into_tensor(engine.target()),
            [count, columns],
        ))
    }

    fn flat_shape(&self) -> Shape {
        Shape::new([self.dim()])
    }

    /// A result of the shape of the outputs, with its rank checked.
    pub(crate) fn of_outputs<const D: usize>(
        &self,
        array: Array,
    ) -> Result<Tensor<D>, CurvatureError> {
        let found = array.shape().num_dims();
        check_dimension("the rank of the outputs", found, D)?;
        Ok(Tensor::from_dispatch(
            array.into_tensor(self.0.engine.target()),
        ))
    }

    fn keep_heads(&self, outputs: &[Array]) {
        self.0.loss.get_or_init(|| outputs[0].first());
        if self.0.engine.recording.has_outputs() {
            let target = self.0.engine.target();
            let outputs = outputs[1].clone();
            self.0.outputs.get_or_init(|| outputs.into_tensor(target));
        }
    }

    fn keep(&self, mut outputs: Vec<Array>) {
        self.keep_heads(&outputs);
        let gradient = outputs.swap_remove(self.0.engine.recording.first_gradient());
        self.0
            .gradient
            .get_or_init(|| self.0.engine.vector(gradient));
    }
}

fn reshaped(tensor: DispatchTensor, dims: [usize; 2]) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::float_reshape(tensor, Shape::new(dims)))
}

/// Linear maps at a point beside the Hessian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    GaussNewton,
    Jacobian,
    TransposedJacobian,
    LossHessian,
}
