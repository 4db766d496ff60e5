//! A linear map at a point: what its directions share is computed once, the rest for each of them.

use crate::engine::Settings;
use crate::error::CurvatureError;
use ravine_graph::{
    Array, Executable, Execution, GraphError, Split, Target, arrange, batch_over, simplify,
};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Elements of all buffers of a block: a second cache of a core full of f32.
const NATIVE_BLOCK: usize = 1 << 18;

/// Elements of the intermediate values of a block on a device.
const DEVICE_BLOCK: usize = 1 << 26;

/// Larger blocks gain nothing.
const LARGEST_BLOCK: usize = 64;

/// A graph that is linear in its last input, cut at the point.
#[derive(Debug)]
pub(crate) struct Products {
    point: Executable,
    call: Executable,
    fixed_outputs: usize,
    settings: Settings,
    /// The call for several directions at once, by their number.
    blocks: Mutex<Vec<(usize, Arc<Executable>)>>,
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
        } = Split::new(&arrange(graph), 1, 1, settings.keep);
        Ok(Self {
            point: Executable::new(point, target.clone(), settings.execution)?,
            call: Executable::new(call, target.clone(), settings.execution)?,
            fixed_outputs,
            settings,
            blocks: Mutex::new(Vec::new()),
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

    /// The products with several directions `[k, ..]`, in as many blocks as memory and threads ask for.
    pub(crate) fn apply_block(
        &self,
        shared: &Shared,
        directions: &Array,
    ) -> Result<Array, CurvatureError> {
        let count = directions.shape()[0];
        let ranges = self.ranges(count);
        // blocks side by side need no threads inside
        let alone = ranges.len() == 1 || self.settings.execution == Execution::Device;
        let apply = |range: &Range<usize>| -> Result<Array, GraphError> {
            let mut inputs = shared.kept.clone();
            inputs.push(match alone && range.len() == count {
                true => directions.clone(),
                false => directions.rows(range.clone()),
            });
            let call = self.block(range.len())?;
            let outputs = match alone {
                true => call.run(&inputs),
                false => call.run_on(&inputs, 1),
            };
            Ok(outputs?.pop().expect("a call has one output"))
        };
        let parts: Result<Vec<Array>, GraphError> = match alone {
            true => ranges.iter().map(apply).collect(),
            false => ranges.par_iter().map(apply).collect(),
        };
        Ok(Array::stacked(parts?))
    }

    /// How many directions keep all threads busy, with blocks as large as they should be.
    pub(crate) fn preferred(&self) -> usize {
        self.threads() * self.block_size()
    }

    fn threads(&self) -> usize {
        match self.settings.execution {
            Execution::Native => rayon::current_num_threads(),
            Execution::Device => 1,
        }
    }

    /// How many directions go together: so many that their intermediate values stay in the caches.
    fn block_size(&self) -> usize {
        let elements = match self.call.native_counts() {
            Some(counts) => {
                return (NATIVE_BLOCK / counts.buffer_elements.max(1)).clamp(1, LARGEST_BLOCK);
            }
            None => self.call.graph().written_elements(),
        };
        (DEVICE_BLOCK / elements.max(1)).clamp(1, LARGEST_BLOCK)
    }

    fn ranges(&self, count: usize) -> Vec<Range<usize>> {
        let threads = self.threads();
        let blocks = count.div_ceil(self.block_size());
        let blocks = (blocks.div_ceil(threads) * threads).min(count).max(1);
        (0..blocks)
            .map(|block| count * block / blocks..count * (block + 1) / blocks)
            .collect()
    }

    fn block(&self, count: usize) -> Result<Arc<Executable>, GraphError> {
        let known = |blocks: &[(usize, Arc<Executable>)]| {
            let found = blocks.iter().find(|(size, _)| *size == count);
            found.map(|(_, call)| call.clone())
        };
        if let Some(call) = known(&self.blocks()) {
            return Ok(call);
        }
        let graph = self.call.graph();
        let batched = batch_over(graph, &[graph.inputs.len() - 1], count);
        let mut graph = batched.graph;
        if !batched.batched_outputs[0] {
            // a product that is the same for every direction: zero
            graph = graph.with_repeated_output(count);
        }
        let call = Executable::new(
            simplify(graph),
            self.call.target().clone(),
            self.settings.execution,
        )?;
        let call = Arc::new(call);
        let mut blocks = self.blocks();
        if let Some(call) = known(&blocks) {
            return Ok(call);
        }
        blocks.push((count, call.clone()));
        Ok(call)
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Arc<Executable>)>> {
        // entries are whole, so that a panic elsewhere leaves the list usable
        self.blocks
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
