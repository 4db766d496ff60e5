//! Evaluation of a graph on a device: what does not change is computed once, values are freed after their last use.

use crate::error::{GraphError, panic_message};
use crate::evaluate::{Results, Target, apply};
use crate::graph::{Graph, ValueId};
use burn::backend::{DispatchTensor, TensorMetadata};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// When a node has to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It depends on constants only.
    Constant,
    /// It depends on the fixed inputs: once a point.
    Point,
    /// It depends on the varying inputs: once a call.
    Call,
}

/// A graph made ready for a device.
///
/// The last `varying` inputs may change from call to call while the others stay: [`Program::prepare`] computes what
/// depends on the others only, [`Program::call`] the rest.
#[derive(Debug)]
pub struct Program {
    graph: Graph,
    target: Target,
    varying: usize,
    stages: Vec<Stage>,
    /// For each node and input: whether the value is not needed afterwards.
    last_use: Vec<Vec<bool>>,
    /// Constants and what follows from them alone, on the device.
    constants: Vec<(ValueId, DispatchTensor)>,
}

/// What is computed once for a point.
#[derive(Clone, Debug)]
pub struct Prepared {
    slots: Vec<Option<DispatchTensor>>,
}

impl Prepared {
    /// Bytes held by the values that are kept for the calls, inputs and constants included.
    pub fn bytes(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .map(|tensor| tensor.shape().num_elements() * tensor.dtype().size())
            .sum()
    }
}

impl Program {
    /// Makes `graph` ready for `target`, with its last `varying` inputs as those that change from call to call.
    ///
    /// # Errors
    ///
    /// [`GraphError::Evaluation`] if a constant part cannot be computed.
    pub fn new(graph: Graph, varying: usize, target: Target) -> Result<Self, GraphError> {
        let (fixed, changing) = graph.inputs.split_at(graph.inputs.len() - varying);
        let (by_point, by_call) = (graph.dependent_on(fixed), graph.dependent_on(changing));
        let stages: Vec<Stage> = graph
            .nodes
            .iter()
            .map(|node| {
                let out = node.outputs[0];
                match (by_call[out], by_point[out]) {
                    (true, _) => Stage::Call,
                    (false, true) => Stage::Point,
                    (false, false) => Stage::Constant,
                }
            })
            .collect();
        let last_use = last_uses(&graph, &stages);
        let mut program = Self {
            graph,
            target,
            varying,
            stages,
            last_use,
            constants: Vec::new(),
        };
        program.constants = program.fold_constants()?;
        Ok(program)
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Device and dtypes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How many nodes run once for a point, and once a call.
    pub fn node_counts(&self) -> (usize, usize) {
        let count = |stage| self.stages.iter().filter(|&&s| s == stage).count();
        (count(Stage::Point), count(Stage::Call))
    }

    fn fold_constants(&self) -> Result<Vec<(ValueId, DispatchTensor)>, GraphError> {
        let mut slots = vec![None; self.graph.values.len()];
        for (&id, data) in &self.graph.constants {
            slots[id] = Some(self.target.constant(data));
        }
        self.run(Stage::Constant, &mut slots)?;
        Ok(slots
            .into_iter()
            .enumerate()
            .filter_map(|(id, tensor)| tensor.map(|tensor| (id, tensor)))
            .collect())
    }

    /// Computes what depends on the fixed inputs only.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] for an input of another shape, [`GraphError::Evaluation`] if an operation fails.
    pub fn prepare(&self, fixed: Vec<DispatchTensor>) -> Result<Prepared, GraphError> {
        let mut slots = vec![None; self.graph.values.len()];
        for (id, tensor) in &self.constants {
            slots[*id] = Some(tensor.clone());
        }
        let count = self.graph.inputs.len() - self.varying;
        self.bind(&mut slots, &self.graph.inputs[..count], fixed)?;
        self.run(Stage::Point, &mut slots)?;
        Ok(Prepared { slots })
    }

    /// All outputs at a prepared point for these varying inputs.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] for an input of another shape, [`GraphError::Evaluation`] if an operation fails.
    pub fn call(
        &self,
        prepared: &Prepared,
        varying: Vec<DispatchTensor>,
    ) -> Result<Vec<DispatchTensor>, GraphError> {
        let mut slots = prepared.slots.clone();
        let first = self.graph.inputs.len() - self.varying;
        self.bind(&mut slots, &self.graph.inputs[first..], varying)?;
        self.run(Stage::Call, &mut slots)?;
        Ok(self.outputs(&slots, 0..self.graph.outputs.len()))
    }

    /// Outputs that do not depend on the varying inputs.
    pub fn fixed_outputs(
        &self,
        prepared: &Prepared,
        range: std::ops::Range<usize>,
    ) -> Vec<DispatchTensor> {
        self.outputs(&prepared.slots, range)
    }

    fn outputs(
        &self,
        slots: &[Option<DispatchTensor>],
        range: std::ops::Range<usize>,
    ) -> Vec<DispatchTensor> {
        self.graph.outputs[range]
            .iter()
            .map(|&id| {
                slots[id]
                    .clone()
                    .expect("outputs are computed and never freed")
            })
            .collect()
    }

    fn bind(
        &self,
        slots: &mut [Option<DispatchTensor>],
        ids: &[ValueId],
        tensors: Vec<DispatchTensor>,
    ) -> Result<(), GraphError> {
        debug_assert_eq!(ids.len(), tensors.len());
        for (position, (&id, tensor)) in ids.iter().zip(tensors).enumerate() {
            let expected = &self.graph.values[id].shape;
            if tensor.shape() != *expected {
                return Err(GraphError::Shape {
                    what: format!("input {position} of the recorded graph"),
                    expected: expected.to_vec(),
                    found: tensor.shape().to_vec(),
                });
            }
            slots[id] = Some(tensor);
        }
        Ok(())
    }

    fn run(&self, stage: Stage, slots: &mut [Option<DispatchTensor>]) -> Result<(), GraphError> {
        let current = Cell::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for (index, node) in self.graph.nodes.iter().enumerate() {
                if self.stages[index] != stage {
                    continue;
                }
                current.set(index);
                let inputs = node
                    .inputs
                    .iter()
                    .zip(&self.last_use[index])
                    .map(|(&id, &last)| match last {
                        // given away, so that the device may reuse the memory
                        true => slots[id].take(),
                        false => slots[id].clone(),
                    })
                    .map(|tensor| tensor.expect("a value is computed before it is used"))
                    .collect();
                let outputs: smallest::Refs<'_> = smallest::refs(&self.graph, node);
                match apply(&node.op, inputs, outputs.as_slice(), &self.target) {
                    Results::One(tensor) => slots[node.outputs[0]] = Some(tensor),
                    Results::Two(first, second) => {
                        slots[node.outputs[0]] = Some(first);
                        slots[node.outputs[1]] = Some(second);
                    }
                }
            }
        }));
        outcome.map_err(|payload| GraphError::Evaluation {
            operation: self.graph.nodes[current.get()].op.name(),
            device: format!("{:?}", self.target.device),
            message: panic_message(payload),
        })
    }
}

/// The described outputs of a node, without an allocation for each.
mod smallest {
    use crate::graph::{Graph, Node, Value};

    pub(super) struct Refs<'a> {
        values: [&'a Value; 2],
        count: usize,
    }

    impl<'a> Refs<'a> {
        pub(super) fn as_slice(&self) -> &[&'a Value] {
            &self.values[..self.count]
        }
    }

    pub(super) fn refs<'a>(graph: &'a Graph, node: &Node) -> Refs<'a> {
        let first = &graph.values[node.outputs[0]];
        let last = &graph.values[node.outputs[node.outputs.len() - 1]];
        Refs {
            values: [first, last],
            count: node.outputs.len(),
        }
    }
}

/// A value is freed by the last node of its own stage that reads it, unless a later stage or an output needs it.
fn last_uses(graph: &Graph, stages: &[Stage]) -> Vec<Vec<bool>> {
    let mut last_use: Vec<Vec<bool>> = graph
        .nodes
        .iter()
        .map(|node| vec![false; node.inputs.len()])
        .collect();
    let mut born = vec![Stage::Constant; graph.values.len()];
    for (node, &stage) in graph.nodes.iter().zip(stages) {
        for &id in &node.outputs {
            born[id] = stage;
        }
    }
    let mut needed = vec![false; graph.values.len()];
    // inputs belong to the caller, constants to the program
    for &id in graph
        .outputs
        .iter()
        .chain(&graph.inputs)
        .chain(graph.constants.keys())
    {
        needed[id] = true;
    }
    for stage in [Stage::Call, Stage::Point, Stage::Constant] {
        for index in (0..graph.nodes.len())
            .rev()
            .filter(|&index| stages[index] == stage)
        {
            let inputs = &graph.nodes[index].inputs;
            for (position, &id) in inputs.iter().enumerate().rev() {
                last_use[index][position] = !needed[id] && born[id] == stage;
                needed[id] = true;
            }
        }
    }
    last_use
}
