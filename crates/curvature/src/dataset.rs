//! A loss over a whole dataset, batch by batch, each weighted by its examples.

mod diagonal;
mod gathering;
mod jacobian;
mod kronecker;
mod operator;
#[cfg(test)]
mod tests;

use crate::error::{CurvatureError, not_loaded};
use crate::fisher::{GradientCovariance, MonteCarloOptions};
use crate::layout::ParameterLayout;
use crate::objective::{Mode, Objective, Reduction};
use crate::operator::{Definiteness, LinearOperator};
use crate::point::Point;
use crate::seed::Seed;
use burn::module::Module;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use ravine_graph::Batch;
use std::cell::OnceCell;

pub use gathering::{Gathered, PassEnding};
pub use jacobian::DatasetJacobian;
pub use operator::DatasetOperator;

/// What stays in memory between products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// What products share, for every batch: the fastest, and memory that grows with the dataset
    /// ([`Objective::keep`] bounds it by batch).
    #[default]
    Kept,
    /// The batches only: each product (or block of products) computes again what it shares, for about one gradient a batch.
    Recomputed,
}

/// A loss at certain parameters over several batches; the sum of their losses weighted exactly by examples.
///
/// For [`Reduction::Mean`] L = Σ_b N_b L_b / Σ_b N_b, so that batches of different size weigh as one batch of all examples would; for
/// [`Reduction::Sum`] L = Σ_b L_b. Gradient, Hessian and all other matrices likewise.
///
/// | what a batch has | over a dataset |
/// |---|---|
/// | loss, gradient | [`loss`](Dataset::loss), [`gradient`](Dataset::gradient) |
/// | matrices by their products | [`hessian`](Dataset::hessian), [`gauss_newton`](Dataset::gauss_newton), [`monte_carlo_fisher`](Dataset::monte_carlo_fisher), [`empirical_fisher`](Dataset::empirical_fisher), [`gradient_covariance`](Dataset::gradient_covariance); any other by [`operator`](Dataset::operator) |
/// | Kronecker factors | [`kfac_factors`](Dataset::kfac_factors), [`kfac`](Dataset::kfac), [`ekfac`](Dataset::ekfac), [`ekfac_in_bases_of`](Dataset::ekfac_in_bases_of) |
/// | diagonals | [`gauss_newton_diagonal`](Dataset::gauss_newton_diagonal), [`curvature_diagonal`](Dataset::curvature_diagonal), [`gauss_newton_diagonal_sampled`](Dataset::gauss_newton_diagonal_sampled) |
/// | the Jacobian of the outputs | [`jacobian`](Dataset::jacobian) |
/// | gradients of single examples | [`Objective::gradient_statistics`], [`Objective::gradient_statistics_streamed`]: they need the module, which a dataset does not hold |
///
/// What takes one long pass over all batches has a form `…_observed` beside it, which can be stopped with what the batches so far give.
///
/// Made by [`Objective::over`] or [`Objective::streamed`].
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{LanczosOptions, Memory, Objective, Seed, lanczos_top_k};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// // two batches of different size
/// let batch = |count| (Tensor::<2>::ones([count, 3], &device), Tensor::<2>::zeros([count, 1], &device));
/// let data = objective.over(&model, &[batch(5), batch(3)], Memory::Kept)?;
/// assert_eq!(data.examples(), 8);
/// let options = LanczosOptions { pairs: 1, ..Default::default() };
/// let top = lanczos_top_k(&data.hessian(), &options, Seed::new(0))?;
/// assert!((top.pairs[0].value - 8.0).abs() < 1e-3); // 2 (3 + 1)
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub struct Dataset<'a> {
    batches: Batches<'a>,
    theta: Tensor<1>,
    layout: ParameterLayout,
    device: Device,
    dtype: DType,
    reduction: Reduction,
    examples: usize,
    /// Where the outputs of each batch begin among those of all, once that is asked for.
    first_outputs: OnceCell<Vec<usize>>,
}

type Load<'a> = Box<dyn Fn(usize) -> Result<Point, CurvatureError> + 'a>;

enum Batches<'a> {
    Points(Vec<Point>, Memory),
    Loaded { count: usize, load: Load<'a> },
}

impl Batches<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Points(points, _) => points.len(),
            Self::Loaded { count, .. } => *count,
        }
    }
}

impl<M: Module, B: Batch> Objective<M, B> {
    /// The loss over batches that are in memory.
    ///
    /// # Cost
    ///
    /// One recording for each shape of a batch, and two forward passes of the first batch, which check the reduction
    /// ([`check_reduction`](Objective::check_reduction), in [`Mode::Evaluation`]).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] without batches or examples, [`CurvatureError::Reduction`]; as [`at`](Objective::at).
    pub fn over(
        &self,
        model: &M,
        batches: &[B],
        memory: Memory,
    ) -> Result<Dataset<'static>, CurvatureError> {
        if let Some(first) = batches.first() {
            self.check_first(model, first)?;
        }
        let points = batches
            .iter()
            .enumerate()
            .map(|(index, batch)| self.at_with_seed(model, batch, self.seed_of(index)))
            .collect::<Result<Vec<_>, _>>()?;
        let examples = points.iter().map(Point::examples).sum();
        let first = points.first().cloned();
        Dataset::new(Batches::Points(points, memory), first, examples)
    }

    /// The loss over batches that are loaded when they are needed, one at a time.
    ///
    /// `load` must give the same batch for the same index, `0..count`, whenever it is asked.
    ///
    /// # Cost
    ///
    /// As [`over`](Objective::over), and all batches are loaded once to count their examples. Every product loads all of them again, and
    /// computes again what products share: ask for several at once with [`apply_block`](LinearOperator::apply_block).
    ///
    /// # Errors
    ///
    /// As [`over`](Objective::over), and [`CurvatureError::Load`].
    pub fn streamed<'a, E: std::error::Error + Send + Sync + 'static>(
        &'a self,
        model: &'a M,
        count: usize,
        load: impl Fn(usize) -> Result<B, E> + 'a,
    ) -> Result<Dataset<'a>, CurvatureError> {
        let load = move |index: usize| load(index).map_err(|error| not_loaded(index, error));
        let (mut examples, mut first) = (0, None);
        for index in 0..count {
            let batch = load(index)?;
            examples += batch.examples();
            if index == 0 {
                self.check_first(model, &batch)?;
                first = Some(self.at(model, &batch)?);
            }
        }
        let load = move |index| self.at_with_seed(model, &load(index)?, self.seed_of(index));
        let batches = Batches::Loaded {
            count,
            load: Box::new(load),
        };
        Dataset::new(batches, first, examples)
    }

    /// Examples in training have masks of their own, whichever batch they are in.
    fn seed_of(&self, index: usize) -> Seed {
        self.mode.seed().index(index as u64)
    }

    fn check_first(&self, model: &M, batch: &B) -> Result<(), CurvatureError> {
        match self.mode {
            Mode::Evaluation if batch.examples() > 0 => self.check_reduction(model, batch),
            // masks differ from example to example
            _ => Ok(()),
        }
    }
}

impl<'a> Dataset<'a> {
    fn new(
        batches: Batches<'a>,
        first: Option<Point>,
        examples: usize,
    ) -> Result<Self, CurvatureError> {
        let (Some(first), true) = (first, examples > 0) else {
            return Err(CurvatureError::Argument {
                name: "the number of examples of the dataset",
                value: 0.0,
                requirement: "at least one batch with at least one example is needed",
            });
        };
        Ok(Self {
            batches,
            theta: first.theta().clone(),
            layout: first.layout().clone(),
            device: first.device().clone(),
            dtype: first.dtype(),
            reduction: first.reduction(),
            examples,
            first_outputs: OnceCell::new(),
        })
    }

    /// Number of examples of all batches.
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// Number of batches.
    pub fn batches(&self) -> usize {
        self.batches.count()
    }

    /// The parameters as a flat vector `[n]`.
    pub fn theta(&self) -> &Tensor<1> {
        &self.theta
    }

    /// Names and places of the parameters.
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// How batches are weighed.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// The same data at other parameters.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length.
    pub fn move_to(self, theta: Tensor<1>) -> Result<Self, CurvatureError> {
        self.layout.check("theta", &theta)?;
        let batches = match self.batches {
            Batches::Points(points, memory) => {
                let points = points
                    .into_iter()
                    .map(|point| point.move_to(theta.clone()))
                    .collect::<Result<Vec<_>, _>>()?;
                Batches::Points(points, memory)
            }
            loaded => loaded,
        };
        Ok(Self {
            batches,
            theta: theta.cast(self.dtype),
            ..self
        })
    }

    /// Whether products may keep what they share.
    fn keeps(&self) -> bool {
        matches!(self.batches, Batches::Points(_, Memory::Kept))
    }

    /// One batch as a point, and its weight.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Load`] for a batch that cannot be loaded.
    pub fn batch(&self, index: usize) -> Result<(Point, f64), CurvatureError> {
        let point = match &self.batches {
            Batches::Points(points, Memory::Kept) => points[index].clone(),
            Batches::Points(points, Memory::Recomputed) => {
                points[index].move_to(self.theta.clone())?
            }
            Batches::Loaded { load, .. } => load(index)?.move_to(self.theta.clone())?,
        };
        let weight = match self.reduction {
            Reduction::Mean => point.examples() as f64 / self.examples as f64,
            Reduction::Sum => 1.0,
        };
        Ok((point, weight))
    }

    /// The loss.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Graph`] if an evaluation fails, [`CurvatureError::Load`].
    pub fn loss(&self) -> Result<f64, CurvatureError> {
        let mut loss = 0.0;
        for index in 0..self.batches() {
            let (point, weight) = self.batch(index)?;
            loss += weight * point.loss()?;
        }
        Ok(loss)
    }

    /// The gradient `[n]`.
    ///
    /// # Errors
    ///
    /// As [`loss`](Dataset::loss).
    pub fn gradient(&self) -> Result<Tensor<1>, CurvatureError> {
        let mut sum = Tensor::zeros([self.layout.dim()], (&self.device, self.dtype));
        for index in 0..self.batches() {
            let (point, weight) = self.batch(index)?;
            sum = sum + point.gradient()?.mul_scalar(weight);
        }
        Ok(sum)
    }

    /// The Hessian.
    pub fn hessian(&self) -> DatasetOperator<'_> {
        self.operator(Definiteness::Unknown, |_, point| {
            Ok(Box::new(point.hessian()))
        })
    }

    /// The Gauss-Newton matrix. Products fail with [`CurvatureError::NoOutputs`] for an objective that is a loss only.
    pub fn gauss_newton(&self) -> DatasetOperator<'_> {
        self.operator(Definiteness::Unknown, |_, point| {
            Ok(Box::new(point.gauss_newton()?))
        })
    }

    /// The Fisher matrix with sampled labels; each batch draws with a seed of its own.
    pub fn monte_carlo_fisher(
        &self,
        options: MonteCarloOptions,
        seed: Seed,
    ) -> DatasetOperator<'_> {
        self.operator(Definiteness::PositiveSemidefinite, move |index, point| {
            let seed = seed.index(index as u64);
            Ok(Box::new(point.monte_carlo_fisher(options, seed)?))
        })
    }

    /// The empirical Fisher matrix.
    pub fn empirical_fisher(&self) -> DatasetOperator<'_> {
        self.operator(Definiteness::PositiveSemidefinite, |_, point| {
            Ok(Box::new(point.empirical_fisher()?))
        })
    }

    /// The covariance of the gradients of the examples about the mean over all of them.
    ///
    /// # Errors
    ///
    /// As [`gradient`](Dataset::gradient).
    pub fn gradient_covariance(
        &self,
    ) -> Result<GradientCovariance<DatasetOperator<'_>>, CurvatureError> {
        let scale = self.reduction.to_mean(self.examples);
        Ok(GradientCovariance::new(
            self.empirical_fisher(),
            scale,
            &self.gradient()?,
        ))
    }

    /// The weighted sum over batches of an operator that the caller makes of each, with what is known of its definiteness.
    ///
    /// `make` is given the position of the batch and its point; it must make the same operator whenever it is asked.
    pub fn operator<'b>(
        &'b self,
        definiteness: Definiteness,
        make: impl Fn(usize, &Point) -> Result<Box<dyn LinearOperator>, CurvatureError> + 'b,
    ) -> DatasetOperator<'b> {
        DatasetOperator::new(self, Box::new(make), definiteness)
    }
}
