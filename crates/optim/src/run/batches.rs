use ravine_curvature::{CurvatureError, Point};

use crate::OptimError;

/// What the steps of a run see: the whole data each time, or a stream of batches.
pub struct Batches<'a> {
    source: Source<'a>,
    evaluation: Option<Evaluation>,
    measure: bool,
}

/// The batch of a step, by its number.
type Stream<'a> = Box<dyn FnMut(usize) -> Result<Point, CurvatureError> + 'a>;

enum Source<'a> {
    Fixed(Point),
    Stream(Stream<'a>),
}

struct Evaluation {
    data: Point,
    every: usize,
}

impl<'a> Batches<'a> {
    /// The same point in every step.
    pub fn fixed(point: Point) -> Self {
        Self {
            source: Source::Fixed(point),
            evaluation: None,
            measure: false,
        }
    }

    /// The batch of step 0, 1, 2 …, each as a point of the same model; its own θ does not matter.
    ///
    /// The closure draws or cuts the batch and calls `objective.at(&model, &batch)`, which records nothing for shapes it
    /// has seen.
    pub fn stream(batch: impl FnMut(usize) -> Result<Point, CurvatureError> + 'a) -> Self {
        Self {
            source: Source::Stream(Box::new(batch)),
            evaluation: None,
            measure: false,
        }
    }

    /// Evaluates the loss on other data (the whole training set, say) before step 0, `every`, 2 `every` …: the loss on which a
    /// target is judged. It is neither counted nor timed.
    pub fn evaluated_on(self, data: Point, every: usize) -> Self {
        let evaluation = Some(Evaluation {
            data,
            every: every.max(1),
        });
        Self { evaluation, ..self }
    }

    /// Measures the change of the loss by each step on the step's own batch, at one loss more per step that is neither counted
    /// nor timed. On the whole data the change is known anyway.
    pub fn measuring_changes(self) -> Self {
        Self {
            measure: true,
            ..self
        }
    }

    /// The batch of a step.
    pub(super) fn at_step(&mut self, step: usize) -> Result<Point, OptimError> {
        match &mut self.source {
            Source::Fixed(point) => Ok(point.clone()),
            Source::Stream(batch) => Ok(batch(step)?),
        }
    }

    pub(super) fn are_fixed(&self) -> bool {
        matches!(self.source, Source::Fixed(_))
    }

    pub(super) fn measure_changes(&self) -> bool {
        self.measure && !self.are_fixed()
    }

    pub(super) fn have_evaluation(&self) -> bool {
        self.evaluation.is_some()
    }

    /// The data to evaluate before this step.
    pub(super) fn evaluation(&self, step: usize) -> Option<&Point> {
        let evaluation = self.evaluation.as_ref()?;
        step.is_multiple_of(evaluation.every)
            .then_some(&evaluation.data)
    }
}

impl From<Point> for Batches<'_> {
    fn from(point: Point) -> Self {
        Self::fixed(point)
    }
}

impl From<&Point> for Batches<'_> {
    fn from(point: &Point) -> Self {
        Self::fixed(point.clone())
    }
}
