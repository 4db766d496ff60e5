//! Searches along the step of Newton-MR: backwards by the norm of the gradient, backwards and forwards by the loss.

use burn::prelude::*;
use ravine_curvature::vector;

use crate::method::along;
use crate::{Armijo, Line, LineSearch, OptimError, Oracle};

/// What a search found.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per step, next to whole vectors"
)]
pub(super) enum Found {
    Step {
        theta: Tensor<1>,
        alpha: f64,
    },
    Nothing {
        trials: usize,
        /// The slope of what had to fall.
        slope: f64,
    },
}

/// The first α = 1, β, β² … with f(θ + αd) ≤ f(θ) + c α gᵀd.
pub(super) fn by_loss(
    rule: &Armijo,
    oracle: &mut Oracle,
    line: Line<'_>,
) -> Result<Found, OptimError> {
    Ok(match rule.search(oracle, line, 1.0)? {
        LineSearch::Found { theta, alpha, .. } => Found::Step { theta, alpha },
        LineSearch::Exhausted { trials } => Found::Nothing {
            trials,
            slope: line.slope,
        },
    })
}

/// As [`by_loss`], and from α = 1 on to 1/β, 1/β² …, to the last before the first that fails.
///
/// # References
///
/// Liu and Roosta (2022), A Newton-MR algorithm with complexity guarantees, Algorithm 3 (forward and backward tracking).
pub(super) fn forward(
    rule: &Armijo,
    oracle: &mut Oracle,
    line: Line<'_>,
) -> Result<Found, OptimError> {
    let mut best = by_loss(rule, oracle, line)?;
    let mut alpha = 1.0;
    for _ in 1..rule.max_trials {
        if !matches!(best, Found::Step { alpha: reached, .. } if reached == alpha) {
            break;
        }
        let further = alpha / rule.shrink;
        let theta = along(line.theta, line.direction, further);
        let loss = oracle.loss(&theta)?;
        let enough = line.loss + rule.sufficient_decrease * further * line.slope;
        if !(loss.is_finite() && loss <= enough) {
            break;
        }
        alpha = further;
        best = Found::Step { theta, alpha };
    }
    Ok(best)
}

/// The first α = 1, β, β² … with ‖∇f(θ + αd)‖² ≤ ‖g‖² + c α · 2gᵀHd.
pub(super) fn by_gradient_norm(
    rule: &Armijo,
    oracle: &mut Oracle,
    line: Line<'_>,
    gtg: f64,
    norm_slope: f64,
) -> Result<Found, OptimError> {
    let nothing = |trials| Found::Nothing {
        trials,
        slope: norm_slope,
    };
    if norm_slope.is_nan() || norm_slope >= 0.0 {
        return Ok(nothing(0));
    }
    let mut alpha = 1.0;
    for _ in 0..rule.max_trials {
        let theta = along(line.theta, line.direction, alpha);
        let (_, gradient) = oracle.gradient(&theta)?;
        let after = vector::dot(&gradient, &gradient);
        if after.is_finite() && after <= gtg + rule.sufficient_decrease * alpha * norm_slope {
            return Ok(Found::Step { theta, alpha });
        }
        alpha *= rule.shrink;
    }
    Ok(nothing(rule.max_trials))
}
