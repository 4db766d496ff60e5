//! Convolutions that a second backward writes with examples and channels exchanged, in their natural form.
//!
//! burn-autodiff takes the derivative of a convolution's gradients as gradients of other convolutions: the kernel's gradient with the
//! image as a kernel. These are few huge windows where the natural form has many small ones.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Kind, Op};
use burn_ir::Conv2dOptionsIr;

/// Rewrites two-dimensional convolutions whose operands both have their first two dimensions exchanged.
///
/// - The kernel's gradient of (x, ∂y) is the convolution of x with ∂y as its kernel, stride and dilation exchanged.
/// - The input's gradient of (w, ∂y) is that of (∂y, w) where neither stride nor dilation tells them apart.
pub(crate) fn commute_convolutions(mut graph: Graph) -> Graph {
    let mut swapped: Vec<Option<ValueId>> = vec![None; graph.values.len()];
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        if node.op == Op::SwapDims(0, 1) || node.op == Op::SwapDims(1, 0) {
            swapped[node.outputs[0]] = Some(node.inputs[0]);
        }
        let origin = |id: ValueId| swapped.get(id).copied().flatten();
        let natural = match &node.op {
            Op::Conv2dWeightBackward(o) if o.groups == 1 => {
                let (x, kernel) = (origin(node.inputs[0]), origin(node.inputs[2]));
                x.zip(kernel)
                    .and_then(|(x, kernel)| forward(&mut graph, &node, o, x, kernel))
            }
            Op::Conv2dXBackward(o) if is_plain(o) => {
                let (kernel, gradient) = (origin(node.inputs[2]), origin(node.inputs[1]));
                kernel
                    .zip(gradient)
                    .map(|operands| exchanged(&mut graph, &mut nodes, &node, o, operands))
            }
            _ => None,
        };
        match natural {
            Some(natural) => {
                let result = natural.outputs[0];
                nodes.push(natural);
                nodes.push(swap(result, node.outputs[0]));
            }
            None => nodes.push(node),
        }
    }
    graph.nodes = nodes;
    graph.without_dead_code()
}

fn is_plain(o: &Conv2dOptionsIr) -> bool {
    o.groups == 1 && o.stride == [1, 1] && o.dilation == [1, 1]
}

fn swap(from: ValueId, to: ValueId) -> Node {
    Node {
        op: Op::SwapDims(0, 1),
        inputs: vec![from],
        outputs: vec![to],
    }
}

/// The convolution whose result, exchanged, is the result of `node`; none if it would be larger.
fn forward(
    graph: &mut Graph,
    node: &Node,
    o: &Conv2dOptionsIr,
    x: ValueId,
    kernel: ValueId,
) -> Option<Node> {
    let options = Conv2dOptionsIr {
        stride: o.dilation,
        dilation: o.stride,
        ..o.clone()
    };
    let out = graph.dims(node.outputs[0]).to_vec();
    let fits = (0..2).all(|dim| {
        let (before, behind) = options.padding[dim];
        let width = graph.dims(x)[dim + 2] + before + behind;
        let reach = options.dilation[dim] * (graph.dims(kernel)[dim + 2] - 1);
        width > reach && (width - reach - 1) / options.stride[dim] + 1 == out[dim + 2]
    });
    if !fits {
        return None;
    }
    let result = graph.value(Kind::Float, [out[1], out[0], out[2], out[3]]);
    Some(Node {
        op: Op::Conv2d(options),
        inputs: vec![x, kernel],
        outputs: vec![result],
    })
}

/// The gradient by the input with kernel and gradient exchanged.
fn exchanged(
    graph: &mut Graph,
    nodes: &mut Vec<Node>,
    node: &Node,
    o: &Conv2dOptionsIr,
    (kernel, gradient): (ValueId, ValueId),
) -> Node {
    let dims = graph.dims(node.outputs[0]).to_vec();
    let dims = [dims[1], dims[0], dims[2], dims[3]];
    // only its shape is read
    let shape = graph.value(Kind::Float, dims);
    nodes.push(swap(node.inputs[0], shape));
    let result = graph.value(Kind::Float, dims);
    Node {
        op: Op::Conv2dXBackward(o.clone()),
        inputs: vec![shape, kernel, gradient],
        outputs: vec![result],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Target;
    use crate::execute::{Array, Executable, Execution};
    use burn::prelude::{Device, Tensor};
    use burn::tensor::{FloatDType, TensorData};

    fn run(graph: &Graph) -> Vec<f64> {
        let target = Target::values(&Device::flex(), FloatDType::F64);
        let inputs: Vec<Array> = graph
            .inputs
            .iter()
            .map(|&id| {
                let dims = graph.dims(id).to_vec();
                let count: usize = dims.iter().product();
                let numbers: Vec<f64> = (0..count)
                    .map(|i| ((i * 7 + id * 5) % 13) as f64 - 6.0)
                    .collect();
                let tensor = target.constant(&TensorData::new(numbers, dims));
                Array::bring(tensor, FloatDType::F64, Execution::Device).unwrap()
            })
            .collect();
        let executable = Executable::new(graph.clone(), target.clone(), Execution::Device).unwrap();
        let out = executable.run(&inputs).unwrap().pop().unwrap();
        Tensor::<1>::from_dispatch(out.into_tensor(&target))
            .into_data()
            .iter()
            .collect()
    }

    fn options(stride: usize, padding: usize, dilation: usize) -> Conv2dOptionsIr {
        Conv2dOptionsIr {
            stride: [stride; 2],
            padding: [(padding, padding); 2],
            dilation: [dilation; 2],
            groups: 1,
        }
    }

    /// The kernel's gradient of exchanged x [n, c, 6, 6] and ∂y.
    fn weights(o: Conv2dOptionsIr, [image, kernel, result]: [usize; 3]) -> Graph {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [3, 2, image, image]);
        let w = graph.input(Kind::Float, [4, 2, kernel, kernel]);
        let like = graph.input(Kind::Float, [4, 3, result, result]);
        let xt = graph.push(Op::SwapDims(0, 1), [x], Kind::Float, [2, 3, image, image]);
        let wt = graph.push(Op::SwapDims(0, 1), [w], Kind::Float, [2, 4, kernel, kernel]);
        let dims = [4, 3, result, result];
        let out = graph.push(
            Op::Conv2dWeightBackward(o),
            [xt, like, wt],
            Kind::Float,
            dims,
        );
        graph.outputs = vec![out];
        graph
    }

    #[test]
    fn a_kernel_gradient_of_exchanged_operands_is_a_convolution() {
        for (o, sizes) in [
            (options(1, 0, 1), [6, 3, 4]),
            (options(1, 1, 1), [5, 3, 5]),
            (options(2, 0, 1), [7, 3, 3]),
            (options(1, 0, 2), [7, 3, 3]),
        ] {
            let graph = weights(o, sizes);
            let natural = commute_convolutions(graph.clone());
            assert!(
                natural.operation_counts().contains_key("conv2d"),
                "{natural}"
            );
            assert_eq!(run(&natural), run(&graph));
        }
    }

    #[test]
    fn an_input_gradient_of_exchanged_operands_exchanges_kernel_and_gradient() {
        for padding in [0, 1] {
            let mut graph = Graph::default();
            let gradient = graph.input(Kind::Float, [3, 4, 5, 5]);
            let kernel = graph.input(Kind::Float, [4, 2, 3, 3]);
            let size = 7 - 2 * padding;
            let like = graph.input(Kind::Float, [2, 3, size, size]);
            let gt = graph.push(Op::SwapDims(0, 1), [gradient], Kind::Float, [4, 3, 5, 5]);
            let kt = graph.push(Op::SwapDims(0, 1), [kernel], Kind::Float, [2, 4, 3, 3]);
            let op = Op::Conv2dXBackward(options(1, padding, 1));
            let out = graph.push(op, [like, gt, kt], Kind::Float, [2, 3, size, size]);
            graph.outputs = vec![out];
            let natural = commute_convolutions(graph.clone());
            let node = natural
                .nodes
                .iter()
                .find(|node| node.op.name() == "conv2d_x_backward");
            assert_eq!(node.unwrap().inputs[1..], [kernel, gradient]);
            assert_eq!(run(&natural), run(&graph));
        }
    }
}
