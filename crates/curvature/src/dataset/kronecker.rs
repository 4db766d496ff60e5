//! Kronecker factors over all batches.

use super::{Dataset, Gathered};
use crate::error::CurvatureError;
use crate::kfac::{EkFac, Kfac, KfacFactors, KfacOptions, blend};
use crate::progress::{Observer, unobserved};

impl Dataset<'_> {
    /// The Kronecker factors A and B of all layers over all batches: those of one batch of all examples.
    ///
    /// Factors of activations are means over all examples; factors of gradients, and the diagonals of parameters that belong to no layer,
    /// are means or sums as the loss is. Where that diagonal is sampled, or the factors are, each batch draws with a seed of its own,
    /// `seed.index(batch)`.
    ///
    /// A weight that is used at several positions counts the positions of each batch as one mean, weighted by its examples: where
    /// sentences of one batch are longer than those of another, their positions weigh less.
    ///
    /// To keep them in a file: [`KfacFactors::save`], and [`SavedFactors::on`](crate::SavedFactors::on) the point of any
    /// [`batch`](Dataset::batch).
    ///
    /// # Cost
    ///
    /// That of [`KfacFactors::at`] for each batch, one batch in memory at a time; [`KfacFactors::passes`] sums the passes over single
    /// batches.
    ///
    /// # Errors
    ///
    /// As [`KfacFactors::at`], and [`CurvatureError::Load`].
    ///
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::prelude::*;
    /// use ravine_curvature::{KfacOptions, LinearOperator, Memory, Objective};
    ///
    /// let device = Device::flex();
    /// let model = LinearConfig::new(3, 2).init(&device);
    /// let objective = Objective::new(
    ///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
    ///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
    /// );
    /// let batch = |count| (Tensor::<2>::ones([count, 3], &device), Tensor::<2>::zeros([count, 2], &device));
    /// let data = objective.over(&model, &[batch(5), batch(3)], Memory::Kept)?;
    /// let kfac = data.kfac(&KfacOptions::default())?;
    /// // one linear layer and a squared error: K-FAC is the Gauss-Newton matrix, of a dataset too
    /// let g = data.gradient()?;
    /// let difference = kfac.apply(&g)? - data.gauss_newton().apply(&g)?;
    /// assert!(difference.abs().max().into_scalar::<f32>() < 1e-5);
    /// # Ok::<(), ravine_curvature::CurvatureError>(())
    /// ```
    pub fn kfac_factors(&self, options: &KfacOptions) -> Result<KfacFactors, CurvatureError> {
        Ok(self.kfac_factors_observed(options, &mut unobserved)?.value)
    }

    /// As [`kfac_factors`](Dataset::kfac_factors), and shows an observer each batch that is done (`applications` counts them), which may
    /// stop it.
    ///
    /// # Errors
    ///
    /// As [`kfac_factors`](Dataset::kfac_factors).
    pub fn kfac_factors_observed(
        &self,
        options: &KfacOptions,
        observer: &mut Observer<'_>,
    ) -> Result<Gathered<KfacFactors>, CurvatureError> {
        self.gather(
            observer,
            |index, point| KfacFactors::at(point, &options.of_batch(index)),
            // the factors know their examples
            |seen, new, _| seen.accumulate(new, self.reduction.into()),
        )
    }

    /// The Kronecker-factored approximation of the Gauss-Newton matrix over all batches.
    ///
    /// # Cost
    ///
    /// As [`kfac_factors`](Dataset::kfac_factors).
    ///
    /// # Errors
    ///
    /// As [`kfac_factors`](Dataset::kfac_factors).
    pub fn kfac(&self, options: &KfacOptions) -> Result<Kfac, CurvatureError> {
        Ok(Kfac::new(self.kfac_factors(options)?))
    }

    /// The eigenvalue-corrected Kronecker-factored approximation of the Gauss-Newton matrix over all batches: the bases of the factors of
    /// all batches, then the eigenvalues of all batches in these bases.
    ///
    /// To watch or to stop it, take the two passes one by one: [`kfac_factors_observed`](Dataset::kfac_factors_observed) and
    /// [`ekfac_in_bases_of_observed`](Dataset::ekfac_in_bases_of_observed).
    ///
    /// # Cost
    ///
    /// Two passes over the dataset: as [`kfac_factors`](Dataset::kfac_factors), and the same backward passes once more.
    ///
    /// # Errors
    ///
    /// As [`EkFac::at`], and [`CurvatureError::Load`].
    pub fn ekfac(&self, options: &KfacOptions) -> Result<EkFac, CurvatureError> {
        self.ekfac_in_bases_of(&self.kfac(options)?, options)
    }

    /// Eigenvalues over all batches in the bases of other factors, such as of a part of the batches, or of an earlier point.
    ///
    /// The parameters that belong to no layer keep the diagonal of `kfac`.
    ///
    /// # Cost
    ///
    /// One pass over the dataset: one forward and one backward for each vector u.
    ///
    /// # Errors
    ///
    /// As [`EkFac::in_bases_of`], and [`CurvatureError::Load`].
    pub fn ekfac_in_bases_of(
        &self,
        kfac: &Kfac,
        options: &KfacOptions,
    ) -> Result<EkFac, CurvatureError> {
        let gathered = self.ekfac_in_bases_of_observed(kfac, options, &mut unobserved)?;
        Ok(gathered.value)
    }

    /// As [`ekfac_in_bases_of`](Dataset::ekfac_in_bases_of), and shows an observer each batch that is done (`applications` counts them),
    /// which may stop it. The parameters that belong to no layer keep the diagonal of `kfac`, whatever part of a sum was seen.
    ///
    /// # Errors
    ///
    /// As [`ekfac_in_bases_of`](Dataset::ekfac_in_bases_of).
    pub fn ekfac_in_bases_of_observed(
        &self,
        kfac: &Kfac,
        options: &KfacOptions,
        observer: &mut Observer<'_>,
    ) -> Result<Gathered<EkFac>, CurvatureError> {
        let gathered = self.gather(
            observer,
            |index, point| EkFac::eigenvalues_at(kfac, point, &options.of_batch(index)),
            |seen, new, weights| {
                let blocks = seen.iter_mut().zip(new);
                blocks.for_each(|(seen, new)| blend(seen, new, weights));
                Ok(())
            },
        )?;
        let examples = gathered.examples as f64;
        gathered.try_map(|values| EkFac::of(kfac, values, options, examples))
    }
}
