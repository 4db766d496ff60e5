//! One graph for many values of some inputs, in blocks that fit the caches and keep all cores busy.

use crate::engine::Settings;
use ravine_graph::{Array, Executable, Execution, Graph, GraphError, Target, batch_over, simplify};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Elements of all buffers of a block: a second cache of a core full of f32.
const NATIVE_BLOCK: usize = 1 << 18;

/// Elements of the intermediate values of a block on a device.
const DEVICE_BLOCK: usize = 1 << 26;

/// Elements of the vectors that are worked on at once: 8 MiB of f32.
const IN_FLIGHT: usize = 1 << 21;

/// Work of all members ([`NativeCounts::work`](ravine_graph::NativeCounts)) that is done before a second thread is awake.
const ALONE: usize = 1 << 22;

/// Larger blocks gain nothing.
const LARGEST_BLOCK: usize = 64;

/// A graph with its form for several members at once, by their number.
#[derive(Debug)]
pub(crate) struct Blocks {
    graph: Graph,
    /// Positions of the inputs that differ from member to member.
    varying: Vec<usize>,
    target: Target,
    settings: Settings,
    /// Elements that one member needs beside its inputs and outputs.
    elements: usize,
    /// Elements of the inputs that differ, of one member.
    width: usize,
    /// Rough work for one member; nothing is known of it on a device.
    work: usize,
    known: Mutex<Vec<(usize, Arc<Executable>)>>,
}

impl Blocks {
    /// `single` is the graph made ready for one member.
    pub(crate) fn new(single: &Executable, varying: Vec<usize>, settings: Settings) -> Self {
        let (elements, work) = match single.native_counts() {
            Some(counts) => (counts.buffer_elements, counts.work),
            None => (single.graph().written_elements(), 0),
        };
        Self {
            graph: single.graph().clone(),
            target: single.target().clone(),
            settings,
            elements: elements.max(1),
            width: varying
                .iter()
                .map(|&position| {
                    let id = single.graph().inputs[position];
                    single.graph().values[id].shape.num_elements()
                })
                .sum(),
            work,
            varying,
            known: Mutex::new(Vec::new()),
        }
    }

    /// How many members to take at once: whole blocks for all threads, and many of them where members are small, so that threads
    /// seldom wait for each other.
    pub(crate) fn preferred(&self) -> usize {
        if self.is_long() {
            return self.size();
        }
        let unit = self.threads() * self.size();
        let members = IN_FLIGHT / self.width.max(1);
        (members / unit).max(1) * unit
    }

    /// Whether the vectors alone fill a core's cache: then one after the other goes through the memory, with all threads on each.
    fn is_long(&self) -> bool {
        self.width > NATIVE_BLOCK && self.settings.execution == Execution::Native
    }

    /// Blocks that go at the same time: one of long vectors, and of so little work that another thread would come too late.
    fn at_once(&self, count: usize) -> usize {
        match self.is_long() || count * self.work < ALONE {
            true => 1,
            false => self.threads(),
        }
    }

    fn threads(&self) -> usize {
        match self.settings.execution {
            Execution::Native => rayon::current_num_threads(),
            Execution::Device => 1,
        }
    }

    /// How many members go together: so many that their intermediate values stay in the caches.
    fn size(&self) -> usize {
        let room = match self.settings.execution {
            Execution::Native => NATIVE_BLOCK,
            Execution::Device => DEVICE_BLOCK,
        };
        (room / self.elements).clamp(1, LARGEST_BLOCK)
    }

    /// All outputs for `count` members, each with a leading dimension; `inputs` gives those of a range of members.
    pub(crate) fn run(
        &self,
        count: usize,
        inputs: impl Fn(Range<usize>) -> Vec<Array> + Sync,
    ) -> Result<Vec<Array>, GraphError> {
        let ranges = self.ranges(count);
        // blocks side by side need no threads inside
        let side_by_side = ranges.len() > 1 && self.at_once(count) > 1;
        let block = |range: &Range<usize>| {
            let executable = self.executable(range.len())?;
            let inputs = inputs(range.clone());
            match side_by_side {
                true => executable.run_on(&inputs, 1),
                false => executable.run(&inputs),
            }
        };
        let mut parts: Vec<Vec<Array>> = match side_by_side {
            true => ranges.par_iter().map(block).collect::<Result<_, _>>()?,
            false => ranges.iter().map(block).collect::<Result<_, _>>()?,
        };
        let mut outputs = Vec::with_capacity(self.graph.outputs.len());
        while parts[0].last().is_some() {
            let column = parts.iter_mut().filter_map(Vec::pop).collect();
            outputs.push(Array::stacked(column));
        }
        outputs.reverse();
        Ok(outputs)
    }

    fn ranges(&self, count: usize) -> Vec<Range<usize>> {
        let threads = self.at_once(count);
        let blocks = count.div_ceil(self.size());
        let blocks = (blocks.div_ceil(threads) * threads).min(count).max(1);
        (0..blocks)
            .map(|block| count * block / blocks..count * (block + 1) / blocks)
            .collect()
    }

    fn executable(&self, count: usize) -> Result<Arc<Executable>, GraphError> {
        let find = |known: &[(usize, Arc<Executable>)]| {
            let found = known.iter().find(|(size, _)| *size == count);
            found.map(|(_, executable)| executable.clone())
        };
        if let Some(executable) = find(&self.known()) {
            return Ok(executable);
        }
        let batched = batch_over(&self.graph, &self.varying, count);
        let mut graph = batched.graph;
        for (position, batched) in batched.batched_outputs.into_iter().enumerate() {
            if !batched {
                // the same for every member, such as a Hessian that is zero
                graph = graph.with_repeated_output(position, count);
            }
        }
        let (target, execution) = (self.target.clone(), self.settings.execution);
        let executable = Arc::new(Executable::new(simplify(graph), target, execution)?);
        let mut known = self.known();
        if let Some(executable) = find(&known) {
            return Ok(executable);
        }
        known.push((count, executable.clone()));
        Ok(executable)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Arc<Executable>)>> {
        // entries are whole, so that a panic elsewhere leaves the list usable
        self.known
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
