//! A user's model and loss, recorded with its derivatives.

use crate::batch::{Batch, TensorMap, rows, stacked};
use crate::capture::{AutodiffCapture, capture_id, plain, record_scope, untracked_leaf};
use crate::differentiate::{Derivative, differentiate};
use crate::error::GraphError;
use crate::evaluate::{Target, kind_of};
use crate::execute::{Array, Executable, Execution};
use crate::from_ir::import;
use crate::gauss_newton::GaussNewton;
use crate::graph::{Graph, Node, ValueId};
use crate::layers::LayerGradients;
use crate::op::{Kind, Op};
use crate::parameters::{LayerBehaviour, ModuleTensors, track};
use crate::simplify::{Report, simplify, simplify_reported, with_shifts_detached};
use burn::backend::{AutodiffBackend, DispatchTensor, TensorMetadata};
use burn::module::Module;
use burn::prelude::Tensor;
use burn::tensor::{Distribution, FloatDType, IntDType, Shape};
use burn_ir::TensorId;
use std::collections::HashMap;
use std::sync::OnceLock;

/// What a closure computes: the loss, and the outputs it was computed from where it has them apart.
pub struct Evaluated {
    /// The loss, one number.
    pub loss: Tensor<1>,
    /// The outputs of the model.
    pub outputs: Option<DispatchTensor>,
}

/// A random tensor that the model draws, such as a dropout mask: an input of the recorded graphs.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomInput {
    /// Its distribution.
    pub distribution: Distribution,
    /// Its shape.
    pub shape: Shape,
    /// Its kind.
    pub kind: Kind,
}

/// A part of the loss through which no gradient flows, found by comparison with burn-autodiff.
#[derive(Clone, Debug, PartialEq)]
pub struct DetachedValue {
    /// The operation whose result is detached.
    pub operation: String,
    /// The shape of that result.
    pub shape: Vec<usize>,
}

/// A loss, its gradient and its Hessian-vector product as graphs.
///
/// Inputs of all of them, in order: parameters, fixed floats of the module (frozen parameters, running statistics), tensors of
/// the batch, random tensors. Outputs of [`gradient`](Recording::gradient): loss, outputs if there are, gradients.
/// [`product`](Recording::product) has one direction for each parameter as further inputs and the products as further outputs.
#[derive(Debug)]
pub struct Recording {
    forward: Graph,
    gradient: Graph,
    gradient_report: Report,
    product: OnceLock<Result<(Graph, Report), String>>,
    gauss_newton: OnceLock<Result<GaussNewton, String>>,
    layers: OnceLock<Result<LayerGradients, String>>,
    /// The forward pass as it was captured: there the loss reads nothing but the outputs, which simplification may look through.
    captured_forward: Graph,
    /// How many inputs are parameters, fixed floats and batch tensors.
    counts: Counts,
    random: Vec<RandomInput>,
    has_outputs: bool,
    unreached: Vec<usize>,
    detached: Vec<DetachedValue>,
    captured_operations: usize,
}

/// How many inputs of a recorded graph are of which role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Trainable parameters.
    pub parameters: usize,
    /// Frozen parameters and running statistics.
    pub fixed: usize,
    /// Tensors of the batch.
    pub batch: usize,
}

/// One pass over the user's code.
struct Captured {
    /// Outputs: loss, outputs of the model, gradients where there are.
    graph: Graph,
    gradients: Vec<Option<usize>>,
    has_outputs: bool,
    random: Vec<RandomInput>,
}

impl Recording {
    /// Records `run` on `model` and `batch`.
    ///
    /// The forward pass and burn-autodiff's own gradient are recorded in one pass, and once more at other values: if the two
    /// recordings differ, the computation depends on data. Then the derivative of the lowered forward pass is recorded and compared
    /// with burn-autodiff's gradient at these values; where they differ a part of the loss was detached.
    ///
    /// # Errors
    ///
    /// See [`GraphError`].
    pub fn new<M: Module, B: Batch>(
        model: &M,
        batch: &B,
        behaviour: LayerBehaviour,
        run: &dyn Fn(&M, &B) -> Evaluated,
    ) -> Result<Self, GraphError> {
        let span = tracing::debug_span!("record");
        let _entered = span.enter();
        let tensors = ModuleTensors::read(model)?;
        let captured = capture(model, &tensors, batch, behaviour, run)?;
        let moved = perturbed_module(model, &tensors);
        let moved_tensors = ModuleTensors::read(&moved)?;
        let again = capture(&moved, &moved_tensors, &rolled(batch), behaviour, run)?;
        same_computation(&captured.graph, &again.graph)?;
        let counts = Counts {
            parameters: tensors.parameters.len(),
            fixed: tensors.fixed.len(),
            batch: batch.tensors().len(),
        };
        let inputs = Self::values(&tensors, batch);
        Self::derive(captured, counts, &tensors, inputs)
    }

    /// Values of the inputs of the recorded graphs, but for the random ones.
    pub fn values<B: Batch>(tensors: &ModuleTensors, batch: &B) -> Vec<DispatchTensor> {
        let mut inputs = tensors.values.clone();
        inputs.extend(tensors.fixed.iter().cloned());
        inputs.extend(batch.tensors().into_iter().map(plain));
        inputs
    }

    fn derive(
        captured: Captured,
        counts: Counts,
        tensors: &ModuleTensors,
        inputs: Vec<DispatchTensor>,
    ) -> Result<Self, GraphError> {
        let heads = 1 + usize::from(captured.has_outputs);
        let captured_operations = captured.graph.nodes.len();
        let mut forward = captured.graph.clone();
        forward.outputs.truncate(heads);
        let captured_forward = forward.clone().without_dead_code();
        let forward = with_shifts_detached(simplify(forward));
        let loss = &forward.values[forward.outputs[0]].shape;
        if loss.num_elements() != 1 {
            return Err(GraphError::LossNotScalar {
                shape: loss.to_vec(),
            });
        }
        let check = GradientCheck::new(&captured, counts.parameters, heads, inputs)?;
        let (forward, (gradient, gradient_report), detached) = check.settle(forward, tensors)?;
        let unreached = (0..counts.parameters)
            .filter(|&position| captured.gradients[position].is_none())
            .collect();
        Ok(Self {
            forward,
            gradient,
            gradient_report,
            product: OnceLock::new(),
            gauss_newton: OnceLock::new(),
            layers: OnceLock::new(),
            captured_forward,
            counts,
            random: captured.random,
            has_outputs: captured.has_outputs,
            unreached,
            detached,
            captured_operations,
        })
    }

    /// Loss and outputs.
    pub fn forward(&self) -> &Graph {
        &self.forward
    }

    /// Loss, outputs and gradients.
    pub fn gradient(&self) -> &Graph {
        &self.gradient
    }

    /// Loss, outputs, gradients and Hessian-vector products; recorded when it is first asked for.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotTwiceDifferentiable`] if the second backward cannot be recorded.
    pub fn product(&self) -> Result<&Graph, GraphError> {
        self.recorded_product().map(|(graph, _)| graph)
    }

    /// What was removed from the gradient as it was recorded.
    pub fn gradient_report(&self) -> &Report {
        &self.gradient_report
    }

    /// What was removed from the Hessian-vector product as it was recorded.
    ///
    /// # Errors
    ///
    /// As [`product`](Recording::product).
    pub fn product_report(&self) -> Result<&Report, GraphError> {
        self.recorded_product().map(|(_, report)| report)
    }

    fn recorded_product(&self) -> Result<&(Graph, Report), GraphError> {
        let recorded = self.product.get_or_init(|| {
            let span = tracing::debug_span!("record second backward");
            let _entered = span.enter();
            let gradients = self.first_gradient()..self.first_gradient() + self.counts.parameters;
            let by: Vec<usize> = (0..self.counts.parameters).collect();
            differentiate(&self.gradient, &by, Derivative::OfProducts(gradients))
                .map(Graph::without_detach)
                .map(simplify_reported)
                .map_err(|error| error.to_string())
        });
        second_order(recorded, "gradient")
    }

    /// Products with the Jacobian of the outputs and the Gauss-Newton matrix; recorded when first asked for. None without outputs.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotTwiceDifferentiable`] if one of the derivatives cannot be recorded.
    pub fn gauss_newton(&self) -> Result<Option<&GaussNewton>, GraphError> {
        if !self.has_outputs {
            return Ok(None);
        }
        let recorded = self.gauss_newton.get_or_init(|| {
            let span = tracing::debug_span!("record Gauss-Newton products");
            let _entered = span.enter();
            GaussNewton::record(self.model(), self.counts.parameters)
                .map_err(|error| error.to_string())
        });
        second_order(recorded, "outputs").map(Some)
    }

    /// The layers of the model with the gradients by their products; recorded when first asked for. None without outputs.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotTwiceDifferentiable`] if the derivative cannot be recorded.
    pub fn layers(&self) -> Result<Option<&LayerGradients>, GraphError> {
        if !self.has_outputs {
            return Ok(None);
        }
        let recorded = self.layers.get_or_init(|| {
            let span = tracing::debug_span!("record gradients by the products of the layers");
            let _entered = span.enter();
            LayerGradients::record(self.model(), self.counts.parameters)
                .map_err(|error| error.to_string())
        });
        second_order(recorded, "outputs").map(Some)
    }

    /// The forward pass in which the loss reads nothing but the outputs.
    fn model(&self) -> &Graph {
        match self.detached.is_empty() {
            true => &self.captured_forward,
            // with the marks of what is detached
            false => &self.forward,
        }
    }

    /// Position of the first gradient among the outputs.
    pub fn first_gradient(&self) -> usize {
        1 + usize::from(self.has_outputs)
    }

    /// How many inputs are of which role.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Random tensors that the model draws.
    pub fn random_inputs(&self) -> &[RandomInput] {
        &self.random
    }

    /// Whether the outputs are known apart from the loss.
    pub fn has_outputs(&self) -> bool {
        self.has_outputs
    }

    /// Positions of parameters that the loss does not depend on.
    pub fn unreached(&self) -> &[usize] {
        &self.unreached
    }

    /// Values that count as constants because the model detaches them.
    pub fn detached(&self) -> &[DetachedValue] {
        &self.detached
    }

    /// Operations of forward pass and backward as Burn recorded them.
    pub fn captured_operations(&self) -> usize {
        self.captured_operations
    }
}

fn second_order<'a, T>(recorded: &'a Result<T, String>, of: &str) -> Result<&'a T, GraphError> {
    recorded
        .as_ref()
        .map_err(|message| GraphError::NotTwiceDifferentiable {
            operation: of.to_string(),
            place: "in the second backward".to_string(),
            reason: message.clone(),
        })
}

/// Runs the user's code on autodiff capture tensors and takes the gradient.
fn capture<M: Module, B: Batch>(
    model: &M,
    tensors: &ModuleTensors,
    batch: &B,
    behaviour: LayerBehaviour,
    run: &dyn Fn(&M, &B) -> Evaluated,
) -> Result<Captured, GraphError> {
    let settings = Tensor::<1>::from_dispatch(tensors.values[0].clone())
        .device()
        .settings();
    let float = FloatDType::from(tensors.parameters[0].dtype);
    let int: IntDType = settings.int_dtype;
    let mut boundary = None;
    let captured = record_scope(float, int, |device, scope| {
        let (model, tracked) = track(model, tensors, behaviour, device);
        let mut inputs: Vec<TensorId> = tracked
            .parameters
            .iter()
            .map(|leaf| AutodiffCapture::inner(leaf.clone()).id())
            .collect();
        inputs.extend(tracked.fixed.iter().map(capture_id));
        let mut on_capture = |tensor: DispatchTensor| {
            let moved = to_device(plain(tensor), device);
            inputs.push(capture_id(&moved));
            match kind_of(moved.dtype()) {
                Kind::Float => untracked_leaf(moved),
                _ => associated(moved),
            }
        };
        let batch = batch.map(&mut TensorMap::new(&mut on_capture));
        let evaluated = run(&model, &batch);
        let loss = evaluated.loss.into_dispatch();
        let mut outputs = vec![Some(capture_id(&loss))];
        outputs.extend(
            evaluated
                .outputs
                .iter()
                .map(|tensor| Some(capture_id(tensor))),
        );
        let heads = outputs.len();
        let tracked_loss =
            Tensor::<1>::from_dispatch(loss.clone()).try_into_primitive::<AutodiffCapture>();
        let mut gradients = Vec::new();
        if loss.shape().num_elements() == 1
            && let Ok(loss) = tracked_loss
            && loss.is_tracked()
        {
            let all = AutodiffCapture::backward(loss);
            gradients = tracked
                .parameters
                .iter()
                .map(|leaf| AutodiffCapture::grad(leaf, &all))
                .collect();
        }
        gradients.resize(tracked.parameters.len(), None);
        outputs.extend(
            gradients
                .iter()
                .map(|gradient| gradient.as_ref().map(|tensor| tensor.id())),
        );
        let mut unique: Vec<TensorId> = Vec::new();
        for id in outputs.iter().flatten() {
            if !unique.contains(id) {
                unique.push(*id);
            }
        }
        let mut unique_inputs = Vec::new();
        for id in &inputs {
            if !unique_inputs.contains(id) {
                unique_inputs.push(*id);
            }
        }
        let token = scope.complete(unique_inputs, unique.clone());
        boundary = Some((
            outputs,
            unique,
            heads,
            inputs,
            (loss, evaluated.outputs, gradients, tracked, model, batch),
        ));
        token
    })
    .map_err(reads_data)?;
    let (outputs, unique, heads, _inputs, _alive) =
        boundary.expect("a finished recording has its boundary");
    let mut graph = import(&captured)?;
    let places: HashMap<TensorId, ValueId> = unique
        .into_iter()
        .zip(graph.outputs.iter().copied())
        .collect();
    graph.outputs = Vec::new();
    let mut gradients = Vec::new();
    for (position, id) in outputs.iter().enumerate() {
        let place = id.map(|id| {
            graph.outputs.push(places[&id]);
            graph.outputs.len() - 1
        });
        if position >= heads {
            gradients.push(place);
        }
    }
    let random = random_as_inputs(&mut graph);
    Ok(Captured {
        graph,
        gradients,
        has_outputs: heads == 2,
        random,
    })
}

fn to_device(tensor: DispatchTensor, device: &burn::prelude::Device) -> DispatchTensor {
    use burn::prelude::{Bool, Int};
    match kind_of(tensor.dtype()) {
        Kind::Float => Tensor::<1>::from_dispatch(tensor)
            .to_device(device)
            .into_dispatch(),
        Kind::Int => Tensor::<1, Int>::from_dispatch(tensor)
            .to_device(device)
            .into_dispatch(),
        Kind::Bool => Tensor::<1, Bool>::from_dispatch(tensor)
            .to_device(device)
            .into_dispatch(),
    }
}

/// Integers and booleans with the autodiff context that layers ask for.
fn associated(tensor: DispatchTensor) -> DispatchTensor {
    use burn::prelude::{Bool, Int};
    match kind_of(tensor.dtype()) {
        Kind::Bool => Tensor::<1, Bool>::from_dispatch(tensor)
            .autodiff()
            .into_dispatch(),
        _ => Tensor::<1, Int>::from_dispatch(tensor)
            .autodiff()
            .into_dispatch(),
    }
}

fn reads_data(error: GraphError) -> GraphError {
    match error {
        GraphError::ClosurePanicked { message } if is_read(&message) => {
            GraphError::ReadsComputedData { message }
        }
        other => other,
    }
}

/// Burn's two messages for data that a capture device does not have.
fn is_read(message: &str) -> bool {
    ["has no concrete value", "has no initialized value"]
        .iter()
        .any(|text| message.contains(text))
}

/// Draws become inputs, so that masks and noise can be fixed.
fn random_as_inputs(graph: &mut Graph) -> Vec<RandomInput> {
    let (draws, nodes): (Vec<Node>, Vec<Node>) = std::mem::take(&mut graph.nodes)
        .into_iter()
        .partition(|node| matches!(node.op, Op::Random(_)));
    graph.nodes = nodes;
    draws
        .into_iter()
        .map(|node| {
            let Op::Random(distribution) = node.op else {
                unreachable!("the partition keeps draws only");
            };
            let id = node.outputs[0];
            graph.inputs.push(id);
            let value = &graph.values[id];
            RandomInput {
                distribution,
                shape: value.shape.clone(),
                kind: value.kind,
            }
        })
        .collect()
}

/// The module at slightly other parameters.
fn perturbed_module<M: Module>(model: &M, tensors: &ModuleTensors) -> M {
    let values: Vec<_> = tensors
        .parameters
        .iter()
        .zip(&tensors.values)
        .map(|(parameter, value)| {
            let moved = Tensor::<1>::from_dispatch(value.clone()) * 1.0009765625 + 0.0009765625;
            (parameter.id, moved.into_dispatch())
        })
        .collect();
    ModuleTensors::write(model.valid(), &values)
}

/// The batch with other values of the same kind: tensor number t is rolled by t + 1 places along its first dimension.
fn rolled<B: Batch>(batch: &B) -> B {
    let mut places = 0;
    let mut roll = |tensor: DispatchTensor| {
        places += 1;
        roll_rows(plain(tensor), places)
    };
    batch.map(&mut TensorMap::new(&mut roll))
}

fn roll_rows(tensor: DispatchTensor, places: usize) -> DispatchTensor {
    let shape = tensor.shape();
    let kind = kind_of(tensor.dtype());
    if shape.num_dims() == 0 || shape[0] < 2 {
        return match kind {
            Kind::Float => (Tensor::<1>::from_dispatch(tensor) * 1.0009765625).into_dispatch(),
            _ => tensor,
        };
    }
    let cut = places % shape[0];
    if cut == 0 {
        return tensor;
    }
    let (head, tail) = (
        rows(tensor.clone(), kind, 0..cut),
        rows(tensor, kind, cut..shape[0]),
    );
    stacked(vec![tail, head], kind)
}

/// Two recordings at different values must be the same computation with the same constants.
fn same_computation(first: &Graph, second: &Graph) -> Result<(), GraphError> {
    let differs = |difference: String| Err(GraphError::DependsOnData { difference });
    for (a, b) in first.nodes.iter().zip(&second.nodes) {
        if a.op != b.op || a.inputs != b.inputs {
            let shape = first.dims(a.outputs[0]);
            return differs(format!(
                "at other values, operation `{}` (result {shape:?}) is `{}`, or has another number or other inputs",
                a.op.name(),
                b.op.name()
            ));
        }
    }
    if first.nodes.len() != second.nodes.len() {
        return differs(format!(
            "at other values, {} operations are recorded instead of {}",
            second.nodes.len(),
            first.nodes.len()
        ));
    }
    for ((id, a), (_, b)) in first.constants.iter().zip(&second.constants) {
        if a != b {
            let reader = first.nodes.iter().find(|node| node.inputs.contains(id));
            let user = reader.map_or("nothing".to_string(), |node| node.op.name());
            return differs(format!(
                "a constant tensor of shape {:?}, used by `{user}`, holds other values at other inputs",
                first.dims(*id)
            ));
        }
    }
    Ok(())
}

/// The forward graph with detached values marked, its gradient with what was simplified in it, and these values.
type Settled = (Graph, (Graph, Report), Vec<DetachedValue>);

/// The comparison of the derivative of the lowered forward pass with the gradient that burn-autodiff recorded.
struct GradientCheck {
    inputs: Vec<DispatchTensor>,
    target: Target,
    expected: Vec<Option<Vec<f64>>>,
    parameters: usize,
    heads: usize,
    tolerance: f64,
}

impl GradientCheck {
    fn new(
        captured: &Captured,
        parameters: usize,
        heads: usize,
        mut inputs: Vec<DispatchTensor>,
    ) -> Result<Self, GraphError> {
        let dtype = inputs[0].dtype();
        let device = Tensor::<1>::from_dispatch(inputs[0].clone()).device();
        let target = Target::values(&device, FloatDType::from(dtype));
        for input in &captured.random {
            inputs.push(half(input, &target));
        }
        let outputs = values_of(simplify(captured.graph.clone()), &inputs, &target)?;
        let expected = captured
            .gradients
            .iter()
            .map(|place| place.map(|place| numbers(&outputs[place])))
            .collect();
        Ok(Self {
            inputs,
            target,
            expected,
            parameters,
            heads,
            tolerance: match dtype {
                // some of Burn's own kernels (adaptive pooling) divide by counts in f32
                burn::tensor::DType::F64 => 1e-6,
                _ => 2e-3,
            },
        })
    }

    /// The forward graph with detached values marked, and its gradient with what was removed from it.
    fn settle(&self, forward: Graph, tensors: &ModuleTensors) -> Result<Settled, GraphError> {
        let gradient = self.gradient(&forward)?;
        let (worst, differing) = self.difference(&gradient.0)?;
        if worst <= self.tolerance {
            return Ok((forward, gradient, Vec::new()));
        }
        let depends = forward.dependent_on(&forward.inputs[..self.parameters]);
        let candidates: Vec<ValueId> = forward
            .nodes
            .iter()
            .flat_map(|node| node.outputs.iter().copied())
            .chain(forward.inputs[..self.parameters].iter().copied())
            .filter(|&id| depends[id] && forward.values[id].kind == Kind::Float)
            .filter(|id| !forward.outputs.contains(id))
            .collect();
        for id in candidates {
            for (marked, detached) in with_detached(&forward, id) {
                let Ok(gradient) = self.gradient(&marked) else {
                    continue;
                };
                if self.difference(&gradient.0)?.0 <= self.tolerance {
                    tracing::info!(operation = detached.operation, shape = ?detached.shape, "a detached value counts as a constant");
                    return Ok((marked, gradient, vec![detached]));
                }
            }
        }
        let names: Vec<_> = differing
            .iter()
            .take(5)
            .map(|&position| format!("`{}`", tensors.parameters[position].name))
            .collect();
        Err(GraphError::GradientMismatch {
            relative: worst,
            tolerance: self.tolerance,
            parameters: names.join(", "),
        })
    }

    fn gradient(&self, forward: &Graph) -> Result<(Graph, Report), GraphError> {
        let by: Vec<usize> = (0..self.parameters).collect();
        differentiate(forward, &by, Derivative::OfLoss).map(simplify_reported)
    }

    /// Largest relative difference of a gradient, and the parameters that exceed the tolerance.
    fn difference(&self, gradient: &Graph) -> Result<(f64, Vec<usize>), GraphError> {
        let outputs = values_of(gradient.clone(), &self.inputs, &self.target)?;
        let found: Vec<Vec<f64>> = outputs[self.heads..].iter().map(numbers).collect();
        let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
        // relative to the whole gradient: a single parameter may have a gradient that is zero up to rounding
        let whole = norm(
            &self
                .expected
                .iter()
                .flatten()
                .map(|g| norm(g))
                .collect::<Vec<_>>(),
        );
        let mut worst: f64 = 0.0;
        let mut differing = Vec::new();
        for (position, (found, expected)) in found.iter().zip(&self.expected).enumerate() {
            let difference: Vec<f64> = match expected {
                Some(expected) => found.iter().zip(expected).map(|(a, b)| a - b).collect(),
                None => found.clone(),
            };
            let relative = norm(&difference) / whole.max(f64::MIN_POSITIVE);
            // a gradient that is not finite decides nothing
            if !relative.is_finite() || relative == 0.0 {
                continue;
            }
            worst = worst.max(relative);
            if relative > self.tolerance {
                differing.push(position);
            }
        }
        Ok((worst, differing))
    }
}

/// All outputs of a graph, by the device's own operations.
fn values_of(
    graph: Graph,
    inputs: &[DispatchTensor],
    target: &Target,
) -> Result<Vec<DispatchTensor>, GraphError> {
    let executable = Executable::new(graph, target.clone(), Execution::Device)?;
    let inputs = inputs
        .iter()
        .map(|tensor| Array::bring(tensor.clone(), target.float, Execution::Device))
        .collect::<Result<Vec<_>, _>>()?;
    let outputs = executable.run(&inputs)?;
    Ok(outputs
        .into_iter()
        .map(|array| Array::into_tensor(array, target))
        .collect())
}

/// Masks of one half: any fixed values serve the comparison.
fn half(input: &RandomInput, target: &Target) -> DispatchTensor {
    use burn::tensor::TensorData;
    match input.kind {
        Kind::Float => target.constant(&TensorData::full(input.shape.clone(), 0.5f64)),
        _ => target.constant(&TensorData::full(input.shape.clone(), 1i64)),
    }
}

fn numbers(tensor: &DispatchTensor) -> Vec<f64> {
    let tensor = Tensor::<1>::from_dispatch(tensor.clone());
    tensor.into_data().iter::<f64>().collect()
}

/// The graph with value `id` detached for all its readers, and for each single reader where there are several.
fn with_detached(graph: &Graph, id: ValueId) -> Vec<(Graph, DetachedValue)> {
    let place = graph
        .nodes
        .iter()
        .position(|node| node.outputs.contains(&id));
    let detached = DetachedValue {
        operation: place.map_or("parameter".to_string(), |place| {
            graph.nodes[place].op.name()
        }),
        shape: graph.dims(id).to_vec(),
    };
    let readers: Vec<(usize, usize)> = graph
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(node, n)| {
            let positions = n.inputs.iter().enumerate();
            positions
                .filter(|(_, input)| **input == id)
                .map(move |(position, _)| (node, position))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut choices = vec![readers.clone()];
    if readers.len() > 1 {
        choices.extend(readers.iter().map(|&reader| vec![reader]));
    }
    choices
        .into_iter()
        .map(|choice| {
            let mut marked = graph.clone();
            let value = marked.values[id].clone();
            let constant = marked.value(value.kind, value.shape);
            for (node, position) in choice {
                marked.nodes[node].inputs[position] = constant;
            }
            let node = Node {
                op: Op::Detach,
                inputs: vec![id],
                outputs: vec![constant],
            };
            marked
                .nodes
                .insert(place.map_or(0, |place| place + 1), node);
            (marked, detached.clone())
        })
        .collect()
}
