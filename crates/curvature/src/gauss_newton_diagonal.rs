//! The diagonal of the Gauss-Newton matrix, exact or sampled.

use crate::error::CurvatureError;
use crate::kfac::{LayerPass, second_moments};
use crate::output_factors::{Factors, OutputFactors};
use crate::point::{Map, Point};
use crate::seed::Seed;
use crate::vector::{from_f64, to_f64};
use burn::prelude::Tensor;
use std::ops::Range;

/// Numbers of products that are computed at once: 128 MB.
const IN_FLIGHT: usize = 1 << 24;

/// Numbers of each of several ranges of the parameters.
type Parts = Vec<Vec<f64>>;

/// An unbiased estimate of the diagonal of the Gauss-Newton matrix, with its standard errors.
#[derive(Clone, Debug)]
pub struct GaussNewtonDiagonal {
    /// The estimates `[n]`.
    pub values: Tensor<1>,
    /// Their standard errors `[n]`; infinite for a single sample.
    pub standard_errors: Tensor<1>,
    /// Independent samples, a backward pass each: of the batch, or of every batch of a dataset.
    pub samples: usize,
}

/// The diagonal of a sum of outer products Σ (Jᵀ u)(Jᵀ u)ᵀ, and what it took.
#[derive(Clone, Debug)]
pub struct CurvatureDiagonal {
    /// Σ (Jᵀ u)∘² `[n]`.
    pub values: Tensor<1>,
    /// Passes over the batch: one forward for the activations and one backward for each vector u of all examples together, and for
    /// parameters that belong to no layer one backward for each vector of each example. Over a dataset those of all batches together.
    pub passes: usize,
}

impl Point {
    /// The diagonal of the Gauss-Newton matrix G = Jᵀ H_L J, exact up to rounding.
    ///
    /// With a square root H_L = S Sᵀ for each example, Gᵢᵢ = Σ (Jᵀ S e)ᵢ² over the columns of all examples. In the layers that
    /// K-FAC finds it comes from activations and gradients without a loop over examples.
    ///
    /// # Shapes
    ///
    /// `[n]`.
    ///
    /// # Cost
    ///
    /// As many backward passes as an example has outputs; for parameters that belong to no layer (and for all parameters, if batch norm
    /// in training mode mixes examples) that many for each example.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`]; [`CurvatureError::ExamplesCoupled`], [`CurvatureError::LossNotConvex`],
    /// [`CurvatureError::LossHessianTooLarge`].
    ///
    /// # References
    ///
    /// Dangel, Kunstner and Hennig (2020), BackPACK: packing more into backprop, section 2.3 (DiagGGN).
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
    /// let batch = (Tensor::<2>::ones([5, 3], &device) * 2.0, Tensor::<2>::zeros([5, 1], &device));
    /// let diagonal = objective.at(&model, &batch)?.gauss_newton_diagonal()?;
    /// // 2/5 Σ x² for the weights, 2 for the bias
    /// let diagonal: Vec<f32> = diagonal.into_data().iter().collect();
    /// assert!(diagonal.iter().zip([8.0, 8.0, 8.0, 2.0]).all(|(a, b)| (a - b).abs() < 1e-4));
    /// # Ok::<(), ravine_curvature::CurvatureError>(())
    /// ```
    pub fn gauss_newton_diagonal(&self) -> Result<Tensor<1>, CurvatureError> {
        Ok(self.curvature_diagonal(&Factors::Exact)?.values)
    }

    /// The diagonal Σ (Jᵀ u)∘² over the vectors u of all examples that stand for the loss: of the Gauss-Newton matrix for
    /// [`Factors::Exact`], of the empirical Fisher matrix for [`Factors::Empirical`], a sample of either for
    /// [`Factors::MonteCarlo`].
    ///
    /// # Shapes
    ///
    /// `[n]`.
    ///
    /// # Cost
    ///
    /// [`CurvatureDiagonal::passes`].
    ///
    /// # Errors
    ///
    /// As [`gauss_newton_diagonal`](Point::gauss_newton_diagonal); [`CurvatureError::Argument`] for no sample.
    pub fn curvature_diagonal(
        &self,
        factors: &Factors,
    ) -> Result<CurvatureDiagonal, CurvatureError> {
        let factors = OutputFactors::of(self, factors)?;
        let pass = LayerPass::new(self, factors.examples())?;
        let mut diagonal = vec![0.0; self.dim()];
        let entries = self.layout().entries();
        let mut others: Vec<Range<usize>> = entries.iter().map(|e| e.range.clone()).collect();
        let mut passes = 1;
        if pass.is_independent() {
            passes += factors.columns();
            let moments = second_moments(&pass, &factors, None)?;
            for (entries, moments) in pass.entries().zip(&moments) {
                entries.scatter(moments, &mut diagonal);
            }
            let others_of = pass.others().into_iter();
            others = others_of
                .map(|other| entries[other].range.clone())
                .collect();
        }
        if !others.is_empty() {
            passes += factors.columns() * factors.examples();
        }
        let found = exact(self, &factors, &others)?;
        for (range, found) in others.into_iter().zip(found) {
            diagonal[range].copy_from_slice(&found);
        }
        Ok(CurvatureDiagonal {
            values: from_f64(&diagonal, self.device(), self.dtype()),
            passes,
        })
    }

    /// An unbiased estimate of the diagonal of the Gauss-Newton matrix: the mean of (Jᵀ S ξ)∘² over random signs ξ.
    ///
    /// The standard error of an entry is at most √(2/samples) of it, so that 200 samples give each entry to a tenth.
    /// Samples of an entry are as skewed as χ² with one degree of freedom: Student's interval of 95 % from ten of them holds the entry in
    /// 87 of 100 cases, from thirty in 91.
    ///
    /// # Shapes
    ///
    /// `[n]`.
    ///
    /// # Cost
    ///
    /// One backward pass a sample, whatever the number of examples and outputs.
    ///
    /// # Errors
    ///
    /// As [`gauss_newton_diagonal`](Point::gauss_newton_diagonal); [`CurvatureError::Argument`] for no sample.
    ///
    /// # References
    ///
    /// Bekas, Kokiopoulou and Saad (2007), An estimator for the diagonal of a matrix; Dangel, Kunstner and Hennig (2020), section 2.3
    /// (DiagGGN-MC).
    pub fn gauss_newton_diagonal_sampled(
        &self,
        samples: usize,
        seed: Seed,
    ) -> Result<GaussNewtonDiagonal, CurvatureError> {
        let factors = OutputFactors::exact(self)?;
        let whole = 0..self.dim();
        let whole = std::slice::from_ref(&whole);
        let (mean, errors) = sampled(self, &factors, whole, samples, seed)?;
        let vector = |parts: &[Vec<f64>]| from_f64(&parts[0], self.device(), self.dtype());
        Ok(GaussNewtonDiagonal {
            values: vector(&mean),
            standard_errors: vector(&errors),
            samples,
        })
    }
}

/// The diagonal over some ranges: exact if that needs no more backward passes, else an estimate.
pub(crate) fn diagonal_of(
    point: &Point,
    factors: &OutputFactors,
    ranges: &[Range<usize>],
    samples: usize,
    seed: Seed,
) -> Result<Parts, CurvatureError> {
    if factors.columns() * factors.examples() <= samples {
        return exact(point, factors, ranges);
    }
    Ok(sampled(point, factors, ranges, samples, seed)?.0)
}

/// Σ (Jᵀ u)∘² over all vectors of all examples.
fn exact(
    point: &Point,
    factors: &OutputFactors,
    ranges: &[Range<usize>],
) -> Result<Parts, CurvatureError> {
    let columns = factors.columns();
    let mut sums: Vec<Vec<f64>> = ranges.iter().map(|range| vec![0.0; range.len()]).collect();
    if ranges.is_empty() {
        return Ok(sums);
    }
    let vector = |index: usize| factors.column_of(index % columns, index / columns);
    for_each_product(
        point,
        factors,
        columns * factors.examples(),
        vector,
        |product| {
            for (range, sums) in ranges.iter().zip(&mut sums) {
                let own = sums.iter_mut().zip(&product[range.clone()]);
                own.for_each(|(sum, x)| *sum += x * x);
            }
        },
    )?;
    Ok(sums)
}

/// Means of (Jᵀ u)∘² over random u with E[u uᵀ] = H_L, and their standard errors.
fn sampled(
    point: &Point,
    factors: &OutputFactors,
    ranges: &[Range<usize>],
    samples: usize,
    seed: Seed,
) -> Result<(Parts, Parts), CurvatureError> {
    if samples == 0 {
        return Err(CurvatureError::Argument {
            name: "the number of samples",
            value: 0.0,
            requirement: "at least one is needed",
        });
    }
    let zeros = || -> Parts { ranges.iter().map(|range| vec![0.0; range.len()]).collect() };
    let (mut means, mut squares) = (zeros(), zeros());
    let seed = seed.stream("diagonal");
    let mut count = 0.0;
    let vector = |sample: usize| factors.signed(seed.index(sample as u64));
    for_each_product(point, factors, samples, vector, |product| {
        count += 1.0;
        for ((range, means), squares) in ranges.iter().zip(&mut means).zip(&mut squares) {
            let own = means.iter_mut().zip(squares).zip(&product[range.clone()]);
            for ((mean, square), x) in own {
                // Welford's update
                let difference = x * x - *mean;
                *mean += difference / count;
                *square += difference * (x * x - *mean);
            }
        }
    })?;
    for square in squares.iter_mut().flatten() {
        *square = match samples {
            1 => f64::INFINITY,
            _ => (*square / (count - 1.0) / count).sqrt(),
        };
    }
    Ok((means, squares))
}

/// Hands Jᵀ u on for `count` vectors u.
fn for_each_product(
    point: &Point,
    factors: &OutputFactors,
    count: usize,
    vector: impl Fn(usize) -> Vec<f64>,
    mut handle: impl FnMut(&[f64]),
) -> Result<(), CurvatureError> {
    let (products, shared) = point.shared_by(Map::TransposedJacobian)?;
    let width = point.dim().max(factors.elements());
    let at_once = products.preferred().min(IN_FLIGHT / width.max(1)).max(1);
    for first in (0..count).step_by(at_once) {
        let rows = (first..(first + at_once).min(count)).map(&vector).collect();
        let found = products.apply_block(shared, &factors.directions(point, rows)?)?;
        let found = to_f64(&point.engine().vector(found.as_vector()));
        found.chunks_exact(point.dim()).for_each(&mut handle);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
