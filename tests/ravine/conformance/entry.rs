//! What the conformance set is made of: a layer or a loss in a small model, as a point in any configuration.

use super::subject::{Evaluate, OutputMaps, Subject};
use crate::support::tensor;
use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{Batch, CurvatureError, Execution, Keep, Mode, Point, Precision, Seed};
use std::fmt;

/// Where and how the point of an entry is taken.
#[derive(Clone, Debug)]
pub(crate) struct PointOptions {
    /// The device of model and batch.
    pub(crate) device: Device,
    /// [`Precision::Model`] is f32 on a device with default dtypes.
    pub(crate) precision: Precision,
    /// What runs the graphs; the device's best if not said.
    pub(crate) execution: Option<Execution>,
    /// What products share.
    pub(crate) keep: Keep,
}

impl Default for PointOptions {
    fn default() -> Self {
        Self {
            device: Device::flex(),
            precision: Precision::F64,
            execution: None,
            keep: Keep::Everything,
        }
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Linear,
    Convolution,
    Normalisation,
    Activation,
    Recurrent,
    Attention,
    Pooling,
    Shape,
    Encoding,
    Random,
    Loss,
    TensorOperation,
}

impl Family {
    /// All families, in the order of the page.
    pub(crate) const ALL: [Self; 12] = [
        Self::Linear,
        Self::Convolution,
        Self::Normalisation,
        Self::Activation,
        Self::Recurrent,
        Self::Attention,
        Self::Pooling,
        Self::Shape,
        Self::Encoding,
        Self::Random,
        Self::Loss,
        Self::TensorOperation,
    ];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear layers",
            Self::Convolution => "convolution",
            Self::Normalisation => "normalisation",
            Self::Activation => "activation",
            Self::Recurrent => "recurrent",
            Self::Attention => "attention",
            Self::Pooling => "pooling",
            Self::Shape => "resizing and rearranging",
            Self::Encoding => "encoding and distance",
            Self::Random => "random layers, masks fixed",
            Self::Loss => "loss",
            Self::TensorOperation => "tensor operation",
        })
    }
}

/// Whether an entry's loss has kinks, which differences must not straddle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Smoothness {
    Smooth,
    Piecewise,
}

/// What the loss is as a function of the outputs: what its Gauss-Newton matrix G = Jᵀ H_L J says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossOfOutputs {
    /// H_L is not zero.
    Curved,
    /// H_L is zero, and so is G, for this reason.
    Flat(&'static str),
}

/// How an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// All figures stay below their limits.
    Conforms,
    /// Those in f64 do; products in f32 are not finite, for this reason.
    OnlyInF64(&'static str),
    /// The objective or its Hessian refuses, with an error that holds this text.
    Refused(&'static str),
}

/// A layer or a loss in a small model with a batch.
pub(crate) struct Entry {
    pub(crate) family: Family,
    pub(crate) name: String,
    pub(crate) smoothness: Smoothness,
    pub(crate) expectation: Expectation,
    pub(crate) mode: Mode,
    pub(crate) loss_of_outputs: LossOfOutputs,
    subject: Box<dyn Evaluate>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.family)
    }
}

impl Entry {
    /// A smooth entry in evaluation mode that conforms. `build` makes model and batch in the device's default float.
    pub(super) fn new<M: Module + 'static, B: Batch + 'static, const D: usize>(
        family: Family,
        name: impl Into<String>,
        build: impl Fn(&Device) -> (M, B) + Send + Sync + 'static,
        outputs: impl Fn(&M, &B) -> Tensor<D> + Send + Sync + 'static,
        loss: impl Fn(Tensor<D>, &B) -> Tensor<1> + Send + Sync + 'static,
    ) -> Self {
        Self {
            family,
            name: name.into(),
            smoothness: Smoothness::Smooth,
            expectation: Expectation::Conforms,
            mode: Mode::Evaluation,
            loss_of_outputs: LossOfOutputs::Curved,
            subject: Box::new(Subject::new(build, outputs, loss)),
        }
    }

    pub(super) fn piecewise(mut self) -> Self {
        self.smoothness = Smoothness::Piecewise;
        self
    }

    pub(super) fn training(mut self) -> Self {
        self.mode = Mode::Training { seed: Seed::new(3) };
        self
    }

    pub(super) fn flat(mut self, because: &'static str) -> Self {
        self.loss_of_outputs = LossOfOutputs::Flat(because);
        self
    }

    pub(super) fn refused(mut self, because: &'static str) -> Self {
        self.expectation = Expectation::Refused(because);
        self
    }

    pub(super) fn only_in_f64(mut self, because: &'static str) -> Self {
        self.expectation = Expectation::OnlyInF64(because);
        self
    }

    /// The loss at the entry's own parameters; other parameters by [`Point::move_to`].
    pub(crate) fn point(&self, options: PointOptions) -> Result<Point, CurvatureError> {
        self.subject.point(self.mode, &options)
    }

    /// What leads from parameters to outputs and from outputs to the loss, at points of this entry.
    pub(crate) fn output_maps(&self) -> &dyn OutputMaps {
        &*self.subject
    }

    /// The loss as a function of the outputs, its only parameters, at those of a point of this entry.
    pub(crate) fn loss_of_outputs(&self, point: &Point) -> Result<Point, CurvatureError> {
        self.subject.loss_of_outputs(self.mode, point)
    }

    /// The loss as Burn computes it on a plain device, where layers behave as in evaluation.
    pub(super) fn burn_loss(&self, device: &Device) -> f64 {
        self.subject.burn_loss(device)
    }

    /// Loss and gradient as burn-autodiff computes them from the model itself.
    pub(super) fn burn_gradient(&self, device: &Device) -> (f64, Vec<f64>) {
        self.subject.burn_gradient(self.mode, device)
    }
}

/// Deterministic parameters near their usual initial values: ones stay near one, the rest is small.
struct Spread {
    at: usize,
}

impl ModuleMapper for Spread {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        let dims = old.dims();
        let ones = old.to_data().iter::<f64>().all(|x| x == 1.0);
        let start = self.at;
        self.at += dims.iter().product::<usize>();
        let value = floats(dims, &old.device(), |i| {
            scattered(1.3, start + i) * 0.6 + if ones { 1.0 } else { 0.0 }
        });
        Param::from_mapped_value(id, value, mapper)
    }
}

/// A module with deterministic parameters.
pub(super) fn spread<M: Module>(module: M) -> M {
    module.map(&mut Spread { at: 0 })
}

/// Deterministic numbers between −1 and 1.
pub(super) fn noise<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    floats(dims, device, |k| scattered(0.7, k))
}

/// Number k of a sequence without a visible pattern, between −1 and 1.
fn scattered(phase: f64, k: usize) -> f64 {
    let x = (phase + 12.9898 * k as f64).sin() * 43758.5453;
    2.0 * (x - x.floor()) - 1.0
}

/// A tensor in the device's default float from a function of the flat index. Values are rounded to f32 first, so that f32 and f64
/// see the same numbers.
pub(super) fn floats<const D: usize>(
    dims: [usize; D],
    device: &Device,
    value: impl Fn(usize) -> f64,
) -> Tensor<D> {
    let dtype = DType::from(device.settings().float_dtype);
    tensor(dims, device, dtype, |k| f64::from(value(k) as f32))
}
