//! The Jacobian of the outputs and the Gauss-Newton matrix, recorded.

use crate::differentiate::{Derivative, differentiate};
use crate::error::GraphError;
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Kind, Op};
use crate::simplify::simplify;
use burn_ir::ScalarIr;

/// Products with the Jacobian J = ∂outputs/∂θ, the Hessian H_L of the loss by the outputs, and the Gauss-Newton matrix Jᵀ H_L J.
///
/// All graphs have the inputs of the recording, then the vector that they multiply, and give the product alone.
#[derive(Debug)]
pub struct GaussNewton {
    /// Jᵀ u: one result for each parameter; u has the shape of the outputs.
    pub transposed_jacobian: Graph,
    /// J v: the shape of the outputs; v has one part for each parameter.
    pub jacobian: Graph,
    /// ∂L/∂outputs, without a vector.
    pub loss_gradient: Graph,
    /// H_L w: w has the shape of the outputs.
    pub loss_hessian: Graph,
    /// Jᵀ H_L J v: one result for each parameter.
    pub product: Graph,
}

impl GaussNewton {
    /// Records from the forward pass with outputs `[loss, outputs]`, whose first inputs are the parameters.
    ///
    /// Jᵀu is a backward of ⟨outputs, u⟩. It is linear in u, so that the backward of ⟨Jᵀu, v⟩ by u is J v at every u.
    pub(crate) fn record(forward: &Graph, parameters: usize) -> Result<Self, GraphError> {
        let count = forward.inputs.len();
        let by_parameters: Vec<usize> = (0..parameters).collect();
        let model = Graph {
            outputs: vec![forward.outputs[1]],
            ..forward.clone()
        };
        let backward = differentiate(
            &model.without_dead_code(),
            &by_parameters,
            Derivative::OfProducts(0..1),
        )?;
        let transposed_jacobian = results(backward, 1..1 + parameters);
        let tangent = differentiate(
            &transposed_jacobian,
            &[count],
            Derivative::OfProducts(0..parameters),
        )?;
        let jacobian = at_zero(results(tangent, parameters..parameters + 1), count);
        let (loss_gradient, loss_hessian) = of_loss(forward, parameters)?;
        let transposed_jacobian = simplify(transposed_jacobian.without_detach());
        let jacobian = simplify(jacobian.without_detach());
        let product = compose(&jacobian, &loss_hessian, &transposed_jacobian, parameters);
        Ok(Self {
            transposed_jacobian,
            jacobian,
            loss_gradient,
            loss_hessian,
            product,
        })
    }
}

/// The graph at zeros in place of an input that the results do not depend on, but whose shape operations may still read.
fn at_zero(mut graph: Graph, input: usize) -> Graph {
    let zeros = Node {
        op: Op::Full(ScalarIr::Float(0.0)),
        inputs: Vec::new(),
        outputs: vec![graph.inputs.remove(input)],
    };
    graph.nodes.insert(0, zeros);
    graph
}

/// The graph with some of its outputs only.
fn results(mut graph: Graph, outputs: std::ops::Range<usize>) -> Graph {
    graph.outputs = graph.outputs[outputs].to_vec();
    simplify(graph)
}

/// The gradient of the loss by the outputs, and H_L w by double backward of the part of the forward pass between outputs and loss.
fn of_loss(forward: &Graph, parameters: usize) -> Result<(Graph, Graph), GraphError> {
    let count = forward.inputs.len();
    let (loss, outputs) = (forward.outputs[0], forward.outputs[1]);
    let mut head = forward.clone();
    let value = head.values[outputs].clone();
    let variable = head.value(Kind::Float, value.shape);
    for node in &mut head.nodes {
        let by_outputs = |id: &mut ValueId| {
            if *id == outputs {
                *id = variable;
            }
        };
        node.inputs.iter_mut().for_each(by_outputs);
    }
    head.inputs.push(variable);
    head.outputs = vec![if loss == outputs { variable } else { loss }];
    let head = head.without_dead_code();
    let parameters = &head.inputs[..parameters];
    if head.dependent_on(parameters)[head.outputs[0]] {
        return Err(GraphError::NotTwiceDifferentiable {
            operation: "loss".to_string(),
            place: "between outputs and loss".to_string(),
            reason: "the loss reads the model past its outputs, so that it has no Hessian by them"
                .to_string(),
        });
    }
    let gradient = results(differentiate(&head, &[count], Derivative::OfLoss)?, 1..2);
    let product = differentiate(&gradient, &[count], Derivative::OfProducts(0..1))?;
    let product = results(product, 1..2);
    let mut whole = at_outputs(forward, outputs);
    let direction = whole.input(Kind::Float, forward.values[outputs].shape.clone());
    let mut inputs = forward.inputs.clone();
    inputs.push(outputs);
    let mut slope = at_outputs(forward, outputs);
    slope.outputs = slope.append(&gradient.without_detach(), &inputs);
    inputs.push(direction);
    whole.outputs = whole.append(&product.without_detach(), &inputs);
    let simple = |graph: Graph| simplify(graph.without_detach());
    Ok((simple(slope), simple(whole)))
}

/// The forward pass to the outputs, which takes the place of a variable.
fn at_outputs(forward: &Graph, outputs: ValueId) -> Graph {
    let whole = Graph {
        outputs: vec![outputs],
        ..forward.clone()
    };
    let mut whole = whole.without_dead_code();
    whole.outputs.clear();
    whole
}

fn compose(
    jacobian: &Graph,
    loss_hessian: &Graph,
    transposed_jacobian: &Graph,
    parameters: usize,
) -> Graph {
    let mut graph = jacobian.clone();
    let shared = graph.inputs[..graph.inputs.len() - parameters].to_vec();
    for next in [loss_hessian, transposed_jacobian] {
        let mut inputs = shared.clone();
        inputs.push(graph.outputs[0]);
        graph.outputs = graph.append(next, &inputs);
    }
    simplify(graph)
}
