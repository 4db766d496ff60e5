//! What an objective with outputs offers beside the Hessian: Gauss-Newton products, Kronecker factors, diagonals.

use burn::prelude::*;
use ravine_curvature::{Factors, KfacFactors, KfacOptions, Point};

use super::ledger::Kind;
use super::{Counted, CountedGaussNewton, CountedHessian};
use crate::{OptimError, Oracle};

impl Oracle {
    /// The Gauss-Newton matrix at `theta` on the current batch as an operator that counts its applications.
    ///
    /// # Cost
    ///
    /// One Gauss-Newton product for each vector it is applied to.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`]; [`ravine_curvature::CurvatureError::NoOutputs`] for an objective that is a loss only, and whatever
    /// recording the product reports.
    pub fn gauss_newton(&mut self, theta: &Tensor<1>) -> Result<CountedGaussNewton, OptimError> {
        let matrix = self.expand(theta)?.point.gauss_newton()?;
        let kind = Kind::GaussNewtonProduct;
        Ok(Counted::new(matrix, &self.ledger, kind, 1.0))
    }

    /// The Gauss-Newton matrix at `theta` on a batch of the caller's, such as a part of the current one.
    ///
    /// # Cost
    ///
    /// A product counts as examples of `batch` over examples of the current batch; the bill is rounded up to whole products.
    ///
    /// # Errors
    ///
    /// As [`Oracle::gauss_newton`].
    pub fn gauss_newton_on(
        &mut self,
        batch: &Point,
        theta: &Tensor<1>,
    ) -> Result<CountedGaussNewton, OptimError> {
        let (share, batch) = (self.share(batch), self.moved(batch, theta)?);
        let kind = Kind::GaussNewtonProduct;
        let matrix = batch.gauss_newton()?;
        Ok(Counted::new(matrix, &self.ledger, kind, share))
    }

    /// The Hessian at `theta` on a batch of the caller's, such as a part of the current one; counted as
    /// [`Oracle::gauss_newton_on`] counts.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`].
    pub fn hessian_on(
        &mut self,
        batch: &Point,
        theta: &Tensor<1>,
    ) -> Result<CountedHessian, OptimError> {
        let (share, batch) = (self.share(batch), self.moved(batch, theta)?);
        let hessian = batch.hessian();
        Ok(Counted::new(hessian, &self.ledger, Kind::Product, share))
    }

    /// The Kronecker factors of all layers at `theta` on the current batch.
    ///
    /// # Cost
    ///
    /// [`KfacFactors::passes`]: one for the activations, one for each vector that stands for the loss, and those for parameters that
    /// belong to no layer. The first time at a recording a few more, to see which rows belong to which example, are not counted, nor
    /// are inverses of the factors, which need no data.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and as [`KfacFactors::at`].
    pub fn kfac_factors(
        &mut self,
        theta: &Tensor<1>,
        options: &KfacOptions,
    ) -> Result<KfacFactors, OptimError> {
        let factors = KfacFactors::at(&self.expand(theta)?.point, options)?;
        self.ledger.count(Kind::FactorPass, factors.passes());
        Ok(factors)
    }

    /// The diagonal of the Gauss-Newton matrix or of a Fisher matrix at `theta` on the current batch.
    ///
    /// # Cost
    ///
    /// The passes of [`Point::curvature_diagonal`].
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and as [`Point::curvature_diagonal`].
    pub fn curvature_diagonal(
        &mut self,
        theta: &Tensor<1>,
        factors: &Factors,
    ) -> Result<Tensor<1>, OptimError> {
        let diagonal = self.expand(theta)?.point.curvature_diagonal(factors)?;
        self.ledger.count(Kind::FactorPass, diagonal.passes);
        Ok(diagonal.values)
    }

    /// The same loss on another batch, at `theta`.
    fn moved(&self, batch: &Point, theta: &Tensor<1>) -> Result<Point, OptimError> {
        self.check_dim(theta)?;
        Ok(batch.move_to(theta.clone())?)
    }

    fn share(&self, batch: &Point) -> f64 {
        batch.examples().max(1) as f64 / self.batch.examples().max(1) as f64
    }
}
