//! One pass over all batches of a dataset that puts together what each of them gives.

use super::Dataset;
use crate::error::CurvatureError;
use crate::kfac::Accumulation;
use crate::point::Point;
use crate::progress::{Observer, Progress};
use serde::{Deserialize, Serialize};

/// Whether a pass over a dataset saw all batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassEnding {
    /// All batches are in the result.
    Complete,
    /// The observer asked to stop; the last batches are not in the result.
    Stopped,
}

/// What an observed pass over a [`Dataset`] gave: that of a dataset of the first batches only, if the observer stopped it.
///
/// The batches that were seen are weighted among themselves: for [`Reduction::Mean`](crate::Reduction::Mean) the value is the mean over
/// their examples, for [`Reduction::Sum`](crate::Reduction::Sum) the sum over them, which still grows with each batch.
#[derive(Clone, Debug)]
pub struct Gathered<T> {
    /// What the batches gave together.
    pub value: T,
    /// Batches that it holds.
    pub batches: usize,
    /// Examples that it holds.
    pub examples: usize,
    /// Whether these are all.
    pub ending: PassEnding,
}

impl<T> Gathered<T> {
    /// The same of something that is made of the value.
    pub(super) fn try_map<S>(
        self,
        make: impl FnOnce(T) -> Result<S, CurvatureError>,
    ) -> Result<Gathered<S>, CurvatureError> {
        Ok(Gathered {
            value: make(self.value)?,
            batches: self.batches,
            examples: self.examples,
            ending: self.ending,
        })
    }
}

impl Dataset<'_> {
    /// Visits one batch after the other: `of_batch` makes the part of a batch, `join` takes a new part in, with the weights of what is
    /// there and of what is new.
    pub(super) fn gather<T>(
        &self,
        observer: &mut Observer<'_>,
        of_batch: impl Fn(usize, &Point) -> Result<T, CurvatureError>,
        join: impl Fn(&mut T, &T, [f64; 2]) -> Result<(), CurvatureError>,
    ) -> Result<Gathered<T>, CurvatureError> {
        let most = self.batches();
        let span = tracing::debug_span!("pass over a dataset", batches = most);
        let _entered = span.enter();
        let mut gathered: Option<Gathered<T>> = None;
        for index in 0..most {
            let (point, _) = self.batch(index)?;
            let (new, examples) = (of_batch(index, &point)?, point.examples());
            match &mut gathered {
                None => {
                    gathered = Some(Gathered {
                        value: new,
                        batches: 1,
                        examples,
                        ending: PassEnding::Complete,
                    });
                }
                Some(seen) => {
                    join(
                        &mut seen.value,
                        &new,
                        self.weights(seen.examples, examples)?,
                    )?;
                    seen.batches += 1;
                    seen.examples += examples;
                }
            }
            let done = index + 1;
            let progress = Progress {
                applications: done,
                most: Some(most),
                measure: None,
            };
            if observer(&progress).is_break() && done < most {
                let gathered = gathered.expect("a batch was visited");
                return Ok(Gathered {
                    ending: PassEnding::Stopped,
                    ..gathered
                });
            }
        }
        Ok(gathered.expect("a dataset has a batch"))
    }

    /// Weights of the batches that were seen and of a new one, by their examples.
    fn weights(&self, seen: usize, new: usize) -> Result<[f64; 2], CurvatureError> {
        let (weights, _) = Accumulation::from(self.reduction).weights(seen as f64, new as f64)?;
        Ok(weights)
    }
}
