//! A linear map at a point: what its directions share is computed once, the rest for each of them.

use crate::blocks::Blocks;
use crate::engine::Settings;
use crate::error::CurvatureError;
use ravine_graph::{Array, Executable, Graph, GraphError, Split, Target, arrange};
use std::ops::Range;

/// A graph that is linear in its last input, cut at the point.
#[derive(Debug)]
pub(crate) struct Products {
    point: Executable,
    call: Executable,
    blocks: Blocks,
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
        graph: Graph,
        target: &Target,
        settings: Settings,
    ) -> Result<Self, GraphError> {
        let Split {
            point,
            call,
            fixed_outputs,
        } = Split::new(&arrange(graph), 1, 1, settings.keep);
        let direction = call.inputs.len() - 1;
        let call = Executable::new(call, target.clone(), settings.execution)?;
        Ok(Self {
            point: Executable::new(point, target.clone(), settings.execution)?,
            blocks: Blocks::new(&call, vec![direction], settings),
            call,
            fixed_outputs,
        })
    }

    pub(crate) fn point(&self) -> &Executable {
        &self.point
    }

    pub(crate) fn call(&self) -> &Executable {
        &self.call
    }

    /// How many directions to take at once.
    pub(crate) fn preferred(&self) -> usize {
        self.blocks.preferred()
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

    /// The products with several directions `[k, ..]`, in as many blocks as memory and threads ask for.
    pub(crate) fn apply_block(
        &self,
        shared: &Shared,
        directions: &Array,
    ) -> Result<Array, CurvatureError> {
        let count = directions.shape()[0];
        let inputs = |range: Range<usize>| {
            let mut inputs = shared.kept.clone();
            inputs.push(match range.len() == count {
                true => directions.clone(),
                false => directions.rows(range),
            });
            inputs
        };
        let product = self.blocks.run(count, inputs)?.pop();
        Ok(product.expect("a call has one output"))
    }
}
