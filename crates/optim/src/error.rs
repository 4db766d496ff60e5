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
    /// A saved state belongs to another method.
    #[error(
        "this state belongs to `{found}`, not to `{expected}`: load it into the method that made it"
    )]
    StateOfAnother {
        /// The kind of the method that was asked.
        expected: String,
        /// The kind of the method that made it.
        found: String,
    },
    /// A saved state was made with a model of another size.
    #[error(
        "the method's state holds vectors of {found} numbers, but theta has {expected}: it was made with another model"
    )]
    StateDimension {
        /// Length of θ.
        expected: usize,
        /// Length of the vectors.
        found: usize,
    },
    /// A saved state could not be written or read.
    #[error("the state of {kind} could not be written or read: {reason}")]
    State {
        /// The kind of the method.
        kind: String,
        /// Why.
        reason: String,
    },
    /// The method does not say what it remembers.
    #[error(
        "`{method}` has no way to save its state: implement `Method::state` and `Method::load_state` for it"
    )]
    NoState {
        /// Its name.
        method: String,
    },
    /// An optimiser's step is not proportional to its rate.
    #[error(
        "the step of `{name}` is not proportional to its learning rate (off by {defect:.1e} at half of it), so that it has no direction: \
         switch off what depends on the rate (relative steps of Adafactor, the proximal decay of Adan), or run it as a `BurnOptimizer`"
    )]
    NotProportional {
        /// The optimiser.
        name: String,
        /// Relative difference of the directions at one rate and at half of it.
        defect: f64,
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

/// A decay rate of a moving average.
pub(crate) fn fraction(option: &'static str, value: f64) -> Result<(), OptimError> {
    let inside = (0.0..1.0).contains(&value);
    in_range(option, value, "at least 0 and below 1", inside)
}

/// A weight of a penalty.
pub(crate) fn not_negative(option: &'static str, value: f64) -> Result<(), OptimError> {
    let inside = value >= 0.0 && value.is_finite();
    in_range(option, value, "at least 0 and finite", inside)
}
