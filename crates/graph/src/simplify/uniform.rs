//! Tensors of one repeated number, such as those that start a backward, as that number: x + ones is x + 1.

use super::rewrite::{Rewriter, rewrite, scalar};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Kind, Op, Reduce, Unary};
use burn_ir::{PadModeIr, ScalarIr};

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| {
        let out = node.outputs[0];
        if rewriter.is_float(out) && !matches!(node.op, Op::Full(_)) {
            let number = result(rewriter, node).filter(|number| number.is_finite());
            if let Some(number) = number {
                return Some(rewriter.push_like(Op::Full(scalar(number)), [], out));
            }
        }
        with_number(rewriter, node)
    })
}

/// The number that a node repeats everywhere.
fn result(rewriter: &Rewriter, node: &Node) -> Option<f64> {
    let of = |position: usize| rewriter.number(node.inputs[position]);
    let same = |positions: &[usize]| {
        let first = of(positions[0])?;
        let all = positions
            .iter()
            .all(|&position| of(position) == Some(first));
        all.then_some(first)
    };
    let is = |scalar: &ScalarIr, number: f64| scalar.elem::<f64>() == number;
    match &node.op {
        Op::Reshape
        | Op::Expand
        | Op::SwapDims(..)
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Slice(_)
        | Op::RepeatDim { .. }
        | Op::Unfold { .. }
        | Op::Gather { .. }
        | Op::Select { .. }
        | Op::Detach => of(0),
        Op::Cast if rewriter.kind(node.inputs[0]) == Kind::Float => of(0),
        Op::Unary(function) => unary(*function, of(0)?),
        Op::BinaryScalar(function, scalar) => binary(*function, of(0)?, scalar.elem()),
        Op::Binary(function) => binary(*function, of(0)?, of(1)?),
        Op::Reduce(function) | Op::ReduceDim(function, _) => {
            let number = of(0)?;
            let results = rewriter.elements(node.outputs[0]);
            let repeats = rewriter.elements(node.inputs[0]).checked_div(results)?;
            reduce(*function, number, repeats)
        }
        Op::Cat { .. } => same(&(0..node.inputs.len()).collect::<Vec<_>>()),
        Op::SliceAssign(_) => same(&[0, 1]),
        Op::MaskWhere => same(&[0, 2]),
        Op::MaskFill(number) => of(0).filter(|&x| is(number, x)),
        Op::Pad { mode, .. } => of(0).filter(|&x| match mode {
            PadModeIr::Constant(number) => is(number, x),
            _ => true,
        }),
        _ => None,
    }
}

/// Functions whose value by the standard library is as good as any device's.
fn unary(function: Unary, x: f64) -> Option<f64> {
    Some(match function {
        Unary::Neg => -x,
        Unary::Recip => x.recip(),
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Tanh => x.tanh(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Relu => x.max(0.0),
        _ => return None,
    })
}

fn binary(function: Binary, x: f64, y: f64) -> Option<f64> {
    Some(match function {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        _ => return None,
    })
}

fn reduce(function: Reduce, x: f64, repeats: usize) -> Option<f64> {
    match function {
        Reduce::Sum => Some(x * repeats as f64),
        Reduce::Mean | Reduce::Max | Reduce::Min => Some(x),
        _ => None,
    }
}

/// A node with a uniform operand as one with a number, on the other operand before it is repeated.
fn with_number(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let out = node.outputs[0];
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(function), &[x, y]) if rewriter.is_float(out) => {
            let (left, right) = (rewriter.number(x), rewriter.number(y));
            let (op, operand) = with_left(*function, left, y)
                .or_else(|| with_right(*function, right, x))
                .filter(|(_, operand)| rewriter.dims(*operand).len() == rewriter.dims(out).len())?;
            let small = rewriter.push_like(op, [operand], operand);
            Some(rewriter.expanded(small, out))
        }
        (Op::Compare(compare), &[x, y]) if rewriter.same_shape(x, out) => {
            let number = rewriter.number(y)?;
            Some(rewriter.push_like(Op::CompareScalar(*compare, scalar(number)), [x], out))
        }
        (Op::MaskWhere, &[x, mask, y]) if rewriter.same_shape(x, mask) => {
            let number = rewriter.number(y)?;
            Some(rewriter.push_like(Op::MaskFill(scalar(number)), [x, mask], out))
        }
        _ => None,
    }
}

fn with_left(function: Binary, number: Option<f64>, y: ValueId) -> Option<(Op, ValueId)> {
    let number = number?;
    let op = match function {
        Binary::Add | Binary::Mul => Op::BinaryScalar(function, scalar(number)),
        Binary::Sub if number == 0.0 => Op::Unary(Unary::Neg),
        Binary::Div if number == 1.0 => Op::Unary(Unary::Recip),
        _ => return None,
    };
    Some((op, y))
}

fn with_right(function: Binary, number: Option<f64>, x: ValueId) -> Option<(Op, ValueId)> {
    let number = number?;
    let usual = matches!(
        function,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div
    );
    usual.then(|| (Op::BinaryScalar(function, scalar(number)), x))
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;

    fn full(graph: &mut Graph, number: f64, dims: [usize; 2]) -> ValueId {
        graph.push(Op::Full(scalar(number)), [], Kind::Float, dims)
    }

    #[test]
    fn a_product_with_ones_is_a_product_with_one() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 3]);
        let one = full(&mut graph, 1.0, [1, 1]);
        let ones = graph.push(Op::Expand, [one], Kind::Float, [2, 3]);
        let out = graph.push(Op::Binary(Binary::Mul), [ones, x], Kind::Float, [2, 3]);
        graph.outputs = vec![out];
        let simple = run(graph).without_dead_code();
        // the product is taken before it is repeated
        assert_eq!(names(&simple), ["mul_scalar", "expand"]);
        assert_eq!(simple.dims(simple.nodes[0].outputs[0]), [1, 3]);
    }

    #[test]
    fn functions_and_sums_of_uniform_tensors_are_known() {
        let mut graph = Graph::default();
        let twos = full(&mut graph, 2.0, [4, 3]);
        let sum = graph.push(Op::ReduceDim(Reduce::Sum, 0), [twos], Kind::Float, [1, 3]);
        let root = graph.push(Op::Unary(Unary::Sqrt), [sum], Kind::Float, [1, 3]);
        let mean = graph.push(Op::Reduce(Reduce::Mean), [root], Kind::Float, [1]);
        graph.outputs = vec![mean];
        let simple = run(graph).without_dead_code();
        assert_eq!(simple.nodes[0].op, Op::Full(scalar(8f64.sqrt())));
        assert_eq!(simple.nodes.len(), 1);
    }

    #[test]
    fn what_is_not_finite_is_left_to_the_device() {
        let mut graph = Graph::default();
        let zeros = full(&mut graph, 0.0, [2, 2]);
        let out = graph.push(Op::Unary(Unary::Recip), [zeros], Kind::Float, [2, 2]);
        graph.outputs = vec![out];
        assert_eq!(names(&run(graph)), ["full", "recip"]);
    }

    #[test]
    fn a_choice_of_a_uniform_tensor_is_a_fill() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2, 2]);
        let mask = graph.input(Kind::Bool, [2, 2]);
        let zeros = full(&mut graph, 0.0, [2, 2]);
        let out = graph.push(Op::MaskWhere, [x, mask, zeros], Kind::Float, [2, 2]);
        graph.outputs = vec![out];
        assert_eq!(names(&run(graph).without_dead_code()), ["mask_fill"]);
    }
}
