use crate::engine::{Engine, Settings, check_unreached};
use crate::error::CurvatureError;
use crate::explain::explain;
use crate::hessian::HvpMethod;
use crate::layout::ParameterLayout;
use crate::point::{Given, Point};
use crate::seed::Seed;
use burn::backend::TensorMetadata;
use burn::module::{Module, ParamId};
use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, FloatDType, Shape};
use ravine_graph::{
    Batch, DispatchTensor, Evaluated, Execution, Keep, LayerBehaviour, ModuleTensors, Recording,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

/// How layers that know training from inference behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout is the identity, batch norm uses its running statistics.
    Evaluation,
    /// Dropout draws masks from the seed, the same at every point; batch norm uses the batch's statistics.
    Training {
        /// Where masks and noise come from.
        seed: Seed,
    },
}

impl Mode {
    /// Where masks come from; in evaluation there are none.
    pub(crate) fn seed(self) -> Seed {
        match self {
            Self::Evaluation => Seed::new(0),
            Self::Training { seed } => seed,
        }
    }
}

/// In which dtype loss, gradient and products are evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// The model's own.
    #[default]
    Model,
    /// f64, whatever the model's dtype: parameters, batch and constants are widened.
    F64,
}

/// What to do with parameters that the loss does not depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreached {
    /// Their gradient is zero; a warning names them once.
    #[default]
    Zero,
    /// [`CurvatureError::Unreached`].
    Error,
}

/// How the loss of a batch is made of the losses of its examples.
///
/// The derivatives are those of the closure as it is; this says what it does, so that batches are weighted by their examples
/// ([`Objective::over`]) and per-example quantities have the scale of the loss ([`EmpiricalFisher`](crate::EmpiricalFisher)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// L = 1/N Σ ℓᵢ, over the N examples that [`Batch::examples`] counts.
    #[default]
    Mean,
    /// L = Σ ℓᵢ.
    Sum,
}

impl Reduction {
    /// What the gradients ∂L/∂zᵢ of so many examples are multiplied by, so that the sum of their outer products is the empirical Fisher
    /// matrix in this reduction: for a mean each of them holds 1/N, and 1/N Σ ∇ℓᵢ ∇ℓᵢᵀ is wanted.
    pub(crate) fn of_outer_products(self, examples: usize) -> f64 {
        match self {
            Self::Mean => (examples as f64).sqrt(),
            Self::Sum => 1.0,
        }
    }

    /// What makes the loss of so many examples their mean.
    pub(crate) fn to_mean(self, examples: usize) -> f64 {
        match self {
            Self::Mean => 1.0,
            Self::Sum => 1.0 / examples.max(1) as f64,
        }
    }
}

type Run<M, B> = Box<dyn Fn(&M, &B) -> Evaluated + Send + Sync>;

/// A loss of a Burn module on a batch: the one seam between a user's code and curvature.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{LinearOperator, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
/// let point = objective.at(&model, &batch)?;
/// let g = point.gradient()?;
/// let hg = point.hessian().apply(&g)?;
/// assert_eq!(hg.dims(), [4]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// The closures are ordinary Burn code without any reading of tensor data. They are recorded once for each shape of
/// the batch and each module (told apart by the identity of its parameters), and not run again: tensors that change belong into the
/// batch or the module. A tensor that stands in a module as a plain field, or that the closure captures, is a constant of the recording.
pub struct Objective<M, B> {
    run: Run<M, B>,
    pub(crate) mode: Mode,
    pub(crate) reduction: Reduction,
    method: HvpMethod,
    precision: Precision,
    unreached: Unreached,
    execution: Option<Execution>,
    keep: Keep,
    engines: Mutex<Vec<(Signature, Arc<Engine>)>>,
}

/// What a recording is valid for.
#[derive(Clone, Debug, PartialEq)]
struct Signature {
    parameters: Vec<(ParamId, Shape, DType)>,
    others: Vec<(Shape, DType)>,
    device: Device,
}

impl<M: Module, B: Batch> Objective<M, B> {
    /// An objective with outputs and a loss of them, as the Gauss-Newton matrix needs.
    pub fn new<const D: usize>(
        outputs: impl Fn(&M, &B) -> Tensor<D> + Send + Sync + 'static,
        loss: impl Fn(Tensor<D>, &B) -> Tensor<1> + Send + Sync + 'static,
    ) -> Self {
        Self::from_run(Box::new(move |model, batch| {
            let outputs = outputs(model, batch);
            let kept = outputs.clone().into_dispatch();
            Evaluated {
                loss: loss(outputs, batch),
                outputs: Some(kept),
            }
        }))
    }

    /// An objective that is a loss only.
    pub fn of_loss(loss: impl Fn(&M, &B) -> Tensor<1> + Send + Sync + 'static) -> Self {
        Self::from_run(Box::new(move |model, batch| Evaluated {
            loss: loss(model, batch),
            outputs: None,
        }))
    }

    fn from_run(run: Run<M, B>) -> Self {
        Self {
            run,
            mode: Mode::Evaluation,
            reduction: Reduction::default(),
            method: HvpMethod::default(),
            precision: Precision::default(),
            unreached: Unreached::default(),
            execution: None,
            keep: Keep::default(),
            engines: Mutex::new(Vec::new()),
        }
    }

    /// How layers behave; [`Mode::Evaluation`] by default. Forgets what was recorded.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self.forget();
        self
    }

    /// How the closure reduces the losses of the examples; [`Reduction::Mean`] by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// How Hessian-vector products are computed; [`HvpMethod::Recorded`] by default.
    pub fn hvp_method(mut self, method: HvpMethod) -> Self {
        self.method = method;
        self
    }

    /// The dtype of the evaluation; the model's by default.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self.forget();
        self
    }

    /// What to do with parameters that the loss does not depend on; zeros and a warning by default.
    pub fn unreached(mut self, unreached: Unreached) -> Self {
        self.unreached = unreached;
        self.forget();
        self
    }

    /// What runs the recorded graphs: [`Execution::best_for`] the device by default.
    pub fn execution(mut self, execution: Execution) -> Self {
        self.execution = Some(execution);
        self.forget();
        self
    }

    /// How much a point keeps for its products; everything that makes them faster by default.
    ///
    /// With a bound, products compute again what does not fit: slower, with the same results.
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self.forget();
        self
    }

    /// Drops all recordings, so that plain tensor fields of the module are read again.
    pub fn forget(&self) {
        self.lock().clear();
    }

    /// The loss at the module's parameters on a batch.
    ///
    /// Records when no recording fits (two passes over the closures, milliseconds), else reads parameters and batch only.
    /// Neither module nor batch is changed.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Graph`] if the closures cannot be recorded or differentiated, [`CurvatureError::Unreached`] in strict mode.
    pub fn at(&self, model: &M, batch: &B) -> Result<Point, CurvatureError> {
        self.at_with_seed(model, batch, self.mode.seed())
    }

    /// As [`at`](Objective::at), with dropout masks and noise from this seed instead of the mode's.
    ///
    /// # Errors
    ///
    /// As [`at`](Objective::at).
    pub fn at_with_seed(&self, model: &M, batch: &B, seed: Seed) -> Result<Point, CurvatureError> {
        let tensors = ModuleTensors::read(model)?;
        let engine = self.engine(model, &tensors, batch)?;
        let cast = |tensor: DispatchTensor| engine.cast(tensor);
        let theta = engine.theta(&tensors);
        let others = Recording::values(&tensors, batch)
            .into_iter()
            .skip(tensors.values.len())
            .map(cast)
            .chain(engine.draw(seed))
            .collect();
        Ok(Point::new(
            engine,
            theta,
            others,
            Given {
                method: self.method,
                examples: batch.examples(),
                reduction: self.reduction,
            },
        ))
    }

    /// The loss at other parameters than the module's own: the module gives the structure, `theta` the values.
    ///
    /// # Errors
    ///
    /// As [`at`](Objective::at), and [`CurvatureError::Dimension`] for a vector of another length.
    pub fn at_theta(
        &self,
        model: &M,
        theta: &Tensor<1>,
        batch: &B,
    ) -> Result<Point, CurvatureError> {
        self.at(model, batch)?.move_to(theta.clone())
    }

    /// What was recorded, for a reader: operations, constants, detached values, parameters without influence, mode.
    pub fn explain(&self) -> String {
        let engines = self.lock();
        explain(
            engines.iter().map(|(_, engine)| engine.as_ref()),
            self.mode,
            self.method,
        )
    }

    pub(crate) fn engine(
        &self,
        model: &M,
        tensors: &ModuleTensors,
        batch: &B,
    ) -> Result<Arc<Engine>, CurvatureError> {
        let device = Tensor::<1>::from_dispatch(tensors.values[0].clone()).device();
        let signature = signature(tensors, batch, &device);
        let known = |engines: &[(Signature, Arc<Engine>)]| {
            engines
                .iter()
                .find(|(known, _)| *known == signature)
                .map(|(_, engine)| engine.clone())
        };
        if let Some(engine) = known(&self.lock()) {
            return Ok(engine);
        }
        let behaviour = match self.mode {
            Mode::Evaluation => LayerBehaviour::Evaluation,
            Mode::Training { .. } => LayerBehaviour::Training,
        };
        let recording = Recording::new(model, batch, behaviour, &*self.run)?;
        let layout = ParameterLayout::new(&tensors.parameters);
        check_unreached(&recording, &layout, self.unreached)?;
        let float = match self.precision {
            Precision::Model => FloatDType::from(tensors.parameters[0].dtype),
            Precision::F64 => FloatDType::F64,
        };
        let settings = Settings {
            float,
            execution: self
                .execution
                .unwrap_or_else(|| Execution::best_for(&device)),
            keep: self.keep,
        };
        let engine = Arc::new(Engine::new(recording, layout, &device, settings));
        self.lock().push((signature, engine.clone()));
        Ok(engine)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Signature, Arc<Engine>)>> {
        // recordings are whole or absent, so that a panic elsewhere leaves the list usable
        self.engines
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn signature<B: Batch>(tensors: &ModuleTensors, batch: &B, device: &Device) -> Signature {
    let described = |tensor: &DispatchTensor| (tensor.shape(), tensor.dtype());
    Signature {
        parameters: tensors
            .parameters
            .iter()
            .map(|parameter| (parameter.id, parameter.shape.clone(), parameter.dtype))
            .collect(),
        others: tensors
            .fixed
            .iter()
            .map(described)
            .chain(batch.tensors().iter().map(described))
            .collect(),
        device: device.clone(),
    }
}
