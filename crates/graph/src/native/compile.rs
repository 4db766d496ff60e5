//! A graph as steps over buffers: layouts become views, elementwise chains kernels, sums of products one accumulation.

use super::fuse::{Group, is_elementwise};
use super::number::Number;
use super::product::{Matrices, ProductSum, Term};
use super::step::{Action, Base, Found, Plan, Source, Step, Stored, Target, described};
use super::view::View;
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Kind, Op, Unary};
use burn::tensor::TensorData;
use std::collections::HashMap;

/// What is known of a value.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Unknown,
    /// One number everywhere.
    Uniform(f64),
    Stored(Stored),
    /// A member of a group of elementwise operations that has not run yet.
    Open(usize),
}

/// factor · left · right, by values.
type Factors = Vec<(ValueId, ValueId, f64)>;

pub(crate) struct Compiler<'g, T> {
    pub(crate) graph: &'g Graph,
    /// Values that are merely another name of an earlier one.
    pub(crate) same: Vec<ValueId>,
    pub(crate) places: Vec<Place>,
    /// Nodes that read a value, other names resolved.
    pub(crate) readers: Vec<Vec<usize>>,
    pub(crate) is_output: Vec<bool>,
    pub(crate) groups: Vec<Option<Group>>,
    /// Sums of products, by the node that completes them; nodes that are part of a later sum have none.
    sums: HashMap<usize, Factors>,
    absorbed: Vec<bool>,
    /// Values that are written straight into a part of a concatenation.
    destinations: HashMap<ValueId, (usize, usize)>,
    steps: Vec<Step<T>>,
    buffers: Vec<usize>,
    constants: Vec<Vec<T>>,
}

/// Compiles `graph`, whose constants are known as numbers.
pub(crate) fn compile<T: Number>(graph: &Graph, constants: &HashMap<ValueId, Vec<T>>) -> Plan<T> {
    let mut compiler = Compiler::new(graph);
    for (position, &id) in graph.inputs.iter().enumerate() {
        compiler.store(id, Base::Input(position), View::contiguous(graph.dims(id)));
    }
    for (&id, numbers) in constants {
        compiler.constants.push(numbers.clone());
        let base = Base::Constant(compiler.constants.len() - 1);
        compiler.store(id, base, View::contiguous(graph.dims(id)));
    }
    compiler.find_sums();
    compiler.find_destinations();
    for (index, node) in graph.nodes.iter().enumerate() {
        if compiler.is_another_name(node) || compiler.absorbed[index] {
            continue;
        }
        compiler.node(index, node);
    }
    compiler.finish().share_buffers()
}

/// A constant as numbers of the dtype.
pub(crate) fn numbers<T: Number>(data: &TensorData) -> Vec<T> {
    if data.dtype().is_bool() {
        return data
            .iter::<bool>()
            .map(|x| T::of(f64::from(u8::from(x))))
            .collect();
    }
    data.iter::<f64>().map(T::of).collect()
}

impl<'g, T: Number> Compiler<'g, T> {
    fn new(graph: &'g Graph) -> Self {
        let mut same: Vec<ValueId> = (0..graph.values.len()).collect();
        for node in &graph.nodes {
            if renames(graph, node) {
                same[node.outputs[0]] = same[node.inputs[0]];
            }
        }
        let mut readers = vec![Vec::new(); graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            if !renames(graph, node) {
                for &id in &node.inputs {
                    readers[same[id]].push(index);
                }
            }
        }
        let mut is_output = vec![false; graph.values.len()];
        for &id in &graph.outputs {
            is_output[same[id]] = true;
        }
        Self {
            graph,
            places: vec![Place::Unknown; graph.values.len()],
            readers,
            is_output,
            groups: Vec::new(),
            sums: HashMap::new(),
            absorbed: vec![false; graph.nodes.len()],
            destinations: HashMap::new(),
            steps: Vec::new(),
            buffers: Vec::new(),
            constants: Vec::new(),
            same,
        }
    }

    fn is_another_name(&self, node: &Node) -> bool {
        renames(self.graph, node)
    }

    pub(crate) fn dims(&self, id: ValueId) -> &'g [usize] {
        self.graph.dims(id)
    }

    pub(crate) fn place(&self, id: ValueId) -> &Place {
        &self.places[self.same[id]]
    }

    pub(crate) fn store(&mut self, id: ValueId, base: Base, view: View) {
        self.places[id] = Place::Stored(Stored { base, view });
    }

    // ---- sums of products ----

    /// A m1 + m2 of two products that nobody else reads is one product that adds to the other; factors go into the product.
    fn find_sums(&mut self) {
        let mut of_value: HashMap<ValueId, usize> = HashMap::new();
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let out = *node.outputs.first().expect("a node has a result");
            let take = |id: ValueId| -> Option<usize> {
                let id = self.same[id];
                let alone = self.readers[id].len() == 1 && !self.is_output[id];
                alone.then(|| of_value.get(&id).copied()).flatten()
            };
            let parts: Vec<(usize, f64)> = match &node.op {
                Op::Matmul => {
                    self.sums
                        .insert(index, vec![(node.inputs[0], node.inputs[1], 1.0)]);
                    of_value.insert(out, index);
                    continue;
                }
                Op::Binary(function @ (Binary::Add | Binary::Sub)) => {
                    let (x, y) = (node.inputs[0], node.inputs[1]);
                    let alike = self.dims(x) == self.dims(y);
                    let sign = if *function == Binary::Add { 1.0 } else { -1.0 };
                    match (alike, take(x), take(y)) {
                        (true, Some(x), Some(y)) if x != y => vec![(x, 1.0), (y, sign)],
                        _ => continue,
                    }
                }
                Op::BinaryScalar(function @ (Binary::Mul | Binary::Div), scalar) => {
                    let number: f64 = scalar.elem();
                    let factor = if *function == Binary::Mul {
                        number
                    } else {
                        1.0 / number
                    };
                    match take(node.inputs[0]) {
                        Some(x) => vec![(x, factor)],
                        None => continue,
                    }
                }
                Op::Unary(Unary::Neg) => match take(node.inputs[0]) {
                    Some(x) => vec![(x, -1.0)],
                    None => continue,
                },
                _ => continue,
            };
            let mut factors = Factors::new();
            for (part, scale) in parts {
                self.absorbed[part] = true;
                let known = self.sums.remove(&part).expect("a part is a sum");
                factors.extend(
                    known
                        .into_iter()
                        .map(|(x, y, factor)| (x, y, factor * scale)),
                );
            }
            self.sums.insert(index, factors);
            of_value.insert(out, index);
        }
    }

    fn product(&mut self, out: ValueId, factors: &Factors) {
        let dims = self.dims(out);
        let rank = dims.len();
        let batch = &dims[..rank - 2];
        let mut sources = Vec::new();
        let mut terms = Vec::new();
        let mut count = batch.iter().product();
        let (mut rows, mut columns) = (dims[rank - 2], dims[rank - 1]);
        for &(x, y, factor) in factors {
            let (left_base, left) = self.matrices(x, batch);
            let (right_base, right) = self.matrices(y, batch);
            sources.extend([Source::whole(left_base), Source::whole(right_base)]);
            terms.push(Term {
                left: sources.len() - 2,
                right: sources.len() - 1,
                left_matrices: left,
                right_matrices: right,
                factor,
            });
        }
        // a stack of matrices times one matrix is one taller product
        if count > 1 && terms.iter().all(Term::is_tall) {
            terms.iter_mut().for_each(|term| term.stack(count));
            (rows, count) = (rows * count, 1);
        } else if count > 1 && terms.iter().all(Term::is_wide) {
            terms.iter_mut().for_each(Term::widen);
            (rows, columns, count) = (count, rows, 1);
        }
        let sum = ProductSum {
            rows,
            columns,
            count,
            terms,
        };
        let target = self.target(out, &sources);
        self.push(Action::Product(sum), sources, vec![target]);
    }

    fn matrices(&mut self, id: ValueId, batch: &[usize]) -> (Base, Matrices) {
        let stored = self.stored(id);
        if let Some(matrices) = Matrices::of(&stored.view, batch) {
            return (stored.base, matrices);
        }
        let copy = self.copied(&stored);
        let matrices = Matrices::of(&copy.view, batch).expect("a contiguous value is a matrix");
        (copy.base, matrices)
    }

    // ---- concatenations ----

    /// The parts of a concatenation of vectors are written where they belong.
    fn find_destinations(&mut self) {
        for node in &self.graph.nodes {
            let Op::Cat { dim: 0 } = node.op else {
                continue;
            };
            let out = node.outputs[0];
            let width: usize = self.dims(out)[1..].iter().product();
            let buffer = self.buffer(self.dims(out).iter().product());
            self.store(out, Base::Buffer(buffer), View::contiguous(self.dims(out)));
            let mut offset = 0;
            for &part in &node.inputs {
                let length = self.dims(part)[0] * width;
                let origin = self.origin(part);
                self.destinations.entry(origin).or_insert((buffer, offset));
                offset += length;
            }
        }
    }

    /// The value that a chain of reshapes begins with.
    fn origin(&self, id: ValueId) -> ValueId {
        let mut id = self.same[id];
        loop {
            let writer = self
                .graph
                .nodes
                .iter()
                .rev()
                .find(|node| node.outputs.contains(&id));
            match writer {
                Some(node) if node.op == Op::Reshape => id = self.same[node.inputs[0]],
                _ => return id,
            }
        }
    }

    // ---- memory ----

    pub(crate) fn buffer(&mut self, length: usize) -> usize {
        self.buffers.push(length);
        self.buffers.len() - 1
    }

    /// Memory for a value that a step is about to write whole.
    pub(crate) fn target(&mut self, id: ValueId, sources: &[Source]) -> Target {
        let dims = self.dims(id);
        let length = dims.iter().product();
        let destination = self.destinations.remove(&id).filter(|(buffer, _)| {
            let known = Base::Buffer(*buffer);
            !sources.iter().any(|source| source.base == known)
        });
        let (buffer, offset) = match destination {
            Some(known) => known,
            None => (self.buffer(length), 0),
        };
        let view = View {
            offset,
            ..View::contiguous(dims)
        };
        self.store(id, Base::Buffer(buffer), view);
        Target {
            buffer,
            offset,
            length,
        }
    }

    pub(crate) fn push(&mut self, action: Action<T>, sources: Vec<Source>, targets: Vec<Target>) {
        self.steps.push(Step {
            action,
            sources,
            targets,
        });
    }

    /// The value in memory, whatever its layout.
    pub(crate) fn stored(&mut self, id: ValueId) -> Stored {
        let id = self.same[id];
        if let Place::Open(group) = self.places[id] {
            self.close(group);
        }
        match self.places[id].clone() {
            Place::Stored(stored) => stored,
            Place::Uniform(number) => {
                let dims = self.dims(id);
                let buffer = self.buffer(1);
                self.fill(buffer, 1, number);
                let one = View::contiguous(&vec![1; dims.len()]);
                let stored = Stored {
                    base: Base::Buffer(buffer),
                    view: one.expand(dims),
                };
                self.places[id] = Place::Stored(stored.clone());
                stored
            }
            _ => unreachable!("a value is computed before it is used"),
        }
    }

    /// The value in memory, row-major without gaps.
    pub(crate) fn contiguous(&mut self, id: ValueId) -> Stored {
        let stored = self.stored(id);
        match stored.view.is_contiguous() {
            true => stored,
            false => self.copied(&stored),
        }
    }

    pub(crate) fn copied(&mut self, stored: &Stored) -> Stored {
        let buffer = self.buffer(stored.view.elements());
        self.copy(stored, buffer, 0)
    }

    fn reshaped_copy(&mut self, stored: &Stored, dims: &[usize]) -> Place {
        let copy = self.copied(stored);
        let view = copy.view.reshape(dims);
        Place::Stored(Stored {
            base: copy.base,
            view: view.expect("contiguous memory has every shape"),
        })
    }

    fn copy(&mut self, stored: &Stored, buffer: usize, offset: usize) -> Stored {
        let kernel = Group::copy(&stored.view);
        let target = Target {
            buffer,
            offset,
            length: stored.view.elements(),
        };
        self.push(
            Action::Kernel(kernel),
            vec![Source::whole(stored.base)],
            vec![target],
        );
        let view = View {
            offset,
            ..View::contiguous(&stored.view.dims)
        };
        Stored {
            base: Base::Buffer(buffer),
            view,
        }
    }

    fn fill(&mut self, buffer: usize, length: usize, number: f64) {
        let target = Target {
            buffer,
            offset: 0,
            length,
        };
        let kernel = Group::fill(length, T::of(number));
        self.push(Action::Kernel(kernel), Vec::new(), vec![target]);
    }

    /// Memory of its own that holds the value of `from`, to be changed in part.
    pub(crate) fn changed_copy(&mut self, id: ValueId, from: ValueId) -> Target {
        let target = match self.place(from) {
            Place::Uniform(number) => {
                let number = *number;
                let buffer = self.buffer(self.dims(id).iter().product());
                self.fill(buffer, self.dims(id).iter().product(), number);
                buffer
            }
            _ => {
                let stored = self.stored(from);
                let buffer = self.buffer(stored.view.elements());
                self.copy(&stored, buffer, 0);
                buffer
            }
        };
        self.written_into(id, target)
    }

    /// A buffer that becomes the value `id`.
    pub(crate) fn written_into(&mut self, id: ValueId, buffer: usize) -> Target {
        let dims = self.dims(id);
        self.store(id, Base::Buffer(buffer), View::contiguous(dims));
        Target {
            buffer,
            offset: 0,
            length: dims.iter().product(),
        }
    }

    /// A filled buffer that becomes the value `id`.
    pub(crate) fn filled(&mut self, id: ValueId, number: f64) -> Target {
        let length = self.dims(id).iter().product();
        let buffer = self.buffer(length);
        self.fill(buffer, length, number);
        self.written_into(id, buffer)
    }

    // ---- nodes ----

    fn node(&mut self, index: usize, node: &Node) {
        let empty = |&id: &ValueId| self.graph.values[id].shape.num_elements() == 0;
        if node.outputs.iter().all(empty) {
            // nothing to compute
            for &id in &node.outputs {
                self.places[id] = Place::Uniform(0.0);
            }
            return;
        }
        if let Some(factors) = self.sums.remove(&index) {
            self.product(node.outputs[0], &factors);
            return;
        }
        if is_elementwise(self.graph, node) {
            self.join_group(index, node);
            return;
        }
        if let Some(place) = self.layout(node) {
            self.places[node.outputs[0]] = place;
            return;
        }
        if !self.structured(node) {
            self.on_device(node);
        }
    }

    /// Another view of the same memory, where there is one.
    fn layout(&mut self, node: &Node) -> Option<Place> {
        if let Op::Full(number) = node.op {
            return Some(Place::Uniform(number.elem()));
        }
        let out = self.dims(*node.outputs.first()?);
        let movement = matches!(
            node.op,
            Op::Reshape
                | Op::Expand
                | Op::SwapDims(..)
                | Op::Permute(_)
                | Op::Flip(_)
                | Op::Slice(_)
                | Op::RepeatDim { .. }
                | Op::Unfold { .. }
        );
        if !movement {
            return None;
        }
        let input = node.inputs[0];
        if let Place::Uniform(number) = self.place(input) {
            return Some(Place::Uniform(*number));
        }
        let stored = self.stored(input);
        let view = &stored.view;
        let moved = match &node.op {
            Op::Reshape => match view.reshape(out) {
                Some(view) => view,
                None => return Some(self.reshaped_copy(&stored, out)),
            },
            Op::Expand => view.expand(out),
            Op::SwapDims(a, b) => view.swap(*a, *b),
            Op::Permute(axes) => view.permute(axes),
            Op::Flip(axes) => view.flip(axes),
            Op::Slice(ranges) => view.slice(ranges)?,
            Op::Unfold { dim, size, step } => view.windows(*dim, *size, *step),
            Op::RepeatDim { dim, times } => {
                let repeated = Stored {
                    base: stored.base,
                    view: view.repeat(*dim, *times),
                };
                return Some(self.reshaped_copy(&repeated, out));
            }
            _ => return None,
        };
        Some(Place::Stored(Stored {
            base: stored.base,
            view: moved,
        }))
    }

    fn on_device(&mut self, node: &Node) {
        let mut sources = Vec::new();
        let mut inputs = Vec::new();
        for &id in &node.inputs {
            sources.push(Source::of(&self.contiguous(id)));
            inputs.push(described(self.graph.values[id].kind, self.dims(id)));
        }
        let mut taken = sources.clone();
        let mut targets = Vec::new();
        for &id in &node.outputs {
            let target = self.target(id, &taken);
            // two results in one concatenation cannot be written by one step
            taken.push(Source::whole(Base::Buffer(target.buffer)));
            targets.push(target);
        }
        let outputs = node
            .outputs
            .iter()
            .map(|&id| self.graph.values[id].clone())
            .collect();
        let action = Action::Device {
            op: node.op.clone(),
            inputs,
            outputs,
        };
        self.push(action, sources, targets);
    }

    fn finish(mut self) -> Plan<T> {
        let mut taken = Vec::new();
        let mut outputs = Vec::new();
        for &id in &self.graph.outputs {
            let length: usize = self.dims(id).iter().product();
            let stored = self.contiguous(id);
            let whole = stored.view.offset == 0;
            let found = match stored.base {
                Base::Input(position) if whole && self.input_length(position) == length => {
                    Found::Input(position)
                }
                Base::Constant(position) if whole && self.constants[position].len() == length => {
                    Found::Constant(position)
                }
                Base::Buffer(buffer)
                    if whole && self.buffers[buffer] == length && !taken.contains(&buffer) =>
                {
                    Found::Buffer(buffer)
                }
                _ => {
                    let buffer = self.buffer(length);
                    self.copy(&stored, buffer, 0);
                    Found::Buffer(buffer)
                }
            };
            if let Found::Buffer(buffer) = found {
                taken.push(buffer);
            }
            outputs.push(found);
        }
        Plan {
            steps: self.steps,
            buffers: self.buffers,
            constants: self.constants,
            outputs,
        }
    }

    fn input_length(&self, position: usize) -> usize {
        self.dims(self.graph.inputs[position]).iter().product()
    }
}

/// Whether a node gives back its input: all kinds are numbers of one dtype here.
fn renames(graph: &Graph, node: &Node) -> bool {
    match node.op {
        Op::Detach => true,
        Op::Cast => {
            let (from, to) = (
                graph.values[node.inputs[0]].kind,
                graph.values[node.outputs[0]].kind,
            );
            from == to || to == Kind::Float || (from, to) == (Kind::Bool, Kind::Int)
        }
        _ => false,
    }
}
