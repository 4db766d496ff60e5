use ravine_curvature::CurvatureError;
use thiserror::Error;

/// Misuse of a method or of the loop; how a computation ended numerically is data, not an error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptimError {
    /// Evaluating the loss, its gradient or a product failed.
    #[error(transparent)]
    Curvature(#[from] CurvatureError),
    /// An option is outside of its range.
    #[error("{option} is {value}, but must be {expected}")]
    Option {
        /// Which option.
        option: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// A vector of parameters does not fit the batch's point.
    #[error("theta has {found} numbers, but the model of this batch has {expected} parameters")]
    Dimension {
        /// Parameters of the model.
        expected: usize,
        /// Numbers handed in.
        found: usize,
    },
    /// A parameter has a rank that Burn's optimisers do not take.
    #[error(
        "parameter `{name}` has rank {rank}, but Burn's optimisers take ranks 1 to 8: reshape it in the model"
    )]
    Rank {
        /// The parameter.
        name: String,
        /// Its rank.
        rank: usize,
    },
    /// Nothing in the budget is sure to end the run.
    #[error(
        "the budget has no limit: set at least one of steps, gradient_equivalents and seconds, since a target may never be reached"
    )]
    Unbounded,
    /// A target was set for a stream of batches without saying on which data it is to be reached.
    #[error(
        "a target loss needs data on which it is judged, since the losses of single batches scatter: \
         give the stream a point with `Batches::evaluated_on`"
    )]
    TargetWithoutEvaluation,
}

/// The option's value when it lies in the range, the error that names it when it does not.
pub(crate) fn in_range(
    option: &'static str,
    value: f64,
    expected: &'static str,
    holds: bool,
) -> Result<(), OptimError> {
    match holds {
        true => Ok(()),
        false => Err(OptimError::Option {
            option,
            value,
            expected,
        }),
    }
}
