use super::probe::{Probe, Probes};
use crate::eigen::basis::Numbers;
use crate::error::{CurvatureError, argument};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress};
use crate::rows::Rows;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// When an estimate by independent samples has enough of them.
///
/// An interval after [`RelativeError`](StoppingRule::RelativeError) covers a little less often than it says, because small errors
/// that arose by chance stop the sampling early; `least` keeps that small.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoppingRule {
    /// After this many probes.
    Probes(usize),
    /// When the standard error is below a fraction of the estimate.
    RelativeError {
        /// Standard error relative to the value.
        tolerance: f64,
        /// Probes before it is looked at; at least 2.
        least: usize,
        /// Probes at most.
        most: usize,
    },
}

impl Default for StoppingRule {
    fn default() -> Self {
        Self::Probes(100)
    }
}

/// How sampling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplingEnding {
    /// All probes that were asked for were used.
    Finished,
    /// The relative standard error came below its tolerance.
    ToleranceReached,
    /// The most probes allowed were used before the tolerance was reached.
    ProbesSpent,
    /// As many products as dimensions were allowed, so the result was computed without chance.
    Exact,
    /// The observer asked to stop.
    Stopped,
}

impl StoppingRule {
    pub(super) fn check(&self) -> Result<(), CurvatureError> {
        match *self {
            Self::Probes(0) => Err(argument("probes", 0.0, "at least one probe is needed")),
            Self::Probes(_) => Ok(()),
            Self::RelativeError { tolerance, .. } if tolerance.is_nan() || tolerance < 0.0 => {
                Err(argument("tolerance", tolerance, "it must not be negative"))
            }
            Self::RelativeError { least, .. } if least < 2 => Err(argument(
                "least",
                least as f64,
                "two probes are the fewest that show a standard error",
            )),
            Self::RelativeError { least, most, .. } if most < least => {
                Err(argument("most", most as f64, "it must be at least `least`"))
            }
            Self::RelativeError { .. } => Ok(()),
        }
    }

    pub(super) fn most(&self) -> usize {
        match *self {
            Self::Probes(count) => count,
            Self::RelativeError { most, .. } => most,
        }
    }

    /// How many probes to take next, or why none.
    fn next(&self, done: usize, relative: Option<f64>) -> Result<usize, SamplingEnding> {
        match *self {
            Self::Probes(count) if done >= count => Err(SamplingEnding::Finished),
            Self::Probes(count) => Ok(count - done),
            Self::RelativeError { least, .. } if done < least => Ok(least - done),
            Self::RelativeError { tolerance, .. }
                if relative.is_some_and(|error| error <= tolerance) =>
            {
                Err(SamplingEnding::ToleranceReached)
            }
            Self::RelativeError { most, .. } if done >= most => Err(SamplingEnding::ProbesSpent),
            Self::RelativeError {
                tolerance, most, ..
            } => {
                // the error falls as 1/√probes; look again halfway, since the prediction itself is a guess
                let ratio = (relative.unwrap_or(f64::INFINITY) / tolerance).powi(2);
                let needed = (done as f64 * (ratio - 1.0) / 2.0).ceil();
                Ok((needed.clamp(1.0, done as f64) as usize).min(most - done))
            }
        }
    }
}

/// Takes blocks of probes, each with its products.
type Visit<'a> = dyn FnMut(&[(Rows, Rows)]) -> Result<Option<f64>, CurvatureError> + 'a;

/// Draws probes v, multiplies them in blocks and hands probes and products on, blocks of at least `gathered` probes together.
///
/// `visit` returns the relative standard error so far, where there is one.
pub(super) fn sample(
    operator: &dyn LinearOperator,
    probe: Probe,
    stopping: StoppingRule,
    seed: Seed,
    gathered: usize,
    observer: &mut Observer<'_>,
    visit: &mut Visit<'_>,
) -> Result<SamplingEnding, CurvatureError> {
    stopping.check()?;
    if operator.dim() == 0 {
        return Ok(SamplingEnding::Exact);
    }
    let probes = Probes::new(operator, probe, seed);
    let (device, dtype) = (operator.device(), operator.dtype());
    let block_size = operator.block_size().max(1);
    let (mut done, mut relative) = (0, None);
    let mut blocks: Vec<(Rows, Rows)> = Vec::new();
    let mut spare: Vec<Numbers> = Vec::new();
    loop {
        let mut wanted = match stopping.next(done, relative) {
            Ok(wanted) => wanted.min(block_size.max(gathered)),
            Err(ending) => return Ok(ending),
        };
        while wanted > 0 {
            let count = wanted.min(block_size);
            let block = probes.block_in(spare.pop(), done, count);
            let block = block.into_tensor(&device, dtype);
            let products = Rows::from_tensor(operator.apply_block(&block)?);
            // the same memory again, where the device is this machine's
            blocks.push((Rows::from_tensor(block), products));
            (done, wanted) = (done + count, wanted - count);
        }
        relative = visit(&blocks)?;
        spare.extend(blocks.drain(..).map(|(block, _)| block.numbers));
        let progress = Progress {
            applications: done,
            most: Some(stopping.most()),
            measure: relative,
        };
        let last = stopping.next(done, relative).is_err();
        if observer(&progress).is_break() && !last {
            return Ok(SamplingEnding::Stopped);
        }
    }
}
