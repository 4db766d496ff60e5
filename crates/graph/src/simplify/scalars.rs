//! Numbers that follow each other as one: 2 (3 x) is 6 x, x + 1 + 2 is x + 3. Equal up to rounding.

use super::rewrite::{Rewriter, rewrite, scalar};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op, Unary};

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| {
        if !rewriter.is_float(node.outputs[0]) {
            return None;
        }
        factors(rewriter, node)
            .or_else(|| summands(rewriter, node))
            .or_else(|| twice(rewriter, node))
    })
}

/// A factor as a numerator and a denominator, so that one is divided by the other once.
#[derive(Clone, Copy)]
struct Factor(f64, f64);

impl Factor {
    fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Unary(Unary::Neg) => Some(Self(-1.0, 1.0)),
            Op::BinaryScalar(Binary::Mul, number) => Some(Self(number.elem(), 1.0)),
            Op::BinaryScalar(Binary::Div, number) => Some(Self(1.0, number.elem())),
            _ => None,
        }
    }

    fn times(self, other: Self) -> Self {
        Self(self.0 * other.0, self.1 * other.1)
    }

    /// The number, unless it may be too large or too small for f32 where its parts are not.
    fn number(self) -> Option<f64> {
        let number = self.0 / self.1;
        (1e-30..1e30).contains(&number.abs()).then_some(number)
    }
}

fn push_factor(rewriter: &mut Rewriter, x: ValueId, number: f64) -> ValueId {
    if number == 1.0 {
        return x;
    }
    let op = match number == -1.0 {
        true => Op::Unary(Unary::Neg),
        false => Op::BinaryScalar(Binary::Mul, scalar(number)),
    };
    rewriter.push_like(op, [x], x)
}

/// The value that a factor is applied to.
fn scaled(rewriter: &Rewriter, x: ValueId) -> Option<(ValueId, Factor)> {
    let node = rewriter.producer(x)?;
    let factor = Factor::of(&node.op)?;
    Some((node.inputs[0], factor))
}

/// c (d x), (c x)(d y) and c ((d x) y) with one number.
fn factors(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let out = node.outputs[0];
    if let Some(outer) = Factor::of(&node.op) {
        let x = node.inputs[0];
        if let Some((inner, factor)) = scaled(rewriter, x) {
            let number = outer.times(factor).number()?;
            return Some(push_factor(rewriter, inner, number));
        }
        return through_product(rewriter, x, outer);
    }
    let Op::Binary(function @ (Binary::Mul | Binary::Div)) = node.op else {
        return None;
    };
    let (x, y) = (node.inputs[0], node.inputs[1]);
    let ((a, left), (b, right)) = (scaled(rewriter, x)?, scaled(rewriter, y)?);
    if !rewriter.read_once(x) || !rewriter.read_once(y) || x == y {
        return None;
    }
    let right = match function {
        Binary::Mul => right,
        _ => Factor(right.1, right.0),
    };
    let number = left.times(right).number()?;
    let product = rewriter.push_like(Op::Binary(function), [a, b], out);
    Some(push_factor(rewriter, product, number))
}

/// c ((d x) y) as (c d) (x y), if nobody else reads the product or its factor.
fn through_product(rewriter: &mut Rewriter, product: ValueId, outer: Factor) -> Option<ValueId> {
    let node = rewriter.producer(product)?;
    let Op::Binary(function @ (Binary::Mul | Binary::Div)) = node.op else {
        return None;
    };
    let (x, y) = (node.inputs[0], node.inputs[1]);
    if !rewriter.read_once(product) {
        return None;
    }
    let (inputs, inner) = match (scaled(rewriter, x), scaled(rewriter, y)) {
        (Some((a, left)), _) if rewriter.read_once(x) => ([a, y], left),
        (_, Some((b, right))) if rewriter.read_once(y) => match function {
            Binary::Mul => ([x, b], right),
            _ => ([x, b], Factor(right.1, right.0)),
        },
        _ => return None,
    };
    let number = outer.times(inner).number()?;
    let product = rewriter.push_like(Op::Binary(function), inputs, product);
    Some(push_factor(rewriter, product, number))
}

fn summand(op: &Op) -> Option<f64> {
    match op {
        Op::BinaryScalar(Binary::Add, number) => Some(number.elem()),
        Op::BinaryScalar(Binary::Sub, number) => Some(-number.elem::<f64>()),
        _ => None,
    }
}

fn summands(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let outer = summand(&node.op)?;
    let before = rewriter.producer(node.inputs[0])?;
    let (inner, x) = (summand(&before.op)?, before.inputs[0]);
    let sum = outer + inner;
    // a sum that cancels keeps what the first addition rounded away
    if sum.abs() < 1e-3 * outer.abs() {
        return None;
    }
    let op = Op::BinaryScalar(Binary::Add, scalar(sum));
    Some(rewriter.push_like(op, [x], x))
}

/// x + x as 2 x, which joins other numbers.
fn twice(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(Binary::Add), &[x, y]) if x == y => Some(push_factor(rewriter, x, 2.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;

    fn with(graph: &mut Graph, function: Binary, x: ValueId, number: f64) -> ValueId {
        let op = Op::BinaryScalar(function, scalar(number));
        graph.push(op, [x], Kind::Float, [2])
    }

    #[test]
    fn a_chain_of_numbers_is_one_number() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2]);
        let a = with(&mut graph, Binary::Mul, x, 3.0);
        let b = graph.push(Op::Unary(Unary::Neg), [a], Kind::Float, [2]);
        let c = with(&mut graph, Binary::Div, b, 4.0);
        let d = with(&mut graph, Binary::Add, c, 1.0);
        graph.outputs = vec![with(&mut graph, Binary::Sub, d, 3.0)];
        let simple = run(graph).without_dead_code();
        assert_eq!(names(&simple), ["mul_scalar", "add_scalar"]);
        let numbers = [(Binary::Mul, -0.75), (Binary::Add, -2.0)];
        for (node, (function, number)) in simple.nodes.iter().zip(numbers) {
            assert_eq!(node.op, Op::BinaryScalar(function, scalar(number)));
        }
    }

    #[test]
    fn numbers_of_two_factors_are_multiplied() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2]);
        let y = graph.input(Kind::Float, [2]);
        let a = with(&mut graph, Binary::Mul, x, 0.5);
        let b = with(&mut graph, Binary::Div, y, 3.0);
        let product = graph.push(Op::Binary(Binary::Mul), [a, b], Kind::Float, [2]);
        graph.outputs = vec![with(&mut graph, Binary::Mul, product, 6.0)];
        // a half times six thirds is one
        assert_eq!(names(&run(graph).without_dead_code()), ["mul"]);
    }

    #[test]
    fn numbers_that_f32_does_not_hold_are_not_made() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2]);
        let a = with(&mut graph, Binary::Mul, x, 1e-20);
        graph.outputs = vec![with(&mut graph, Binary::Mul, a, 1e-20)];
        assert_eq!(run(graph).without_dead_code().nodes.len(), 2);
    }
}
