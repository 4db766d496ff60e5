//! A graph on any device of Burn: constants are computed once, values are freed after their last use.

use crate::error::{GraphError, panic_message};
use crate::evaluate::{Results, Target, apply};
use crate::graph::{Graph, ValueId};
use burn::backend::DispatchTensor;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// When a node has to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It depends on constants only: once.
    Constant,
    /// It depends on inputs: once a run.
    Run,
}

/// A graph made ready for a device.
#[derive(Debug)]
pub(crate) struct DeviceProgram {
    graph: Graph,
    target: Target,
    stages: Vec<Stage>,
    /// For each node and input: whether the value is not needed afterwards.
    last_use: Vec<Vec<bool>>,
    /// Constants and what follows from them alone, on the device.
    constants: Vec<(ValueId, DispatchTensor)>,
}

impl DeviceProgram {
    /// Makes `graph` ready for `target`.
    ///
    /// # Errors
    ///
    /// [`GraphError::Evaluation`] if a constant part cannot be computed.
    pub(crate) fn new(graph: Graph, target: Target) -> Result<Self, GraphError> {
        let depends = graph.dependent_on(&graph.inputs);
        let stages: Vec<Stage> = graph
            .nodes
            .iter()
            .map(|node| match depends[node.outputs[0]] {
                true => Stage::Run,
                false => Stage::Constant,
            })
            .collect();
        let last_use = last_uses(&graph, &stages);
        let mut program = Self {
            graph,
            target,
            stages,
            last_use,
            constants: Vec::new(),
        };
        program.constants = program.fold_constants()?;
        Ok(program)
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

    /// All outputs for these inputs.
    ///
    /// # Errors
    ///
    /// [`GraphError::Evaluation`] if an operation fails.
    pub(crate) fn call(
        &self,
        inputs: impl Iterator<Item = DispatchTensor>,
    ) -> Result<Vec<DispatchTensor>, GraphError> {
        let mut slots = vec![None; self.graph.values.len()];
        for (id, tensor) in &self.constants {
            slots[*id] = Some(tensor.clone());
        }
        for (&id, tensor) in self.graph.inputs.iter().zip(inputs) {
            slots[id] = Some(tensor);
        }
        self.run(Stage::Run, &mut slots)?;
        let output = |&id: &ValueId| {
            slots[id]
                .clone()
                .expect("outputs are computed and never freed")
        };
        Ok(self.graph.outputs.iter().map(output).collect())
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
    for stage in [Stage::Run, Stage::Constant] {
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
