//! A graph cut in two: what some inputs do not change is computed once and kept.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op, Unary};
use std::collections::HashSet;

/// A graph whose last inputs vary while the others stay.
///
/// [`point`](Split::point) takes the inputs that stay and gives the fixed outputs, then the kept values;
/// [`call`](Split::call) takes the kept values, then the varying inputs, and gives the varying outputs.
#[derive(Clone, Debug)]
pub struct Split {
    /// Once for a point.
    pub point: Graph,
    /// Once for each set of varying inputs.
    pub call: Graph,
    /// How many of the outputs of `point` are outputs of the whole graph; the others are kept for `call`.
    pub fixed_outputs: usize,
}

/// How much may be kept for the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Everything that the calls read, so that each call is as short as can be.
    #[default]
    Everything,
    /// At most this many elements beyond the inputs, where recomputing makes it possible.
    Elements(usize),
}

impl Split {
    /// Cuts `graph` where its last `varying_inputs` inputs begin to matter; its last `varying_outputs` outputs belong to the calls.
    ///
    /// Layouts of inputs (parts of a flat vector, transposes) are not kept: they cost nothing to take again.
    pub fn new(graph: &Graph, varying_inputs: usize, varying_outputs: usize, keep: Keep) -> Self {
        let (fixed, varying) = graph.inputs.split_at(graph.inputs.len() - varying_inputs);
        let (fixed_outputs, outputs) = graph
            .outputs
            .split_at(graph.outputs.len() - varying_outputs);
        let mut cut = Cut::new(graph, fixed, varying, outputs);
        cut.recompute(|graph, node| is_layout(&node.op) && graph.inputs.contains(&node.inputs[0]));
        cut.recompute_from_kept();
        if let Keep::Elements(limit) = keep {
            cut.shrink(limit);
        }
        let kept = cut.frontier();
        let point = Graph {
            values: graph.values.clone(),
            nodes: graph.nodes.clone(),
            inputs: fixed.to_vec(),
            outputs: fixed_outputs.iter().chain(&kept).copied().collect(),
            constants: graph.constants.clone(),
        };
        let in_call = &cut.in_call;
        let call = Graph {
            values: graph.values.clone(),
            nodes: (graph.nodes.iter().zip(in_call))
                .filter(|(_, inside)| **inside)
                .map(|(node, _)| node.clone())
                .collect(),
            inputs: kept.iter().chain(varying).copied().collect(),
            outputs: outputs.to_vec(),
            constants: graph.constants.clone(),
        };
        Self {
            point: point.without_dead_code(),
            call: call.without_dead_code(),
            fixed_outputs: fixed_outputs.len(),
        }
    }
}

fn is_layout(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape | Op::Slice(_) | Op::SwapDims(..) | Op::Permute(_) | Op::Expand
    )
}

/// Cheap operations in a row that are rather computed again than kept.
const CHAIN: usize = 3;

/// An elementwise operation that costs less than reading its result from memory.
fn is_cheap(op: &Op) -> bool {
    match op {
        Op::Unary(function) => matches!(function, Unary::Neg | Unary::Abs | Unary::Relu),
        Op::Binary(function) | Op::BinaryScalar(function, _) => {
            matches!(function, Binary::Add | Binary::Sub | Binary::Mul)
        }
        Op::CompareScalar(..) | Op::Compare(_) | Op::Not => true,
        _ => false,
    }
}

/// Which nodes run in the calls.
struct Cut<'g> {
    graph: &'g Graph,
    fixed: &'g [ValueId],
    writer: Vec<Option<usize>>,
    in_call: Vec<bool>,
    /// Values that the calls must have.
    outputs: &'g [ValueId],
    /// Whether a value depends on any input at all.
    by_input: Vec<bool>,
}

impl<'g> Cut<'g> {
    fn new(
        graph: &'g Graph,
        fixed: &'g [ValueId],
        varying: &'g [ValueId],
        outputs: &'g [ValueId],
    ) -> Self {
        let mut writer = vec![None; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for &id in &node.outputs {
                writer[id] = Some(index);
            }
        }
        let depends = graph.dependent_on(varying);
        let by_input = graph.dependent_on(&graph.inputs);
        let mut needed: HashSet<ValueId> = outputs.iter().copied().collect();
        let mut in_call = vec![false; graph.nodes.len()];
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let wanted = node.outputs.iter().any(|id| needed.contains(id));
            // constants are no values to keep: each side has its own
            let here = depends[node.outputs[0]] || !by_input[node.outputs[0]];
            if wanted && here {
                in_call[index] = true;
                needed.extend(node.inputs.iter().copied());
            }
        }
        Self {
            graph,
            fixed,
            writer,
            in_call,
            outputs,
            by_input,
        }
    }

    /// Values that the calls read and do not compute.
    fn frontier(&self) -> Vec<ValueId> {
        let read = self
            .graph
            .nodes
            .iter()
            .zip(&self.in_call)
            .filter(|(_, inside)| **inside)
            .flat_map(|(node, _)| node.inputs.iter().copied())
            .chain(self.outputs.iter().copied());
        let mut seen = HashSet::new();
        read.filter(|&id| self.is_kept(id) && seen.insert(id))
            .collect()
    }

    fn is_kept(&self, id: ValueId) -> bool {
        match self.writer[id] {
            Some(node) => !self.in_call[node],
            None => self.fixed.contains(&id),
        }
    }

    /// Lets the calls compute `node` as well, with the constants that it needs.
    fn take(&mut self, node: usize) {
        self.in_call[node] = true;
        for &id in &self.graph.nodes[node].inputs {
            if let Some(before) = self.writer[id]
                && !self.by_input[id]
                && !self.in_call[before]
            {
                self.take(before);
            }
        }
    }

    fn recompute(&mut self, cheap: impl Fn(&Graph, &Node) -> bool) {
        loop {
            let found = self.frontier().into_iter().find_map(|id| {
                let node = self.writer[id]?;
                self.reaches_inputs(node, &cheap).then_some(node)
            });
            match found {
                Some(node) => self.take(node),
                None => return,
            }
        }
    }

    /// Whether `node` is a chain of cheap operations from an input.
    fn reaches_inputs(&self, node: usize, cheap: &impl Fn(&Graph, &Node) -> bool) -> bool {
        let node = &self.graph.nodes[node];
        if cheap(self.graph, node) {
            return true;
        }
        let before = node.inputs.first().and_then(|&id| self.writer[id]);
        is_layout(&node.op) && before.is_some_and(|before| self.reaches_inputs(before, cheap))
    }

    /// Lets the calls compute what follows from other kept values by a few cheap operations: 1 − h² beside h.
    fn recompute_from_kept(&mut self) {
        loop {
            let frontier = self.frontier();
            let found = frontier.iter().find_map(|&id| {
                let mut chain = Vec::new();
                self.follows(id, &frontier, CHAIN, &mut chain)
                    .then_some(chain)
            });
            match found {
                Some(chain) => chain.into_iter().for_each(|node| self.take(node)),
                None => return,
            }
        }
    }

    /// Whether a value follows from others of the frontier by at most `steps` cheap operations in a row, which go into `chain`.
    fn follows(
        &self,
        id: ValueId,
        frontier: &[ValueId],
        steps: usize,
        chain: &mut Vec<usize>,
    ) -> bool {
        let Some(place) = self.writer[id].filter(|_| steps > 0) else {
            return false;
        };
        let node = &self.graph.nodes[place];
        if !is_cheap(&node.op) || self.in_call[place] {
            return false;
        }
        chain.push(place);
        node.inputs.iter().all(|&input| {
            !self.by_input[input]
                || frontier.contains(&input)
                || self.fixed.contains(&input)
                || self.follows(input, frontier, steps - 1, chain)
        })
    }

    fn elements(&self, frontier: &[ValueId]) -> usize {
        let computed = frontier.iter().filter(|&&id| self.writer[id].is_some());
        computed
            .map(|&id| self.graph.values[id].shape.num_elements())
            .sum()
    }

    /// Lets the calls compute kept values again, at each turn the one that leaves least to keep, until the rest fits. It ends at the
    /// inputs at the latest.
    fn shrink(&mut self, limit: usize) {
        loop {
            let frontier = self.frontier();
            if self.elements(&frontier) <= limit {
                return;
            }
            let choices = frontier.iter().filter_map(|&id| self.writer[id]);
            let best = choices
                .map(|node| self.with(node))
                .min_by_key(|(left, _)| *left);
            let Some((_, in_call)) = best else { return };
            self.in_call = in_call;
        }
    }

    /// What would be kept if the calls computed `node`.
    fn with(&self, node: usize) -> (usize, Vec<bool>) {
        let mut cut = Cut {
            in_call: self.in_call.clone(),
            writer: self.writer.clone(),
            by_input: self.by_input.clone(),
            ..*self
        };
        cut.take(node);
        (cut.elements(&cut.frontier()), cut.in_call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Kind;

    /// out = exp(x)² · v, with exp(x) a fixed output.
    fn example() -> Graph {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [6]);
        let v = graph.input(Kind::Float, [2, 3]);
        let matrix = graph.push(Op::Reshape, [x], Kind::Float, [2, 3]);
        let exp = graph.push(Op::Unary(Unary::Exp), [matrix], Kind::Float, [2, 3]);
        let square = graph.push(Op::Binary(Binary::Mul), [exp, exp], Kind::Float, [2, 3]);
        let product = graph.push(Op::Binary(Binary::Mul), [square, v], Kind::Float, [2, 3]);
        let with_x = graph.push(
            Op::Binary(Binary::Add),
            [product, matrix],
            Kind::Float,
            [2, 3],
        );
        graph.outputs = vec![exp, with_x];
        graph
    }

    fn names(graph: &Graph) -> Vec<String> {
        graph.nodes.iter().map(|node| node.op.name()).collect()
    }

    #[test]
    fn what_does_not_vary_is_computed_once() {
        let split = Split::new(&example(), 1, 1, Keep::Everything);
        assert_eq!(names(&split.point), ["reshape", "exp", "mul"]);
        // the layout of the input is taken again, so that the input itself is kept and no copy of it
        assert_eq!(names(&split.call), ["reshape", "mul", "add"]);
        assert_eq!(split.fixed_outputs, 1);
        assert_eq!(split.point.outputs.len() - 1, split.call.inputs.len() - 1);
        assert!(split.call.inputs.contains(&split.point.inputs[0]));
    }

    #[test]
    fn a_bound_makes_the_calls_recompute() {
        let split = Split::new(&example(), 1, 1, Keep::Elements(0));
        assert_eq!(names(&split.call), ["reshape", "exp", "mul", "mul", "add"]);
        assert_eq!(split.call.inputs.len(), 2);
    }

    #[test]
    fn an_output_that_does_not_vary_may_be_asked_of_the_calls() {
        let mut graph = example();
        graph.outputs = vec![graph.outputs[0], graph.outputs[0]];
        let split = Split::new(&graph, 1, 1, Keep::Everything);
        assert!(split.call.nodes.is_empty());
        assert_eq!(split.call.inputs.len(), 2);
    }
}
