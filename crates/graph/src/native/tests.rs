//! Every operation gives the same natively as on the device, whatever the layout of its operands.

use crate::batching::tests::examples;
use crate::evaluate::Target;
use crate::execute::{Array, Executable, Execution};
use crate::graph::Graph;
use crate::op::{Kind, Op, Unary};
use burn::prelude::Device;
use burn::tensor::{FloatDType, TensorData};

/// The outputs as numbers.
fn run(
    graph: &Graph,
    inputs: &[TensorData],
    float: FloatDType,
    execution: Execution,
) -> Vec<Vec<f64>> {
    let target = Target::values(&Device::flex(), float);
    let inputs: Vec<Array> = inputs
        .iter()
        .map(|data| Array::bring(target.constant(data), float, execution).unwrap())
        .collect();
    let executable = Executable::new(graph.clone(), target.clone(), execution).unwrap();
    let first = executable.run_on(&inputs, 1).unwrap();
    // buffers of the first run must leave no trace in a second
    let second = executable.run_on(&inputs, 2).unwrap();
    let outputs: Vec<Vec<f64>> = first
        .into_iter()
        .map(|array| read(array, &target))
        .collect();
    for (position, (again, known)) in second.into_iter().zip(&outputs).enumerate() {
        assert_eq!(
            format!("{:?}", read(again, &target)),
            format!("{known:?}"),
            "output {position}"
        );
    }
    outputs
}

fn read(array: Array, target: &Target) -> Vec<f64> {
    let kind = array.kind();
    super::run::read(array.into_tensor(target), kind)
}

fn assert_close(name: &str, found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{name}");
        for (x, y) in found.iter().zip(expected) {
            let close = (x - y).abs() <= tolerance * (1.0 + y.abs()) || (x.is_nan() && y.is_nan());
            assert!(close, "{name}: {x} instead of {y}");
        }
    }
}

/// The inputs behind a transposition, so that the operation sees strided operands.
fn strided(graph: &Graph, inputs: &[TensorData]) -> (Graph, Vec<TensorData>) {
    let mut moved = Graph {
        inputs: Vec::new(),
        nodes: Vec::new(),
        ..graph.clone()
    };
    let mut data = Vec::new();
    for (&id, input) in graph.inputs.iter().zip(inputs) {
        let dims = graph.dims(id).to_vec();
        let last = dims.len() - 1;
        let mut swapped = dims.clone();
        swapped.swap(0, last);
        let outside = moved.input(graph.values[id].kind, swapped.clone());
        moved.nodes.push(crate::graph::Node {
            op: Op::SwapDims(0, last),
            inputs: vec![outside],
            outputs: vec![id],
        });
        data.push(transposed(input, &dims, last));
    }
    moved.nodes.extend(graph.nodes.iter().cloned());
    (moved, data)
}

fn transposed(data: &TensorData, dims: &[usize], last: usize) -> TensorData {
    let strides = super::view::strides_of(dims);
    let view = super::view::View {
        offset: 0,
        dims: dims.to_vec(),
        strides,
    }
    .swap(0, last);
    let values: Vec<f64> = super::compile::numbers(data);
    let elements: usize = dims.iter().product();
    let picked: Vec<f64> = (0..elements)
        .map(|mut index| {
            let mut place = 0;
            for (dim, &length) in view.dims.iter().enumerate().rev() {
                place += (index % length) as isize * view.strides[dim];
                index /= length;
            }
            values[place as usize]
        })
        .collect();
    let moved = TensorData::new(picked, view.dims);
    match data.dtype().is_bool() {
        true => TensorData::new(
            moved.iter::<f64>().map(|x| x != 0.0).collect::<Vec<bool>>(),
            moved.shape().clone(),
        ),
        false => moved.convert_dtype(data.dtype()),
    }
}

#[test]
fn every_operation_gives_what_the_device_gives() {
    for (name, graph, inputs) in examples() {
        let expected = run(&graph, &inputs, FloatDType::F64, Execution::Device);
        let found = run(&graph, &inputs, FloatDType::F64, Execution::Native);
        assert_close(&name, &found, &expected, 1e-12);
        let single = run(&graph, &inputs, FloatDType::F32, Execution::Native);
        assert_close(&format!("{name} in f32"), &single, &expected, 2e-5);
    }
}

#[test]
fn every_operation_takes_strided_operands() {
    for (name, graph, inputs) in examples() {
        let expected = run(&graph, &inputs, FloatDType::F64, Execution::Device);
        let (graph, inputs) = strided(&graph, &inputs);
        let found = run(&graph, &inputs, FloatDType::F64, Execution::Native);
        assert_close(&name, &found, &expected, 1e-12);
    }
}

#[test]
fn every_operation_joins_a_chain() {
    // the operation between elementwise ones, so that groups open and close around it
    for (name, mut graph, inputs) in examples() {
        let chained: Vec<usize> = graph
            .outputs
            .clone()
            .into_iter()
            .filter(|&id| graph.values[id].kind == Kind::Float)
            .collect();
        for id in chained {
            let dims = graph.dims(id).to_vec();
            let tanh = graph.push(Op::Unary(Unary::Tanh), [id], Kind::Float, dims.clone());
            let square = graph.push(
                Op::Binary(crate::op::Binary::Mul),
                [tanh, id],
                Kind::Float,
                dims,
            );
            graph.outputs.extend([tanh, square]);
        }
        let expected = run(&graph, &inputs, FloatDType::F64, Execution::Device);
        let found = run(&graph, &inputs, FloatDType::F64, Execution::Native);
        assert_close(&name, &found, &expected, 1e-12);
    }
}

#[test]
fn means_of_integers_and_truths_of_single_numbers_are_the_devices() {
    let reduced = |op: Op, kind: Kind, dims: [usize; 2], out: [usize; 2], data: TensorData| {
        let mut graph = Graph::default();
        let x = graph.input(kind, dims);
        let result = match op {
            Op::ReduceDim(crate::op::Reduce::Any, _) => Kind::Bool,
            _ => kind,
        };
        let reduced = graph.push(op.clone(), [x], result, out);
        let float = graph.push(Op::Cast, [reduced], Kind::Float, out);
        graph.outputs = vec![float];
        let expected = run(
            &graph,
            std::slice::from_ref(&data),
            FloatDType::F64,
            Execution::Device,
        );
        let found = run(&graph, &[data], FloatDType::F64, Execution::Native);
        assert_eq!(found, expected, "{}", op.name());
    };
    let whole = TensorData::new(vec![1i64, 2], [1, 2]);
    let mean = Op::ReduceDim(crate::op::Reduce::Mean, 1);
    reduced(mean, Kind::Int, [1, 2], [1, 1], whole);
    let numbers = TensorData::new(vec![5.0f64, 0.0, 2.0], [3, 1]);
    let any = Op::ReduceDim(crate::op::Reduce::Any, 1);
    reduced(any, Kind::Float, [3, 1], [3, 1], numbers);
}

#[test]
fn two_results_of_one_operation_in_one_concatenation() {
    let mut graph = Graph::default();
    let x = graph.input(Kind::Float, [4]);
    let values = graph.value(Kind::Float, [4]);
    let places = graph.value(Kind::Int, [4]);
    graph.nodes.push(crate::graph::Node {
        op: Op::SortWithIndices {
            dim: 0,
            descending: false,
        },
        inputs: vec![x],
        outputs: vec![values, places],
    });
    let floats = graph.push(Op::Cast, [places], Kind::Float, [4]);
    let both = graph.push(Op::Cat { dim: 0 }, [values, floats], Kind::Float, [8]);
    graph.outputs = vec![both];
    let data = TensorData::new(vec![3.0f64, 1.0, 2.0, 0.0], [4]);
    let found = run(&graph, &[data], FloatDType::F64, Execution::Native);
    assert_eq!(found, [[0.0, 1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 0.0]]);
}

#[test]
fn an_empty_sum_is_zero() {
    let mut graph = Graph::default();
    let x = graph.input(Kind::Float, [3, 0]);
    let sum = graph.push(
        Op::ReduceDim(crate::op::Reduce::Sum, 1),
        [x],
        Kind::Float,
        [3, 1],
    );
    let double = graph.push(Op::Unary(Unary::Exp), [x], Kind::Float, [3, 0]);
    graph.outputs = vec![sum, double];
    let data = TensorData::new(Vec::<f64>::new(), [3, 0]);
    let found = run(&graph, &[data], FloatDType::F64, Execution::Native);
    assert_eq!(found, [vec![0.0; 3], vec![]]);
}
