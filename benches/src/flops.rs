use ravine_graph::{Graph, GraphError, Op, Recording};
use std::collections::HashSet;

/// Floating point operations of the matrix products that gradient and Hessian-vector product consist of.
///
/// Their ratio is what the ratio of the times would be if everything else were free. Convolutions are not counted, so that a
/// recording with convolutions has no such figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flops {
    /// Of loss and gradient.
    pub gradient: u64,
    /// Of one product at a point where everything that does not depend on the vector is known.
    pub product: u64,
}

impl Flops {
    /// Counts them; none for a recording with convolutions.
    pub(crate) fn of(recording: &Recording) -> Result<Option<Self>, GraphError> {
        let (gradient, product) = (recording.gradient(), recording.product()?);
        if product.nodes.iter().any(|node| is_convolution(&node.op)) {
            return Ok(None);
        }
        Ok(Some(Self {
            gradient: gradient.matmul_flops(),
            product: varying_part(product, recording.counts().parameters).matmul_flops(),
        }))
    }

    /// The product's share of the gradient's.
    pub fn ratio(self) -> f64 {
        self.product as f64 / self.gradient as f64
    }
}

/// The nodes that depend on the last `varying` inputs.
fn varying_part(graph: &Graph, varying: usize) -> Graph {
    let depends = graph.dependent_on(&graph.inputs[graph.inputs.len() - varying..]);
    let mut part = graph.clone();
    part.nodes.retain(|node| depends[node.outputs[0]]);
    part
}

/// Elements of the values that the loss needs and the rest of the graph reads again: what a gradient has to keep.
pub(crate) fn activations(gradient: &Graph) -> usize {
    let mut forward = vec![false; gradient.values.len()];
    forward[gradient.outputs[0]] = true;
    let mut in_forward = vec![false; gradient.nodes.len()];
    for (index, node) in gradient.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|&id| forward[id]) {
            in_forward[index] = true;
            node.inputs.iter().for_each(|&id| forward[id] = true);
        }
    }
    let backward = gradient
        .nodes
        .iter()
        .zip(&in_forward)
        .filter(|(_, inside)| !**inside);
    let read: HashSet<usize> = backward
        .flat_map(|(node, _)| node.inputs.iter().copied())
        .collect();
    let computed = gradient.nodes.iter().flat_map(|node| &node.outputs);
    computed
        .filter(|&&id| forward[id] && read.contains(&id))
        .map(|&id| gradient.values[id].shape.num_elements())
        .sum()
}

fn is_convolution(op: &Op) -> bool {
    op.name().contains("conv")
}
