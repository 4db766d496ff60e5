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
}
