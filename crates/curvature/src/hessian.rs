use crate::error::CurvatureError;
use crate::operator::{LinearOperator, row_by_row};
use crate::point::Point;
use crate::products::Products;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use ravine_graph::{Target, product_by_tape};
use serde::{Deserialize, Serialize};

/// How Hessian-vector products are computed: two executions of double backward that check each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HvpMethod {
    /// The second backward is recorded as a graph without a tape; what does not depend on v is computed once for a point.
    #[default]
    Recorded,
    /// The gradient graph is replayed on an autodiff device for each product, then burn-autodiff runs backward.
    Tape,
}

/// The Hessian ∇²L of a loss at a point, exact up to rounding, by double backward: H v = ∇⟨∇L, v⟩.
///
/// The reduction is the loss's own: the Hessian of a mean loss is a mean.
///
/// # Shapes
///
/// Vectors `[n]` in the order of the point's [`ParameterLayout`](crate::ParameterLayout), in the dtype of the evaluation.
///
/// # Cost
///
/// [`HvpMethod::Recorded`]: one evaluation of gradient and intermediate values for the first product, then about one to two gradients
/// each. [`HvpMethod::Tape`]: about three gradients each.
///
/// # References
///
/// Pearlmutter (1994), Fast exact multiplication by the Hessian; for the order of differentiation, Dagréou et al. (2024), How to
/// compute Hessian-vector products?
#[derive(Clone, Debug)]
pub struct Hessian {
    point: Point,
    method: HvpMethod,
}

impl Hessian {
    pub(crate) fn new(point: Point, method: HvpMethod) -> Self {
        Self { point, method }
    }

    /// The point.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// The same Hessian by another method.
    pub fn by(&self, method: HvpMethod) -> Self {
        Self::new(self.point.clone(), method)
    }
}

impl LinearOperator for Hessian {
    fn dim(&self) -> usize {
        self.point.dim()
    }

    fn device(&self) -> Device {
        self.point.device().clone()
    }

    fn dtype(&self) -> DType {
        self.point.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let point = &self.point;
        point.layout().check("the vector", v)?;
        match self.method {
            HvpMethod::Recorded => self.recorded(v),
            HvpMethod::Tape => self.by_tape(v),
        }
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        if self.method == HvpMethod::Tape {
            return row_by_row(&|v: &Tensor<1>| self.apply(v), vs);
        }
        let shared = self.point.shared_by_hessian()?;
        self.point.block(self.point.engine().hessian()?, shared, vs)
    }

    fn block_size(&self) -> usize {
        match self.method {
            HvpMethod::Recorded => self.point.engine().hessian().map_or(1, Products::preferred),
            HvpMethod::Tape => 1,
        }
    }
}

impl Hessian {
    fn recorded(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let engine = self.point.engine();
        let shared = self.point.shared_by_hessian()?;
        let direction = engine.bring(v.clone().into_dispatch())?;
        let product = engine.hessian()?.apply(shared, direction)?;
        Ok(engine.vector(product))
    }

    fn by_tape(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let engine = self.point.engine();
        let v = Tensor::from_dispatch(engine.cast(v.clone().into_dispatch()));
        let recording = &engine.recording;
        let products = product_by_tape(
            recording.gradient(),
            recording.first_gradient(),
            &self.point.inputs(),
            &self.point.layout().split(&v),
            &Target::tape(self.point.device(), engine.float()),
        )?;
        Ok(self.point.layout().join(products))
    }
}
