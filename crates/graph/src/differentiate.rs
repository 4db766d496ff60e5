//! The derivative of a graph, recorded: the graph is replayed on autodiff capture tensors and the backward with it.

use crate::capture::{
    AutodiffCapture, TrackedTensor, capture_id, marked_as_detached, record_scope, tracked_leaf,
};
use crate::error::GraphError;
use crate::evaluate::{Results, Target, apply};
use crate::from_ir::import;
use crate::graph::{Graph, ValueId};
use crate::op::{Kind, Op};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{AutodiffBackend, Dispatch, DispatchTensor};
use burn::prelude::{Device, Tensor};
use burn::tensor::{FloatDType, IntDType, TensorData};
use burn_ir::{ScalarIr, TensorId};
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

/// What is differentiated.
pub(crate) enum Derivative {
    /// The first output, a scalar.
    OfLoss,
    /// Σ ⟨outputᵢ, vᵢ⟩ over these outputs, with a new input vᵢ for each.
    OfProducts(Range<usize>),
}

/// Records the derivative of `graph` by its inputs at positions `by`. The results are appended to the outputs, in order.
///
/// The graph is as burn-autodiff records it: with ones and zeros, and with what no output needs.
pub(crate) fn differentiate(
    graph: &Graph,
    by: &[usize],
    derivative: Derivative,
) -> Result<Graph, GraphError> {
    let current = Cell::new(usize::MAX);
    let boundary = std::cell::RefCell::new(None);
    // constants and recorded dtypes are cast when the graph is evaluated, so that one recording serves f32 and f64; in f64, since
    // constants recorded in f32 would stay rounded
    let captured = record_scope(FloatDType::F64, IntDType::I64, |device, scope| {
        let replay = Replay::new(graph, by, device);
        let mut replay = replay.run(graph, &current);
        current.set(usize::MAX);
        let gradients = replay.backward(graph, &derivative);
        let inputs: Vec<TensorId> = replay.inputs.iter().map(capture_id).collect();
        let mut outputs: Vec<Option<TensorId>> = graph
            .outputs
            .iter()
            .map(|&id| Some(capture_id(replay.slot(id))))
            .collect();
        outputs.extend(
            gradients
                .iter()
                .map(|gradient| gradient.as_ref().map(|tensor| tensor.id())),
        );
        let unique = unique(outputs.iter().flatten().copied());
        let token = scope.complete(inputs, unique.clone());
        *boundary.borrow_mut() = Some((outputs, unique, replay, gradients));
        token
    })
    .map_err(|error| at_operation(error, graph, current.get()))?;
    let (outputs, unique, _, _) = boundary
        .into_inner()
        .expect("a finished recording has its boundary");
    let mut derived = import(&captured)?;
    let places: HashMap<TensorId, ValueId> = unique
        .into_iter()
        .zip(derived.outputs.iter().copied())
        .collect();
    let known = graph.outputs.len();
    derived.outputs = outputs
        .iter()
        .enumerate()
        .map(|(position, id)| match id {
            Some(id) => places[id],
            // nothing depends on this input: its derivative is zero
            None => {
                let shape = graph.values[graph.inputs[by[position - known]]]
                    .shape
                    .clone();
                derived.push(Op::Full(ScalarIr::Float(0.0)), [], Kind::Float, shape)
            }
        })
        .collect();
    Ok(derived)
}

/// A panic of the recording as an error that names the operation.
fn at_operation(error: GraphError, graph: &Graph, current: usize) -> GraphError {
    let GraphError::ClosurePanicked { message } = error else {
        return error;
    };
    let (operation, place) = match graph.nodes.get(current) {
        Some(node) => (
            node.op.name(),
            format!("on a tensor of shape {:?}", graph.dims(node.outputs[0])),
        ),
        None => (
            message
                .trim_start_matches("Can't differentiate ")
                .trim_end_matches('.')
                .replace(' ', "_"),
            "in the backward pass".to_string(),
        ),
    };
    GraphError::NotTwiceDifferentiable {
        operation,
        place,
        reason: message,
    }
}

fn unique(ids: impl Iterator<Item = TensorId>) -> Vec<TensorId> {
    let mut seen = std::collections::HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}

/// A graph being replayed; everything is kept until the recording is complete.
struct Replay {
    target: Target,
    slots: Vec<Option<DispatchTensor>>,
    inputs: Vec<DispatchTensor>,
    leaves: Vec<TrackedTensor>,
    tracked: Option<DispatchTensor>,
}

impl Replay {
    fn new(graph: &Graph, by: &[usize], device: &Device) -> Self {
        let target = Target::recording(device, FloatDType::F64);
        let mut replay = Self {
            target,
            slots: vec![None; graph.values.len()],
            inputs: Vec::new(),
            leaves: Vec::new(),
            tracked: None,
        };
        for &id in &graph.inputs {
            let tensor = replay.placeholder(graph, id);
            replay.inputs.push(tensor.clone());
            replay.slots[id] = Some(tensor);
        }
        for &position in by {
            let (tensor, leaf) = tracked_leaf(replay.inputs[position].clone());
            replay.leaves.push(leaf);
            replay.slots[graph.inputs[position]] = Some(tensor);
        }
        for (&id, data) in &graph.constants {
            replay.slots[id] = Some(replay.target.constant(data));
        }
        replay
    }

    /// An input needs data to be known to the capture device; its values are never read.
    fn placeholder(&self, graph: &Graph, id: ValueId) -> DispatchTensor {
        let value = &graph.values[id];
        let shape = value.shape.clone();
        let data = match value.kind {
            Kind::Float => TensorData::zeros::<f32, _>(shape),
            Kind::Int => TensorData::zeros::<i64, _>(shape),
            Kind::Bool => TensorData::zeros::<bool, _>(shape),
        };
        self.target.constant(&data)
    }

    fn slot(&self, id: ValueId) -> &DispatchTensor {
        self.slots[id]
            .as_ref()
            .expect("a value is computed before it is used")
    }

    fn run(mut self, graph: &Graph, current: &Cell<usize>) -> Self {
        for (index, node) in graph.nodes.iter().enumerate() {
            current.set(index);
            let inputs = node
                .inputs
                .iter()
                .map(|&id| self.slot(id).clone())
                .collect();
            let outputs: Vec<_> = node.outputs.iter().map(|&id| &graph.values[id]).collect();
            if node.op == Op::Detach {
                self.slots[node.outputs[0]] = Some(marked_as_detached(self.slot(node.inputs[0])));
                continue;
            }
            match apply(&node.op, inputs, &outputs, &self.target) {
                Results::One(tensor) => self.slots[node.outputs[0]] = Some(tensor),
                Results::Two(first, second) => {
                    self.slots[node.outputs[0]] = Some(first);
                    self.slots[node.outputs[1]] = Some(second);
                }
            }
        }
        self
    }

    fn backward(
        &mut self,
        graph: &Graph,
        derivative: &Derivative,
    ) -> Vec<Option<burn::backend::tensor::FloatTensor<burn_capture::CaptureBackend>>> {
        let scalar = match derivative {
            Derivative::OfLoss => Some(self.slot(graph.outputs[0]).clone()),
            Derivative::OfProducts(outputs) => {
                let mut sum: Option<DispatchTensor> = None;
                for &id in &graph.outputs[outputs.clone()] {
                    let direction = self.placeholder(graph, id);
                    self.inputs.push(direction.clone());
                    let output = self.slot(id).clone();
                    let product = Dispatch::float_sum(Dispatch::float_mul(output, direction));
                    sum = Some(match sum {
                        None => product,
                        Some(sum) => Dispatch::float_add(sum, product),
                    });
                }
                sum
            }
        };
        let nothing = || self.leaves.iter().map(|_| None).collect();
        let Some(scalar) = scalar else {
            return nothing();
        };
        self.tracked = Some(scalar.clone());
        let Ok(tracked) =
            Tensor::<1>::from_dispatch(scalar).try_into_primitive::<AutodiffCapture>()
        else {
            return nothing();
        };
        if !tracked.is_tracked() {
            return nothing();
        }
        let gradients = AutodiffCapture::backward(tracked);
        self.leaves
            .iter()
            .map(|leaf| AutodiffCapture::grad(leaf, &gradients))
            .collect()
    }
}
