//! Diagonals over all batches: those of a sum are the sums of those of its parts.

use super::{Dataset, Gathered};
use crate::error::CurvatureError;
use crate::gauss_newton_diagonal::{CurvatureDiagonal, GaussNewtonDiagonal};
use crate::output_factors::Factors;
use crate::progress::{Observer, unobserved};
use crate::seed::Seed;
use crate::vector::{from_f64, to_f64};
use burn::prelude::Tensor;

/// Of the batches so far.
struct Exact {
    values: Vec<f64>,
    passes: usize,
}

/// Of the batches so far.
struct Sampled {
    values: Vec<f64>,
    /// Squared standard errors.
    variances: Vec<f64>,
}

impl Dataset<'_> {
    /// The diagonal of the Gauss-Newton matrix over all batches, exact up to rounding.
    ///
    /// # Shapes
    ///
    /// `[n]`.
    ///
    /// # Cost
    ///
    /// As [`curvature_diagonal`](Dataset::curvature_diagonal).
    ///
    /// # Errors
    ///
    /// As [`Point::gauss_newton_diagonal`](crate::Point::gauss_newton_diagonal), and [`CurvatureError::Load`].
    pub fn gauss_newton_diagonal(&self) -> Result<Tensor<1>, CurvatureError> {
        Ok(self.curvature_diagonal(&Factors::Exact)?.values)
    }

    /// The diagonal Σ (Jᵀ u)∘² over the vectors u of all examples of all batches that stand for the loss, summed in f64; see
    /// [`Point::curvature_diagonal`](crate::Point::curvature_diagonal).
    ///
    /// With [`Factors::MonteCarlo`] each batch draws with a seed of its own, `seed.index(batch)`.
    ///
    /// # Shapes
    ///
    /// `[n]`.
    ///
    /// # Cost
    ///
    /// For each batch one forward pass, as many backward passes as there are vectors u for an example, and for parameters that belong to
    /// no layer that many for each example. [`CurvatureDiagonal::passes`] sums these passes over single batches.
    ///
    /// # Errors
    ///
    /// As [`Point::curvature_diagonal`](crate::Point::curvature_diagonal), and [`CurvatureError::Load`].
    pub fn curvature_diagonal(
        &self,
        factors: &Factors,
    ) -> Result<CurvatureDiagonal, CurvatureError> {
        let gathered = self.curvature_diagonal_observed(factors, &mut unobserved)?;
        Ok(gathered.value)
    }

    /// As [`curvature_diagonal`](Dataset::curvature_diagonal), and shows an observer each batch that is done (`applications` counts them),
    /// which may stop it.
    ///
    /// # Errors
    ///
    /// As [`curvature_diagonal`](Dataset::curvature_diagonal).
    pub fn curvature_diagonal_observed(
        &self,
        factors: &Factors,
        observer: &mut Observer<'_>,
    ) -> Result<Gathered<CurvatureDiagonal>, CurvatureError> {
        let gathered = self.gather(
            observer,
            |index, point| {
                let diagonal = point.curvature_diagonal(&factors.of_batch(index))?;
                Ok(Exact {
                    values: to_f64(&diagonal.values),
                    passes: diagonal.passes,
                })
            },
            |seen, new, weights| {
                blend(&mut seen.values, &new.values, weights);
                seen.passes += new.passes;
                Ok(())
            },
        )?;
        gathered.try_map(|Exact { values, passes }| {
            Ok(CurvatureDiagonal {
                values: self.vector(&values),
                passes,
            })
        })
    }

    /// An unbiased estimate of the diagonal of the Gauss-Newton matrix over all batches: the weighted sum of the estimates of the batches,
    /// each with a seed of its own, `seed.index(batch)`.
    ///
    /// The batches are independent, so that their standard errors add up as squares, with the squared weights: that of an entry is at most
    /// √(2/samples) of it, and where it comes from all batches alike √(2/(samples · batches)).
    ///
    /// # Shapes
    ///
    /// `[n]`.
    ///
    /// # Cost
    ///
    /// `samples` backward passes of each batch, whatever the number of examples and outputs.
    ///
    /// # Errors
    ///
    /// As [`Point::gauss_newton_diagonal_sampled`](crate::Point::gauss_newton_diagonal_sampled), and [`CurvatureError::Load`].
    pub fn gauss_newton_diagonal_sampled(
        &self,
        samples: usize,
        seed: Seed,
    ) -> Result<GaussNewtonDiagonal, CurvatureError> {
        let gathered =
            self.gauss_newton_diagonal_sampled_observed(samples, seed, &mut unobserved)?;
        Ok(gathered.value)
    }

    /// As [`gauss_newton_diagonal_sampled`](Dataset::gauss_newton_diagonal_sampled), and shows an observer each batch that is done
    /// (`applications` counts them), which may stop it.
    ///
    /// # Errors
    ///
    /// As [`gauss_newton_diagonal_sampled`](Dataset::gauss_newton_diagonal_sampled).
    pub fn gauss_newton_diagonal_sampled_observed(
        &self,
        samples: usize,
        seed: Seed,
        observer: &mut Observer<'_>,
    ) -> Result<Gathered<GaussNewtonDiagonal>, CurvatureError> {
        let gathered = self.gather(
            observer,
            |index, point| {
                let seed = seed.index(index as u64);
                let diagonal = point.gauss_newton_diagonal_sampled(samples, seed)?;
                let errors = to_f64(&diagonal.standard_errors);
                Ok(Sampled {
                    values: to_f64(&diagonal.values),
                    variances: errors.into_iter().map(|error| error * error).collect(),
                })
            },
            |seen, new, weights| {
                blend(&mut seen.values, &new.values, weights);
                blend(&mut seen.variances, &new.variances, weights.map(|w| w * w));
                Ok(())
            },
        )?;
        gathered.try_map(|Sampled { values, variances }| {
            let errors: Vec<f64> = variances.into_iter().map(f64::sqrt).collect();
            Ok(GaussNewtonDiagonal {
                values: self.vector(&values),
                standard_errors: self.vector(&errors),
                samples,
            })
        })
    }

    fn vector(&self, values: &[f64]) -> Tensor<1> {
        from_f64(values, &self.device, self.dtype)
    }
}

/// What was seen times the first weight plus what is new times the second.
fn blend(seen: &mut [f64], new: &[f64], [keep, take]: [f64; 2]) {
    let entries = seen.iter_mut().zip(new);
    entries.for_each(|(seen, new)| *seen = keep * *seen + take * new);
}
