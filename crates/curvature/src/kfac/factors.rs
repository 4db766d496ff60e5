//! Kronecker factors of the layers of a model, at one point or gathered over many.

use super::entries::Entries;
use super::operator::Space;
use super::pass::{LayerAt, LayerPass, part};
use super::product::{add_gram, mirror};
use super::{KfacOptions, Others, WeightSharing};
use crate::error::CurvatureError;
use crate::gauss_newton_diagonal::diagonal_of;
use crate::layout::ParameterLayout;
use crate::objective::Reduction;
use crate::output_factors::{Factors, OutputFactors};
use crate::point::Point;
use faer::Mat;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How what was gathered and what is new are put together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accumulation {
    /// The mean over all examples: for losses that are means.
    Mean,
    /// The sum over all examples: for losses that are sums.
    Sum,
    /// The exponential moving average `decay · old + (1 − decay) · new`.
    Decay(f64),
}

/// As the loss of all examples is made of the losses of batches.
impl From<Reduction> for Accumulation {
    fn from(reduction: Reduction) -> Self {
        match reduction {
            Reduction::Mean => Self::Mean,
            Reduction::Sum => Self::Sum,
        }
    }
}

impl Accumulation {
    /// Weights of old and new, for factors of gradients and for factors of activations.
    pub(crate) fn weights(
        self,
        old: f64,
        new: f64,
    ) -> Result<([f64; 2], [f64; 2]), CurvatureError> {
        let shares = [old / (old + new), new / (old + new)];
        match self {
            Self::Mean => Ok((shares, shares)),
            Self::Sum => Ok(([1.0, 1.0], shares)),
            Self::Decay(decay) if (0.0..=1.0).contains(&decay) => {
                let both = [decay, 1.0 - decay];
                Ok((both, both))
            }
            Self::Decay(decay) => Err(CurvatureError::Argument {
                name: "the decay",
                value: decay,
                requirement: "a number between 0 and 1 is needed",
            }),
        }
    }
}

/// The Kronecker factors A and B of all layers: A ⊗ B stands for a layer's block of the Gauss-Newton matrix of the loss as it is.
///
/// With inputs a (a one appended for a bias) and gradients g = ∂⟨z, u⟩/∂s of examples n at R positions r, for vectors u with
/// Σ u uᵀ = ∂²L/∂z²:
///
/// | sharing | A | B |
/// |---|---|---|
/// | [`Expand`](WeightSharing::Expand) | 1/(NR) Σ_nr a aᵀ | Σ_nrc g gᵀ |
/// | [`Reduce`](WeightSharing::Reduce) | 1/N Σ_n ā āᵀ, ā = 1/R Σ_r a | Σ_nc ĝ ĝᵀ, ĝ = Σ_r g |
///
/// # References
///
/// Martens and Grosse (2015), Optimizing neural networks with Kronecker-factored approximate curvature; Grosse and Martens (2016), A
/// Kronecker-factored approximate Fisher matrix for convolution layers; Eschenhagen et al. (2023), Kronecker-factored approximate
/// curvature for modern neural network architectures, section 3.
#[derive(Clone, Debug)]
pub struct KfacFactors {
    pub(super) layout: ParameterLayout,
    pub(super) space: Space,
    pub(super) pairs: Vec<Pair>,
    pub(super) others: Vec<Vec<f64>>,
    pub(super) examples: f64,
    pub(super) passes: usize,
}

/// The factors of a layer, or of a group of a grouped convolution.
#[derive(Clone, Copy, Debug)]
pub struct LayerFactors<'f> {
    /// Name of the weight.
    pub weight: &'f str,
    /// Name of the bias.
    pub bias: Option<&'f str>,
    /// A `[inputs, inputs]`, with a last row for the bias.
    pub activations: &'f Mat<f64>,
    /// B `[outputs, outputs]`.
    pub gradients: &'f Mat<f64>,
}

/// The factors of a group of a layer.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) a: Mat<f64>,
    pub(super) b: Mat<f64>,
}

impl KfacFactors {
    /// The factors at a point.
    ///
    /// # Cost
    ///
    /// One backward pass for each vector u, all examples together, and the outer products of activations and gradients in f64; memory
    /// for the activations of all layers in f64 (patches of convolutions are unfolded some examples at a time). The first time at a
    /// recording, log₂(examples) backward passes more, to see which rows belong to which example.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`]; [`CurvatureError::ExamplesCoupled`], [`CurvatureError::LossNotConvex`] or
    /// [`CurvatureError::LossHessianTooLarge`] for a loss without factors; [`CurvatureError::ExamplesMixed`] for batch norm in training mode.
    pub fn at(point: &Point, options: &KfacOptions) -> Result<Self, CurvatureError> {
        let span = tracing::debug_span!("Kronecker factors");
        let _entered = span.enter();
        let factors = OutputFactors::of(point, &options.factors)?;
        let pass = LayerPass::new(point, factors.examples())?;
        Self::with(&pass, point, &factors, options)
    }

    pub(super) fn with(
        pass: &LayerPass<'_>,
        point: &Point,
        factors: &OutputFactors,
        options: &KfacOptions,
    ) -> Result<Self, CurvatureError> {
        let random = matches!(options.factors, Factors::MonteCarlo { .. });
        if !random || options.sharing == WeightSharing::Reduce {
            // with signs of their own for each example, mixed terms vanish in expectation
            pass.check_independent()?;
        }
        let sharing = options.sharing;
        let mut pairs: Vec<Vec<Pair>> =
            pass.layers.par_iter().map(|at| at.pairs(sharing)).collect();
        pass.for_each(factors, |gradients| {
            (pass.layers.par_iter().zip(&mut pairs))
                .for_each(|(at, pairs)| at.add_gradients(pairs, gradients, sharing));
        })?;
        let mut pairs: Vec<Pair> = pairs.into_iter().flatten().collect();
        for pair in &mut pairs {
            mirror(&mut pair.a);
            mirror(&mut pair.b);
        }
        let space = space(pass, point);
        let passes = 1 + factors.columns() + passes_of_others(factors, &space, options.others);
        let others = others(point, factors, &space, options.others)?;
        Ok(Self {
            layout: point.layout().clone(),
            space,
            pairs,
            others,
            examples: weight_of(point),
            passes,
        })
    }

    /// Takes in the factors of another batch, or of a later point.
    ///
    /// Factors of activations are averaged by examples (or by the decay); factors of gradients hold the reduction of the loss and are
    /// averaged or summed as it is. Sampled factors want a seed of their own for each batch; over a dataset
    /// [`Dataset::kfac_factors`](crate::Dataset::kfac_factors) takes care of it.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for the factors of another model; [`CurvatureError::Argument`] for a decay outside of 0 to 1.
    pub fn accumulate(
        &mut self,
        new: &Self,
        accumulation: Accumulation,
    ) -> Result<(), CurvatureError> {
        self.space.check(&new.space)?;
        let (of_gradients, of_activations) = accumulation.weights(self.examples, new.examples)?;
        for (old, new) in self.pairs.iter_mut().zip(&new.pairs) {
            blend(&mut old.a, &new.a, of_activations);
            blend(&mut old.b, &new.b, of_gradients);
        }
        blend_all(&mut self.others, &new.others, of_gradients);
        self.examples += new.examples;
        self.passes += new.passes;
        Ok(())
    }

    /// Passes over a batch that made them: one forward for the activations, one backward for each vector u, and those for the
    /// diagonals of parameters that belong to no layer.
    pub fn passes(&self) -> usize {
        self.passes
    }

    /// The factors of all blocks: one for each layer, or each group of a grouped convolution.
    pub fn layers(&self) -> impl Iterator<Item = LayerFactors<'_>> {
        let name = |start: usize| {
            let mut entries = self.layout.entries().iter();
            let entry = entries.find(|entry| entry.range.contains(&start));
            entry.map(|entry| entry.name.as_str())
        };
        let blocks = self.space.entries.iter().zip(&self.pairs);
        blocks.map(move |(entries, pair)| LayerFactors {
            weight: name(entries.weight).unwrap_or_default(),
            bias: entries.bias.and_then(name),
            activations: &pair.a,
            gradients: &pair.b,
        })
    }

    /// Names of the parameters that belong to no layer: norm scales, embeddings, recurrent weights.
    pub fn other_parameters(&self) -> Vec<&str> {
        let others = self.layout.entries().iter();
        others
            .filter(|entry| self.space.others.contains(&entry.range))
            .map(|entry| entry.name.as_str())
            .collect()
    }
}

/// The examples that a batch counts as, in the mean over several.
pub(super) fn weight_of(point: &Point) -> f64 {
    point.examples().max(1) as f64
}

/// `old` times the first weight plus `new` times the second.
pub(crate) fn blend(old: &mut Mat<f64>, new: &Mat<f64>, [keep, take]: [f64; 2]) {
    for (old, new) in old.col_iter_mut().zip(new.col_iter()) {
        (old.iter_mut().zip(new.iter())).for_each(|(old, new)| *old = keep * *old + take * new);
    }
}

pub(super) fn blend_all(old: &mut [Vec<f64>], new: &[Vec<f64>], [keep, take]: [f64; 2]) {
    for (old, new) in old.iter_mut().flatten().zip(new.iter().flatten()) {
        *old = keep * *old + take * new;
    }
}

pub(super) fn space(pass: &LayerPass<'_>, point: &Point) -> Space {
    let entries: Vec<Entries> = (pass.layers.iter())
        .flat_map(|at| at.entries.iter().cloned())
        .collect();
    let layout = point.layout().entries();
    let others = pass.others().into_iter();
    Space {
        dim: point.dim(),
        device: point.device().clone(),
        dtype: point.dtype(),
        entries: entries.into(),
        others: others
            .map(|position| layout[position].range.clone())
            .collect(),
    }
}

/// The diagonals of the parameters that belong to no layer.
pub(super) fn others(
    point: &Point,
    factors: &OutputFactors,
    space: &Space,
    others: Others,
) -> Result<Vec<Vec<f64>>, CurvatureError> {
    match others {
        _ if space.others.is_empty() => Ok(Vec::new()),
        Others::Zero => Ok(constant(space, 0.0)),
        Others::Identity => Ok(constant(space, 1.0)),
        Others::Diagonal { samples, seed } => {
            diagonal_of(point, factors, &space.others, samples, seed)
        }
    }
}

/// Backward passes that [`others`] takes.
fn passes_of_others(factors: &OutputFactors, space: &Space, others: Others) -> usize {
    match others {
        Others::Diagonal { samples, .. } if !space.others.is_empty() => {
            samples.min(factors.columns() * factors.examples())
        }
        _ => 0,
    }
}

fn constant(space: &Space, value: f64) -> Vec<Vec<f64>> {
    let others = space.others.iter();
    others.map(|range| vec![value; range.len()]).collect()
}

impl Space {
    /// Refuses factors of another model.
    pub(super) fn check(&self, other: &Self) -> Result<(), CurvatureError> {
        if self.entries == other.entries && self.others == other.others && self.dim == other.dim {
            return Ok(());
        }
        Err(CurvatureError::Dimension {
            what: "a model with other layers",
            expected: self.dim,
            found: other.dim,
        })
    }
}

impl LayerAt<'_> {
    /// The factors of activations, with zeros for those of gradients.
    fn pairs(&self, sharing: WeightSharing) -> Vec<Pair> {
        let (inputs, outputs) = (self.entries[0].inputs, self.layer.outputs);
        let mut pairs: Vec<Pair> = (0..self.layer.groups)
            .map(|_| Pair {
                a: Mat::zeros(inputs, inputs),
                b: Mat::zeros(outputs, outputs),
            })
            .collect();
        let positions = self.positions();
        let (count, scale) = match sharing {
            WeightSharing::Expand => (self.examples * positions, 1.0),
            WeightSharing::Reduce => (self.examples, 1.0 / positions as f64),
        };
        for chunk in self.chunks() {
            let activations = self.activations(chunk);
            let rows = self.rows(activations, self.input_width(), sharing, scale);
            for (group, pair) in pairs.iter_mut().enumerate() {
                let columns = group * inputs..(group + 1) * inputs;
                let rows = part(&rows, columns, self.input_width());
                add_gram(pair.a.as_mut(), rows, 1.0 / count as f64);
            }
        }
        pairs
    }

    fn add_gradients(&self, pairs: &mut [Pair], gradients: &[&[f64]], sharing: WeightSharing) {
        let outputs = self.layer.outputs;
        for gradient in gradients {
            for chunk in self.chunks() {
                let own = self.gradients(gradient, chunk);
                let rows = self.rows(own, self.output_width(), sharing, 1.0);
                for (group, pair) in pairs.iter_mut().enumerate() {
                    let columns = group * outputs..(group + 1) * outputs;
                    let rows = part(&rows, columns, self.output_width());
                    add_gram(pair.b.as_mut(), rows, 1.0);
                }
            }
        }
    }

    /// The rows whose outer products are summed: those of all positions, or their scaled sums over the positions of an example.
    fn rows(
        &self,
        numbers: Vec<f64>,
        width: usize,
        sharing: WeightSharing,
        scale: f64,
    ) -> Vec<f64> {
        if sharing == WeightSharing::Expand {
            return numbers;
        }
        let examples = numbers.chunks_exact(self.positions() * width);
        let sums = examples.flat_map(|example| {
            let mut sum = vec![0.0; width];
            for row in example.chunks_exact(width) {
                sum.iter_mut()
                    .zip(row)
                    .for_each(|(sum, x)| *sum += scale * x);
            }
            sum
        });
        sums.collect()
    }
}
