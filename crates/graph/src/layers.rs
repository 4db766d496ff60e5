//! The layers of a recorded model: weights that multiply activations, wherever and however the model's code does it.
//!
//! A layer is a parameter that is read by matrix products or convolutions only, with an activation as the other factor: a value that
//! depends on the batch, at some places perhaps on nothing, such as the first state of a recurrent layer. The parameter may be seen through reshapes, transposes, expansions and casts. A bias is a
//! parameter that is read by additions to the products of one layer only.

mod bias;
mod gradients;
mod view;

pub use gradients::LayerGradients;

use crate::graph::{Graph, Node, ValueId};
use crate::op::Op;
use bias::bias;
use std::collections::BTreeMap;
use view::{View, views};

/// A weight with its bias, and every place where it multiplies activations.
///
/// In each of its groups the layer computes sₒ = Σᵢ aᵢ W(i, o) + b(o), for each position of each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Position of the weight among the parameters.
    pub weight: usize,
    /// Position of the bias among the parameters.
    pub bias: Option<usize>,
    /// Groups with weights of their own: one, but for grouped convolutions.
    pub groups: usize,
    /// Inputs of a group: features, or the elements of a patch.
    pub inputs: usize,
    /// Outputs of a group: features or channels.
    pub outputs: usize,
    /// Element (group, input, output) of the weight is element `group · s₀ + input · s₁ + output · s₂` of the row-major parameter;
    /// element (group, output) of the bias is element `group · outputs + output` of its own.
    pub strides: [usize; 3],
    /// Where it is used, in the order of the computation: several times if the weight is shared.
    pub uses: Vec<LayerUse>,
}

/// One place where a layer is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// Rows of the first dimensions: examples times what else stands before features or channels.
    pub rows: usize,
    /// How the inputs of a position are found in a row of the activations.
    pub window: Window,
}

/// How the inputs of a position are found in a row of the activations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// The row is the input, at one position.
    Row,
    /// A row holds `[channels, length, ..]`, and its patches are the inputs, one a position: `[channels of the group, kernel, ..]`.
    Patches(Vec<Axis>),
}

/// A spatial dimension of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Axis {
    /// Elements of the activation, without padding.
    pub length: usize,
    /// Positions of the window.
    pub positions: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Zeros before the first element.
    pub padding: usize,
    pub dilation: usize,
}

impl LayerUse {
    /// Positions in a row.
    pub fn positions(&self) -> usize {
        match &self.window {
            Window::Row => 1,
            Window::Patches(axes) => axes.iter().map(|axis| axis.positions).product(),
        }
    }
}

/// A layer with the values of the graph that belong to it.
#[derive(Clone, Debug)]
struct Found {
    layer: Layer,
    places: Vec<Place>,
}

/// A product of a weight with an activation.
#[derive(Clone, Copy, Debug)]
struct Place {
    activation: ValueId,
    product: ValueId,
    side: Side,
}

/// On which side of the product the weight stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// x W: features along the last dimension.
    Right,
    /// W x: features along the last dimension but one.
    Left,
    /// Channels along the second dimension.
    Convolution,
}

/// All layers of the graph's outputs, in the order of their first use.
fn find(graph: &Graph, parameters: usize) -> Vec<Found> {
    let views = views(graph, parameters);
    let of_batch = graph.dependent_on(&graph.inputs[parameters..]);
    let of_parameters = graph.dependent_on(&graph.inputs[..parameters]);
    let mut products: BTreeMap<usize, Vec<(usize, Found)>> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let found = match &node.op {
            Op::Matmul => matrix_product(graph, node, &views),
            _ => convolution(graph, node, &views),
        };
        let product_of_parameters = |id: ValueId| of_parameters[id] && !of_batch[id];
        if let Some(found) =
            found.filter(|found| !product_of_parameters(found.places[0].activation))
        {
            let of_weight = products.entry(found.layer.weight).or_default();
            of_weight.push((index, found));
        }
    }
    let mut layers: Vec<(usize, Found)> = Vec::new();
    for (weight, uses) in products {
        // a weight that is read in other ways as well, such as an embedding that is the last layer too, has other derivatives
        let explained: Vec<usize> = uses.iter().map(|(index, _)| *index).collect();
        let activated = (uses.iter()).any(|(_, found)| of_batch[found.places[0].activation]);
        if activated
            && readers(graph, &views, weight) == explained
            && let Some(found) = joined(uses)
        {
            layers.push(found);
        }
    }
    layers.sort_by_key(|(index, _)| *index);
    let layers = layers.into_iter().map(|(_, found)| found);
    layers
        .map(|mut found| {
            found.layer.bias = bias(graph, &found, &views);
            found
        })
        .collect()
}

/// The uses of one weight as one layer; none if they see it in different ways.
fn joined(uses: Vec<(usize, Found)>) -> Option<(usize, Found)> {
    let mut uses = uses.into_iter();
    let (index, mut first) = uses.next()?;
    for (_, other) in uses {
        let shape = |layer: &Layer| (layer.groups, layer.inputs, layer.outputs, layer.strides);
        if shape(&first.layer) != shape(&other.layer) {
            return None;
        }
        first.layer.uses.extend(other.layer.uses);
        first.places.extend(other.places);
    }
    Some((index, first))
}

/// The nodes that read a parameter, layouts looked through; one that hands it out counts as a reader beyond the nodes.
fn readers(graph: &Graph, views: &[Option<View>], parameter: usize) -> Vec<usize> {
    let sees = |id: &ValueId| {
        let view = views[*id].as_ref();
        view.is_some_and(|view| view.parameter == parameter)
    };
    let mut readers: Vec<usize> = (graph.nodes.iter().enumerate())
        .filter(|(_, node)| node.inputs.iter().any(sees) && !sees(&node.outputs[0]))
        .map(|(index, _)| index)
        .collect();
    if graph.outputs.iter().any(sees) {
        readers.push(graph.nodes.len());
    }
    readers
}

fn matrix_product(graph: &Graph, node: &Node, views: &[Option<View>]) -> Option<Found> {
    let [left, right] = node.inputs[..] else {
        return None;
    };
    let (view, activation, side) = match (&views[left], &views[right]) {
        (None, Some(view)) => (view, left, Side::Right),
        (Some(view), None) => (view, right, Side::Left),
        _ => return None,
    };
    let product = node.outputs[0];
    let rank = view.dims.len();
    if rank < 2 || !view.repeats(0..rank - 2) {
        return None;
    }
    let (x, y) = (graph.dims(activation), graph.dims(product));
    // one activation for several copies of the weight would be several positions of one row
    if x.len() != y.len() || x[..x.len() - 2] != y[..y.len() - 2] {
        return None;
    }
    let (input, output) = match side {
        Side::Left => (rank - 1, rank - 2),
        _ => (rank - 2, rank - 1),
    };
    let (inputs, outputs) = (view.dims[input], view.dims[output]);
    let strides = [0, view.stride(input), view.stride(output)];
    let elements = inputs * outputs;
    // every element once
    let row_major = [
        0,
        if inputs == 1 { 0 } else { outputs },
        usize::from(outputs > 1),
    ];
    let column_major = [
        0,
        usize::from(inputs > 1),
        if outputs == 1 { 0 } else { inputs },
    ];
    let whole = graph.values[graph.inputs[view.parameter]]
        .shape
        .num_elements()
        == elements;
    if !whole || elements == 0 || (strides != row_major && strides != column_major) {
        return None;
    }
    let rows = graph.values[activation].shape.num_elements() / inputs;
    Some(Found {
        layer: Layer {
            weight: view.parameter,
            bias: None,
            groups: 1,
            inputs,
            outputs,
            strides,
            uses: vec![LayerUse {
                rows,
                window: Window::Row,
            }],
        },
        places: vec![Place {
            activation,
            product,
            side,
        }],
    })
}

fn convolution(graph: &Graph, node: &Node, views: &[Option<View>]) -> Option<Found> {
    let (stride, padding, dilation, groups): (&[usize], Vec<usize>, &[usize], usize) =
        match &node.op {
            Op::Conv1d(o) => (&o.stride, first(&o.padding), &o.dilation, o.groups),
            Op::Conv2d(o) => (&o.stride, first(&o.padding), &o.dilation, o.groups),
            Op::Conv3d(o) => (&o.stride, o.padding.to_vec(), &o.dilation, o.groups),
            _ => return None,
        };
    let [activation, weight] = node.inputs[..] else {
        return None;
    };
    let view = match (&views[activation], &views[weight]) {
        (None, Some(view)) => view,
        _ => return None,
    };
    let product = node.outputs[0];
    let (x, w, y) = (graph.dims(activation), &view.dims, graph.dims(product));
    let inputs: usize = w[1..].iter().product();
    let outputs = w[0] / groups;
    let parameter = graph.inputs[view.parameter];
    let row_major = view.is_row_major(w[0], inputs);
    if !row_major || graph.values[parameter].shape.num_elements() != inputs * w[0] || inputs == 0 {
        return None;
    }
    let axes = (0..stride.len()).map(|axis| Axis {
        length: x[2 + axis],
        positions: y[2 + axis],
        kernel: w[2 + axis],
        stride: stride[axis],
        padding: padding[axis],
        dilation: dilation[axis],
    });
    Some(Found {
        layer: Layer {
            weight: view.parameter,
            bias: None,
            groups,
            inputs,
            outputs,
            strides: [outputs * inputs, 1, inputs],
            uses: vec![LayerUse {
                rows: x[0],
                window: Window::Patches(axes.collect()),
            }],
        },
        places: vec![Place {
            activation,
            product,
            side: Side::Convolution,
        }],
    })
}

/// Zeros before the first element.
fn first<const N: usize>(padding: &[(usize, usize); N]) -> Vec<usize> {
    padding.iter().map(|(before, _)| *before).collect()
}

#[cfg(test)]
mod tests;
