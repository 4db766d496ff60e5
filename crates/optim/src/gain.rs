//! How well a model foretold what the loss did, and what a method makes of it.

use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::vector;

use crate::method::{Move, Start, along};
use crate::{OptimError, Oracle, StepEnding};

/// ρ = (f(θ + s) − f(θ) − δ) / (m(s) − δ) of a model that promises the change m(s) < 0, with δ = 10 ε |f(θ)|.
///
/// δ is what rounding leaves of a difference of losses: without it ρ is noise at a minimum. ε is 2.2e-16 in f64 and 1.2e-7 in f32.
/// A loss that is not finite has ρ = −∞.
///
/// # References
///
/// A. R. Conn, N. I. M. Gould and P. L. Toint, Trust-region methods, 2000, section 17.4.2.
pub(crate) fn gain(before: f64, after: f64, promised: f64, dtype: DType) -> f64 {
    let delta = 10.0 * epsilon(dtype) * before.abs();
    let gain = (after - before - delta) / (promised - delta);
    match after.is_finite() && gain.is_finite() {
        true => gain,
        false => f64::NEG_INFINITY,
    }
}

/// The distance from 1 to the next number.
pub(crate) fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2.0_f64.powi(-10),
        DType::BF16 => 2.0_f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    }
}

/// A step that is to be tried as a whole.
pub(crate) struct Trial {
    /// s.
    pub(crate) step: Tensor<1>,
    /// m(s).
    pub(crate) promised: f64,
    /// How the step ends when it is taken.
    pub(crate) ending: StepEnding,
}

/// What became of a trial.
pub(crate) enum Verdict {
    /// ρ is high enough: the step is taken.
    Taken { gain: f64, to: Move },
    /// ρ is too low: θ stays.
    Rejected { gain: f64, to: Move },
    /// θ + s is θ to rounding, or s is not finite: there is nothing to try.
    Nothing { to: Move },
}

impl Trial {
    /// Evaluates the loss at θ + s and takes the step when ρ > `accept`.
    pub(crate) fn judge(
        self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        accept: f64,
    ) -> Result<Verdict, OptimError> {
        let theta = along(start.theta, &self.step, 1.0);
        let moved = vector::norm(&(theta.clone() - start.theta.clone()));
        if !(moved > 0.0 && moved.is_finite()) {
            let slope = vector::dot(&start.gradient, &self.step);
            let ending = StepEnding::NoDecrease { trials: 0, slope };
            return Ok(Verdict::Nothing {
                to: Move::nowhere(start, ending),
            });
        }
        let after = oracle.loss(&theta)?;
        let gain = gain(start.loss, after, self.promised, start.gradient.dtype());
        if gain > accept {
            let to = Move {
                theta,
                learning_rate: Some(1.0),
                predicted_change: Some(self.promised),
                ending: self.ending,
            };
            return Ok(Verdict::Taken { gain, to });
        }
        let to = Move::nowhere(start, StepEnding::Rejected { gain });
        Ok(Verdict::Rejected { gain, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_that_rounding_does_not_spoil() {
        assert!((gain(1.0, 0.5, -1.0, DType::F64) - 0.5).abs() < 1e-14);
        assert!((gain(1.0, 1.5, -1.0, DType::F64) + 0.5).abs() < 1e-14);
        // A promise below the rounding of the loss, and a loss that rounding raised.
        let noisy = gain(1.0, 1.0 + f64::EPSILON, -1e-18, DType::F64);
        assert!((noisy - 0.9).abs() < 1e-3, "{noisy}");
        // In f32 a change of 1e-7 is rounding, in f64 it is not.
        assert!(gain(1.0, 1.0 + 1e-7, -1e-9, DType::F32) > 0.9);
        assert!(gain(1.0, 1.0 + 1e-7, -1e-9, DType::F64) < -99.0);
    }

    #[test]
    fn a_loss_that_is_not_finite_gains_nothing() {
        for after in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(gain(1.0, after, -1.0, DType::F64), f64::NEG_INFINITY);
        }
        assert_eq!(gain(0.0, 0.0, 0.0, DType::F64), f64::NEG_INFINITY);
    }
}
