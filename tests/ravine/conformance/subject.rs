//! Model, outputs and loss of an entry behind traits, whatever their types and the rank of the outputs.

use super::entry::PointOptions;
use super::own_gradient;
use burn::module::{Module, Param};
use burn::prelude::*;
use ravine_curvature::{Batch, CurvatureError, Mode, Objective, Point, Precision};
use std::sync::Arc;

/// What an entry can do.
pub(super) trait Evaluate: OutputMaps {
    fn point(&self, mode: Mode, options: &PointOptions) -> Result<Point, CurvatureError>;
    fn loss_of_outputs(&self, mode: Mode, point: &Point) -> Result<Point, CurvatureError>;
    fn burn_loss(&self, device: &Device) -> f64;
    fn burn_gradient(&self, mode: Mode, device: &Device) -> (f64, Vec<f64>);
}

/// The outputs at a point and the maps that belong to them, with outputs as flat vectors.
pub(crate) trait OutputMaps: Send + Sync {
    fn outputs(&self, point: &Point) -> Result<Tensor<1>, CurvatureError>;
    /// J v.
    fn jacobian(&self, point: &Point, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError>;
    /// Jᵀ w.
    fn transposed(&self, point: &Point, w: &Tensor<1>) -> Result<Tensor<1>, CurvatureError>;
    /// H_L w.
    fn loss_hessian(&self, point: &Point, w: &Tensor<1>) -> Result<Tensor<1>, CurvatureError>;
}

type Build<M, B> = dyn Fn(&Device) -> (M, B) + Send + Sync;
type Outputs<M, B, const D: usize> = dyn Fn(&M, &B) -> Tensor<D> + Send + Sync;
type Loss<B, const D: usize> = dyn Fn(Tensor<D>, &B) -> Tensor<1> + Send + Sync;

pub(super) struct Subject<M, B, const D: usize> {
    build: Box<Build<M, B>>,
    outputs: Arc<Outputs<M, B, D>>,
    loss: Arc<Loss<B, D>>,
}

impl<M, B, const D: usize> Subject<M, B, D> {
    pub(super) fn new(
        build: impl Fn(&Device) -> (M, B) + Send + Sync + 'static,
        outputs: impl Fn(&M, &B) -> Tensor<D> + Send + Sync + 'static,
        loss: impl Fn(Tensor<D>, &B) -> Tensor<1> + Send + Sync + 'static,
    ) -> Self {
        Self {
            build: Box::new(build),
            outputs: Arc::new(outputs),
            loss: Arc::new(loss),
        }
    }
}

/// A model whose parameters are its outputs.
#[derive(Module, Debug)]
struct Free<const D: usize> {
    outputs: Param<Tensor<D>>,
}

impl<M: Module + 'static, B: Batch + 'static, const D: usize> Evaluate for Subject<M, B, D> {
    fn point(&self, mode: Mode, options: &PointOptions) -> Result<Point, CurvatureError> {
        let (model, batch) = (self.build)(&options.device);
        let (outputs, loss) = (self.outputs.clone(), self.loss.clone());
        let objective = Objective::new(
            move |model: &M, batch: &B| outputs(model, batch),
            move |outputs, batch: &B| loss(outputs, batch),
        )
        .mode(mode)
        .precision(options.precision)
        .keep(options.keep);
        let objective = match options.execution {
            Some(execution) => objective.execution(execution),
            None => objective,
        };
        objective.at(&model, &batch)
    }

    fn loss_of_outputs(&self, mode: Mode, point: &Point) -> Result<Point, CurvatureError> {
        let (_, batch) = (self.build)(point.device());
        let outputs = point.outputs::<D>()?;
        // recorded in the default float, as the loss of the entry is
        let float = point.device().settings().float_dtype;
        let model = Free {
            outputs: Param::from_tensor(outputs.clone().cast(float)),
        };
        let loss = self.loss.clone();
        let objective = Objective::new(
            |model: &Free<D>, _: &B| model.outputs.val(),
            move |outputs, batch: &B| loss(outputs, batch),
        )
        .mode(mode)
        .precision(Precision::F64);
        objective.at(&model, &batch)?.move_to(flat(outputs))
    }

    fn burn_loss(&self, device: &Device) -> f64 {
        let (model, batch) = (self.build)(device);
        own_gradient::number((self.loss)((self.outputs)(&model, &batch), &batch))
    }

    fn burn_gradient(&self, mode: Mode, device: &Device) -> (f64, Vec<f64>) {
        let (model, batch) = (self.build)(&device.clone().autodiff());
        let model = own_gradient::prepared(model, mode);
        let loss = (self.loss)((self.outputs)(&model, &batch), &batch);
        own_gradient::of(&model, loss)
    }
}

impl<M, B, const D: usize> OutputMaps for Subject<M, B, D> {
    fn outputs(&self, point: &Point) -> Result<Tensor<1>, CurvatureError> {
        Ok(flat(point.outputs::<D>()?))
    }

    fn jacobian(&self, point: &Point, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(flat(point.jacobian_product::<D>(v)?))
    }

    fn transposed(&self, point: &Point, w: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let dims = point.outputs::<D>()?.dims();
        point.transposed_jacobian_product::<D>(&w.clone().reshape(dims))
    }

    fn loss_hessian(&self, point: &Point, w: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let dims = point.outputs::<D>()?.dims();
        let product = point.loss_hessian_product::<D>(&w.clone().reshape(dims))?;
        Ok(flat(product))
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.shape().num_elements();
    tensor.reshape([count])
}
