//! Burn's intermediate representation, read into a [`Graph`].
//!
//! Composite operations are lowered to simple ones on the way, so that each can be differentiated twice and is exact in
//! its dtype:
//!
//! | recorded by Burn | becomes |
//! |---|---|
//! | `linear` and its backwards | matrix products, sums |
//! | `conv1d` in groups | the same, without elements that no window reads |
//! | `embedding` | `select` |
//! | `layer_norm`, `batch_norm` (evaluation) | means, differences, square roots |
//! | `avg_pool`, `adaptive_avg_pool` | reshape and mean, or products with constant averaging matrices |
//! | `max_pool` | its indices (a constant) and `gather` |
//! | `interpolate` and its backward | products with constant matrices, one for each axis |
//! | `attention` | matrix products, softmax, masks |
//! | `gather_nd`, `scatter_nd` (sums) | `select` and `select_assign` of rows |
//! | `top_k` | `sort` and `slice` |
//! | `cross` | slices, products, differences |
//! | `gelu` and its backward (a tanh approximation in Burn) | the exact forms with `erf` |
//! | `softmax`, `log_softmax` | shifted by the detached maximum |
//! | division by a number | the product with its reciprocal |
//! | `hard_sigmoid`, `clamp`, `prelu`, `leaky_relu` | masks |
//! | `relu_backward`, `sigmoid_backward`, `log_sigmoid_backward` | masks and products |
//!
//! Not supported, with an error that names the operation: deformable convolution, quantisation, assignment by `scatter_nd`, custom and
//! distributed operations; grid sampling and CTC loss of tensors that nothing trained feeds.

mod activation;
mod base;
mod convolution;
mod indexing;
mod interpolation;
mod module;
mod numeric;
mod pooling;

use crate::error::GraphError;
use crate::graph::{Graph, ValueId};
use crate::op::{Binary, Compare, Kind, Op, Reduce, Unary, snake_case};
use burn::tensor::{DType, Shape, TensorData};
use burn_capture::CapturedGraph;
use burn_ir::{OperationIr, ScalarIr, TensorId, TensorIr};
use std::collections::HashMap;

/// Reads a captured graph; inputs and outputs keep their order.
pub(crate) fn import(captured: &CapturedGraph) -> Result<Graph, GraphError> {
    let mut importer = Importer::default();
    let shapes = shapes_of(captured);
    for id in &captured.graph.inputs {
        let (kind, shape) = match (shapes.get(id), captured.values.get(id)) {
            (Some(tensor), _) => (kind_of(tensor.dtype), tensor.shape.clone()),
            (None, Some(data)) => (kind_of(data.dtype()), data.shape().clone()),
            (None, None) => return Err(unknown(*id)),
        };
        let value = importer.graph.input(kind, shape);
        importer.ids.insert(*id, value);
    }
    for (id, data) in &captured.values {
        if !importer.ids.contains_key(id) {
            let value = importer.constant(data.clone());
            importer.ids.insert(*id, value);
        }
    }
    for operation in &captured.graph.operations {
        importer.operation(operation)?;
    }
    importer.graph.outputs = captured
        .graph
        .outputs
        .iter()
        .map(|id| importer.ids.get(id).copied().ok_or_else(|| unknown(*id)))
        .collect::<Result<_, _>>()?;
    Ok(importer.graph)
}

fn shapes_of(captured: &CapturedGraph) -> HashMap<TensorId, TensorIr> {
    let mut shapes = HashMap::new();
    for operation in &captured.graph.operations {
        for tensor in operation.nodes() {
            shapes.entry(tensor.id).or_insert_with(|| tensor.clone());
        }
    }
    shapes
}

fn unknown(id: TensorId) -> GraphError {
    GraphError::Capture {
        message: format!("tensor {id} is used, but neither computed nor an input"),
    }
}

fn kind_of(dtype: DType) -> Kind {
    if dtype.is_float() {
        Kind::Float
    } else if dtype.is_bool() {
        Kind::Bool
    } else {
        Kind::Int
    }
}

#[derive(Default)]
struct Importer {
    graph: Graph,
    ids: HashMap<TensorId, ValueId>,
}

impl Importer {
    fn operation(&mut self, operation: &OperationIr) -> Result<(), GraphError> {
        match operation {
            OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
            OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) | OperationIr::BaseBool(op) => {
                self.base(op)
            }
            OperationIr::NumericFloat(_, op) | OperationIr::NumericInt(_, op) => self.numeric(op),
            OperationIr::Bool(op) => self.boolean(op),
            OperationIr::Int(op) => self.int(op),
            OperationIr::Float(_, op) => self.float(op),
            OperationIr::Module(op) => self.module(op),
            OperationIr::Activation(op) => self.activation(op),
            OperationIr::Custom(op) => {
                Err(self.unsupported(&op.id, &op.inputs, "it is a custom operation"))
            }
            OperationIr::Distributed(_) => {
                Err(self.unsupported("distributed", &[], "it is a distributed operation"))
            }
        }
    }

    // ---- reading and writing tensors of the representation ----

    fn get(&self, tensor: &TensorIr) -> Result<ValueId, GraphError> {
        self.ids
            .get(&tensor.id)
            .copied()
            .ok_or_else(|| unknown(tensor.id))
    }

    fn set(&mut self, tensor: &TensorIr, value: ValueId) {
        self.ids.insert(tensor.id, value);
    }

    /// A node that maps one to one.
    fn node(
        &mut self,
        op: Op,
        inputs: &[&TensorIr],
        outputs: &[&TensorIr],
    ) -> Result<(), GraphError> {
        let inputs = inputs
            .iter()
            .map(|tensor| self.get(tensor))
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = outputs
            .iter()
            .map(|tensor| {
                let value = self
                    .graph
                    .value(kind_of(tensor.dtype), tensor.shape.clone());
                self.ids.insert(tensor.id, value);
                value
            })
            .collect();
        self.graph.nodes.push(crate::graph::Node {
            op,
            inputs,
            outputs,
        });
        Ok(())
    }

    fn unsupported(&self, operation: &str, inputs: &[TensorIr], reason: &str) -> GraphError {
        let place = inputs
            .iter()
            .map(|tensor| format!("{:?}", tensor.shape.to_vec()))
            .collect::<Vec<_>>()
            .join(", ");
        GraphError::NotTwiceDifferentiable {
            operation: snake_case(operation),
            place: format!("on tensors of shapes {place}"),
            reason: reason.to_string(),
        }
    }

    // ---- building blocks of lowered operations ----

    fn constant(&mut self, data: TensorData) -> ValueId {
        let value = self
            .graph
            .value(kind_of(data.dtype()), data.shape().clone());
        self.graph.constants.insert(value, data);
        value
    }

    fn shape(&self, x: ValueId) -> Vec<usize> {
        self.graph.dims(x).to_vec()
    }

    fn unary(&mut self, function: Unary, x: ValueId) -> ValueId {
        let shape = self.shape(x);
        self.graph
            .push(Op::Unary(function), [x], Kind::Float, shape)
    }

    fn scalar(&mut self, function: Binary, x: ValueId, scalar: f64) -> ValueId {
        let shape = self.shape(x);
        let op = Op::BinaryScalar(function, ScalarIr::Float(scalar));
        self.graph.push(op, [x], Kind::Float, shape)
    }

    /// Elementwise with broadcasting.
    fn binary(&mut self, function: Binary, x: ValueId, y: ValueId) -> ValueId {
        let shape: Vec<usize> = self
            .shape(x)
            .iter()
            .zip(self.shape(y))
            .map(|(&a, b)| a.max(b))
            .collect();
        self.graph
            .push(Op::Binary(function), [x, y], Kind::Float, shape)
    }

    fn add(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.binary(Binary::Add, x, y)
    }

    fn sub(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.binary(Binary::Sub, x, y)
    }

    fn mul(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.binary(Binary::Mul, x, y)
    }

    fn compare_scalar(&mut self, compare: Compare, x: ValueId, scalar: f64) -> ValueId {
        let shape = self.shape(x);
        let op = Op::CompareScalar(compare, ScalarIr::Float(scalar));
        self.graph.push(op, [x], Kind::Bool, shape)
    }

    fn mask_fill(&mut self, x: ValueId, mask: ValueId, scalar: f64) -> ValueId {
        let shape = self.shape(x);
        let kind = self.graph.values[x].kind;
        let op = Op::MaskFill(ScalarIr::Float(scalar));
        self.graph.push(op, [x, mask], kind, shape)
    }

    fn mask_where(&mut self, x: ValueId, mask: ValueId, value: ValueId) -> ValueId {
        let shape = self.shape(x);
        self.graph
            .push(Op::MaskWhere, [x, mask, value], Kind::Float, shape)
    }

    fn reshape(&mut self, x: ValueId, shape: impl Into<Shape>) -> ValueId {
        let shape = shape.into();
        if self.graph.values[x].shape == shape {
            return x;
        }
        let kind = self.graph.values[x].kind;
        self.graph.push(Op::Reshape, [x], kind, shape)
    }

    fn swap_dims(&mut self, x: ValueId, a: usize, b: usize) -> ValueId {
        let mut shape = self.shape(x);
        shape.swap(a, b);
        self.graph.push(Op::SwapDims(a, b), [x], Kind::Float, shape)
    }

    /// Keeps the dimension with length one.
    fn reduce_dim(&mut self, reduce: Reduce, x: ValueId, dim: usize) -> ValueId {
        let mut shape = self.shape(x);
        shape[dim] = 1;
        self.graph
            .push(Op::ReduceDim(reduce, dim), [x], Kind::Float, shape)
    }

    /// `[m, k]` times `[k, n]`.
    fn matmul(&mut self, x: ValueId, y: ValueId) -> ValueId {
        let shape = [self.shape(x)[0], self.shape(y)[1]];
        self.graph.push(Op::Matmul, [x, y], Kind::Float, shape)
    }

    fn detach(&mut self, x: ValueId) -> ValueId {
        let shape = self.shape(x);
        self.graph.push(Op::Detach, [x], Kind::Float, shape)
    }

    fn full(&mut self, shape: impl Into<Shape>, value: f64) -> ValueId {
        self.graph
            .push(Op::Full(ScalarIr::Float(value)), [], Kind::Float, shape)
    }
}
