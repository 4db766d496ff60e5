//! Burn's capture device: a pool of devices, and the way between its primitives and dispatch tensors.

use crate::error::{GraphError, panic_message};
use crate::op::Kind;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Autodiff, AutodiffBackend, DispatchTensor, TensorMetadata};
use burn::prelude::{Device, Int, Tensor};
use burn::tensor::{Bool, FloatDType, IntDType};
use burn_capture::{CaptureBackend, CaptureScope, CapturedGraph, CompletedCaptureScope};
use burn_ir::TensorId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

pub(crate) type AutodiffCapture = Autodiff<CaptureBackend>;
pub(crate) type TrackedTensor = burn::backend::tensor::FloatTensor<AutodiffCapture>;

/// A process has room for 65,536 capture devices, one scope at a time on each, and default dtypes are set once a device:
/// so devices are kept, by dtype, for the next recording.
static POOL: Mutex<Vec<(FloatDType, IntDType, Device)>> = Mutex::new(Vec::new());

/// Takes a device from the pool, records in one scope, and puts the device back.
pub(crate) fn record_scope(
    float: FloatDType,
    int: IntDType,
    record: impl FnOnce(&Device, CaptureScope) -> CompletedCaptureScope,
) -> Result<CapturedGraph, GraphError> {
    let known = take(float, int);
    let device = known.clone().unwrap_or_else(Device::capture);
    let captured = catch_unwind(AssertUnwindSafe(|| {
        device.capture_scope(|scope| {
            if known.is_none() {
                // dtypes are asked of the scope's client, so that they cannot be set before
                let configured = device.clone().configure((float, int));
                configured.expect("a new capture device takes every dtype");
            }
            record(&device, scope)
        })
    }));
    pool().push((float, int, device));
    match captured {
        Ok(Ok(graph)) => Ok(graph),
        Ok(Err(error)) => Err(GraphError::Capture {
            message: error.to_string(),
        }),
        Err(payload) => Err(GraphError::ClosurePanicked {
            message: panic_message(payload),
        }),
    }
}

fn pool() -> std::sync::MutexGuard<'static, Vec<(FloatDType, IntDType, Device)>> {
    // the pool holds plain values, so that a panic elsewhere leaves it whole
    POOL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn take(float: FloatDType, int: IntDType) -> Option<Device> {
    let mut pool = pool();
    let position = pool.iter().position(|(f, i, _)| *f == float && *i == int)?;
    Some(pool.swap_remove(position).2)
}

/// The capture id of a tensor on a capture device, tracked by autodiff or not.
pub(crate) fn capture_id(tensor: &DispatchTensor) -> TensorId {
    let expectation = "the tensor lives on the capture device";
    match crate::evaluate::kind_of(tensor.dtype()) {
        Kind::Float => {
            let tensor = Tensor::<1>::from_dispatch(tensor.clone());
            match tensor.clone().try_into_primitive::<AutodiffCapture>() {
                Ok(tracked) => AutodiffCapture::inner(tracked).id(),
                Err(_) => tensor
                    .try_into_primitive::<CaptureBackend>()
                    .expect(expectation)
                    .id(),
            }
        }
        Kind::Int => Tensor::<1, Int>::from_dispatch(tensor.clone())
            .without_autodiff()
            .try_into_primitive::<CaptureBackend>()
            .expect(expectation)
            .id(),
        Kind::Bool => Tensor::<1, Bool>::from_dispatch(tensor.clone())
            .without_autodiff()
            .try_into_primitive::<CaptureBackend>()
            .expect(expectation)
            .id(),
    }
}

/// A tensor of the capture device, tracked by autodiff but no parameter.
pub(crate) fn untracked_leaf(tensor: DispatchTensor) -> DispatchTensor {
    let plain = Tensor::<1>::from_dispatch(tensor)
        .try_into_primitive::<CaptureBackend>()
        .expect("the tensor lives on the capture device");
    Tensor::<1>::from_primitive::<AutodiffCapture>(AutodiffCapture::from_inner(plain))
        .into_dispatch()
}

/// A parameter: a tensor of the capture device that gradients are taken of.
pub(crate) fn tracked_leaf(tensor: DispatchTensor) -> (DispatchTensor, TrackedTensor) {
    let plain = Tensor::<1>::from_dispatch(tensor)
        .try_into_primitive::<CaptureBackend>()
        .expect("the tensor lives on the capture device");
    let leaf = AutodiffCapture::float_set_require_grad(AutodiffCapture::from_inner(plain), true);
    let tensor = Tensor::<1>::from_primitive::<AutodiffCapture>(leaf.clone()).into_dispatch();
    (tensor, leaf)
}

/// A tensor without its autodiff side.
pub(crate) fn plain(tensor: DispatchTensor) -> DispatchTensor {
    match crate::evaluate::kind_of(tensor.dtype()) {
        Kind::Float => Tensor::<1>::from_dispatch(tensor)
            .without_autodiff()
            .into_dispatch(),
        Kind::Int => Tensor::<1, Int>::from_dispatch(tensor)
            .without_autodiff()
            .into_dispatch(),
        Kind::Bool => Tensor::<1, Bool>::from_dispatch(tensor)
            .without_autodiff()
            .into_dispatch(),
    }
}

/// A constant with the same values, recorded so that it can be told from the original.
///
/// Detaching leaves no trace in a recording: the same tensor id stands for both. A clamp between infinities changes nothing, is
/// recorded under an id of its own, and is read back as [`Op::Detach`](crate::Op::Detach).
pub(crate) fn marked_as_detached(tensor: &DispatchTensor) -> DispatchTensor {
    let tensor = Tensor::<1>::from_dispatch(tensor.clone());
    let plain = match tensor.clone().try_into_primitive::<AutodiffCapture>() {
        Ok(tracked) => AutodiffCapture::inner(tracked),
        Err(_) => tensor
            .try_into_primitive::<CaptureBackend>()
            .expect("the tensor lives on the capture device"),
    };
    let [low, high] = DETACHED;
    let marked = CaptureBackend::float_clamp(plain, low.into(), high.into());
    Tensor::<1>::from_primitive::<CaptureBackend>(marked).into_dispatch()
}

/// The bounds of the clamp that marks a detached value.
pub(crate) const DETACHED: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];
