mod counted;
mod curvature;
mod ledger;
mod sampled_labels;

use std::sync::Arc;

use burn::prelude::*;
use ravine_curvature::{DenseSymmetric, LinearOperator, ParameterLayout, Point, dense};

pub use counted::{Counted, CountedGaussNewton, CountedHessian};
use ledger::{Kind, Ledger};

use crate::{Cost, OptimError};

/// What a method may ask about the loss on the current batch, with a bill.
///
/// Losses, gradients and products are counted when they are asked for; the same question at the same θ is answered from
/// memory and not counted twice. The oracle remembers two points: the last one asked for a gradient or a product, and the
/// last one asked for a loss alone, so that a line search returns to its start for nothing.
#[derive(Debug)]
pub struct Oracle {
    batch: Point,
    /// The last point of which a gradient or a product was asked.
    expanded: Option<Seen>,
    /// The last point of which only the loss was asked.
    probed: Option<Seen>,
    ledger: Arc<Ledger>,
}

/// A point that was looked at, and what has been paid for.
#[derive(Debug)]
struct Seen {
    theta: Tensor<1>,
    point: Point,
    loss_paid: bool,
    gradient_paid: bool,
}

impl Oracle {
    /// An oracle for the batch and the model of `batch`, whose own θ does not matter.
    pub fn new(batch: Point) -> Self {
        Self {
            batch,
            expanded: None,
            probed: None,
            ledger: Arc::default(),
        }
    }

    /// Changes the batch: nothing that was evaluated on the last one is used again; the bill goes on.
    pub fn set_batch(&mut self, batch: Point) {
        self.batch = batch;
        self.expanded = None;
        self.probed = None;
    }

    /// Number of parameters.
    pub fn dim(&self) -> usize {
        self.batch.dim()
    }

    /// Names, shapes and offsets of the parameters.
    pub fn layout(&self) -> &ParameterLayout {
        self.batch.layout()
    }

    /// Everything that was asked so far.
    pub fn cost(&self) -> Cost {
        self.ledger.cost()
    }

    /// The loss at `theta` on the current batch.
    ///
    /// # Cost
    ///
    /// One loss, or nothing when the loss or the gradient at this θ was asked before.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and whatever the evaluation reports.
    pub fn loss(&mut self, theta: &Tensor<1>) -> Result<f64, OptimError> {
        let seen = self.probe(theta)?;
        let loss = seen.point.loss()?;
        let paid = std::mem::replace(&mut seen.loss_paid, true);
        if !paid {
            self.ledger.count(Kind::Loss, 1);
        }
        Ok(loss)
    }

    /// The loss and its gradient at `theta` on the current batch.
    ///
    /// # Shapes
    ///
    /// The gradient is flat, [`Oracle::dim`] long.
    ///
    /// # Cost
    ///
    /// One gradient, or nothing when it was asked before.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and whatever the evaluation reports.
    pub fn gradient(&mut self, theta: &Tensor<1>) -> Result<(f64, Tensor<1>), OptimError> {
        let seen = self.expand(theta)?;
        let gradient = seen.point.gradient()?;
        let loss = seen.point.loss()?;
        seen.loss_paid = true;
        let paid = std::mem::replace(&mut seen.gradient_paid, true);
        if !paid {
            self.ledger.count(Kind::Gradient, 1);
        }
        Ok((loss, gradient))
    }

    /// Evaluates loss, gradient and what products at `theta` share in one pass, for a method that will ask for them: less work than
    /// the gradient first and a product afterwards. Nothing is counted before it is asked for.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and whatever the evaluation reports.
    pub fn prepare(&mut self, theta: &Tensor<1>) -> Result<(), OptimError> {
        Ok(self.expand(theta)?.point.prepare()?)
    }

    /// The Hessian at `theta` on the current batch as an operator that counts its applications.
    ///
    /// # Cost
    ///
    /// One product for each vector it is applied to.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and whatever moving the point reports.
    pub fn hessian(&mut self, theta: &Tensor<1>) -> Result<CountedHessian, OptimError> {
        let hessian = self.expand(theta)?.point.hessian();
        Ok(Counted::new(hessian, &self.ledger, Kind::Product, 1.0))
    }

    /// H v at `theta` on the current batch.
    ///
    /// # Shapes
    ///
    /// `v` and the product are flat, [`Oracle::dim`] long.
    ///
    /// # Cost
    ///
    /// One product.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and whatever the product reports.
    pub fn hvp(&mut self, theta: &Tensor<1>, v: &Tensor<1>) -> Result<Tensor<1>, OptimError> {
        Ok(self.hessian(theta)?.apply(v)?)
    }

    /// The Hessian at `theta` on the current batch as a dense matrix in f64.
    ///
    /// # Cost
    ///
    /// [`Oracle::dim`] products.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], [`ravine_curvature::CurvatureError::TooLarge`] above [`ravine_curvature::DENSE_LIMIT`] parameters,
    /// [`ravine_curvature::CurvatureError::NonFinite`] when an entry is NaN or infinite, and whatever the products report.
    pub fn dense_hessian(&mut self, theta: &Tensor<1>) -> Result<DenseSymmetric, OptimError> {
        let hessian = self.hessian(theta)?;
        Ok(dense(&hessian)?)
    }

    /// The point at `theta` on the current batch, for monitors: what is evaluated on it is not counted, and what the
    /// method asks later is counted as if it had not been evaluated.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and whatever moving the point reports.
    pub fn point(&mut self, theta: &Tensor<1>) -> Result<Point, OptimError> {
        Ok(self.expand(theta)?.point.clone())
    }

    /// The memory of `theta` for a loss alone.
    fn probe(&mut self, theta: &Tensor<1>) -> Result<&mut Seen, OptimError> {
        self.check_dim(theta)?;
        let in_expanded = self.expanded.as_ref().is_some_and(|seen| seen.is_at(theta));
        let slot = match in_expanded {
            true => &mut self.expanded,
            false => &mut self.probed,
        };
        Seen::at(slot, &self.batch, theta)
    }

    /// The memory of `theta` for a gradient or products; a point that was probed there moves over with what was paid.
    fn expand(&mut self, theta: &Tensor<1>) -> Result<&mut Seen, OptimError> {
        self.check_dim(theta)?;
        let in_expanded = self.expanded.as_ref().is_some_and(|seen| seen.is_at(theta));
        if !in_expanded && self.probed.as_ref().is_some_and(|seen| seen.is_at(theta)) {
            self.expanded = self.probed.take();
        }
        Seen::at(&mut self.expanded, &self.batch, theta)
    }

    fn check_dim(&self, theta: &Tensor<1>) -> Result<(), OptimError> {
        let [found] = theta.dims();
        match found == self.dim() {
            true => Ok(()),
            false => Err(OptimError::Dimension {
                expected: self.dim(),
                found,
            }),
        }
    }
}

impl Seen {
    /// Fills the slot with the point at `theta`, unless it is there already.
    fn at<'slot>(
        slot: &'slot mut Option<Seen>,
        batch: &Point,
        theta: &Tensor<1>,
    ) -> Result<&'slot mut Seen, OptimError> {
        let seen = match slot.take() {
            Some(seen) if seen.is_at(theta) => seen,
            _ => Seen {
                theta: theta.clone(),
                point: batch.move_to(theta.clone())?,
                loss_paid: false,
                gradient_paid: false,
            },
        };
        Ok(slot.insert(seen))
    }

    /// Whether `theta` holds the numbers of this point; parameters that are NaN equal nothing and are evaluated again.
    fn is_at(&self, theta: &Tensor<1>) -> bool {
        self.theta.dims() == theta.dims()
            && self.theta.dtype() == theta.dtype()
            && self.theta.device() == theta.device()
            && self
                .theta
                .clone()
                .equal(theta.clone())
                .all()
                .into_scalar::<bool>()
    }
}

#[cfg(test)]
mod tests;
