//! Parameters that are added to the products of a layer.

use super::view::View;
use super::{Found, Place, Side, readers};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op};

/// The parameter that is added to every product of a layer, and read nowhere else.
pub(super) fn bias(graph: &Graph, found: &Found, views: &[Option<View>]) -> Option<usize> {
    let length = found.layer.groups * found.layer.outputs;
    let added = (found.places.iter())
        .map(|place| added_parameter(graph, place, length, views))
        .collect::<Option<Vec<_>>>()?;
    let (_, parameter) = *added.first()?;
    let mut sums: Vec<usize> = added.iter().map(|(node, _)| *node).collect();
    sums.sort_unstable();
    let same = added.iter().all(|(_, other)| *other == parameter);
    (same && readers(graph, views, parameter) == sums).then_some(parameter)
}

/// The addition of one number for each output that follows a product: its node and the parameter.
fn added_parameter(
    graph: &Graph,
    place: &Place,
    length: usize,
    views: &[Option<View>],
) -> Option<(usize, usize)> {
    let mut value = place.product;
    loop {
        let (index, node) = only_reader(graph, value)?;
        let dims = graph.dims(value);
        match node.op {
            // rows are put together or apart
            Op::Reshape if place.side == Side::Right => {
                let out = node.outputs[0];
                if graph.dims(out).last() != dims.last() {
                    return None;
                }
                value = out;
            }
            Op::Binary(Binary::Add) => {
                let other = node.inputs.iter().find(|id| **id != value)?;
                let view = views[*other].as_ref()?;
                let axis = match place.side {
                    Side::Right => dims.len() - 1,
                    Side::Left => dims.len() - 2,
                    Side::Convolution => 1,
                };
                let parameter = graph.inputs[view.parameter];
                let fits = view.dims.len() == dims.len()
                    && graph.dims(node.outputs[0]) == dims
                    && view.dims[axis] == length
                    && graph.values[parameter].shape.num_elements() == length
                    && (length == 1 || view.strides[axis] == 1)
                    && view.repeats((0..dims.len()).filter(|&other| other != axis));
                return fits.then_some((index, view.parameter));
            }
            _ => return None,
        }
    }
}

/// The one node that reads a value, if it is no output.
fn only_reader(graph: &Graph, value: ValueId) -> Option<(usize, &Node)> {
    if graph.outputs.contains(&value) {
        return None;
    }
    let mut readers =
        (graph.nodes.iter().enumerate()).filter(|(_, node)| node.inputs.contains(&value));
    let reader = readers.next()?;
    readers.next().is_none().then_some(reader)
}
