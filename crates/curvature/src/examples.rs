use crate::blocks::Blocks;
use crate::engine::Engine;
use crate::error::CurvatureError;
use crate::layout::ParameterLayout;
use crate::objective::{Objective, Reduction};
use crate::seed::Seed;
use crate::vector::to_f64;
use burn::module::Module;
use burn::prelude::Tensor;
use burn::tensor::DType;
use ravine_graph::{
    Array, Batch, DispatchTensor, Executable, GraphError, ModuleTensors, Recording, first_example,
};
use std::ops::Range;
use std::sync::Arc;

/// Loss and gradient of each example of a batch.
#[derive(Clone, Debug)]
pub struct PerExample {
    /// The losses `[b]`.
    pub losses: Tensor<1>,
    /// The gradients `[b, n]`, a row an example, in the order of the parameter layout.
    pub gradients: Tensor<2>,
    /// Names and places of the parameters.
    pub layout: ParameterLayout,
}

impl<M: Module, B: Batch> Objective<M, B> {
    /// Loss and gradient of each example, without a loop over examples: the gradient of a batch of one is recorded and evaluated for
    /// all examples at once.
    ///
    /// Row i is the gradient of the loss of a batch that holds example i alone. So the rows of a mean loss have the gradient of the
    /// batch as their mean, those of a sum as their sum. The examples of a tensor of the batch lie along its first dimension; a tensor
    /// with another first length than [`Batch::examples`] is shared by all of them. In [`Mode::Training`](crate::Mode::Training) each example has dropout masks of
    /// its own, and batch norm sees one example.
    ///
    /// # Shapes
    ///
    /// Losses `[b]`, gradients `[b, n]`.
    ///
    /// # Cost
    ///
    /// About one gradient of the batch, and memory for `b · n` numbers.
    ///
    /// # Errors
    ///
    /// As [`Objective::at`]; [`CurvatureError::Argument`] for a batch without examples.
    ///
    /// # References
    ///
    /// Dangel, Kunstner and Hennig (2020), BackPACK: packing more into backprop, section 2.2.
    ///
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::prelude::*;
    /// use ravine_curvature::Objective;
    ///
    /// let device = Device::flex();
    /// let model = LinearConfig::new(3, 1).init(&device);
    /// let objective = Objective::new(
    ///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
    ///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
    /// );
    /// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
    /// let each = objective.per_example(&model, &batch)?;
    /// assert_eq!(each.gradients.dims(), [5, 4]);
    /// let mean: Vec<f32> = each.gradients.mean_dim(0).into_data().iter().collect();
    /// let gradient: Vec<f32> = objective.at(&model, &batch)?.gradient()?.into_data().iter().collect();
    /// assert!(mean.iter().zip(&gradient).all(|(a, b)| (a - b).abs() < 1e-5));
    /// # Ok::<(), ravine_curvature::CurvatureError>(())
    /// ```
    pub fn per_example(&self, model: &M, batch: &B) -> Result<PerExample, CurvatureError> {
        let examples = Examples::of(self, model, batch)?;
        let mut outputs = examples.run(examples.engine.gradient()?)?;
        let gradients = outputs.pop().expect("the last output is the gradient");
        let target = examples.engine.target();
        Ok(PerExample {
            losses: examples.engine.vector(outputs.swap_remove(0).as_vector()),
            gradients: Tensor::from_dispatch(gradients.into_tensor(target)),
            layout: examples.engine.layout.clone(),
        })
    }

    /// The loss of each example, in one forward pass.
    ///
    /// # Shapes
    ///
    /// `[b]`, in the dtype of the evaluation.
    ///
    /// # Errors
    ///
    /// As [`per_example`](Objective::per_example).
    pub fn example_losses(&self, model: &M, batch: &B) -> Result<Tensor<1>, CurvatureError> {
        let examples = Examples::of(self, model, batch)?;
        let mut outputs = examples.run(examples.engine.forward()?)?;
        Ok(examples.engine.vector(outputs.swap_remove(0).as_vector()))
    }

    /// Checks that the loss of a batch is what [`Objective::reduction`] says of the losses of its examples.
    ///
    /// # Cost
    ///
    /// Two forward passes.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Reduction`] if it is not: another reduction, or examples that act on each other (batch norm in training,
    /// contrastive losses); as [`per_example`](Objective::per_example).
    pub fn check_reduction(&self, model: &M, batch: &B) -> Result<(), CurvatureError> {
        let losses = to_f64(&self.example_losses(model, batch)?);
        let point = self.at(model, batch)?;
        let loss = point.loss()?;
        let sum: f64 = losses.iter().sum();
        let size: f64 = losses.iter().map(|loss| loss.abs()).sum();
        let count = losses.len() as f64;
        let (reduction, expected, size) = match self.reduction {
            Reduction::Mean => ("mean", sum / count, size / count),
            Reduction::Sum => ("sum", sum, size),
        };
        let rounding = match point.dtype() {
            DType::F64 => 1e-9,
            _ => 1e-4,
        };
        // a loss that is not finite is found where it matters
        if (loss - expected).abs() > rounding * size.max(f64::MIN_POSITIVE) {
            return Err(CurvatureError::Reduction {
                loss,
                reduction,
                expected,
            });
        }
        Ok(())
    }
}

/// The examples of a batch as members of one computation.
pub(crate) struct Examples {
    engine: Arc<Engine>,
    inputs: Inputs,
    count: usize,
}

impl Examples {
    pub(crate) fn of<M: Module, B: Batch>(
        objective: &Objective<M, B>,
        model: &M,
        batch: &B,
    ) -> Result<Self, CurvatureError> {
        let count = batch.examples();
        if count == 0 {
            return Err(CurvatureError::Argument {
                name: "the number of examples of the batch",
                value: 0.0,
                requirement: "at least one is needed",
            });
        }
        let one = first_example(batch);
        let tensors = ModuleTensors::read(model)?;
        let engine = objective.engine(model, &tensors, &one)?;
        let inputs = Inputs::of(&engine, &tensors, batch, count, objective.mode.seed())?;
        Ok(Self {
            engine,
            inputs,
            count,
        })
    }

    /// All outputs of a graph of one example, for all of them.
    fn run(&self, graph: &Executable) -> Result<Vec<Array>, CurvatureError> {
        let blocks = Blocks::new(graph, self.inputs.varying(), self.engine.settings());
        Ok(blocks.run(self.count, |range| self.inputs.of_range(range))?)
    }

    /// The gradients `[.., n]` of all examples in order, so many at once that at most `held` numbers are in memory (or one example).
    pub(crate) fn gradients(
        &self,
        held: usize,
        mut take: impl FnMut(Tensor<2>),
    ) -> Result<(), CurvatureError> {
        let graph = self.engine.gradient()?;
        let blocks = Blocks::new(graph, self.inputs.varying(), self.engine.settings());
        let most = (held / self.engine.layout.dim().max(1)).max(1);
        for first in (0..self.count).step_by(most) {
            let count = most.min(self.count - first);
            let part =
                |range: Range<usize>| self.inputs.of_range(first + range.start..first + range.end);
            let gradients = blocks.run(count, part)?.pop();
            let gradients = gradients.expect("the last output is the gradient");
            let target = self.engine.target();
            take(Tensor::from_dispatch(gradients.into_tensor(target)));
        }
        Ok(())
    }
}

/// An input of the gradient of one example.
enum Input {
    Shared(Array),
    /// One entry of the first dimension for each example.
    Each(Array),
}

struct Inputs(Vec<Input>);

impl Inputs {
    fn of<B: Batch>(
        engine: &Engine,
        tensors: &ModuleTensors,
        batch: &B,
        count: usize,
        seed: Seed,
    ) -> Result<Self, CurvatureError> {
        let theta = engine.theta(tensors);
        let mut inputs = vec![Input::Shared(engine.bring(theta.into_dispatch())?)];
        let others = Recording::values(tensors, batch)
            .into_iter()
            .skip(tensors.values.len());
        for (position, tensor) in others.enumerate() {
            let array = engine.bring(tensor)?;
            let each = position >= tensors.fixed.len() && array.shape().first() == Some(&count);
            inputs.push(match each {
                true => Input::Each(array.with_dimension(1)),
                false => Input::Shared(array),
            });
        }
        let draws: Vec<Vec<DispatchTensor>> = (0..count)
            .map(|example| engine.draw(seed.index(example as u64)))
            .collect();
        for position in 0..engine.recording.random_inputs().len() {
            let masks = draws
                .iter()
                .map(|masks| Ok(engine.bring(masks[position].clone())?.with_dimension(0)))
                .collect::<Result<Vec<_>, GraphError>>()?;
            inputs.push(Input::Each(Array::stacked(masks)));
        }
        Ok(Self(inputs))
    }

    fn varying(&self) -> Vec<usize> {
        let positions = self.0.iter().enumerate();
        positions
            .filter(|(_, input)| matches!(input, Input::Each(_)))
            .map(|(position, _)| position)
            .collect()
    }

    fn of_range(&self, range: Range<usize>) -> Vec<Array> {
        self.0
            .iter()
            .map(|input| match input {
                Input::Shared(array) => array.clone(),
                Input::Each(array) if array.shape()[0] == range.len() => array.clone(),
                Input::Each(array) => array.rows(range.clone()),
            })
            .collect()
    }
}
