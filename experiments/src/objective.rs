//! The options of a run, applied to an objective.

use burn::module::Module;
use ravine_curvature::{Batch, HvpMethod, Objective, Precision};

use crate::{Context, CurvatureDtype, Hvp};

impl<C> Context<C> {
    /// The objective with the run's choice of products (`--hvp`) and precision (`--curvature-dtype`).
    pub fn objective<M: Module, B: Batch>(&self, objective: Objective<M, B>) -> Objective<M, B> {
        let method = match self.hvp() {
            Hvp::Recorded => HvpMethod::Recorded,
            Hvp::Tape => HvpMethod::Tape,
        };
        let precision = match self.curvature_dtype() {
            CurvatureDtype::Model => Precision::Model,
            CurvatureDtype::F64 => Precision::F64,
        };
        objective.hvp_method(method).precision(precision)
    }
}
