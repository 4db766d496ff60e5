//! Every operation, with every choice of operands in the block, against the members one by one.

use super::*;
use crate::differentiate::{Derivative, differentiate};
use crate::evaluate::{Results, Target, apply};
use crate::op::{Binary, Compare, Cumulative, Kind, Logic, Unary, Windows};
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::prelude::{Device, Tensor};
use burn::tensor::{FloatDType, IndexingUpdateOp, Shape, TensorData};
use burn_ir::{
    Conv1dOptionsIr, Conv2dOptionsIr, Conv3dOptionsIr, ConvTranspose1dOptionsIr,
    ConvTranspose2dOptionsIr, ConvTranspose3dOptionsIr, PadModeIr, ScalarIr,
};
use std::collections::{BTreeMap, BTreeSet};

const COUNT: usize = 3;

/// What an input is filled with.
#[derive(Clone, Copy, Debug)]
enum Fill {
    /// Floats in (0.1, 0.9): all elementwise functions but one are defined there.
    Float,
    /// Floats above 1.
    AboveOne,
    /// Integers below a number.
    Below(usize),
    /// Integers from 1 to 5.
    Int,
    Bool,
}

impl Fill {
    fn kind(self) -> Kind {
        match self {
            Fill::Float | Fill::AboveOne => Kind::Float,
            Fill::Below(_) | Fill::Int => Kind::Int,
            Fill::Bool => Kind::Bool,
        }
    }

    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Float => Fill::Float,
            Kind::Int => Fill::Int,
            Kind::Bool => Fill::Bool,
        }
    }

    fn data(self, dims: &[usize], numbers: &mut Numbers) -> TensorData {
        let size = dims.iter().product();
        let units: Vec<f64> = (0..size).map(|_| numbers.next()).collect();
        let ints = |count: usize, from: i64| -> Vec<i64> {
            units
                .iter()
                .map(|u| (u * count as f64) as i64 + from)
                .collect()
        };
        match self {
            Fill::Float => TensorData::new(
                units.iter().map(|u| 0.1 + 0.8 * u).collect::<Vec<_>>(),
                dims.to_vec(),
            ),
            Fill::AboveOne => TensorData::new(
                units.iter().map(|u| 1.1 + u).collect::<Vec<_>>(),
                dims.to_vec(),
            ),
            Fill::Below(count) => TensorData::new(ints(count, 0), dims.to_vec()),
            Fill::Int => TensorData::new(ints(5, 1), dims.to_vec()),
            Fill::Bool => TensorData::new(
                units.iter().map(|&u| u > 0.5).collect::<Vec<_>>(),
                dims.to_vec(),
            ),
        }
    }
}

/// Numbers in [0, 1) that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One operation with the shapes of its operands and results.
struct Case {
    op: Op,
    inputs: Vec<(Fill, Vec<usize>)>,
    outputs: Vec<(Kind, Vec<usize>)>,
}

impl Case {
    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for (fill, dims) in &self.inputs {
            graph.input(fill.kind(), dims.clone());
        }
        let outputs: Vec<ValueId> = (self.outputs.iter())
            .map(|(kind, dims)| graph.value(*kind, dims.clone()))
            .collect();
        graph.nodes.push(Node {
            op: self.op.clone(),
            inputs: graph.inputs.clone(),
            outputs: outputs.clone(),
        });
        graph.outputs = outputs;
        graph
    }

    fn fills(&self) -> Vec<Fill> {
        self.inputs.iter().map(|(fill, _)| *fill).collect()
    }
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, op: Op, inputs: &[(Fill, &[usize])], outputs: &[(Kind, &[usize])]) {
        self.0.push(Case {
            op,
            inputs: inputs
                .iter()
                .map(|(fill, dims)| (*fill, dims.to_vec()))
                .collect(),
            outputs: outputs
                .iter()
                .map(|(kind, dims)| (*kind, dims.to_vec()))
                .collect(),
        });
    }

    fn floats(&mut self, op: Op, inputs: &[&[usize]], output: &[usize]) {
        let inputs: Vec<_> = inputs.iter().map(|dims| (Fill::Float, *dims)).collect();
        self.add(op, &inputs, &[(Kind::Float, output)]);
    }
}

// ---- the operations ----

fn elementwise(cases: &mut Cases) {
    use Kind::{Bool, Float, Int};
    let dims: &[usize] = &[2, 3];
    for function in [
        Unary::Neg,
        Unary::Recip,
        Unary::Abs,
        Unary::Sign,
        Unary::Exp,
        Unary::Log,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Erf,
        Unary::Sin,
        Unary::Cos,
        Unary::Tan,
        Unary::Sinh,
        Unary::Cosh,
        Unary::Tanh,
        Unary::ArcSin,
        Unary::ArcCos,
        Unary::ArcTan,
        Unary::ArcSinh,
        Unary::ArcTanh,
        Unary::Round,
        Unary::Floor,
        Unary::Ceil,
        Unary::Trunc,
        Unary::Relu,
        Unary::Sigmoid,
        Unary::LogSigmoid,
    ] {
        cases.floats(Op::Unary(function), &[dims], dims);
    }
    cases.add(
        Op::Unary(Unary::ArcCosh),
        &[(Fill::AboveOne, dims)],
        &[(Float, dims)],
    );
    for function in [Unary::Neg, Unary::Abs, Unary::Sign] {
        cases.add(Op::Unary(function), &[(Fill::Int, dims)], &[(Int, dims)]);
    }
    let binary = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Rem,
        Binary::Pow,
        Binary::ArcTan2,
    ];
    for function in binary {
        cases.floats(Op::Binary(function), &[&[2, 1, 3], &[1, 4, 3]], &[2, 4, 3]);
        if function != Binary::ArcTan2 {
            cases.floats(
                Op::BinaryScalar(function, ScalarIr::Float(0.7)),
                &[dims],
                dims,
            );
            cases.add(
                Op::Binary(function),
                &[(Fill::Int, dims), (Fill::Int, dims)],
                &[(Int, dims)],
            );
            cases.add(
                Op::BinaryScalar(function, ScalarIr::Int(2)),
                &[(Fill::Int, dims)],
                &[(Int, dims)],
            );
        }
    }
    let compare = [
        Compare::Equal,
        Compare::NotEqual,
        Compare::Greater,
        Compare::GreaterEqual,
        Compare::Lower,
        Compare::LowerEqual,
    ];
    for function in compare {
        for fill in [Fill::Float, Fill::Int] {
            cases.add(
                Op::Compare(function),
                &[(fill, dims), (fill, dims)],
                &[(Bool, dims)],
            );
            let scalar = ScalarIr::Float(0.5);
            cases.add(
                Op::CompareScalar(function, scalar),
                &[(fill, dims)],
                &[(Bool, dims)],
            );
        }
    }
    cases.add(
        Op::Compare(Compare::Equal),
        &[(Fill::Bool, dims), (Fill::Bool, dims)],
        &[(Bool, dims)],
    );
    for function in [Logic::And, Logic::Or, Logic::Xor] {
        cases.add(
            Op::Logic(function),
            &[(Fill::Bool, dims), (Fill::Bool, dims)],
            &[(Bool, dims)],
        );
    }
    cases.add(Op::Not, &[(Fill::Bool, dims)], &[(Bool, dims)]);
    cases.add(Op::IsNan, &[(Fill::Float, dims)], &[(Bool, dims)]);
    cases.add(Op::IsInf, &[(Fill::Float, dims)], &[(Bool, dims)]);
    cases.floats(Op::Detach, &[dims], dims);
    for from in [Float, Int, Bool] {
        for to in [Float, Int, Bool] {
            cases.add(Op::Cast, &[(Fill::of(from), dims)], &[(to, dims)]);
        }
    }
}

fn layout(cases: &mut Cases) {
    for kind in [Kind::Float, Kind::Int, Kind::Bool] {
        let mut add = |op: Op, inputs: &[&[usize]], out: &[usize]| {
            let inputs: Vec<_> = inputs.iter().map(|dims| (Fill::of(kind), *dims)).collect();
            cases.add(op, &inputs, &[(kind, out)]);
        };
        add(Op::Reshape, &[&[2, 6]], &[3, 2, 2]);
        add(Op::Expand, &[&[2, 1]], &[2, 4]);
        add(Op::Expand, &[&[3]], &[2, 3]);
        add(Op::SwapDims(0, 2), &[&[2, 3, 4]], &[4, 3, 2]);
        add(Op::Permute(vec![2, 0, 1]), &[&[2, 3, 4]], &[4, 2, 3]);
        add(Op::Flip(vec![1]), &[&[2, 3]], &[2, 3]);
        add(
            Op::Slice(vec![Slice::new(1, None, 1), Slice::new(0, Some(-1), 2)]),
            &[&[3, 6]],
            &[2, 3],
        );
        add(
            Op::Slice(vec![Slice::new(0, None, -1)]),
            &[&[3, 2]],
            &[3, 2],
        );
        add(
            Op::SliceAssign(vec![Slice::from(1..3), Slice::from(0..2)]),
            &[&[3, 4], &[2, 2]],
            &[3, 4],
        );
        add(Op::RepeatDim { dim: 1, times: 3 }, &[&[2, 2]], &[2, 6]);
        add(Op::Cat { dim: 1 }, &[&[2, 1], &[2, 3], &[2, 2]], &[2, 6]);
        add(
            Op::Unfold {
                dim: 0,
                size: 3,
                step: 2,
            },
            &[&[5, 2]],
            &[2, 2, 3],
        );
        let (fill, dims): (Fill, &[usize]) = (Fill::of(kind), &[2, 3]);
        let mask = (Fill::Bool, dims);
        cases.add(
            Op::MaskWhere,
            &[(fill, dims), mask, (fill, dims)],
            &[(kind, dims)],
        );
        let scalar = if kind == Kind::Bool {
            ScalarIr::Bool(true)
        } else {
            ScalarIr::Int(7)
        };
        cases.add(Op::MaskFill(scalar), &[(fill, dims), mask], &[(kind, dims)]);
        if kind != Kind::Bool {
            for mode in [
                PadModeIr::Constant(ScalarIr::Int(2)),
                PadModeIr::Reflect,
                PadModeIr::Edge,
            ] {
                let op = Op::Pad {
                    padding: vec![(0, 1), (2, 1)],
                    mode,
                };
                cases.add(op, &[(fill, &[2, 4])], &[(kind, &[3, 7])]);
            }
        }
    }
}

fn indexing(cases: &mut Cases) {
    for kind in [Kind::Float, Kind::Int, Kind::Bool] {
        let fill = Fill::of(kind);
        let to_four = Fill::Below(4);
        let three: &[usize] = &[3];
        cases.add(
            Op::Gather { dim: 0 },
            &[(fill, &[4, 2]), (to_four, &[3, 2])],
            &[(kind, &[3, 2])],
        );
        cases.add(
            Op::Gather { dim: 1 },
            &[(fill, &[2, 4]), (to_four, &[2, 3])],
            &[(kind, &[2, 3])],
        );
        cases.add(
            Op::Select { dim: 0 },
            &[(fill, &[4, 2]), (to_four, three)],
            &[(kind, &[3, 2])],
        );
        cases.add(
            Op::Select { dim: 1 },
            &[(fill, &[2, 4, 2]), (to_four, three)],
            &[(kind, &[2, 3, 2])],
        );
        if kind == Kind::Bool {
            continue;
        }
        for update in [
            IndexingUpdateOp::Add,
            IndexingUpdateOp::Max,
            IndexingUpdateOp::Assign,
        ] {
            cases.add(
                Op::Scatter { dim: 1, update },
                &[(fill, &[2, 4]), (to_four, &[2, 3]), (fill, &[2, 3])],
                &[(kind, &[2, 4])],
            );
            for (dim, x, value) in [(0, [4, 2, 2], [3, 2, 2]), (1, [2, 4, 2], [2, 3, 2])] {
                cases.add(
                    Op::SelectAssign { dim, update },
                    &[(fill, &x), (to_four, three), (fill, &value)],
                    &[(kind, &x)],
                );
            }
        }
    }
}

fn reductions(cases: &mut Cases) {
    let dims: &[usize] = &[2, 3, 2];
    let along: &[usize] = &[2, 1, 2];
    for kind in [Kind::Float, Kind::Int, Kind::Bool] {
        let input = (Fill::of(kind), dims);
        for function in [Reduce::Any, Reduce::All] {
            cases.add(Op::Reduce(function), &[input], &[(Kind::Bool, &[1])]);
            cases.add(Op::ReduceDim(function, 1), &[input], &[(Kind::Bool, along)]);
        }
        if kind == Kind::Bool {
            continue;
        }
        for function in [
            Reduce::Sum,
            Reduce::Mean,
            Reduce::Prod,
            Reduce::Max,
            Reduce::Min,
        ] {
            cases.add(Op::Reduce(function), &[input], &[(kind, &[1])]);
            cases.add(Op::ReduceDim(function, 1), &[input], &[(kind, along)]);
        }
        for function in [Reduce::ArgMax, Reduce::ArgMin] {
            cases.add(Op::ReduceDim(function, 1), &[input], &[(Kind::Int, along)]);
        }
        for op in [Op::MaxDimWithIndices(1), Op::MinDimWithIndices(1)] {
            cases.add(op, &[input], &[(kind, along), (Kind::Int, along)]);
        }
        for function in [
            Cumulative::Sum,
            Cumulative::Prod,
            Cumulative::Max,
            Cumulative::Min,
        ] {
            cases.add(Op::Cumulative(function, 1), &[input], &[(kind, dims)]);
        }
        for descending in [false, true] {
            let op = Op::SortWithIndices { dim: 1, descending };
            cases.add(op, &[input], &[(kind, dims), (Kind::Int, dims)]);
        }
    }
}

fn products(cases: &mut Cases) {
    cases.floats(Op::Matmul, &[&[3, 4], &[4, 5]], &[3, 5]);
    cases.floats(Op::Matmul, &[&[2, 3, 4], &[1, 4, 5]], &[2, 3, 5]);
    cases.floats(Op::Matmul, &[&[2, 3, 4], &[2, 4, 5]], &[2, 3, 5]);
    cases.floats(Op::Matmul, &[&[1, 3, 4], &[2, 4, 5]], &[2, 3, 5]);
    cases.floats(Op::Matmul, &[&[2, 2, 3, 4], &[2, 2, 4, 5]], &[2, 2, 3, 5]);
    for groups in [1, 2] {
        let (inputs, outputs) = (4 / groups, 6 / groups);
        // with an end of 2 the stride leaves one element over
        for end in [1, 2] {
            let o = Conv1dOptionsIr {
                stride: [2],
                padding: [(1, end)],
                dilation: [1],
                groups,
            };
            let [x, w, y]: [&[usize]; 3] = [&[2, 4, 7], &[6, inputs, 3], &[2, 6, 4]];
            cases.floats(Op::Conv1d(o.clone()), &[x, w], y);
            cases.floats(Op::Conv1dXBackward(o.clone()), &[x, w, y], x);
            cases.floats(Op::Conv1dWeightBackward(o), &[x, w, y], w);
        }
        let o = Conv2dOptionsIr {
            stride: [2, 1],
            padding: [(1, 1), (0, 0)],
            dilation: [1, 2],
            groups,
        };
        let [x, w, y]: [&[usize]; 3] = [&[2, 4, 5, 4], &[6, inputs, 3, 2], &[2, 6, 3, 2]];
        cases.floats(Op::Conv2d(o.clone()), &[x, w], y);
        cases.floats(Op::Conv2dXBackward(o.clone()), &[x, w, y], x);
        cases.floats(Op::Conv2dWeightBackward(o), &[x, w, y], w);
        let o = Conv3dOptionsIr {
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
            groups,
        };
        let [x, w, y]: [&[usize]; 3] = [&[2, 4, 3, 3, 2], &[6, inputs, 2, 2, 1], &[2, 6, 2, 2, 2]];
        cases.floats(Op::Conv3d(o.clone()), &[x, w], y);
        cases.floats(Op::Conv3dXBackward(o.clone()), &[x, w, y], x);
        cases.floats(Op::Conv3dWeightBackward(o), &[x, w, y], w);
        let o = ConvTranspose1dOptionsIr {
            stride: [2],
            padding: [1],
            padding_out: [1],
            dilation: [1],
            groups,
        };
        let [x, w, y]: [&[usize]; 3] = [&[2, 4, 4], &[4, outputs, 3], &[2, 6, 8]];
        cases.floats(Op::ConvTranspose1d(o.clone()), &[x, w], y);
        cases.floats(Op::ConvTranspose1dWeightBackward(o), &[x, w, y], w);
        let o = ConvTranspose2dOptionsIr {
            stride: [2, 1],
            padding: [0, 1],
            padding_out: [1, 0],
            dilation: [1, 1],
            groups,
        };
        let [x, w, y]: [&[usize]; 3] = [&[2, 4, 3, 2], &[4, outputs, 2, 3], &[2, 6, 7, 2]];
        cases.floats(Op::ConvTranspose2d(o.clone()), &[x, w], y);
        cases.floats(Op::ConvTranspose2dWeightBackward(o), &[x, w, y], w);
        let o = ConvTranspose3dOptionsIr {
            stride: [1; 3],
            padding: [0; 3],
            padding_out: [0; 3],
            dilation: [1; 3],
            groups,
        };
        let [x, w, y]: [&[usize]; 3] = [&[2, 4, 2, 2, 2], &[4, outputs, 2, 2, 1], &[2, 6, 3, 3, 2]];
        cases.floats(Op::ConvTranspose3d(o.clone()), &[x, w], y);
        cases.floats(Op::ConvTranspose3dWeightBackward(o), &[x, w, y], w);
    }
}

fn pools(cases: &mut Cases) {
    let one = Windows {
        kernel: [2],
        stride: [2],
        padding: [0],
        dilation: [1],
        ceil_mode: false,
        count_include_pad: true,
    };
    let two = Windows {
        kernel: [2, 2],
        stride: [2, 1],
        padding: [1, 0],
        dilation: [1, 1],
        ceil_mode: false,
        count_include_pad: true,
    };
    let [x, y]: [&[usize]; 2] = [&[2, 3, 6], &[2, 3, 3]];
    let maxima = [(Kind::Float, y), (Kind::Int, y)];
    cases.add(
        Op::Pool(Pool::Max1dWithIndices(one)),
        &[(Fill::Float, x)],
        &maxima,
    );
    let inputs = [(Fill::Float, x), (Fill::Float, y), (Fill::Below(6), y)];
    cases.add(
        Op::Pool(Pool::Max1dBackward(one)),
        &inputs,
        &[(Kind::Float, x)],
    );
    cases.floats(Op::Pool(Pool::Avg1dBackward(one)), &[x, y], x);
    cases.floats(Op::Pool(Pool::AdaptiveAvg1dBackward), &[x, y], x);
    let [x, y]: [&[usize]; 2] = [&[2, 3, 4, 5], &[2, 3, 3, 4]];
    let maxima = [(Kind::Float, y), (Kind::Int, y)];
    cases.add(
        Op::Pool(Pool::Max2dWithIndices(two)),
        &[(Fill::Float, x)],
        &maxima,
    );
    let inputs = [(Fill::Float, x), (Fill::Float, y), (Fill::Below(20), y)];
    cases.add(
        Op::Pool(Pool::Max2dBackward(two)),
        &inputs,
        &[(Kind::Float, x)],
    );
    cases.floats(Op::Pool(Pool::Avg2dBackward(two)), &[x, y], x);
    cases.floats(Op::Pool(Pool::AdaptiveAvg2dBackward), &[x, y], x);
    cases.floats(
        Op::Pool(Pool::AdaptiveAvg3dBackward),
        &[&[2, 3, 4, 3, 2], &[2, 3, 2, 2, 2]],
        &[2, 3, 4, 3, 2],
    );
}

fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    elementwise(&mut cases);
    layout(&mut cases);
    indexing(&mut cases);
    reductions(&mut cases);
    products(&mut cases);
    pools(&mut cases);
    cases.0
}

// ---- evaluation ----

/// Shape and elements; integers and booleans as exact floats.
#[derive(Debug)]
pub(crate) struct Read {
    dims: Vec<usize>,
    pub(crate) elements: Vec<f64>,
}

pub(crate) fn evaluate(graph: &Graph, inputs: &[TensorData], device: &Device) -> Vec<Read> {
    let target = Target::values(device, FloatDType::F64);
    let mut slots: Vec<Option<DispatchTensor>> = vec![None; graph.values.len()];
    let known = (graph.inputs.iter().zip(inputs)).chain(&graph.constants);
    for (&id, data) in known {
        slots[id] = Some(target.constant(data));
    }
    let slot = |slots: &[Option<DispatchTensor>], id: ValueId| slots[id].clone().expect("a value");
    for node in &graph.nodes {
        let inputs = node.inputs.iter().map(|&id| slot(&slots, id)).collect();
        let outputs: Vec<_> = node.outputs.iter().map(|&id| &graph.values[id]).collect();
        let results = match apply(&node.op, inputs, &outputs, &target) {
            Results::One(one) => vec![one],
            Results::Two(one, two) => vec![one, two],
        };
        for ((&id, expected), tensor) in node.outputs.iter().zip(outputs).zip(results) {
            assert_eq!(tensor.shape(), expected.shape, "%{id} of\n{graph}");
            slots[id] = Some(tensor);
        }
    }
    (graph.outputs.iter())
        .map(|&id| read(slot(&slots, id), graph.values[id].kind, &target))
        .collect()
}

fn read(tensor: DispatchTensor, kind: Kind, target: &Target) -> Read {
    let dims = tensor.shape().to_vec();
    let size = dims.iter().product();
    let floats = match kind {
        Kind::Float => tensor,
        Kind::Int => Dispatch::int_into_float(tensor, target.float),
        Kind::Bool => Dispatch::bool_into_float(tensor, target.float),
    };
    let flat = Dispatch::float_reshape(floats, Shape::new([size]));
    let elements = Tensor::<1>::from_dispatch(flat)
        .into_data()
        .iter()
        .collect();
    Read { dims, elements }
}

/// Members one after the other along a new leading dimension.
fn stack(members: &[TensorData]) -> TensorData {
    let dims = [&[members.len()], members[0].shape().as_slice()].concat();
    let dtype = members[0].dtype();
    let elements: Vec<f64> = members.iter().flat_map(|data| data.iter::<f64>()).collect();
    TensorData::new(elements, dims).convert_dtype(dtype)
}

/// Checks `graph` with these inputs in the block against its members, and returns what it became.
fn check(name: &str, graph: &Graph, fills: &[Fill], batched: &[usize]) -> Batched {
    check_on(&Device::flex(), name, graph, fills, batched)
}

fn check_on(
    device: &Device,
    name: &str,
    graph: &Graph,
    fills: &[Fill],
    batched: &[usize],
) -> Batched {
    let mut numbers = Numbers(graph.nodes.len() as u64 + 17);
    let members: Vec<Vec<TensorData>> = (graph.inputs.iter().zip(fills).enumerate())
        .map(|(position, (&id, fill))| {
            let count = if batched.contains(&position) {
                COUNT
            } else {
                1
            };
            (0..count)
                .map(|_| fill.data(graph.dims(id), &mut numbers))
                .collect()
        })
        .collect();
    let blocks: Vec<TensorData> = (members.iter().enumerate())
        .map(|(position, members)| match batched.contains(&position) {
            true => stack(members),
            false => members[0].clone(),
        })
        .collect();
    let result = batch_over(graph, batched, COUNT);
    let block = evaluate(&result.graph, &blocks, device);
    for member in 0..COUNT {
        let inputs: Vec<TensorData> = members
            .iter()
            .map(|of| of[member % of.len()].clone())
            .collect();
        for (position, expected) in evaluate(graph, &inputs, device).iter().enumerate() {
            let found = &block[position];
            let (from, dims) = match result.batched_outputs[position] {
                true => (
                    member * expected.elements.len(),
                    [&[COUNT], &expected.dims[..]].concat(),
                ),
                false => (0, expected.dims.clone()),
            };
            assert_eq!(
                found.dims, dims,
                "{name} {batched:?}: output {position} of\n{}",
                result.graph
            );
            let exact = result.graph.values[result.graph.outputs[position]].kind != Kind::Float;
            for (x, y) in found.elements[from..].iter().zip(&expected.elements) {
                let close = if exact {
                    x == y
                } else {
                    (x - y).abs() <= 1e-12 * (1.0 + y.abs())
                };
                assert!(
                    close,
                    "{name} {batched:?}: {x} is not {y} in output {position} of\n{}",
                    result.graph
                );
            }
        }
    }
    result
}

/// All choices of at least one of `count` positions.
fn choices(count: usize) -> impl Iterator<Item = Vec<usize>> {
    (1..1usize << count).map(move |bits| (0..count).filter(|i| bits >> i & 1 == 1).collect())
}

// ---- tests ----

#[test]
#[allow(deprecated)] // upstream ends burn-ndarray after this release; the pin keeps it
fn every_operation_in_a_block_is_the_operation_of_each_member() {
    for device in [Device::flex(), Device::ndarray()] {
        for case in cases() {
            let (name, graph) = (case.op.name(), case.graph());
            for batched in choices(case.inputs.len()) {
                check_on(&device, &name, &graph, &case.fills(), &batched);
            }
        }
    }
}

#[test]
fn a_result_is_in_the_block_only_if_it_depends_on_it() {
    for case in cases() {
        let graph = case.graph();
        for batched in choices(case.inputs.len()) {
            let result = batch_over(&graph, &batched, COUNT);
            let depends = batched
                .iter()
                .any(|&position| Some(position) != shape_only(&case.op));
            assert!(
                result
                    .batched_outputs
                    .iter()
                    .all(|&output| output == depends)
            );
        }
    }
}

#[test]
fn every_operation_has_a_case() {
    let used: String = cases()
        .iter()
        .map(|case| format!("{:?}\n", case.op))
        .collect();
    let words: BTreeSet<&str> = used.split(|c: char| !c.is_alphanumeric()).collect();
    let source = include_str!("../op.rs");
    for name in [
        "Op",
        "Unary",
        "Binary",
        "Compare",
        "Logic",
        "Reduce",
        "Cumulative",
        "Pool",
    ] {
        let (_, body) = source
            .split_once(&format!("pub enum {name} {{\n"))
            .expect("an enumeration");
        let (body, _) = body.split_once("\n}\n").expect("its end");
        let variants = (body.lines().filter_map(|line| line.strip_prefix("    ")))
            .filter(|line| line.starts_with(char::is_uppercase))
            .map(|line| {
                line.split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap_or(line)
            });
        for variant in variants {
            // without operands there is nothing to put into a block
            let created = matches!(variant, "Full" | "Random");
            assert!(
                created || words.contains(variant),
                "{name}::{variant} has no case"
            );
        }
    }
}

/// The table of the module's documentation: for each operation the nodes that do the work, without views and copies.
fn table() -> String {
    let is_layout = |name: &str| ["reshape", "expand", "swap_dims", "slice"].contains(&name);
    let mut work: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for case in cases() {
        let name = case.op.name();
        for batched in choices(case.inputs.len()) {
            let mark = |position| {
                if batched.contains(&position) {
                    '●'
                } else {
                    '○'
                }
            };
            let marks: String = (0..case.inputs.len()).map(mark).collect();
            let nodes = batch_over(&case.graph(), &batched, COUNT).graph.nodes;
            let names = (nodes.iter().map(|node| node.op.name()))
                .filter(|node| *node == name || !is_layout(node))
                .map(|node| {
                    if node == name {
                        "itself".to_string()
                    } else {
                        format!("`{node}`")
                    }
                });
            let names: Vec<String> = names.collect();
            let of_name = work.entry(name.clone()).or_default();
            of_name.entry(names.join(", ")).or_default().insert(marks);
        }
    }
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, becomes) in work {
        let any = becomes.len() == 1;
        for (nodes, marks) in becomes {
            let marks: Vec<String> = marks.into_iter().collect();
            let marks = if any {
                "any".to_string()
            } else {
                marks.join(", ")
            };
            rows.entry(format!("{marks} | {nodes}"))
                .or_default()
                .push(format!("`{name}`"));
        }
    }
    let mut text = String::from("| operations | in the block | become |\n|---|---|---|\n");
    for (row, names) in rows {
        text += &format!("| {} | {row} |\n", names.join(", "));
    }
    text
}

#[test]
fn the_documented_rules_are_those_applied() {
    let table = table();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/batching/rules.md");
    if std::env::var_os("RAVINE_WRITE_RULES").is_some() {
        std::fs::write(path, &table).expect("the table is written");
    }
    let documented = std::fs::read_to_string(path).expect("the table is there");
    assert!(
        documented == table,
        "run this test with RAVINE_WRITE_RULES=1, and look at the difference"
    );
}

/// mean((tanh(x W + b) U)²) of an x [5, 4], with W, b and U as the first inputs.
fn perceptron() -> Graph {
    let mut graph = Graph::default();
    let w = graph.input(Kind::Float, [4, 3]);
    let b = graph.input(Kind::Float, [3]);
    let u = graph.input(Kind::Float, [3, 2]);
    let x = graph.input(Kind::Float, [5, 4]);
    let product = graph.push(Op::Matmul, [x, w], Kind::Float, [5, 3]);
    let row = graph.push(Op::Reshape, [b], Kind::Float, [1, 3]);
    let sum = graph.push(Op::Binary(Binary::Add), [product, row], Kind::Float, [5, 3]);
    let hidden = graph.push(Op::Unary(Unary::Tanh), [sum], Kind::Float, [5, 3]);
    let output = graph.push(Op::Matmul, [hidden, u], Kind::Float, [5, 2]);
    let square = graph.push(
        Op::Binary(Binary::Mul),
        [output, output],
        Kind::Float,
        [5, 2],
    );
    let mean = graph.push(Op::Reduce(Reduce::Mean), [square], Kind::Float, [1]);
    graph.outputs = vec![mean, hidden];
    graph
}

#[test]
fn a_perceptron_in_a_block() {
    let graph = perceptron();
    for batched in choices(4) {
        check("perceptron", &graph, &[Fill::Float; 4], &batched);
    }
}

#[test]
fn hessian_vector_products_in_a_block_use_the_same_number_of_matrix_products() {
    let graph = perceptron();
    let gradient = differentiate(&graph, &[0, 1, 2], Derivative::OfLoss).expect("a gradient");
    let gradient = crate::simplify(gradient);
    let product =
        differentiate(&gradient, &[0, 1, 2], Derivative::OfProducts(2..5)).expect("a product");
    let product = crate::simplify(product);
    let directions: Vec<usize> = (4..7).collect();
    let block = check("product", &product, &[Fill::Float; 7], &directions);
    assert_eq!(
        block.batched_outputs,
        [false, false, false, false, false, true, true, true]
    );
    let products = |graph: &Graph| graph.operation_counts()["matmul"];
    assert_eq!(products(&block.graph), products(&product));
}

#[test]
fn a_block_of_blocks() {
    let graph = perceptron();
    // the weights W differ in the outer block, x differs in the inner one
    let inner = batch_over(&graph, &[3], 2);
    check("block of blocks", &inner.graph, &[Fill::Float; 4], &[0]);
    // both differ in both
    check("block of blocks", &inner.graph, &[Fill::Float; 4], &[0, 3]);
}

#[test]
fn what_does_not_depend_on_the_block_is_computed_once() {
    let graph = perceptron();
    // only U is in the block: the hidden layer stays as it is
    let block = batch_over(&graph, &[2], 8);
    assert_eq!(block.batched_outputs, [true, false]);
    let hidden = block.graph.outputs[1];
    assert_eq!(block.graph.dims(hidden), [5, 3]);
}

/// Every operation as a graph with inputs, for the tests of other executions.
pub(crate) fn examples() -> Vec<(String, Graph, Vec<TensorData>)> {
    let mut numbers = Numbers(5);
    cases()
        .iter()
        .map(|case| {
            let inputs = (case.inputs.iter())
                .map(|(fill, dims)| fill.data(dims, &mut numbers))
                .collect();
            (case.op.name(), case.graph(), inputs)
        })
        .collect()
}
