//! Backwards through the iterates, then along the line.

use burn::prelude::*;

use super::HessianFree;
use super::solve::Candidate;
use crate::method::along;
use crate::{Armijo, Line, LineSearch, OptimError, Oracle};

impl HessianFree {
    /// The loss along the iterates, from the last one back as long as it does not rise.
    pub(super) fn backtrack(
        oracle: &mut Oracle,
        theta: &Tensor<1>,
        mut candidates: Vec<Candidate>,
    ) -> Result<Option<(Candidate, f64)>, OptimError> {
        let mut loss_at = |d: &Tensor<1>| -> Result<f64, OptimError> {
            let loss = oracle.loss(&along(theta, d, 1.0))?;
            Ok(if loss.is_finite() {
                loss
            } else {
                f64::INFINITY
            })
        };
        let Some(mut chosen) = candidates.pop() else {
            return Ok(None);
        };
        let mut loss = loss_at(&chosen.d)?;
        while let Some(earlier) = candidates.pop() {
            let found = loss_at(&earlier.d)?;
            if found > loss {
                break;
            }
            (chosen, loss) = (earlier, found);
        }
        Ok(Some((chosen, loss)))
    }

    /// Where the line from θ along d leads, with f(θ + d) known.
    pub(super) fn search_from(
        &self,
        oracle: &mut Oracle,
        line: Line<'_>,
        loss_at_one: f64,
    ) -> Result<LineSearch, OptimError> {
        // an iterate behind a warm start may point uphill
        if line.slope >= 0.0 {
            return Ok(LineSearch::Exhausted { trials: 0 });
        }
        if loss_at_one <= line.loss + self.search.sufficient_decrease * line.slope {
            return Ok(LineSearch::Found {
                theta: along(line.theta, line.direction, 1.0),
                alpha: 1.0,
                loss: loss_at_one,
                trials: 1,
            });
        }
        let rest = Armijo {
            max_trials: self.search.max_trials.saturating_sub(1).max(1),
            ..self.search
        };
        rest.search(oracle, line, self.search.shrink)
    }
}
