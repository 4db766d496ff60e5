//! What is timed: losses at a point, in plain Burn, one idea a file.
//!
//! | name | model | loss | batch | parameters |
//! |---|---|---|---|---|
//! | `mlp_small` | 64-32-10, tanh | softmax cross entropy | 128 | 2,410 |
//! | `mlp_digits` | 64-128-128-10, tanh | softmax cross entropy | 256 | 26,122 |
//! | `mlp_mnist_relu`, `mlp_mnist_tanh` | 784-512-512-10 | softmax cross entropy | 256 | 669,706 |
//! | `autoencoder` | 784-1000-500-250-30-250-500-1000-784, tanh, sigmoid at the end | mean squared error against the input | 64 | 2,837,314 |
//! | `logreg_illcond` | linear 200-1, features scaled from 1 to 10⁻³ | binary cross entropy | 1000 | 201 |
//! | `quad_1000` | ½ xᵀAx of condition number 10⁴ | itself | 1 | 1,000 |
//! | `cnn_small` | two 3x3 convolutions with tanh and average pooling, linear 400-10 | softmax cross entropy | 64 | 5,258 |
//! | `transformer` | two encoder blocks (width 64, 4 heads, 128 hidden), mean over 16 positions, linear 64-10 | softmax cross entropy | 16 | 67,594 |
//! | `lstm` | LSTM 16-32 over 32 steps, linear 32-10 on the last state | softmax cross entropy | 32 | 6,730 |
//! | `resnet` | 3x3 convolution 1-8, two residual blocks of two 3x3 convolutions 8-8 with ReLU on 16x16 images, mean over pixels, linear 8-10 | softmax cross entropy | 32 | 2,506 |
//!
//! The first eight are those of the peers' rig, with its inputs; parameters are 0.1 cos(0.37 i) everywhere.

mod autoencoder;
mod cnn;
mod logistic_regression;
mod lstm;
mod mlp;
mod quadratic;
mod resnet;
mod transformer;

use crate::flops::Flops;
use burn::module::Module;
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{Batch, CurvatureError, Objective, Point};
use ravine_graph::{Evaluated, GraphError, LayerBehaviour, Recording};

/// Those that the peers' rig knows.
pub const OF_PEERS: [&str; 8] = [
    "mlp_small",
    "mlp_digits",
    "mlp_mnist_relu",
    "mlp_mnist_tanh",
    "autoencoder",
    "logreg_illcond",
    "quad_1000",
    "cnn_small",
];

/// Those with other layers, which only ravine is timed on.
pub const OWN: [&str; 3] = ["transformer", "lstm", "resnet"];

/// Every name.
pub fn names() -> impl Iterator<Item = &'static str> {
    OF_PEERS.into_iter().chain(OWN)
}

/// Why there is no workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// A name that is not in the list.
    #[error("there is no workload `{name}`; there are {}", names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// The loss could not be recorded.
    #[error(transparent)]
    Curvature(#[from] CurvatureError),
}

type Record = Box<dyn Fn() -> Result<Recording, GraphError>>;

/// A loss at a point, with what a report wants to know of it.
pub struct Workload {
    name: &'static str,
    batch: usize,
    point: Point,
    recording: Record,
}

impl Workload {
    /// Builds a workload by its name.
    ///
    /// # Errors
    ///
    /// [`WorkloadError::Unknown`] for a name that is not among [`names`].
    pub fn new(name: &str, device: &Device, dtype: DType) -> Result<Self, WorkloadError> {
        let setting = Setting { device, dtype };
        let case = match name {
            "mlp_small" => mlp::workload(&[64, 32, 10], 128, mlp::Activation::Tanh, setting),
            "mlp_digits" => mlp::workload(&[64, 128, 128, 10], 256, mlp::Activation::Tanh, setting),
            "mlp_mnist_relu" => mlp::workload(MNIST, 256, mlp::Activation::Relu, setting),
            "mlp_mnist_tanh" => mlp::workload(MNIST, 256, mlp::Activation::Tanh, setting),
            "autoencoder" => autoencoder::workload(setting),
            "logreg_illcond" => logistic_regression::workload(setting),
            "quad_1000" => quadratic::workload(setting),
            "cnn_small" => cnn::workload(setting),
            "transformer" => transformer::workload(setting),
            "lstm" => lstm::workload(setting),
            "resnet" => resnet::workload(setting),
            _ => {
                return Err(WorkloadError::Unknown {
                    name: name.to_string(),
                });
            }
        }?;
        let name = names().find(|known| *known == name).expect("just matched");
        Ok(Self {
            name,
            batch: case.batch,
            point: case.point,
            recording: case.recording,
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Examples in the batch; 1 for a function without data.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The loss at its parameters.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Floating point operations of the matrix products, none for a workload with convolutions. Records anew.
    ///
    /// # Errors
    ///
    /// [`GraphError`] if the loss cannot be recorded.
    pub fn flops(&self) -> Result<Option<Flops>, GraphError> {
        Flops::of(&(self.recording)()?)
    }

    /// Elements of the forward pass that the gradient reads again. Records anew.
    ///
    /// # Errors
    ///
    /// [`GraphError`] if the loss cannot be recorded.
    pub fn activations(&self) -> Result<usize, GraphError> {
        Ok(crate::flops::activations((self.recording)()?.gradient()))
    }
}

const MNIST: &[usize] = &[784, 512, 512, 10];

/// Where a workload is built.
#[derive(Clone, Copy)]
struct Setting<'a> {
    device: &'a Device,
    dtype: DType,
}

/// A workload without its name.
struct Case {
    batch: usize,
    point: Point,
    recording: Record,
}

/// A loss of the outputs of a model.
fn of_outputs<M: Module + 'static, B: Batch + 'static, const D: usize>(
    model: M,
    batch: B,
    outputs: fn(&M, &B) -> Tensor<D>,
    loss: fn(Tensor<D>, &B) -> Tensor<1>,
) -> Result<Case, CurvatureError> {
    let point = Objective::new(outputs, loss).at(&model, &batch)?;
    let examples = batch.examples();
    let run = move |model: &M, batch: &B| {
        let outputs = outputs(model, batch);
        let kept = outputs.clone().into_dispatch();
        Evaluated {
            loss: loss(outputs, batch),
            outputs: Some(kept),
        }
    };
    Ok(Case {
        batch: examples,
        point,
        recording: record(model, batch, run),
    })
}

/// A function of the parameters alone: what it is given are constants, not examples.
fn of_parameters<M: Module + 'static, B: Batch + 'static>(
    model: M,
    constants: B,
    loss: fn(&M, &B) -> Tensor<1>,
) -> Result<Case, CurvatureError> {
    let point = Objective::of_loss(loss).at(&model, &constants)?;
    let run = move |model: &M, constants: &B| Evaluated {
        loss: loss(model, constants),
        outputs: None,
    };
    Ok(Case {
        batch: 1,
        point,
        recording: record(model, constants, run),
    })
}

fn record<M: Module + 'static, B: Batch + 'static>(
    model: M,
    batch: B,
    run: impl Fn(&M, &B) -> Evaluated + 'static,
) -> Record {
    Box::new(move || Recording::new(&model, &batch, LayerBehaviour::Evaluation, &run))
}
