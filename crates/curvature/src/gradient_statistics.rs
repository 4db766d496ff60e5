//! How the gradients of the examples differ: norms, noise scale, signal-to-noise ratios.

use crate::error::{CurvatureError, check_dimension, not_loaded};
use crate::estimate::Estimate;
use crate::examples::{Examples, PerExample};
use crate::layout::ParameterLayout;
use crate::objective::Objective;
use crate::operator::LinearOperator;
use crate::vector::{dot_f64, to_f64};
use burn::module::Module;
use burn::prelude::Tensor;
use burn::tensor::{DType, TensorData};
use ravine_graph::Batch;
use std::borrow::Borrow;

/// Numbers of the gradients that are held at once: 64 MiB of f32.
const HELD: usize = 1 << 24;

/// First and second moments of the gradients ∇ℓᵢ of N examples.
///
/// All numbers are of the gradients of single examples, whatever the reduction of the loss, in f64.
#[derive(Clone, Debug)]
pub struct GradientStatistics {
    mean: Vec<f64>,
    /// Σ (∇ℓᵢ)² by parameter.
    squares: Vec<f64>,
    norms_squared: Vec<f64>,
    /// ḡᵀ∇ℓᵢ.
    along_mean: Vec<f64>,
    layout: ParameterLayout,
}

impl<M: Module, B: Batch> Objective<M, B> {
    /// Statistics of the gradients of all examples of some batches.
    ///
    /// # Cost
    ///
    /// About two gradients of each batch; the gradients of examples are held a few at a time.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] without examples; as [`Objective::per_example`].
    ///
    /// # References
    ///
    /// McCandlish, Kaplan, Amodei et al. (2018), An empirical model of large-batch training, section 2.2 and appendix A.1.
    ///
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::prelude::*;
    /// use ravine_curvature::Objective;
    ///
    /// let device = Device::flex();
    /// let model = LinearConfig::new(1, 1).with_bias(false).init(&device);
    /// // ℓᵢ = yᵢ w, so that ∇ℓᵢ = yᵢ
    /// let objective = Objective::new(
    ///     |model: &Linear, y: &Tensor<2>| model.forward(y.clone()),
    ///     |outputs, _| outputs.mean(),
    /// );
    /// let y = Tensor::<2>::from_data([[1.0], [2.0], [3.0]], &device);
    /// let statistics = objective.gradient_statistics(&model, &[y])?;
    /// assert_eq!(statistics.mean(), [2.0]);
    /// assert_eq!(statistics.variance(), [1.0]);
    /// assert_eq!(statistics.norms(), [1.0, 2.0, 3.0]);
    /// // tr Σ = 1, |G|² = 4 − 1/3
    /// assert!((statistics.noise_scale().value - 3.0 / 11.0).abs() < 1e-6);
    /// # Ok::<(), ravine_curvature::CurvatureError>(())
    /// ```
    pub fn gradient_statistics(
        &self,
        model: &M,
        batches: &[B],
    ) -> Result<GradientStatistics, CurvatureError> {
        self.statistics(model, batches.len(), |index| Ok(&batches[index]))
    }

    /// As [`gradient_statistics`](Objective::gradient_statistics), of batches that are loaded when they are needed, one at a time.
    ///
    /// `load` must give the same batch for the same index, `0..count`, whenever it is asked.
    ///
    /// # Cost
    ///
    /// About two gradients of each batch, which is loaded twice: the mean over all of them comes first.
    ///
    /// # Errors
    ///
    /// As [`gradient_statistics`](Objective::gradient_statistics), and [`CurvatureError::Load`].
    pub fn gradient_statistics_streamed<E: std::error::Error + Send + Sync + 'static>(
        &self,
        model: &M,
        count: usize,
        load: impl Fn(usize) -> Result<B, E>,
    ) -> Result<GradientStatistics, CurvatureError> {
        let load = |index: usize| load(index).map_err(|error| not_loaded(index, error));
        self.statistics(model, count, load)
    }

    fn statistics<L: Borrow<B>>(
        &self,
        model: &M,
        count: usize,
        load: impl Fn(usize) -> Result<L, CurvatureError>,
    ) -> Result<GradientStatistics, CurvatureError> {
        let layout = ParameterLayout::of(model)?;
        let (mut mean, mut examples) = (vec![0.0; layout.dim()], 0);
        for index in 0..count {
            let batch = load(index)?;
            let batch: &B = batch.borrow();
            if batch.examples() == 0 {
                continue;
            }
            let point = self.at(model, batch)?;
            let own = point.examples();
            let weight = self.reduction.to_mean(own) * own as f64;
            for (mean, g) in mean.iter_mut().zip(to_f64(&point.gradient()?)) {
                *mean += weight * g;
            }
            examples += own;
        }
        if examples == 0 {
            return Err(CurvatureError::Argument {
                name: "the number of examples",
                value: 0.0,
                requirement: "at least one is needed",
            });
        }
        mean.iter_mut().for_each(|mean| *mean /= examples as f64);
        let mut statistics = GradientStatistics {
            squares: vec![0.0; mean.len()],
            mean,
            norms_squared: Vec::with_capacity(examples),
            along_mean: Vec::with_capacity(examples),
            layout,
        };
        for index in 0..count {
            let batch = load(index)?;
            let batch: &B = batch.borrow();
            if batch.examples() == 0 {
                continue;
            }
            let examples = Examples::of(self, model, batch)?;
            examples.gradients(HELD, |gradients| statistics.add(gradients.into_data()))?;
        }
        Ok(statistics)
    }
}

impl GradientStatistics {
    fn add(&mut self, rows: TensorData) {
        match rows.dtype() {
            DType::F32 => self.add_rows(rows.as_slice::<f32>().expect("f32 as it says")),
            DType::F64 => self.add_rows(rows.as_slice::<f64>().expect("f64 as it says")),
            _ => {
                let rows: Vec<f64> = rows.iter::<f64>().collect();
                self.add_rows(&rows);
            }
        }
    }

    fn add_rows<T: Copy + Into<f64>>(&mut self, rows: &[T]) {
        for row in rows.chunks_exact(self.mean.len()) {
            let (mut norm, mut along) = (0.0, 0.0);
            for ((x, mean), square) in row.iter().zip(&self.mean).zip(&mut self.squares) {
                let x: f64 = (*x).into();
                norm += x * x;
                along += x * mean;
                *square += x * x;
            }
            self.norms_squared.push(norm);
            self.along_mean.push(along);
        }
    }

    /// Number N of examples.
    pub fn examples(&self) -> usize {
        self.norms_squared.len()
    }

    /// ḡ `[n]`, the mean gradient.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// ‖∇ℓᵢ‖ `[N]`, in the order of the examples.
    pub fn norms(&self) -> Vec<f64> {
        self.norms_squared
            .iter()
            .map(|square| square.sqrt())
            .collect()
    }

    /// The unbiased variance of each entry over examples `[n]`; NaN for a single example.
    pub fn variance(&self) -> Vec<f64> {
        let count = self.examples() as f64;
        let entries = self.squares.iter().zip(&self.mean);
        entries
            .map(|(squares, mean)| ((squares - count * mean * mean) / (count - 1.0)).max(0.0))
            .collect()
    }

    /// tr Σ, the unbiased variance summed over all entries: the squared noise of the gradient of one example.
    pub fn covariance_trace(&self) -> f64 {
        let (noise, _) = moments(self.examples() as f64, self.squared(), self.mean_squared());
        noise
    }

    /// The simple noise scale B = tr Σ / ‖G‖²: the batch size at which noise and gradient are equally large, both estimated without
    /// bias (‖G‖² by ‖ḡ‖² − tr Σ/N), with the standard error of the jackknife over examples.
    ///
    /// NaN or negative where the gradient is lost in the noise of all examples: then more of them are needed.
    ///
    /// # References
    ///
    /// McCandlish et al. (2018), equation 2.9 and appendix A.1.
    pub fn noise_scale(&self) -> Estimate {
        let count = self.examples() as f64;
        let (squared, mean_squared) = (self.squared(), self.mean_squared());
        let ratio = |count: f64, squared: f64, mean_squared: f64| {
            let (noise, signal) = moments(count, squared, mean_squared);
            noise / signal
        };
        let value = ratio(count, squared, mean_squared);
        // the same without example i
        let left_out: Vec<f64> = self
            .norms_squared
            .iter()
            .zip(&self.along_mean)
            .map(|(own, along)| {
                let rest = count - 1.0;
                let mean =
                    (count * count * mean_squared - 2.0 * count * along + own) / (rest * rest);
                ratio(rest, squared - own, mean)
            })
            .collect();
        let centre = left_out.iter().sum::<f64>() / count;
        let spread: f64 = left_out.iter().map(|x| (x - centre).powi(2)).sum();
        Estimate {
            value,
            standard_error: ((count - 1.0) / count * spread).sqrt(),
            samples: self.examples(),
            applications: 0,
            quadrature_error: 0.0,
            freedom: None,
        }
    }

    /// The signal-to-noise ratio ḡⱼ²/Σⱼⱼ of each entry `[n]`; 0 where the gradient is always zero.
    ///
    /// # References
    ///
    /// Liu, Bai, Jiang, Chen and Wang (2020), Understanding why neural networks generalize well through GSNR, definition 1.
    pub fn signal_to_noise(&self) -> Vec<f64> {
        let entries = self.mean.iter().zip(self.variance());
        entries
            .map(|(mean, variance)| match *mean == 0.0 {
                true => 0.0,
                false => mean * mean / variance,
            })
            .collect()
    }

    /// ‖ḡ‖²/tr Σ of each parameter tensor, by name.
    pub fn signal_to_noise_by_parameter(&self) -> Vec<(String, f64)> {
        let variance = self.variance();
        self.layout
            .entries()
            .iter()
            .map(|entry| {
                let mean = &self.mean[entry.range.clone()];
                let noise: f64 = variance[entry.range.clone()].iter().sum();
                (entry.name.clone(), dot_f64(mean, mean) / noise)
            })
            .collect()
    }

    /// Σ ‖∇ℓᵢ‖².
    fn squared(&self) -> f64 {
        self.norms_squared.iter().sum()
    }

    fn mean_squared(&self) -> f64 {
        dot_f64(&self.mean, &self.mean)
    }
}

/// Unbiased tr Σ and ‖G‖² from Σ‖∇ℓᵢ‖² and ‖ḡ‖².
fn moments(count: f64, squared: f64, mean_squared: f64) -> (f64, f64) {
    let noise = (squared - count * mean_squared) / (count - 1.0);
    (noise, mean_squared - noise / count)
}

impl PerExample {
    /// The noise scale with curvature B = tr(HΣ) / GᵀHG: the batch size at which noise costs as much progress as a step of the best
    /// length wins; the numerator without bias, the denominator too.
    ///
    /// # Cost
    ///
    /// N + 1 operator applications, in blocks.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for an operator of another dimension; what the operator reports.
    ///
    /// # References
    ///
    /// McCandlish et al. (2018), equation 2.8.
    pub fn curvature_noise_scale(
        &self,
        operator: &dyn LinearOperator,
    ) -> Result<f64, CurvatureError> {
        let [count, dim] = self.gradients.dims();
        check_dimension("the operator", operator.dim(), dim)?;
        let block = operator.block_size().max(1);
        let mut each = 0.0;
        for first in (0..count).step_by(block) {
            let rows = first..(first + block).min(count);
            let gradients = self.gradients.clone().slice([rows, 0..dim]);
            let products = operator.apply_block(&gradients)?;
            each += inner(&gradients, &products);
        }
        let mean = self.gradients.clone().mean_dim(0);
        let of_mean = inner(&mean, &operator.apply_block(&mean)?);
        let (noise, signal) = moments(count as f64, each, of_mean);
        Ok(noise / signal)
    }
}

fn inner(a: &Tensor<2>, b: &Tensor<2>) -> f64 {
    let [rows, columns] = a.dims();
    let flat = |x: &Tensor<2>| to_f64(&x.clone().reshape([rows * columns]));
    dot_f64(&flat(a), &flat(b))
}
