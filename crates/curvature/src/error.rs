use ravine_graph::GraphError;
use thiserror::Error;

/// What can go wrong when curvature is computed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CurvatureError {
    /// The computation could not be recorded, differentiated or evaluated.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A vector or an operator has another dimension than it must have.
    #[error("{what} has dimension {found}, but {expected} is needed")]
    Dimension {
        /// Which vector or operator.
        what: &'static str,
        /// The dimension that is needed.
        expected: usize,
        /// The dimension that was found.
        found: usize,
    },
    /// A value is NaN or infinite where a finite one is needed.
    #[error(
        "{what} is not finite ({value}): the parameters, the batch or the step before it hold NaN, or the loss overflows"
    )]
    NonFinite {
        /// Which quantity.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A dense matrix of this size was refused.
    #[error(
        "a dense matrix of dimension {dim} needs {gigabytes:.1} GB, more than the limit of {limit} allows: use `lanczos_top_k`, or raise the limit"
    )]
    TooLarge {
        /// Dimension of the operator.
        dim: usize,
        /// Largest dimension allowed.
        limit: usize,
        /// Memory of the matrix in f64.
        gigabytes: f64,
    },
    /// Two operators, or an operator and a vector, live on different devices.
    #[error("{what} is on {found}, but {expected} is needed: move it with `to_device`")]
    Device {
        /// What is on the other device.
        what: &'static str,
        /// The device that is needed.
        expected: String,
        /// The device that was found.
        found: String,
    },
    /// No parameter has this name, or none this prefix.
    #[error("no parameter is named {name}, nor lies below it: the layout knows {known}")]
    UnknownParameter {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A product that is a solve did not reach its tolerance.
    #[error(
        "the solve behind a product with {what} ended as {ending} with a relative residual of {relative_residual:.2e} after {applications} operator applications: allow more iterations, damp, precondition, or accept it with `Unconverged::Accept`"
    )]
    Unsolved {
        /// Which operator.
        what: &'static str,
        /// How the solve ended.
        ending: String,
        /// ‖b − Ax‖ / ‖b‖.
        relative_residual: f64,
        /// Operator applications spent.
        applications: usize,
    },
    /// A decomposition of faer did not converge.
    #[error("the eigenvalues of a {dim}×{dim} matrix did not converge")]
    Decomposition {
        /// Dimension of the matrix.
        dim: usize,
    },
    /// The loss does not depend on some parameters, in strict mode.
    #[error(
        "the loss does not depend on {names}: remove these parameters, freeze them, or allow them with `Unreached::Zero`"
    )]
    Unreached {
        /// The parameters.
        names: String,
    },
    /// The objective has no outputs apart from its loss.
    #[error(
        "this objective was made with `Objective::of_loss` and has no outputs: make it with `Objective::new(outputs, loss)`"
    )]
    NoOutputs,
    /// The outputs are not laid out by examples.
    #[error(
        "the outputs have first length {rows} for {examples} examples: per-example quantities need the examples along the first dimension of the outputs"
    )]
    OutputsPerExample {
        /// First length of the outputs.
        rows: usize,
        /// Number of examples of the batch.
        examples: usize,
    },
    /// The loss has another Hessian by the outputs than the likelihood says.
    #[error(
        "the loss is no {likelihood} likelihood: its Hessian by the outputs is off by {defect:.1e} of its norm (weights by example or class, another reduction inside, label smoothing, or a mask?): use `Point::gauss_newton`, which takes any loss"
    )]
    NotThisLikelihood {
        /// The likelihood that was named.
        likelihood: &'static str,
        /// Relative difference to the best multiple of its Hessian.
        defect: f64,
    },
    /// A batch of a dataset could not be loaded.
    #[error("batch {index} of the dataset could not be loaded: {source}")]
    Load {
        /// Position of the batch.
        index: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The loss of a batch is not what the reduction says.
    #[error(
        "the loss of the batch is {loss}, but the {reduction} of the losses of its examples is {expected}: say how the loss reduces with `Objective::reduction`; a loss whose examples act on each other cannot be taken apart"
    )]
    Reduction {
        /// The loss of the batch.
        loss: f64,
        /// The reduction that was stated.
        reduction: &'static str,
        /// What it gives.
        expected: f64,
    },
    /// Something is only defined for a (semi)definite operator.
    #[error(
        "{what} needs a definite operator, but it has an eigenvalue near {eigenvalue}: add damping, or take a Gauss-Newton matrix"
    )]
    Indefinite {
        /// What was asked for.
        what: &'static str,
        /// The offending eigenvalue.
        eigenvalue: f64,
    },
    /// The Hessian of the loss by the outputs does not fit into memory.
    #[error(
        "the Hessian of the loss by the outputs has {blocks} blocks of dimension {dim} and needs {gigabytes:.1} GB: use \
         `Factors::Empirical`, or a batch with fewer examples (a cross entropy or a loss that is a sum over outputs needs no blocks)"
    )]
    LossHessianTooLarge {
        /// Number of blocks.
        blocks: usize,
        /// Dimension of a block.
        dim: usize,
        /// Memory of all blocks in f64.
        gigabytes: f64,
    },
    /// The loss is no sum over examples.
    #[error(
        "the loss couples the outputs of different examples (a part of {relative:.1e} of a product with its Hessian by the outputs \
         lies between them), so that it has no factors for each example, as a contrastive loss has none: use products with \
         `Point::gauss_newton`, or a batch whose `examples` counts each coupled group as one"
    )]
    ExamplesCoupled {
        /// ‖H r − blocks r‖ / ‖H r‖ for a random r.
        relative: f64,
    },
    /// The Hessian of the loss by the outputs has negative eigenvalues.
    #[error(
        "the loss is not convex in the outputs: its Hessian by them has the eigenvalue {eigenvalue:.3e} and no real square root. Choose \
         the outputs closer to the loss, such as logits for a cross entropy, or use `Factors::Empirical`"
    )]
    LossNotConvex {
        /// A negative eigenvalue.
        eigenvalue: f64,
    },
    /// A layer mixes examples.
    #[error(
        "the outputs of one example depend on the activations of another in the layer of `{layer}`, as with batch norm in training \
         mode: there are no gradients of single examples. Use `Mode::Evaluation`, or `Factors::MonteCarlo` with `WeightSharing::Expand`"
    )]
    ExamplesMixed {
        /// The weight of the layer.
        layer: String,
    },
    /// An argument has no meaning.
    #[error("{name} is {value}, but {requirement}")]
    Argument {
        /// The argument's name.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is required of it.
        requirement: &'static str,
    },
    /// A parameter's shape does not fit the role that it is given.
    #[error("parameter `{name}` has shape {found:?}, but {requirement}")]
    ParameterShape {
        /// The parameter.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What the role needs.
        requirement: String,
    },
    /// A map of hidden units that changes what the network computes.
    #[error("this is no symmetry of hidden layer {layer}: {requirement}")]
    NoSymmetry {
        /// The hidden layer, from 0.
        layer: usize,
        /// What a symmetry of that layer is.
        requirement: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: crate::eigen::FileProblem,
    },
}

/// The error for an argument without meaning.
pub(crate) fn argument(
    name: &'static str,
    value: f64,
    requirement: &'static str,
) -> CurvatureError {
    CurvatureError::Argument {
        name,
        value,
        requirement,
    }
}

/// The error for a batch of a dataset that cannot be loaded.
pub(crate) fn not_loaded(
    index: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> CurvatureError {
    CurvatureError::Load {
        index,
        source: Box::new(error),
    }
}

/// The number, or an error where it is NaN or infinite.
pub(crate) fn finite(what: &'static str, value: f64) -> Result<f64, CurvatureError> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(CurvatureError::NonFinite { what, value }),
    }
}

/// An error for another dimension than the expected one.
pub(crate) fn check_dimension(
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), CurvatureError> {
    match found == expected {
        true => Ok(()),
        false => Err(CurvatureError::Dimension {
            what,
            expected,
            found,
        }),
    }
}
