//! A linear map at a point: what its directions share is computed once, the rest for each of them.

use crate::engine::Settings;
use crate::error::CurvatureError;
use ravine_graph::{Array, Executable, GraphError, Split, Target};

/// A graph that is linear in its last input, cut at the point.
#[derive(Debug)]
pub(crate) struct Products {
    point: Executable,
    call: Executable,
    fixed_outputs: usize,
}

/// What the products at a point share.
#[derive(Debug)]
pub(crate) struct Shared {
    kept: Vec<Array>,
    /// Bytes beyond the inputs.
    computed: usize,
}

impl Shared {
    /// Bytes of the values that are kept beyond parameters and batch.
    pub(crate) fn bytes(&self) -> usize {
        self.computed
    }
}

impl Products {
    pub(crate) fn new(
        graph: ravine_graph::Graph,
        target: &Target,
        settings: Settings,
    ) -> Result<Self, GraphError> {
        let Split {
            point,
            call,
            fixed_outputs,
        } = Split::new(&graph, 1, 1, settings.keep);
        Ok(Self {
            point: Executable::new(point, target.clone(), settings.execution)?,
            call: Executable::new(call, target.clone(), settings.execution)?,
            fixed_outputs,
        })
    }

    pub(crate) fn point(&self) -> &Executable {
        &self.point
    }

    pub(crate) fn call(&self) -> &Executable {
        &self.call
    }

    /// Evaluates what directions share; also gives the outputs that do not depend on a direction.
    pub(crate) fn prepare(&self, inputs: &[Array]) -> Result<(Shared, Vec<Array>), GraphError> {
        let mut outputs = self.point.run(inputs)?;
        let kept = outputs.split_off(self.fixed_outputs);
        let graph = self.point.graph();
        let computed = graph.outputs[self.fixed_outputs..]
            .iter()
            .zip(&kept)
            .filter(|(id, _)| !graph.inputs.contains(id))
            .map(|(_, array)| array.bytes())
            .sum();
        Ok((Shared { kept, computed }, outputs))
    }

    /// The product with one direction.
    pub(crate) fn apply(&self, shared: &Shared, direction: Array) -> Result<Array, CurvatureError> {
        let mut inputs = shared.kept.clone();
        inputs.push(direction);
        let product = self.call.run(&inputs)?.pop();
        Ok(product.expect("a call has one output"))
    }
}
