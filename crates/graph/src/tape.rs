//! A Hessian-vector product by a tape: the gradient graph replayed on an autodiff device, then burn-autodiff's backward.

use crate::error::{GraphError, panic_message};
use crate::evaluate::{Results, Target, apply};
use crate::graph::Graph;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{AutodiffBackend, Dispatch, DispatchTensor};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The products of the Hessian with `directions`: the gradient of ⟨∇loss, v⟩.
///
/// `gradient` is a graph with gradients from output `first` on, one for each of the first `directions.len()` inputs.
///
/// # Errors
///
/// [`GraphError::Evaluation`] if an operation fails.
pub fn product_by_tape(
    gradient: &Graph,
    first: usize,
    inputs: &[DispatchTensor],
    directions: &[DispatchTensor],
    target: &Target,
) -> Result<Vec<DispatchTensor>, GraphError> {
    let current = Cell::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        replay(gradient, first, inputs, directions, target, &current)
    }));
    outcome.map_err(|payload| GraphError::Evaluation {
        operation: match gradient.nodes.get(current.get()) {
            Some(node) => node.op.name(),
            None => "the second backward".to_string(),
        },
        device: format!("{:?}", target.device),
        message: panic_message(payload),
    })
}

fn replay(
    graph: &Graph,
    first: usize,
    inputs: &[DispatchTensor],
    directions: &[DispatchTensor],
    target: &Target,
    current: &Cell<usize>,
) -> Vec<DispatchTensor> {
    let mut slots: Vec<Option<DispatchTensor>> = vec![None; graph.values.len()];
    let mut leaves = Vec::with_capacity(directions.len());
    for (position, (&id, tensor)) in graph.inputs.iter().zip(inputs).enumerate() {
        let tensor = match position < directions.len() {
            true => {
                let leaf = Dispatch::from_inner(tensor.clone());
                let leaf = Dispatch::float_set_require_grad(leaf, true);
                leaves.push(leaf.clone());
                leaf
            }
            false => tensor.clone(),
        };
        slots[id] = Some(tensor);
    }
    for (&id, data) in &graph.constants {
        slots[id] = Some(target.constant(data));
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        current.set(index);
        let inputs = node
            .inputs
            .iter()
            .map(|&id| {
                slots[id]
                    .clone()
                    .expect("a value is computed before it is used")
            })
            .collect();
        let outputs: Vec<_> = node.outputs.iter().map(|&id| &graph.values[id]).collect();
        match apply(&node.op, inputs, &outputs, target) {
            Results::One(tensor) => slots[node.outputs[0]] = Some(tensor),
            Results::Two(one, two) => {
                slots[node.outputs[0]] = Some(one);
                slots[node.outputs[1]] = Some(two);
            }
        }
    }
    current.set(usize::MAX);
    let mut sum: Option<DispatchTensor> = None;
    for (position, direction) in directions.iter().enumerate() {
        let gradient = slots[graph.outputs[first + position]]
            .clone()
            .expect("outputs are computed");
        let product = Dispatch::float_sum(Dispatch::float_mul(gradient, direction.clone()));
        sum = Some(match sum {
            None => product,
            Some(sum) => Dispatch::float_add(sum, product),
        });
    }
    let zeros = || {
        directions
            .iter()
            .map(|v| Dispatch::float_mul_scalar(v.clone(), 0.0.into()))
    };
    let Some(sum) = sum.filter(Dispatch::is_tracked) else {
        return zeros().collect();
    };
    let gradients = Dispatch::backward(sum);
    leaves
        .iter()
        .zip(zeros())
        .map(|(leaf, zero)| Dispatch::grad(leaf, &gradients).unwrap_or(zero))
        .collect()
}
