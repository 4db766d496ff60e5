//! Transposes out of the way of matrix products: (A Bᵀ)ᵀ is B Aᵀ, and a stack of products that is summed is one product.

use super::rewrite::{Rewriter, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op, Reduce};

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| match node.op {
        Op::SwapDims(..) if transposes(&node.op, rewriter.dims(node.inputs[0]).len()) => {
            let x = node.inputs[0];
            transposes_well(rewriter, x).then(|| transposed(rewriter, x))
        }
        Op::ReduceDim(Reduce::Sum, 0) => summed_stack(rewriter, node),
        _ => None,
    })
}

fn transposes(op: &Op, rank: usize) -> bool {
    match op {
        Op::SwapDims(a, b) => a.max(b) + 1 == rank && a.min(b) + 2 == rank,
        _ => false,
    }
}

/// The value whose matrices a value transposes.
fn transpose_of(rewriter: &Rewriter, x: ValueId) -> Option<ValueId> {
    let node = rewriter.producer(x)?;
    transposes(&node.op, rewriter.dims(x).len()).then(|| node.inputs[0])
}

/// Whether the transpose takes no more operations: of a transpose, of a product with one, of sums of such.
fn transposes_well(rewriter: &Rewriter, x: ValueId) -> bool {
    if transpose_of(rewriter, x).is_some() {
        return true;
    }
    let Some(node) = rewriter.producer(x).filter(|_| rewriter.read_once(x)) else {
        return false;
    };
    match (&node.op, &node.inputs[..]) {
        (Op::Matmul, inputs) => inputs.iter().any(|&x| transpose_of(rewriter, x).is_some()),
        (Op::Binary(Binary::Add | Binary::Sub), &[a, b]) => {
            rewriter.same_shape(a, b)
                && transposes_well(rewriter, a)
                && transposes_well(rewriter, b)
        }
        _ => false,
    }
}

/// The transpose of a value that transposes well.
fn transposed(rewriter: &mut Rewriter, x: ValueId) -> ValueId {
    let node = rewriter.producer(x).cloned();
    match node.map(|node| (node.op, node.inputs[0], node.inputs.get(1).copied())) {
        Some((Op::Matmul, a, Some(b))) => {
            let inputs = [swapped(rewriter, b), swapped(rewriter, a)];
            push_transposed(rewriter, Op::Matmul, inputs.to_vec(), x)
        }
        Some((op @ Op::Binary(_), a, Some(b))) => {
            let inputs = [transposed(rewriter, a), transposed(rewriter, b)];
            push_transposed(rewriter, op, inputs.to_vec(), x)
        }
        _ => swapped(rewriter, x),
    }
}

/// The transpose of any value: what it is the transpose of, or a layout of it.
fn swapped(rewriter: &mut Rewriter, x: ValueId) -> ValueId {
    if let Some(before) = transpose_of(rewriter, x) {
        return before;
    }
    let rank = rewriter.dims(x).len();
    push_transposed(rewriter, Op::SwapDims(rank - 2, rank - 1), vec![x], x)
}

/// Adds a node whose result has the shape of `like` transposed.
fn push_transposed(
    rewriter: &mut Rewriter,
    op: Op,
    inputs: Vec<ValueId>,
    like: ValueId,
) -> ValueId {
    let mut dims = rewriter.dims(like).to_vec();
    let rank = dims.len();
    dims.swap(rank - 2, rank - 1);
    rewriter.push(op, inputs, rewriter.kind(like), dims)
}

/// Σᵢ Xᵢᵀ Yᵢ as Xᵀ Y with all rows of all Xᵢ and Yᵢ below each other.
fn summed_stack(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let (stack, out) = (node.inputs[0], node.outputs[0]);
    let product = rewriter.producer(stack)?;
    if product.op != Op::Matmul || !rewriter.read_once(stack) {
        return None;
    }
    let (left, y) = (product.inputs[0], product.inputs[1]);
    let x = transpose_of(rewriter, left)?;
    let &[count, m, n] = rewriter.dims(stack) else {
        return None;
    };
    let length = rewriter.dims(y)[1];
    let stacked = |x: ValueId| rewriter.dims(x)[0] == count;
    if count == 1 || !stacked(x) || !stacked(y) {
        return None;
    }
    let kind = rewriter.kind(out);
    let x = rewriter.push(Op::Reshape, [x], kind, [count * length, m]);
    let y = rewriter.push(Op::Reshape, [y], kind, [count * length, n]);
    let left = rewriter.push(Op::SwapDims(0, 1), [x], kind, [m, count * length]);
    let product = rewriter.push(Op::Matmul, [left, y], kind, [m, n]);
    Some(rewriter.reshaped(product, out))
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;

    fn swap(graph: &mut Graph, x: ValueId, dims: [usize; 2]) -> ValueId {
        graph.push(Op::SwapDims(0, 1), [x], Kind::Float, dims)
    }

    /// A Bᵀ of A [2, 3] and B [4, 3].
    fn product(graph: &mut Graph) -> ValueId {
        let a = graph.input(Kind::Float, [2, 3]);
        let b = graph.input(Kind::Float, [4, 3]);
        let b = swap(graph, b, [3, 4]);
        graph.push(Op::Matmul, [a, b], Kind::Float, [2, 4])
    }

    #[test]
    fn a_transposed_product_is_a_product() {
        let mut graph = Graph::default();
        let x = product(&mut graph);
        graph.outputs = vec![swap(&mut graph, x, [4, 2])];
        let simple = run(graph).without_dead_code();
        assert_eq!(names(&simple), ["swap_dims", "matmul"]);
        assert_eq!(simple.nodes[1].inputs[0], simple.inputs[1]);
    }

    #[test]
    fn a_transposed_sum_of_products_is_a_sum_of_products() {
        let mut graph = Graph::default();
        let x = product(&mut graph);
        let y = product(&mut graph);
        let sum = graph.push(Op::Binary(Binary::Add), [x, y], Kind::Float, [2, 4]);
        graph.outputs = vec![swap(&mut graph, sum, [4, 2])];
        let simple = run(graph).without_dead_code();
        let expected = ["swap_dims", "matmul", "swap_dims", "matmul", "add"];
        assert_eq!(names(&simple), expected);
    }

    #[test]
    fn a_transposed_product_of_plain_matrices_stays() {
        let mut graph = Graph::default();
        let a = graph.input(Kind::Float, [2, 3]);
        let b = graph.input(Kind::Float, [3, 4]);
        let x = graph.push(Op::Matmul, [a, b], Kind::Float, [2, 4]);
        graph.outputs = vec![swap(&mut graph, x, [4, 2])];
        assert_eq!(names(&run(graph)), ["matmul", "swap_dims"]);
    }

    #[test]
    fn a_summed_stack_of_products_is_one_product() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [5, 7, 2]);
        let y = graph.input(Kind::Float, [5, 7, 3]);
        let left = graph.push(Op::SwapDims(1, 2), [x], Kind::Float, [5, 2, 7]);
        let stack = graph.push(Op::Matmul, [left, y], Kind::Float, [5, 2, 3]);
        let sum = Op::ReduceDim(Reduce::Sum, 0);
        graph.outputs = vec![graph.push(sum, [stack], Kind::Float, [1, 2, 3])];
        let simple = run(graph).without_dead_code();
        let expected = ["reshape", "reshape", "swap_dims", "matmul", "reshape"];
        assert_eq!(names(&simple), expected);
    }
}
