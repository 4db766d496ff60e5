//! A problem made of an objective, a model and data.

use burn::module::Module;
use burn::prelude::*;
use ravine_curvature::{Batch, Objective, Point};
use ravine_model::datasets::{Dataset, Remainder};
use ravine_optim::Batches;

use super::Ready;

type Initial<M> = Box<dyn Fn(u64) -> anyhow::Result<M> + Send + Sync>;

/// A model with data; the recording is that of one module, and a seed changes θ alone.
pub(super) struct Assembled<M, D: Dataset> {
    pub(super) objective: Objective<M, D::Batch>,
    pub(super) template: M,
    pub(super) initial: Initial<M>,
    pub(super) data: D,
    pub(super) batch: Option<usize>,
    pub(super) device: Device,
    pub(super) train: Point,
    pub(super) validation: Option<Point>,
}

impl<M, D> Assembled<M, D>
where
    M: Module + Sync,
    D: Dataset + Send + Sync,
    D::Batch: Batch,
{
    pub(super) fn new(
        objective: Objective<M, D::Batch>,
        initial: impl Fn(u64) -> anyhow::Result<M> + Send + Sync + 'static,
        (data, validation): (D, D),
        batch: Option<usize>,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let template = initial(0)?;
        let train = objective.at(&template, &data.full_batch(device))?;
        let validation = objective.at(&template, &validation.full_batch(device))?;
        Ok(Self {
            objective,
            template,
            initial: Box::new(initial),
            data,
            batch,
            device: device.clone(),
            train,
            validation: Some(validation),
        })
    }
}

impl<M, D> Ready for Assembled<M, D>
where
    M: Module + Sync,
    D: Dataset + Send + Sync,
    D::Batch: Batch,
{
    fn train(&self) -> &Point {
        &self.train
    }

    fn validation(&self) -> Option<&Point> {
        self.validation.as_ref()
    }

    fn start(&self, seed: u64) -> anyhow::Result<Tensor<1>> {
        let model = (self.initial)(seed)?;
        let theta = self.train.layout().gather(&model)?;
        Ok(theta.cast(self.train.theta().dtype()))
    }

    fn batches(&self, seed: u64, every: usize) -> anyhow::Result<Batches<'_>> {
        let Some(size) = self.batch else {
            return Ok(Batches::fixed(self.train.clone()));
        };
        let batches = self.data.batches(size, seed, &self.device)?;
        let mut batches = batches.with_remainder(Remainder::Drop).endless();
        let stream = Batches::stream(move |_| {
            let batch = batches.next().expect("batches never end");
            self.objective.at(&self.template, &batch)
        });
        Ok(stream.evaluated_on(self.train.clone(), every))
    }

    fn step_point(&self) -> anyhow::Result<Point> {
        let Some(size) = self.batch else {
            return Ok(self.train.clone());
        };
        let rows: Vec<usize> = (0..size).collect();
        let batch = self.data.batch(&rows, &self.device)?;
        Ok(self.objective.at(&self.template, &batch)?)
    }
}

/// A function without data; every seed has its own start.
pub(super) struct Analytic {
    pub(super) train: Point,
    pub(super) start: Box<dyn Fn(u64) -> Vec<f64> + Send + Sync>,
}

impl Ready for Analytic {
    fn train(&self) -> &Point {
        &self.train
    }

    fn validation(&self) -> Option<&Point> {
        None
    }

    fn start(&self, seed: u64) -> anyhow::Result<Tensor<1>> {
        let values = (self.start)(seed);
        let (device, dtype) = (self.train.device(), self.train.theta().dtype());
        Ok(ravine_curvature::vector::from_f64(&values, device, dtype))
    }

    fn batches(&self, _seed: u64, _every: usize) -> anyhow::Result<Batches<'_>> {
        Ok(Batches::fixed(self.train.clone()))
    }

    fn step_point(&self) -> anyhow::Result<Point> {
        Ok(self.train.clone())
    }
}
