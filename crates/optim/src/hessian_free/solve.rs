//! The solve of a step, and the directions that it leaves.

use burn::prelude::*;
use ravine_curvature::solve::{JacobiOptions, jacobi};
use ravine_curvature::{
    CgEnding, CgOptions, CgResult, Damped, Diagonal, Iterates, LinearOperator, conjugate_gradient,
    vector,
};

use super::{HessianFree, is_downhill};
use crate::method::Start;
use crate::{OptimError, Oracle};

/// A direction with the quadratic model along it, without damping.
pub(super) struct Candidate {
    pub(super) d: Tensor<1>,
    /// gᵀd.
    pub(super) slope: f64,
    /// dᵀBd.
    curvature: f64,
}

impl Candidate {
    /// α gᵀd + ½ α² dᵀBd.
    pub(super) fn promise(&self, alpha: f64) -> f64 {
        alpha * self.slope + 0.5 * alpha * alpha * self.curvature
    }

    /// From an iterate x with φ(x) = ½ xᵀ(B + λI)x + gᵀx.
    fn of_iterate(d: Tensor<1>, model_value: f64, lambda: f64, gradient: &Tensor<1>) -> Self {
        let slope = vector::dot(gradient, &d);
        let curvature = 2.0 * (model_value - slope) - lambda * vector::dot(&d, &d);
        Self {
            d,
            slope,
            curvature,
        }
    }
}

/// The iterates that were kept, in order; the first direction alone where it curves downwards.
pub(super) fn candidates(solve: CgResult, lambda: f64, gradient: &Tensor<1>) -> Vec<Candidate> {
    if solve.iterations > 0 {
        let iterates = solve.iterates.into_iter();
        return iterates
            .map(|x| Candidate::of_iterate(x.solution, x.model_value, lambda, gradient))
            .collect();
    }
    match solve.ending {
        CgEnding::NegativeCurvature {
            direction,
            rayleigh,
        } => vec![Candidate {
            slope: vector::dot(gradient, &direction),
            curvature: (rayleigh - lambda) * vector::dot(&direction, &direction),
            d: direction,
        }],
        _ => {
            let value = solve.model_value();
            vec![Candidate::of_iterate(
                solve.solution,
                value,
                lambda,
                gradient,
            )]
        }
    }
}

impl HessianFree {
    /// The solve of (B + λI) x = −g, from the last solution or from zero.
    pub(super) fn solve(
        &self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        lambda: f64,
    ) -> Result<CgResult, OptimError> {
        let preconditioner = self.preconditioner(oracle, start.theta, lambda)?;
        let matrix = Damped::new(self.operator(oracle, start.theta)?, lambda);
        let b = -start.gradient.clone();
        let solve_from = |x: Option<&Tensor<1>>| {
            let options = CgOptions {
                max_iterations: Some(self.max_iterations),
                relative_tolerance: self.tolerance,
                preconditioner: preconditioner.as_ref().map(|m| m as &dyn LinearOperator),
                start: x,
                stop: self.stop,
                iterates: Iterates::Geometric {
                    ratio: self.iterate_ratio,
                },
                ..CgOptions::default()
            };
            conjugate_gradient(&matrix, &b, &options)
        };
        let warm = match &self.memory.solution {
            Some(solution) if self.decay > 0.0 => solution.on(start.theta)?.mul_scalar(self.decay),
            _ => return Ok(solve_from(None)?),
        };
        let solve = solve_from(Some(&warm))?;
        let turned =
            solve.iterations == 0 && matches!(solve.ending, CgEnding::NegativeCurvature { .. });
        match turned || !is_downhill(&start.gradient, &solve.solution) {
            true => Ok(solve_from(None)?),
            false => Ok(solve),
        }
    }

    fn preconditioner(
        &self,
        oracle: &mut Oracle,
        theta: &Tensor<1>,
        lambda: f64,
    ) -> Result<Option<Diagonal>, OptimError> {
        let Some((factors, exponent)) = self.preconditioning.diagonal() else {
            return Ok(None);
        };
        let diagonal = oracle.curvature_diagonal(theta, &factors)?;
        let options = JacobiOptions {
            damping: lambda,
            exponent,
            ..JacobiOptions::default()
        };
        Ok(Some(jacobi(&diagonal, &options)?))
    }
}
