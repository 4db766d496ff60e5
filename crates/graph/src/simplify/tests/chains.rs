//! Random compositions of small operations.

use super::*;
use crate::graph::ValueId;
use crate::op::{Compare, Cumulative, Reduce};
use burn::tensor::{IndexingUpdateOp, Slice};
use burn_ir::PadModeIr;

struct Chain {
    graph: Graph,
    inputs: Vec<TensorData>,
    floats: Vec<ValueId>,
    state: u64,
}

impl Chain {
    fn new(seed: u64) -> Self {
        let mut chain = Self {
            graph: Graph::default(),
            inputs: Vec::new(),
            floats: Vec::new(),
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        for dims in [[3, 4], [3, 1], [1, 4]] {
            chain.float_input(&dims);
        }
        for _ in 0..14 {
            chain.step();
        }
        let count = chain.floats.len();
        chain.graph.outputs = chain.floats[count - 3..].to_vec();
        chain.graph = chain.graph.clone().without_dead_code();
        chain
    }

    fn below(&mut self, count: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as usize % count
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn float_input(&mut self, dims: &[usize]) {
        let count = dims.iter().product();
        let values: Vec<f64> = (0..count)
            .map(|_| 0.1 + 0.8 * self.below(1000) as f64 / 1000.0)
            .collect();
        self.inputs.push(TensorData::new(values, dims.to_vec()));
        let id = self.graph.input(Kind::Float, dims);
        self.floats.push(id);
    }

    fn indices(&mut self, dims: &[usize], below: usize) -> ValueId {
        let count = dims.iter().product();
        let values: Vec<i64> = (0..count).map(|_| self.below(below) as i64).collect();
        self.inputs.push(TensorData::new(values, dims.to_vec()));
        self.graph.input(Kind::Int, dims)
    }

    /// The latest value as a rule, so that operations follow each other.
    fn pick(&mut self) -> (ValueId, Vec<usize>) {
        let count = self.floats.len();
        let place = match self.below(4) {
            0 => self.below(count),
            recent => count - 1 - (recent - 1) % count,
        };
        let id = self.floats[place];
        (id, self.graph.dims(id).to_vec())
    }

    fn push(&mut self, op: Op, inputs: &[ValueId], dims: &[usize]) -> ValueId {
        let id = self.graph.push(op, inputs, Kind::Float, dims);
        self.floats.push(id);
        id
    }

    fn step(&mut self) {
        let (x, dims) = self.pick();
        match self.below(12) {
            0 | 1 => self.function(x, &dims),
            2 | 3 => self.with_number(x, &dims),
            4 | 5 => self.with_other(x, &dims),
            6 => self.with_uniform(x, &dims),
            7 | 8 => self.layout(x, &dims),
            9 => self.reduction(x, &dims),
            10 => self.indexing(x, &dims),
            _ => self.product(x, &dims),
        }
    }

    fn function(&mut self, x: ValueId, dims: &[usize]) {
        use Unary::{Abs, Neg, Relu, Sigmoid, Sin, Tanh};
        let function = self.of(&[Neg, Neg, Neg, Tanh, Tanh, Sin, Sigmoid, Abs, Relu]);
        self.push(Op::Unary(function), &[x], dims);
    }

    fn with_number(&mut self, x: ValueId, dims: &[usize]) {
        let number = self.of(&[1.0, -1.0, 0.5, 2.0, 0.3, -0.7]);
        let function = self.of(&[
            Binary::Mul,
            Binary::Mul,
            Binary::Div,
            Binary::Add,
            Binary::Sub,
        ]);
        self.push(
            Op::BinaryScalar(function, ScalarIr::Float(number)),
            &[x],
            dims,
        );
    }

    fn with_other(&mut self, x: ValueId, dims: &[usize]) {
        let fits: Vec<ValueId> = (self.floats.iter().copied())
            .filter(|&y| rewrite::broadcast(dims, self.graph.dims(y)).is_some())
            .collect();
        let mut y = self.of(&fits);
        let out = rewrite::broadcast(dims, self.graph.dims(y)).unwrap();
        if out.iter().product::<usize>() > 200 {
            y = x;
        }
        let out = rewrite::broadcast(dims, self.graph.dims(y)).unwrap();
        let (a, b) = if self.below(2) == 0 { (x, y) } else { (y, x) };
        let function = self.of(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Mul]);
        self.push(Op::Binary(function), &[a, b], &out);
    }

    fn with_uniform(&mut self, x: ValueId, dims: &[usize]) {
        let number = ScalarIr::Float(self.of(&[0.0, 1.0, 0.25]));
        let mut full = self.graph.push(Op::Full(number), [], Kind::Float, dims);
        if self.below(2) == 0 {
            let swapped: Vec<usize> = dims.iter().rev().copied().collect();
            let reversed = Op::Permute((0..dims.len()).rev().collect());
            full = self.graph.push(Op::Full(number), [], Kind::Float, swapped);
            full = self.graph.push(reversed, [full], Kind::Float, dims);
        }
        if self.below(4) == 0 {
            let mask = Op::CompareScalar(Compare::Greater, ScalarIr::Float(0.3));
            let mask = self.graph.push(mask, [x], Kind::Bool, dims);
            self.push(Op::MaskWhere, &[x, mask, full], dims);
            return;
        }
        let function = self.of(&[Binary::Add, Binary::Mul, Binary::Sub]);
        let inputs = if self.below(2) == 0 {
            [x, full]
        } else {
            [full, x]
        };
        self.push(Op::Binary(function), &inputs, dims);
    }

    fn layout(&mut self, x: ValueId, dims: &[usize]) {
        let mut out = dims.to_vec();
        let last = dims.len() - 1;
        let (a, b) = (self.below(dims.len()), self.below(dims.len()));
        let op = match self.below(9) {
            0 | 1 => {
                out.swap(a, b);
                Op::SwapDims(a, b)
            }
            2 => {
                out.rotate_left(1);
                Op::Permute(
                    (0..dims.len())
                        .map(|axis| (axis + 1) % dims.len())
                        .collect(),
                )
            }
            3 => {
                out.insert(a, 1);
                Op::Reshape
            }
            4 => {
                out = vec![dims.iter().product()];
                if self.below(2) == 0 {
                    out.push(1);
                }
                Op::Reshape
            }
            5 | 6 => match out.iter().position(|&length| length == 1) {
                Some(one) => {
                    out[one] = 3;
                    Op::Expand
                }
                None => Op::Reshape,
            },
            7 if dims[last] > 1 => {
                out[last] -= 1;
                let mut ranges = vec![Slice::from(..); last];
                ranges.push(Slice::new(1, None, 1));
                Op::Slice(ranges)
            }
            _ => Op::Flip(vec![a]),
        };
        if out.len() <= 4 {
            self.push(op, &[x], &out);
        }
    }

    fn reduction(&mut self, x: ValueId, dims: &[usize]) {
        let function = self.of(&[Reduce::Sum, Reduce::Sum, Reduce::Mean, Reduce::Max]);
        let dim = self.below(dims.len());
        let mut out = dims.to_vec();
        let op = match self.below(6) {
            0 => Op::Cumulative(Cumulative::Sum, dim),
            1 => {
                out = vec![1];
                Op::Reduce(function)
            }
            _ => {
                out[dim] = 1;
                Op::ReduceDim(function, dim)
            }
        };
        self.push(op, &[x], &out);
    }

    fn indexing(&mut self, x: ValueId, dims: &[usize]) {
        let last = dims.len() - 1;
        let mut taken = dims.to_vec();
        taken[last] = self.of(&[1, 2]);
        match self.below(4) {
            0 => {
                let places = self.indices(&taken, dims[last]);
                self.push(Op::Gather { dim: last }, &[x, places], &taken);
            }
            1 => {
                // scattered, and read in one of the ways that a backward reads it
                let places = self.indices(dims, 3);
                let mut all = dims.to_vec();
                all[last] = 3;
                let zeros = Op::Full(ScalarIr::Int(0));
                let zeros = self.graph.push(zeros, [], Kind::Float, all.clone());
                let update = IndexingUpdateOp::Add;
                let scatter = Op::Scatter { dim: last, update };
                let whole = self.push(scatter, &[zeros, places, x], &all);
                if self.below(2) == 0 {
                    self.push(Op::Gather { dim: last }, &[whole, places], dims);
                }
                all[last] = 1;
                self.push(Op::ReduceDim(Reduce::Sum, last), &[whole], &all);
            }
            2 => {
                let mut ranges = vec![Slice::from(..); last];
                ranges.push(Slice::from(0..1));
                taken[last] = 1;
                let part = self.push(Op::Slice(ranges.clone()), &[x], &taken);
                let part = self.push(Op::Unary(Unary::Tanh), &[part], &taken);
                let whole = self.push(Op::SliceAssign(ranges.clone()), &[x, part], dims);
                self.push(Op::Slice(ranges), &[whole], &taken);
            }
            _ => {
                let mut double = dims.to_vec();
                double[last] *= 2;
                let whole = self.push(Op::Cat { dim: last }, &[x, x], &double);
                let padding = vec![(0, 0); dims.len()];
                let mode = PadModeIr::Constant(ScalarIr::Int(0));
                let whole = self.push(Op::Pad { padding, mode }, &[whole], &double);
                let mut ranges = vec![Slice::from(..); last];
                ranges.push(Slice::from(dims[last]..2 * dims[last]));
                self.push(Op::Slice(ranges), &[whole], dims);
            }
        }
    }

    /// A product with a transpose, bounded again, and perhaps transposed.
    fn product(&mut self, x: ValueId, dims: &[usize]) {
        let rank = dims.len();
        if rank < 2 {
            return self.function(x, dims);
        }
        let (mut turned, mut out) = (dims.to_vec(), dims.to_vec());
        turned.swap(rank - 2, rank - 1);
        let swap = Op::SwapDims(rank - 2, rank - 1);
        let y = self.push(swap.clone(), &[x], &turned);
        let left = self.below(2) == 0;
        let length = if left { dims[rank - 1] } else { dims[rank - 2] };
        (out[rank - 2], out[rank - 1]) = (length, length);
        let inputs = if left { [y, x] } else { [x, y] };
        let product = self.push(Op::Matmul, &inputs, &out);
        if self.below(2) == 0 {
            self.push(swap, &[product], &out);
        }
        if rank == 3 && self.below(2) == 0 {
            out[0] = 1;
            self.push(Op::ReduceDim(Reduce::Sum, 0), &[product], &out);
        }
        let last = *self.floats.last().expect("a product");
        self.push(Op::Unary(Unary::Tanh), &[last], &out);
    }
}

#[test]
fn random_chains_are_not_changed() {
    let mut found = Found::new();
    for seed in 0..400 {
        let chain = Chain::new(seed);
        check(
            &format!("chain {seed}"),
            &chain.graph,
            &chain.inputs,
            &mut found,
        );
    }
    // every pass had something to do
    for pass in &PASSES {
        assert!(found.contains_key(pass.name), "{} of {found:?}", pass.name);
    }
}
