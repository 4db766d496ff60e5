//! (A B)ᵀ becomes Bᵀ Aᵀ: transposed operands cost a matrix product nothing, a transposed result costs whoever reads it.

use crate::graph::{Graph, Node, ValueId};
use crate::op::Op;

/// Rewrites transposed products that nobody reads otherwise.
pub(crate) fn transpose_operands(mut graph: Graph) -> Graph {
    let mut readers = vec![0; graph.values.len()];
    let read = graph.nodes.iter().flat_map(|node| &node.inputs);
    for &id in read.chain(&graph.outputs) {
        readers[id] += 1;
    }
    let mut writer: Vec<Option<usize>> = vec![None; graph.values.len()];
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let product = match node.op {
            Op::SwapDims(a, b) if is_transposition(&graph, &node, a, b) => writer[node.inputs[0]]
                .filter(|&place| nodes[place].op == Op::Matmul && readers[node.inputs[0]] == 1)
                .map(|place| (a, b, nodes[place].inputs.clone())),
            _ => None,
        };
        let node = match product {
            Some((a, b, operands)) => {
                let inputs = [operands[1], operands[0]]
                    .map(|id| transposed(&mut graph, &mut nodes, &writer, id, (a, b)));
                Node {
                    op: Op::Matmul,
                    inputs: inputs.to_vec(),
                    outputs: node.outputs,
                }
            }
            None => node,
        };
        writer.resize(graph.values.len(), None);
        for &id in &node.outputs {
            writer[id] = Some(nodes.len());
        }
        nodes.push(node);
    }
    graph.nodes = nodes;
    graph.without_dead_code()
}

fn is_transposition(graph: &Graph, node: &Node, a: usize, b: usize) -> bool {
    let rank = graph.dims(node.outputs[0]).len();
    rank >= 2 && a.min(b) == rank - 2 && a.max(b) == rank - 1
}

/// The transpose of a value: what it is the transpose of, where it is one.
fn transposed(
    graph: &mut Graph,
    nodes: &mut Vec<Node>,
    writer: &[Option<usize>],
    id: ValueId,
    (a, b): (usize, usize),
) -> ValueId {
    if let Some(place) = writer.get(id).copied().flatten()
        && let Op::SwapDims(c, d) = nodes[place].op
        && (a.min(b), a.max(b)) == (c.min(d), c.max(d))
    {
        return nodes[place].inputs[0];
    }
    let mut dims = graph.dims(id).to_vec();
    dims.swap(a, b);
    let out = graph.value(graph.values[id].kind, dims);
    nodes.push(Node {
        op: Op::SwapDims(a, b),
        inputs: vec![id],
        outputs: vec![out],
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Kind;

    #[test]
    fn a_transposed_product_becomes_a_product_of_transposes() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [4, 3]);
        let y = graph.input(Kind::Float, [4, 5]);
        let xt = graph.push(Op::SwapDims(0, 1), [x], Kind::Float, [3, 4]);
        let product = graph.push(Op::Matmul, [xt, y], Kind::Float, [3, 5]);
        let out = graph.push(Op::SwapDims(1, 0), [product], Kind::Float, [5, 3]);
        graph.outputs = vec![out];
        let graph = transpose_operands(graph);
        // yᵀ x: the double transposition of x is gone
        assert_eq!(graph.operation_counts()["swap_dims"], 1);
        assert_eq!(graph.nodes.last().unwrap().op, Op::Matmul);
        assert_eq!(graph.nodes.last().unwrap().inputs[1], x);
    }

    #[test]
    fn a_product_that_is_read_otherwise_stays() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [3, 3]);
        let product = graph.push(Op::Matmul, [x, x], Kind::Float, [3, 3]);
        let out = graph.push(Op::SwapDims(0, 1), [product], Kind::Float, [3, 3]);
        graph.outputs = vec![out, product];
        assert_eq!(transpose_operands(graph.clone()).nodes, graph.nodes);
    }
}
