//! Shampoo: a preconditioner for each dimension of each parameter.

mod side;

use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use super::modes::{check_shapes, modes, shapes};
use super::remembers_memory;
use crate::error::{fraction, in_range, not_negative};
use crate::{Direction, Heading, OptimError, Oracle, Place};
use side::Side;

/// How the Gram matrices of past gradients are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Statistics {
    /// Their sum, as in the paper: the steps shrink as those of AdaGrad do.
    #[default]
    Sum,
    /// S ← βS + (1 − β) X Xᵀ, without a correction for the start at 0.
    Average {
        /// β, in [0, 1).
        beta: f64,
    },
}

/// What becomes of a dimension that is longer than the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oversized {
    /// The diagonal of its matrix.
    #[default]
    Diagonal,
    /// No preconditioner; it does not count in the order k of the tensor.
    Identity,
}

/// Which length the step of a parameter has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grafting {
    /// Shampoo's own.
    #[default]
    Off,
    /// That of the parameter's gradient: Shampoo gives the direction alone.
    Gradient,
}

/// Shampoo: the gradient of each parameter multiplied along every dimension by an inverse root of the Gram matrix of past gradients.
///
/// Step t = 1, 2, … for a parameter with gradient G of order k (dimensions n₁ … n_k), Xᵢ its unfolding with dimension i as rows, Sᵢ = 0
/// at first, V = 0:
///
/// - Sᵢ ← Sᵢ + Xᵢ Xᵢᵀ for every i (or an average, [`Statistics`]);
/// - where (t − 1) mod f = 0: Pᵢ = (Sᵢ + ϵI)^(−1/(2k)), from the eigenvectors of Sᵢ, negative eigenvalues taken as 0;
/// - U = G ×₁ P₁ … ×_k P_k, for a matrix P₁ G P₂; with [`Grafting::Gradient`] U ← U ‖G‖/‖U‖ where U ≠ 0;
/// - V ← μV + U, d = −V − λθ.
///
/// With sums this is algorithm 2 (for matrices algorithm 1, P₁ = L^(−1/4), P₂ = R^(−1/4)), whose L₀ = ϵI is the ϵ here. A vector has the
/// full matrix of AdaGrad. A dimension longer than [`Shampoo::max_dimension`] keeps the diagonal of Sᵢ, or none ([`Oversized`]);
/// k counts the dimensions that have a preconditioner.
///
/// `pytorch_optimizer` 4.1 does the same with f = 1 and no momentum (its ϵ is 1e-6); with f > 1 it renews the
/// roots where t mod f = 0 and has none before. `torch-optimizer` 0.3 has the power −1/k, and takes the statistics of each dimension from
/// what the dimensions before it have already been applied to. Both mix momentum into the gradient before the preconditioner.
///
/// # Shapes
///
/// The parameters' own, from the layout of the model. Everything is computed on the host in f64, whatever the dtype, and d is rounded to
/// that of the gradient.
///
/// # Cost
///
/// No evaluations. A parameter of N numbers takes N Σ nᵢ operations in every step and Σ nᵢ³ in every f-th, and 2 Σ nᵢ² numbers of
/// memory.
///
/// # Errors
///
/// [`OptimError::Option`] for numbers out of range; [`ravine_curvature::CurvatureError::Decomposition`] when eigenvalues do not
/// converge.
///
/// # References
///
/// V. Gupta, T. Koren and Y. Singer, Shampoo: preconditioned stochastic tensor optimization, 2018, algorithms 1 and 2; R. Anil, V. Gupta,
/// T. Koren, K. Regan and Y. Singer, Scalable second order optimization for deep learning, 2020 (averages, intervals and grafting).
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, Grafting, Method, Shampoo, Statistics};
///
/// let direction = Shampoo::new()
///     .every(10)
///     .statistics(Statistics::Average { beta: 0.999 })
///     .grafting(Grafting::Gradient)
///     .momentum(0.9);
/// assert_eq!(Descent::new(direction, 0.1).name(), "shampoo");
/// ```
#[derive(Clone, Debug)]
pub struct Shampoo {
    epsilon: f64,
    every: u64,
    statistics: Statistics,
    max_dimension: usize,
    oversized: Oversized,
    grafting: Grafting,
    momentum: f64,
    weight_decay: f64,
    memory: Sides,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sides {
    /// Steps so far.
    t: u64,
    shapes: Vec<Vec<usize>>,
    /// Of each parameter, in the order of its dimensions.
    sides: Vec<Vec<Side>>,
    /// V, where there is momentum.
    velocity: Vec<f64>,
}

impl Default for Shampoo {
    fn default() -> Self {
        Self::new()
    }
}

impl Shampoo {
    /// With ϵ = 1e-4, sums, roots in every step, full matrices up to dimension 1024 and diagonals beyond, no grafting, no momentum and no
    /// decay.
    pub fn new() -> Self {
        Self {
            epsilon: 1e-4,
            every: 1,
            statistics: Statistics::default(),
            max_dimension: 1024,
            oversized: Oversized::default(),
            grafting: Grafting::default(),
            momentum: 0.0,
            weight_decay: 0.0,
            memory: Sides::default(),
        }
    }

    /// With another ϵ, positive.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With new inverse roots every f steps, at least 1; the statistics take in every gradient.
    pub fn every(self, every: u64) -> Self {
        Self { every, ..self }
    }

    /// With another way to put the past together.
    pub fn statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }

    /// With full matrices for dimensions up to this length, at least 1.
    pub fn max_dimension(self, max_dimension: usize) -> Self {
        Self {
            max_dimension,
            ..self
        }
    }

    /// With another treatment of longer dimensions.
    pub fn oversized(self, oversized: Oversized) -> Self {
        Self { oversized, ..self }
    }

    /// With steps of another length.
    pub fn grafting(self, grafting: Grafting) -> Self {
        Self { grafting, ..self }
    }

    /// With a momentum μ of the preconditioned gradients, in [0, 1).
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// With a decoupled weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self {
            weight_decay,
            ..self
        }
    }

    fn check(&self) -> Result<(), OptimError> {
        let epsilon = self.epsilon;
        let inside = epsilon > 0.0 && epsilon.is_finite();
        in_range("epsilon", epsilon, "positive and finite", inside)?;
        in_range("every", self.every as f64, "at least 1", self.every > 0)?;
        let most = self.max_dimension;
        in_range("max_dimension", most as f64, "at least 1", most > 0)?;
        if let Statistics::Average { beta } = self.statistics {
            fraction("beta", beta)?;
        }
        fraction("momentum", self.momentum)?;
        not_negative("weight_decay", self.weight_decay)
    }

    /// The memory for parameters of these shapes, made anew in the first step.
    fn prepare(&mut self, shapes: Vec<Vec<usize>>) -> Result<(), OptimError> {
        if self.memory.t > 0 {
            return check_shapes("shampoo", &self.memory.shapes, &shapes);
        }
        let (most, oversized) = (self.max_dimension, self.oversized);
        let side = |mode| Side::new(mode, most, oversized);
        let sides = |shape: &Vec<usize>| modes(shape).into_iter().map(side).collect();
        self.memory.sides = shapes.iter().map(sides).collect();
        self.memory.shapes = shapes;
        Ok(())
    }

    /// U of one parameter, after its statistics took in the gradient.
    fn update(&mut self, parameter: usize, gradient: &[f64]) -> Result<Vec<f64>, OptimError> {
        let modes = modes(&self.memory.shapes[parameter]);
        let sides = &mut self.memory.sides[parameter];
        let order = sides.iter().filter(|side| side.preconditions()).count();
        let power = -0.5 / order.max(1) as f64;
        let renew = self.memory.t.is_multiple_of(self.every);
        let mut update = gradient.to_vec();
        for (side, mode) in sides.iter_mut().zip(modes) {
            side.learn(mode, gradient, self.statistics);
            if renew {
                side.invert(self.epsilon, power)?;
            }
            update = side.apply(mode, update);
        }
        if self.grafting == Grafting::Gradient {
            let (target, length) = (length(gradient), length(&update));
            if length > 0.0 {
                update.iter_mut().for_each(|u| *u *= target / length);
            }
        }
        Ok(update)
    }
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl Direction for Shampoo {
    fn name(&self) -> &str {
        "shampoo"
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        self.check()?;
        self.prepare(shapes(oracle.layout()))?;
        let gradient = vector::to_f64(place.gradient);
        let mut step = Vec::with_capacity(gradient.len());
        for (parameter, entry) in oracle.layout().entries().iter().enumerate() {
            step.extend(self.update(parameter, &gradient[entry.range.clone()])?);
        }
        self.memory.t += 1;
        if self.momentum > 0.0 {
            self.memory.velocity.resize(step.len(), 0.0);
            for (v, u) in self.memory.velocity.iter_mut().zip(&mut step) {
                *v = self.momentum * *v + *u;
                *u = *v;
            }
        }
        step.iter_mut().for_each(|u| *u = -*u);
        let g = place.gradient;
        let step = vector::from_f64(&step, &g.device(), g.dtype());
        Ok(Heading::decayed(step, place.theta, self.weight_decay))
    }

    remembers_memory!();
}

#[cfg(test)]
mod tests;
