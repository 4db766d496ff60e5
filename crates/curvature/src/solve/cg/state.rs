//! The recurrences of conjugate gradients without their operator, so that many solves can share blocks of products.

use super::{CgEnding, CgIterate, CgOptions, CgProgress, CgResult, CgStop, Iterates};
use crate::solve::host::{Operand, axpy, norm, xpby};
use crate::vector::dot_f64;
use std::ops::ControlFlow;

/// What a solve waits for.
pub(super) enum Need<'a> {
    /// M r.
    Preconditioned(&'a [f64]),
    /// H p.
    Product(&'a [f64]),
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Preconditioning,
    Multiplying,
}

/// An ending without vectors.
enum Ended {
    Converged,
    LittleProgress { progress: f64, over: usize },
    MaxIterations,
    NegativeCurvature { rayleigh: f64 },
    NonFinite,
    IndefinitePreconditioner { product: f64 },
    Stopped,
}

struct Kept {
    iteration: usize,
    solution: Vec<f64>,
    model_value: f64,
}

pub(super) struct State {
    solution: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    /// rᵀMr.
    rz: f64,
    tolerance: f64,
    most: usize,
    curvature_floor: f64,
    stop: CgStop,
    keep: Iterates,
    residual_norms: Vec<f64>,
    model_values: Vec<f64>,
    kept: Vec<Kept>,
    phase: Phase,
    ended: Option<Ended>,
}

impl State {
    pub(super) fn from_zero(b: Vec<f64>, options: &CgOptions<'_>) -> Self {
        let (zero, b_norm) = (vec![0.0; b.len()], norm(&b));
        Self::new(zero, b, b_norm, 0.0, options)
    }

    pub(super) fn from_start(
        b: Vec<f64>,
        start: Vec<f64>,
        product: Vec<f64>,
        options: &CgOptions<'_>,
    ) -> Self {
        let b_norm = norm(&b);
        let model_value = 0.5 * dot_f64(&start, &product) - dot_f64(&b, &start);
        let mut residual = b;
        axpy(&mut residual, -1.0, &product);
        Self::new(start, residual, b_norm, model_value, options)
    }

    fn new(
        solution: Vec<f64>,
        residual: Vec<f64>,
        b_norm: f64,
        model_value: f64,
        options: &CgOptions<'_>,
    ) -> Self {
        let residual_norm = norm(&residual);
        let tolerance = options
            .absolute_tolerance
            .max(options.relative_tolerance * b_norm);
        let most = options.max_iterations.unwrap_or(residual.len());
        let ended = match residual_norm {
            norm if !norm.is_finite() => Some(Ended::NonFinite),
            norm if norm <= tolerance => Some(Ended::Converged),
            _ if most == 0 => Some(Ended::MaxIterations),
            _ => None,
        };
        Self {
            direction: Vec::new(),
            rz: 0.0,
            tolerance,
            most,
            curvature_floor: options.curvature_floor,
            stop: options.stop,
            keep: options.iterates,
            residual_norms: vec![residual_norm],
            model_values: vec![model_value],
            kept: Vec::new(),
            phase: Phase::Preconditioning,
            ended,
            solution,
            residual,
        }
    }

    /// What comes next; nothing after the end.
    pub(super) fn need(&self) -> Option<Need<'_>> {
        if self.ended.is_some() {
            return None;
        }
        Some(match self.phase {
            Phase::Preconditioning => Need::Preconditioned(&self.residual),
            Phase::Multiplying => Need::Product(&self.direction),
        })
    }

    fn iterations(&self) -> usize {
        self.residual_norms.len() - 1
    }

    /// Takes z = M r (r itself for none) into the next direction.
    pub(super) fn preconditioned(&mut self, z: Option<Vec<f64>>) {
        let z = z.as_deref().unwrap_or(&self.residual);
        let rz = dot_f64(&self.residual, z);
        if !rz.is_finite() {
            self.ended = Some(Ended::NonFinite);
            return;
        }
        if rz <= 0.0 {
            self.ended = Some(Ended::IndefinitePreconditioner { product: rz });
            return;
        }
        match self.direction.is_empty() {
            true => self.direction = z.to_vec(),
            false => xpby(&mut self.direction, z, rz / self.rz),
        }
        self.rz = rz;
        self.phase = Phase::Multiplying;
    }

    /// Takes H p into the next iterate; returns pᵀHp / pᵀp, or nothing when there is no next iterate.
    pub(super) fn advance(&mut self, product: &[f64]) -> Option<f64> {
        let curvature = dot_f64(&self.direction, product);
        let rayleigh = curvature / dot_f64(&self.direction, &self.direction);
        if !rayleigh.is_finite() {
            self.ended = Some(Ended::NonFinite);
            return None;
        }
        if rayleigh <= self.curvature_floor {
            self.ended = Some(Ended::NegativeCurvature { rayleigh });
            return None;
        }
        let alpha = self.rz / curvature;
        axpy(&mut self.residual, -alpha, product);
        let residual_norm = norm(&self.residual);
        if !residual_norm.is_finite() {
            axpy(&mut self.residual, alpha, product);
            self.ended = Some(Ended::NonFinite);
            return None;
        }
        axpy(&mut self.solution, alpha, &self.direction);
        let model_value = self.model_values.last().copied().unwrap_or(0.0) - 0.5 * alpha * self.rz;
        self.residual_norms.push(residual_norm);
        self.model_values.push(model_value);
        self.phase = Phase::Preconditioning;
        self.keep_on_the_grid(model_value);
        Some(rayleigh)
    }

    fn keep_on_the_grid(&mut self, model_value: f64) {
        let iteration = self.iterations();
        if is_kept(self.keep, iteration) {
            self.kept.push(Kept {
                iteration,
                solution: self.solution.clone(),
                model_value,
            });
        }
    }

    pub(super) fn progress<'a>(
        &'a self,
        rayleigh: f64,
        operand: &'a Operand<'a>,
    ) -> CgProgress<'a> {
        CgProgress {
            iteration: self.iterations(),
            residual_norm: self.residual_norms[self.iterations()],
            rayleigh,
            model_value: self.model_values[self.iterations()],
            solution: &self.solution,
            operand,
        }
    }

    /// Whether the iterate is the last one.
    pub(super) fn decide(&mut self, flow: ControlFlow<()>) {
        self.ended = if self.residual_norms[self.iterations()] <= self.tolerance {
            Some(Ended::Converged)
        } else if flow.is_break() {
            Some(Ended::Stopped)
        } else if let Some((progress, over)) = little_progress(self.stop, &self.model_values) {
            Some(Ended::LittleProgress { progress, over })
        } else if self.iterations() >= self.most {
            Some(Ended::MaxIterations)
        } else {
            None
        };
    }

    pub(super) fn finish(mut self, operand: &Operand<'_>, applications: usize) -> CgResult {
        let iterations = self.iterations();
        let last_is_kept = self
            .kept
            .last()
            .is_some_and(|kept| kept.iteration == iterations);
        if self.keep != Iterates::Last && !last_is_kept && iterations > 0 {
            self.kept.push(Kept {
                iteration: iterations,
                solution: self.solution.clone(),
                model_value: self.model_values[iterations],
            });
        }
        let iterates = self.kept.iter().map(|kept| CgIterate {
            iteration: kept.iteration,
            solution: operand.tensor(&kept.solution),
            model_value: kept.model_value,
        });
        CgResult {
            solution: operand.tensor(&self.solution),
            residual: operand.tensor(&self.residual),
            iterates: iterates.collect(),
            iterations,
            applications,
            ending: match self.ended {
                Some(Ended::Converged) => CgEnding::Converged,
                Some(Ended::LittleProgress { progress, over }) => {
                    CgEnding::LittleProgress { progress, over }
                }
                Some(Ended::NegativeCurvature { rayleigh }) => CgEnding::NegativeCurvature {
                    direction: operand.tensor(&self.direction),
                    rayleigh,
                },
                Some(Ended::NonFinite) => CgEnding::NonFinite,
                Some(Ended::IndefinitePreconditioner { product }) => {
                    CgEnding::IndefinitePreconditioner { product }
                }
                Some(Ended::Stopped) => CgEnding::Stopped,
                Some(Ended::MaxIterations) | None => CgEnding::MaxIterations,
            },
            residual_norms: self.residual_norms,
            model_values: self.model_values,
        }
    }
}

/// Whether the iterate after this many iterations lies on the grid ⌈ratioʲ⌉.
fn is_kept(keep: Iterates, iteration: usize) -> bool {
    match keep {
        Iterates::Last => false,
        Iterates::Geometric { ratio } if ratio.is_nan() || ratio <= 1.0 => true,
        Iterates::Geometric { ratio } => {
            let power = (iteration as f64).ln() / ratio.ln();
            // rounding of the logarithm: look at both neighbours
            [power.floor(), power.floor() + 1.0, power.floor() - 1.0]
                .into_iter()
                .any(|j| j >= 0.0 && ratio.powf(j).ceil() as usize == iteration)
        }
    }
}

/// The relative progress and the iterations it was made in, where the rule calls it little.
fn little_progress(stop: CgStop, model_values: &[f64]) -> Option<(f64, usize)> {
    let CgStop::Progress {
        epsilon,
        least,
        fraction,
    } = stop
    else {
        return None;
    };
    let iteration = model_values.len() - 1;
    let over = least
        .max((fraction * iteration as f64).ceil() as usize)
        .max(1);
    if iteration <= over {
        return None;
    }
    let (now, before) = (model_values[iteration], model_values[iteration - over]);
    let progress = (now - before) / now;
    (now < 0.0 && progress < over as f64 * epsilon).then_some((progress, over))
}
