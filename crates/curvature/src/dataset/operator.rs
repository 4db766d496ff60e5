use super::Dataset;
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::point::Point;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use std::cell::OnceCell;

/// The matrix of a batch and its weight.
type Part = (Box<dyn LinearOperator>, f64);

pub(super) type Make<'a> =
    Box<dyn Fn(usize, &Point) -> Result<Box<dyn LinearOperator>, CurvatureError> + 'a>;

/// A symmetric matrix over a [`Dataset`]: the sum over batches of their matrices, weighted by examples.
///
/// # Cost
///
/// One product for each batch, with what [`Memory`](crate::Memory) says.
pub struct DatasetOperator<'a> {
    data: &'a Dataset<'a>,
    make: Make<'a>,
    definiteness: Definiteness,
    kept: OnceCell<Vec<Part>>,
    block_size: OnceCell<usize>,
}

impl<'a> DatasetOperator<'a> {
    pub(super) fn new(data: &'a Dataset<'a>, make: Make<'a>, definiteness: Definiteness) -> Self {
        Self {
            data,
            make,
            definiteness,
            kept: OnceCell::new(),
            block_size: OnceCell::new(),
        }
    }

    fn part(&self, index: usize) -> Result<Part, CurvatureError> {
        let (point, weight) = self.data.batch(index)?;
        Ok(((self.make)(index, &point)?, weight))
    }

    fn parts(&self) -> Result<&[Part], CurvatureError> {
        if self.kept.get().is_none() {
            let parts = (0..self.data.batches())
                .map(|index| self.part(index))
                .collect::<Result<Vec<_>, _>>()?;
            self.kept.get_or_init(|| parts);
        }
        Ok(self.kept.get().expect("just made"))
    }

    fn sum<const D: usize>(
        &self,
        apply: impl Fn(&dyn LinearOperator) -> Result<Tensor<D>, CurvatureError>,
    ) -> Result<Tensor<D>, CurvatureError> {
        let span = tracing::debug_span!("dataset product", batches = self.data.batches());
        let _entered = span.enter();
        let mut sum: Option<Tensor<D>> = None;
        let mut add = |operator: &dyn LinearOperator, weight: f64| {
            let product = apply(operator)?.mul_scalar(weight);
            sum = Some(match sum.take() {
                Some(sum) => sum + product,
                None => product,
            });
            Ok::<(), CurvatureError>(())
        };
        if self.data.keeps() {
            for (operator, weight) in self.parts()? {
                add(operator.as_ref(), *weight)?;
            }
        } else {
            for index in 0..self.data.batches() {
                let (operator, weight) = self.part(index)?;
                add(operator.as_ref(), weight)?;
            }
        }
        Ok(sum.expect("a dataset has a batch"))
    }
}

impl LinearOperator for DatasetOperator<'_> {
    fn dim(&self) -> usize {
        self.data.layout.dim()
    }

    fn device(&self) -> Device {
        self.data.device.clone()
    }

    fn dtype(&self) -> DType {
        self.data.dtype
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        self.sum(|operator| operator.apply(v))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        self.sum(|operator| operator.apply_block(vs))
    }

    fn block_size(&self) -> usize {
        *self.block_size.get_or_init(|| {
            if let Some(parts) = self.kept.get() {
                return parts[0].0.block_size();
            }
            self.part(0).map_or(1, |part| part.0.block_size())
        })
    }

    fn definiteness(&self) -> Definiteness {
        self.definiteness
    }
}
