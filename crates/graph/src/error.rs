use thiserror::Error;

/// What can go wrong while a computation is recorded, differentiated or evaluated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The user's closure panicked while it was recorded.
    #[error(
        "the model or loss panicked while it was recorded: {message}\n  \
         While recording, tensors live on a capture device and hold no computed values. Move constants with \
         `.to_device(&x.device())`, and keep every tensor that changes in the batch or in the module."
    )]
    ClosurePanicked {
        /// The panic's message.
        message: String,
    },
    /// The closure asked for the data of a computed tensor.
    #[error(
        "the model or loss reads the data of a computed tensor ({message}), which a recording cannot follow: \
         replace `into_data`, `into_scalar` or `to_data` and branches on them by tensor operations \
         (`mask_where`, `gather`, comparison and multiplication), or compute the value before and pass it in the batch"
    )]
    ReadsComputedData {
        /// The panic's message.
        message: String,
    },
    /// Recording twice with other values gave another computation.
    #[error(
        "the recorded computation depends on the values of the batch or the parameters: {difference}. The model or loss \
         reads tensor data (`into_data`, `one_hot`, a branch on a value), so that the recording would be valid for one \
         batch only. Replace it by tensor operations (for labels: `gather` instead of `one_hot`), or compute the value \
         before and pass it in the batch"
    )]
    DependsOnData {
        /// Where the two recordings differ.
        difference: String,
    },
    /// An operation that has no meaning here or no twice differentiable form.
    #[error(
        "operation `{operation}` ({place}) cannot be differentiated twice: {reason}. Replace it by operations that can \
         (see the table in the documentation of `ravine_graph::from_ir`), or compute it outside of the model and pass its result in the batch"
    )]
    NotTwiceDifferentiable {
        /// The operation, by its name in Burn's intermediate representation.
        operation: String,
        /// Parameters and inputs that feed it, to find the layer.
        place: String,
        /// Why not.
        reason: String,
    },
    /// The gradient of the recorded loss is not what burn-autodiff computes.
    #[error(
        "the gradient that burn-autodiff recorded and the derivative of the recorded loss differ by {relative:.1e} \
         (relative, tolerance {tolerance:.1e}), in {parameters}: part of the loss is detached from the parameters \
         (`detach`, `inner`, `no_grad`) in a way that cannot be followed. Compute the detached part before and pass it in \
         the batch, or freeze the parameters behind it with `no_grad()`"
    )]
    GradientMismatch {
        /// Largest relative difference over the parameters.
        relative: f64,
        /// Allowed relative difference.
        tolerance: f64,
        /// Parameters whose gradients differ.
        parameters: String,
    },
    /// The loss does not hold one number.
    #[error(
        "the loss must hold exactly one number, but its shape is {shape:?}: reduce it with `.mean()` or `.sum()`"
    )]
    LossNotScalar {
        /// Shape of the recorded loss.
        shape: Vec<usize>,
    },
    /// The model has no parameter that requires a gradient.
    #[error("the model has no trainable parameter: all are frozen (`no_grad()`) or it has none")]
    NoParameters,
    /// A tensor handed in has another shape than the recording expects.
    #[error("{what} has shape {found:?}, but the recording expects {expected:?}")]
    Shape {
        /// Which input.
        what: String,
        /// Shape that was expected.
        expected: Vec<usize>,
        /// Shape that was found.
        found: Vec<usize>,
    },
    /// Burn's capture refused the recording.
    #[error("the recording could not be completed: {message}")]
    Capture {
        /// Burn's message.
        message: String,
    },
    /// An integer of the batch or the module is larger than the native execution can hold.
    #[error(
        "a batch or a module holds the integer {value}, but the native execution holds integers up to {limit} exactly: use \
         `Execution::Device`, or f64"
    )]
    Integer {
        /// The integer.
        value: f64,
        /// The largest that is exact.
        limit: f64,
    },
    /// A graph operation failed on the device.
    #[error("evaluating `{operation}` on {device} failed: {message}")]
    Evaluation {
        /// The operation.
        operation: String,
        /// The device.
        device: String,
        /// The message of the panic.
        message: String,
    },
}

/// The text of a panic payload.
pub(crate) fn panic_message(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_string(),
            Err(_) => "panic without a message".to_string(),
        },
    }
}
