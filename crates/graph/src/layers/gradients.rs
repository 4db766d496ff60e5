//! The gradients by the products of all layers, in one backward.

use super::{Layer, Place, Side, find};
use crate::differentiate::{Derivative, differentiate};
use crate::error::GraphError;
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Kind, Op};
use crate::simplify::simplify;
use burn_ir::ScalarIr;

/// Activations a of all layers, and the gradients ∂⟨outputs, u⟩/∂s by their products s.
#[derive(Debug)]
pub struct LayerGradients {
    /// The layers.
    pub layers: Vec<Layer>,
    /// Inputs: those of the recording, then u of the shape of the outputs. Outputs: the activation of each use of each layer,
    /// in order, `[rows, inputs]` (for a convolution as it is, `[rows, channels, length, ..]`); then the gradients of all uses as
    /// one vector, `[rows, positions, groups, outputs]` each. None without layers.
    pub graph: Option<Graph>,
}

impl LayerGradients {
    /// Records from the forward pass with outputs `[loss, outputs]`, whose first inputs are the parameters.
    ///
    /// Each product s gets a new input δ, s + δ, by which ⟨outputs, u⟩ is differentiated at δ = 0.
    pub(crate) fn record(forward: &Graph, parameters: usize) -> Result<Self, GraphError> {
        let model = Graph {
            outputs: vec![forward.outputs[1]],
            ..forward.clone()
        };
        let mut graph = model.without_dead_code();
        let found = find(&graph, parameters);
        let places: Vec<Place> = (found.iter())
            .flat_map(|found| found.places.iter().copied())
            .collect();
        let layers: Vec<Layer> = found.into_iter().map(|found| found.layer).collect();
        if places.is_empty() {
            return Ok(Self {
                layers,
                graph: None,
            });
        }
        let count = graph.inputs.len();
        for place in &places {
            shift(&mut graph, place.product);
            let activation = activation(&mut graph, place);
            graph.outputs.push(activation);
        }
        let by: Vec<usize> = (count..count + places.len()).collect();
        let mut derived = differentiate(&graph, &by, Derivative::OfProducts(0..1))?;
        // without the outputs of the model
        derived.outputs.remove(0);
        let deltas: Vec<ValueId> = derived.inputs.splice(count..count + by.len(), []).collect();
        let zeros = deltas.into_iter().map(|delta| Node {
            op: Op::Full(ScalarIr::Float(0.0)),
            inputs: Vec::new(),
            outputs: vec![delta],
        });
        derived.nodes.splice(0..0, zeros);
        let uses = layers.iter().flat_map(|layer| {
            let features = layer.groups * layer.outputs;
            layer
                .uses
                .iter()
                .map(move |layer_use| (features, layer_use))
        });
        for (position, ((features, layer_use), place)) in uses.zip(&places).enumerate() {
            let output = places.len() + position;
            let rows = [layer_use.rows, layer_use.positions()];
            let gradient = derived.outputs[output];
            derived.outputs[output] = by_position(&mut derived, gradient, rows, features, place);
        }
        let gradients = places.len()..2 * places.len();
        let graph = simplify(derived.without_detach()).with_joined_outputs(gradients);
        Ok(Self {
            layers,
            graph: Some(graph),
        })
    }
}

/// Adds an input to a value, for all its readers.
fn shift(graph: &mut Graph, value: ValueId) {
    let dims = graph.dims(value).to_vec();
    let sum = graph.value(Kind::Float, dims.clone());
    for node in &mut graph.nodes {
        for input in node.inputs.iter_mut().filter(|input| **input == value) {
            *input = sum;
        }
    }
    for output in graph.outputs.iter_mut().filter(|output| **output == value) {
        *output = sum;
    }
    let delta = graph.input(Kind::Float, dims);
    let writer = (graph.nodes.iter())
        .position(|node| node.outputs.contains(&value))
        .expect("a product is computed");
    let node = Node {
        op: Op::Binary(Binary::Add),
        inputs: vec![value, delta],
        outputs: vec![sum],
    };
    graph.nodes.insert(writer + 1, node);
}

/// The activation with the features of a row side by side.
fn activation(graph: &mut Graph, place: &Place) -> ValueId {
    match place.side {
        Side::Left => features_last(graph, place.activation),
        _ => place.activation,
    }
}

fn features_last(graph: &mut Graph, value: ValueId) -> ValueId {
    let mut dims = graph.dims(value).to_vec();
    let rank = dims.len();
    dims.swap(rank - 2, rank - 1);
    graph.push(Op::SwapDims(rank - 2, rank - 1), [value], Kind::Float, dims)
}

/// A gradient by a product as `[rows, positions, features]`.
fn by_position(
    graph: &mut Graph,
    gradient: ValueId,
    [rows, positions]: [usize; 2],
    features: usize,
    place: &Place,
) -> ValueId {
    let mut value = gradient;
    match place.side {
        Side::Right => {}
        Side::Left => value = features_last(graph, value),
        Side::Convolution => {
            let dims = [rows, features, positions];
            value = graph.push(Op::Reshape, [value], Kind::Float, dims);
            value = features_last(graph, value);
        }
    }
    let dims = [rows, positions, features];
    graph.push(Op::Reshape, [value], Kind::Float, dims)
}
