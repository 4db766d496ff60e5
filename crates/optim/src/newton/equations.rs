//! The Newton equations of one step, and what their solution promises.

use burn::prelude::*;
use faer::MatRef;
use ravine_curvature::vector;

use super::factor::Factored;
use crate::StepEnding;
use crate::method::Move;

/// A direction and what the quadratic model says about it.
pub(super) struct Direction {
    pub(super) d: Tensor<1>,
    /// gᵀd.
    pub(super) slope: f64,
    /// dᵀHd, by the equation that d solves: −gᵀd − λ dᵀd.
    curvature: f64,
}

impl Direction {
    /// α gᵀd + ½ α² dᵀHd.
    pub(super) fn predicted_change(&self, alpha: f64) -> f64 {
        alpha * self.slope + 0.5 * alpha * alpha * self.curvature
    }

    /// The move to `theta`, which lies at α along this direction.
    pub(super) fn step_to(&self, theta: Tensor<1>, alpha: f64, ending: StepEnding) -> Move {
        Move {
            theta,
            learning_rate: Some(alpha),
            predicted_change: Some(self.predicted_change(alpha)),
            ending,
        }
    }
}

/// The Newton equations of one step.
pub(super) struct Equations<'a> {
    pub(super) hessian: MatRef<'a, f64>,
    pub(super) gradient: Vec<f64>,
    /// Gives directions their device and dtype.
    pub(super) like: &'a Tensor<1>,
}

impl Equations<'_> {
    pub(super) fn solve(&self, factored: &Factored, lambda: f64) -> Direction {
        let rhs: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
        let d = factored.solve(&rhs);
        let slope = dot(&self.gradient, &d);
        Direction {
            slope,
            curvature: -slope - lambda * dot(&d, &d),
            d: vector::from_f64(&d, &self.like.device(), self.like.dtype()),
        }
    }

    /// The ending for a matrix H + λI with a negative eigenvalue: where vᵀ(H + λI)v < 0, vᵀHv is negative too.
    pub(super) fn negative_curvature(&self, factored: &Factored) -> Option<StepEnding> {
        let v = factored.downward_direction()?;
        Some(StepEnding::NegativeCurvature {
            rayleigh: self.quadratic_form(&v) / dot(&v, &v),
            direction: vector::from_f64(&v, &self.like.device(), self.like.dtype()),
        })
    }

    /// vᵀHv.
    fn quadratic_form(&self, v: &[f64]) -> f64 {
        let dim = v.len();
        (0..dim)
            .map(|j| {
                let column: f64 = (0..dim).map(|i| self.hessian[(i, j)] * v[i]).sum();
                column * v[j]
            })
            .sum()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
