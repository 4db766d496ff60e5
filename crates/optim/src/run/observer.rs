use std::ops::ControlFlow;

use ravine_curvature::Point;

use super::Row;
use crate::{OptimError, Step};

/// Watches a run step by step, and may stop it. Any `FnMut(&Progress) -> ControlFlow<()>` is one.
///
/// What an observer evaluates is not on the method's bill, nor is its time.
///
/// # Example
///
/// ```
/// use std::ops::ControlFlow;
/// use ravine_optim::{Observer, Progress};
///
/// let mut losses = Vec::new();
/// let mut watch = |progress: &Progress<'_>| {
///     losses.push(progress.row.loss);
///     match losses.len() {
///         0..100 => ControlFlow::Continue(()),
///         _ => ControlFlow::Break(()),
///     }
/// };
/// let observer: &mut dyn Observer = &mut watch;
/// # let _ = observer;
/// ```
pub trait Observer {
    /// Called after each step.
    ///
    /// # Errors
    ///
    /// What the observer's own evaluations report; they end the run with the error.
    fn observe(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, OptimError>;
}

/// What an observer sees of a step.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The row of the step.
    pub row: &'a Row,
    /// The step itself, with the parameters after it.
    pub step: &'a Step,
    /// The step's batch at the parameters before it: monitors measured here are not counted.
    pub point: &'a Point,
}

impl<F: FnMut(&Progress<'_>) -> ControlFlow<()>> Observer for F {
    fn observe(&mut self, progress: &Progress<'_>) -> Result<ControlFlow<()>, OptimError> {
        Ok(self(progress))
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _progress: &Progress<'_>) -> Result<ControlFlow<()>, OptimError> {
        Ok(ControlFlow::Continue(()))
    }
}
