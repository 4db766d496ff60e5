//! What a compiled graph does, step by step.

use super::convolution::Convolution;
use super::indexing::Indexed;
use super::kernel::Kernel;
use super::product::ProductSum;
use super::reduce::Reduction;
use super::view::View;
use crate::graph::Value;
use crate::op::{Kind, Op};

/// Where the memory of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Base {
    /// An input of the graph.
    Input(usize),
    /// A constant of the program.
    Constant(usize),
    /// A buffer of the program.
    Buffer(usize),
}

/// A value in memory.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) base: Base,
    pub(crate) view: View,
}

/// Memory that a step reads, from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) base: Base,
    pub(crate) offset: usize,
}

impl Source {
    /// All of it: a view says where.
    pub(crate) fn whole(base: Base) -> Self {
        Self { base, offset: 0 }
    }

    /// From the start of a contiguous value.
    pub(crate) fn of(stored: &Stored) -> Self {
        Self {
            base: stored.base,
            offset: stored.view.offset,
        }
    }

    fn buffer(&self) -> Option<usize> {
        match self.base {
            Base::Buffer(buffer) => Some(buffer),
            _ => None,
        }
    }
}

/// A piece of a buffer that a step writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) buffer: usize,
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action<T> {
    /// One pass over memory.
    Kernel(Kernel<T>),
    /// Matrix products.
    Product(ProductSum),
    /// A convolution or one of its gradients.
    Convolution(Convolution),
    /// A reduction of a contiguous value.
    Reduce(Reduction),
    /// Reading by indices, or adding at indices to what the target holds.
    Indexed(Indexed),
    /// Writing into a part of the target: source and place in the target.
    Assign { source: View, place: View },
    /// An operation of the device behind Burn's dispatch, with contiguous sources of these kinds and shapes.
    Device {
        op: Op,
        inputs: Vec<Value>,
        outputs: Vec<Value>,
    },
}

/// An action with the memory that it reads and writes.
#[derive(Debug)]
pub(crate) struct Step<T> {
    pub(crate) action: Action<T>,
    pub(crate) sources: Vec<Source>,
    pub(crate) targets: Vec<Target>,
}

/// Where an output of the graph is found in the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    Input(usize),
    Constant(usize),
    /// A buffer of its own, handed out.
    Buffer(usize),
}

/// A compiled graph: steps over buffers.
#[derive(Debug)]
pub(crate) struct Plan<T> {
    pub(crate) steps: Vec<Step<T>>,
    /// The length of each buffer.
    pub(crate) buffers: Vec<usize>,
    pub(crate) constants: Vec<Vec<T>>,
    pub(crate) outputs: Vec<Found>,
}

impl<T> Plan<T> {
    /// Gives buffers whose lives do not overlap the same memory, the smallest free one that is large enough.
    pub(crate) fn share_buffers(mut self) -> Self {
        let mut last = vec![0; self.buffers.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for buffer in step.sources.iter().filter_map(Source::buffer) {
                last[buffer] = index;
            }
            for target in &step.targets {
                last[target.buffer] = index;
            }
        }
        for output in &self.outputs {
            if let Found::Buffer(buffer) = output {
                last[*buffer] = usize::MAX;
            }
        }
        let mut place: Vec<Option<usize>> = vec![None; self.buffers.len()];
        let mut lengths: Vec<usize> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            for target in &step.targets {
                let buffer = target.buffer;
                if place[buffer].is_some() {
                    continue;
                }
                let length = self.buffers[buffer];
                // what is handed out gets memory of its own
                let fit = match last[buffer] {
                    usize::MAX => None,
                    _ => best(&free, &lengths, length),
                };
                place[buffer] = Some(match fit {
                    Some(position) => {
                        let shared = free.swap_remove(position);
                        lengths[shared] = lengths[shared].max(length);
                        shared
                    }
                    None => {
                        lengths.push(length);
                        lengths.len() - 1
                    }
                });
            }
            let ended = |buffer: &usize| last[*buffer] == index;
            let mut ending: Vec<usize> = step
                .sources
                .iter()
                .filter_map(Source::buffer)
                .chain(step.targets.iter().map(|target| target.buffer))
                .filter(ended)
                .collect();
            ending.sort_unstable();
            ending.dedup();
            free.extend(ending.into_iter().filter_map(|buffer| place[buffer]));
        }
        let at = |buffer: usize| place[buffer].expect("a buffer is written before it is used");
        for step in &mut self.steps {
            for source in &mut step.sources {
                if let Base::Buffer(buffer) = &mut source.base {
                    *buffer = at(*buffer);
                }
            }
            for target in &mut step.targets {
                target.buffer = at(target.buffer);
            }
        }
        for output in &mut self.outputs {
            if let Found::Buffer(buffer) = output {
                *buffer = at(*buffer);
            }
        }
        self.buffers = lengths;
        self
    }
}

/// The smallest free buffer that is large enough, else the largest, which grows.
fn best(free: &[usize], lengths: &[usize], length: usize) -> Option<usize> {
    let fitting = (0..free.len())
        .filter(|&position| lengths[free[position]] >= length)
        .min_by_key(|&position| lengths[free[position]]);
    fitting.or_else(|| (0..free.len()).max_by_key(|&position| lengths[free[position]]))
}

/// The kind and shape of a value of a step of the device.
pub(crate) fn described(kind: Kind, dims: &[usize]) -> Value {
    Value {
        kind,
        shape: dims.to_vec().into(),
    }
}
