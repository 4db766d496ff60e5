use std::sync::Arc;

use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{CurvatureError, Definiteness, GaussNewton, Hessian, LinearOperator};

use super::ledger::{Kind, Ledger};

/// A matrix at one θ, each application of which goes on the oracle's bill.
#[derive(Clone, Debug)]
pub struct Counted<A> {
    operator: A,
    ledger: Arc<Ledger>,
    kind: Kind,
    /// Examples over those of the oracle's batch.
    share: f64,
}

/// The Hessian of the oracle's batch at one θ; each vector it is applied to is one product on the oracle's bill.
pub type CountedHessian = Counted<Hessian>;

/// The Gauss-Newton matrix of the oracle's batch at one θ; each vector it is applied to is one Gauss-Newton product on the oracle's
/// bill.
pub type CountedGaussNewton = Counted<GaussNewton>;

impl<A> Counted<A> {
    pub(super) fn new(operator: A, ledger: &Arc<Ledger>, kind: Kind, share: f64) -> Self {
        Self {
            operator,
            ledger: Arc::clone(ledger),
            kind,
            share,
        }
    }
}

impl<A: LinearOperator> LinearOperator for Counted<A> {
    fn dim(&self) -> usize {
        self.operator.dim()
    }

    fn device(&self) -> Device {
        self.operator.device()
    }

    fn dtype(&self) -> DType {
        self.operator.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let product = self.operator.apply(v)?;
        self.ledger.count_part(self.kind, 1, self.share);
        Ok(product)
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let products = self.operator.apply_block(vs)?;
        self.ledger.count_part(self.kind, vs.dims()[0], self.share);
        Ok(products)
    }

    fn block_size(&self) -> usize {
        self.operator.block_size()
    }

    fn definiteness(&self) -> Definiteness {
        self.operator.definiteness()
    }
}
