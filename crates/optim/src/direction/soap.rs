//! SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

mod basis;

use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use super::modes::{Mode, check_shapes, modes, shapes};
use super::remembers_memory;
use crate::error::{fraction, in_range, not_negative};
use crate::{Direction, Heading, OptimError, Oracle, Place, StepEnding};
use basis::Basis;

/// What becomes of parameters of rank 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vectors {
    /// Plain Adam.
    #[default]
    Adam,
    /// Adam in the eigenbasis of the n×n matrix of their gradients.
    Rotated,
}

/// How long the step of a parameter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// As Adam has it.
    #[default]
    Off,
    /// N ← N / (1e-30 + rms N), with rms N the root of the mean square of the parameter's entries.
    RootMeanSquare,
}

/// SOAP: Adam on gradients that are rotated, along every dimension of a parameter, into the eigenbasis of the averaged Gram matrix of past
/// gradients; the basis is followed by power iterations.
///
/// For a parameter with gradient G, Xᵢ its unfolding with dimension i as rows, M = V = 0 and G ×ᵢ Qᵀ the product along all dimensions:
///
/// The first step has no update and ends with [`StepEnding::Prepared`], so that no gradient is used in a basis that it made: Sᵢ =
/// (1 − β_s) Xᵢ Xᵢᵀ, Qᵢ = all eigenvectors of Sᵢ, the largest eigenvalue first. Neither M nor V nor the learning rate takes notice of
/// it. Step t = 1, 2, … after it:
///
/// - G' = G ×ᵢ Qᵢᵀ; M ← β₁M + (1 − β₁)G; V ← β₂V + (1 − β₂) G' ⊙ G'; M' = M ×ᵢ Qᵢᵀ;
/// - N = (M' / (√V + ϵ)) ×ᵢ Qᵢ, [normalised](Normalisation) or not; d = −√(1 − β₂ᵗ)/(1 − β₁ᵗ) · N − λθ;
/// - Sᵢ ← β_s Sᵢ + (1 − β_s) Xᵢ Xᵢᵀ for every i;
/// - where t mod f = 0: Z = Sᵢ Qᵢ, its columns in the descending order of their Rayleigh quotients diag(Qᵢᵀ Z), V's entries along dimension i
///   in the same order, and Qᵢ the orthogonal factor of Z = QR (Householder).
///
/// Dimensions longer than [`Soap::max_dimension`] have no basis (Qᵢ = I); parameters of rank 1 go by plain Adam unless
/// [`Vectors::Rotated`]. Signs of the columns of Qᵢ do not matter. Where the gradients so far do not span a dimension, as in the first step
/// of a matrix that is not square, the rest of its basis is what the eigensolver makes of it: there implementations differ. Along such
/// directions, along the one in which the gradient of a layer before a softmax has none, and off the diagonal of the first G' on an
/// unchanged batch, M' and √V are rounding: above ϵ it becomes steps of Adam's size, so that in f32 trajectories differ from those in f64
/// unless ϵ is well above the rounding of gradients.
///
/// This is the reference code of the authors where it differs from algorithm 3 of the paper: that has √(V + ϵ), no bias corrections,
/// and leaves V unsorted. Their code decays after the update, θ ← (1 − ελ)(θ − …); here both are parts of d. Merging of small dimensions is
/// left out. `pytorch_optimizer` 4.1 is the same with a QR decomposition in f32.
///
/// # Shapes
///
/// The parameters' own, from the layout of the model. Everything is computed on the host in f64, whatever the dtype, and d is rounded to
/// that of the gradient.
///
/// # Cost
///
/// No evaluations. A parameter of N numbers takes 4 N Σ nᵢ operations in every step and Σ nᵢ³ in every f-th, and 2 N + 2 Σ nᵢ² numbers of
/// memory.
///
/// # Errors
///
/// [`OptimError::Option`] for numbers out of range; [`ravine_curvature::CurvatureError::Decomposition`] when eigenvalues do not
/// converge.
///
/// # References
///
/// N. Vyas, D. Morwani, R. Zhao, I. Shapira, D. Brandfonbrener, L. Janson and S. Kakade, SOAP: improving and stabilizing Shampoo using
/// Adam, 2024, algorithms 3 and 4.
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, LearningRate, Method, Soap};
///
/// let rate = LearningRate::from(3e-3).warmed_up(100);
/// let method = Descent::new(Soap::new().every(10).weight_decay(0.01), rate);
/// assert_eq!(method.name(), "soap");
/// ```
#[derive(Clone, Debug)]
pub struct Soap {
    beta1: f64,
    beta2: f64,
    shampoo_beta: Option<f64>,
    epsilon: f64,
    every: u64,
    max_dimension: usize,
    vectors: Vectors,
    normalisation: Normalisation,
    weight_decay: f64,
    memory: Bases,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Bases {
    /// Updates so far.
    t: u64,
    shapes: Vec<Vec<usize>>,
    /// Of each parameter, in the order of its dimensions; empty before the first step.
    bases: Vec<Vec<Option<Basis>>>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Default for Soap {
    fn default() -> Self {
        Self::new()
    }
}

impl Soap {
    /// With β₁ = β₂ = β_s = 0.95, ϵ = 1e-8, f = 10, bases up to dimension 10 000, vectors by Adam, no normalisation and no decay.
    pub fn new() -> Self {
        Self {
            beta1: 0.95,
            beta2: 0.95,
            shampoo_beta: None,
            epsilon: 1e-8,
            every: 10,
            max_dimension: 10_000,
            vectors: Vectors::default(),
            normalisation: Normalisation::default(),
            weight_decay: 0.0,
            memory: Bases::default(),
        }
    }

    /// With other decay rates β₁ and β₂ of Adam, in [0, 1).
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self {
            beta1,
            beta2,
            ..self
        }
    }

    /// With another decay rate β_s of the Gram matrices, in [0, 1); β₂ otherwise.
    pub fn shampoo_beta(self, beta: f64) -> Self {
        Self {
            shampoo_beta: Some(beta),
            ..self
        }
    }

    /// With another ϵ, positive.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With a power iteration every f steps, at least 1.
    pub fn every(self, every: u64) -> Self {
        Self { every, ..self }
    }

    /// With bases for dimensions up to this length, at least 1.
    pub fn max_dimension(self, max_dimension: usize) -> Self {
        Self {
            max_dimension,
            ..self
        }
    }

    /// With another treatment of parameters of rank 1.
    pub fn vectors(self, vectors: Vectors) -> Self {
        Self { vectors, ..self }
    }

    /// With steps of another length.
    pub fn normalisation(self, normalisation: Normalisation) -> Self {
        Self {
            normalisation,
            ..self
        }
    }

    /// With a decoupled weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self {
            weight_decay,
            ..self
        }
    }

    fn check(&self) -> Result<(), OptimError> {
        fraction("beta1", self.beta1)?;
        fraction("beta2", self.beta2)?;
        fraction("shampoo_beta", self.beta())?;
        let epsilon = self.epsilon;
        let inside = epsilon > 0.0 && epsilon.is_finite();
        in_range("epsilon", epsilon, "positive and finite", inside)?;
        in_range("every", self.every as f64, "at least 1", self.every > 0)?;
        let most = self.max_dimension;
        in_range("max_dimension", most as f64, "at least 1", most > 0)?;
        not_negative("weight_decay", self.weight_decay)
    }

    /// β_s.
    fn beta(&self) -> f64 {
        self.shampoo_beta.unwrap_or(self.beta2)
    }

    /// The first bases of one parameter.
    fn first(&self, shape: &[usize], gradient: &[f64]) -> Result<Vec<Option<Basis>>, OptimError> {
        let plain = shape.len() == 1 && self.vectors == Vectors::Adam;
        let basis = |mode: Mode| match plain || mode.length > self.max_dimension {
            true => Ok(None),
            false => Basis::first(mode, gradient, self.beta()).map(Some),
        };
        modes(shape).into_iter().map(basis).collect()
    }

    /// N of one parameter; then its bases take in the gradient.
    fn update(&mut self, parameter: usize, gradient: &[f64], first: usize) -> Vec<f64> {
        let t = self.memory.t + 1;
        let (beta1, beta2, beta) = (self.beta1, self.beta2, self.beta());
        let range = first..first + gradient.len();
        let modes = modes(&self.memory.shapes[parameter]);
        let bases = &mut self.memory.bases[parameter];
        let (m, v) = (
            &mut self.memory.m[range.clone()],
            &mut self.memory.v[range.clone()],
        );
        let rotated = forward(bases, &modes, gradient);
        for ((m, v), (g, r)) in m.iter_mut().zip(&mut *v).zip(gradient.iter().zip(rotated)) {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * r * r;
        }
        let mut step = forward(bases, &modes, m);
        for (n, v) in step.iter_mut().zip(&*v) {
            *n /= v.sqrt() + self.epsilon;
        }
        for (basis, &mode) in bases.iter().zip(&modes) {
            if let Some(basis) = basis {
                step = basis.back(mode, &step);
            }
        }
        for (basis, &mode) in bases.iter_mut().zip(&modes) {
            let Some(basis) = basis else { continue };
            basis.learn(mode, gradient, beta);
            if t.is_multiple_of(self.every) {
                let order = basis.refresh();
                v.copy_from_slice(&mode.permuted(&order, v));
            }
        }
        if self.normalisation == Normalisation::RootMeanSquare {
            let mean = step.iter().map(|n| n * n).sum::<f64>() / step.len().max(1) as f64;
            let scale = 1.0 / (1e-30 + mean.sqrt());
            step.iter_mut().for_each(|n| *n *= scale);
        }
        step
    }
}

/// Into all bases of a parameter.
fn forward(bases: &[Option<Basis>], modes: &[Mode], x: &[f64]) -> Vec<f64> {
    let mut x = x.to_vec();
    for (basis, &mode) in bases.iter().zip(modes) {
        if let Some(basis) = basis {
            x = basis.forward(mode, &x);
        }
    }
    x
}

impl Direction for Soap {
    fn name(&self) -> &str {
        "soap"
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        self.check()?;
        let gradient = vector::to_f64(place.gradient);
        let entries = oracle.layout().entries();
        let shapes = shapes(oracle.layout());
        if self.memory.shapes.is_empty() {
            let firsts = entries.iter().zip(&shapes);
            let firsts =
                firsts.map(|(entry, shape)| self.first(shape, &gradient[entry.range.clone()]));
            self.memory = Bases {
                t: 0,
                bases: firsts.collect::<Result<_, _>>()?,
                shapes,
                m: vec![0.0; gradient.len()],
                v: vec![0.0; gradient.len()],
            };
            return Ok(Heading::stopped(place.gradient, StepEnding::Prepared));
        }
        check_shapes("soap", &self.memory.shapes, &shapes)?;
        let mut step = Vec::with_capacity(gradient.len());
        for (parameter, entry) in entries.iter().enumerate() {
            let range = entry.range.clone();
            step.extend(self.update(parameter, &gradient[range.clone()], range.start));
        }
        self.memory.t += 1;
        let t = self.memory.t as f64;
        let scale = (1.0 - self.beta2.powf(t)).sqrt() / (1.0 - self.beta1.powf(t));
        step.iter_mut().for_each(|n| *n *= -scale);
        let g = place.gradient;
        let step = vector::from_f64(&step, &g.device(), g.dtype());
        Ok(Heading::decayed(step, place.theta, self.weight_decay))
    }

    remembers_memory!();
}

#[cfg(test)]
mod tests;
