//! Running a compiled graph.

use super::compile::{compile, numbers};
use super::kernel::{Kernel, Registers};
use super::number::Number;
use super::step::{Action, Base, Found, Plan, Step, Target};
use super::view::{View, collapse};
use crate::evaluate::{Results, Target as DeviceTarget, apply};
use crate::execute::NativeCounts;
use crate::graph::{Graph, Value, ValueId};
use crate::op::{Kind, Op};
use burn::backend::ops::{BoolTensorOps, IntTensorOps};
use burn::backend::{Dispatch, DispatchTensor};
use burn::prelude::Tensor;
use burn::tensor::{FloatDType, TensorData};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

/// Work of a kernel (loops times elements) from which a second thread is worth waking.
const PARALLEL: usize = 1 << 18;

/// A graph compiled for this machine's processor.
#[derive(Debug)]
pub(crate) struct NativeProgram<T> {
    plan: Plan<T>,
    /// Memory of earlier runs, for the next ones.
    arenas: Mutex<Vec<Arena<T>>>,
    /// Whether any step is large enough for several threads.
    large: bool,
    device: DeviceTarget,
}

#[derive(Debug)]
struct Arena<T> {
    buffers: Vec<Vec<T>>,
    registers: Registers<T>,
}

/// An output of a run.
pub(crate) enum Produced<T> {
    Input(usize),
    New(Vec<T>),
}

impl<T: Number> NativeProgram<T> {
    /// Compiles a graph; parts that depend on constants only are evaluated now.
    pub(crate) fn new(graph: &Graph, device: &DeviceTarget) -> Self {
        let mut constants: HashMap<ValueId, Vec<T>> = graph
            .constants
            .iter()
            .map(|(&id, data)| (id, numbers(data)))
            .collect();
        let (fixed, rest) = constant_part(graph);
        if !fixed.outputs.is_empty() {
            let program = Self::of(compile(&fixed, &constants), device);
            let known = program.run(&[], 1).into_iter().map(|output| match output {
                Produced::New(numbers) => numbers,
                Produced::Input(_) => unreachable!("there are no inputs"),
            });
            constants.extend(fixed.outputs.iter().copied().zip(known));
        }
        let used: HashSet<ValueId> = rest
            .nodes
            .iter()
            .flat_map(|node| node.inputs.iter().copied())
            .chain(rest.outputs.iter().copied())
            .collect();
        constants.retain(|id, _| used.contains(id));
        Self::of(compile(&rest, &constants), device)
    }

    fn of(plan: Plan<T>, device: &DeviceTarget) -> Self {
        let large = plan.steps.iter().any(|step| match &step.action {
            Action::Product(sum) => sum.is_large(),
            Action::Kernel(kernel) => kernel.work() >= PARALLEL,
            Action::Convolution(convolution) => convolution.is_large(),
            _ => false,
        });
        Self {
            plan,
            arenas: Mutex::new(Vec::new()),
            large,
            device: device.clone(),
        }
    }

    pub(crate) fn counts(&self) -> NativeCounts {
        let mut counts = NativeCounts {
            kernels: 0,
            products: 0,
            others: 0,
            on_device: 0,
            buffer_elements: self.plan.buffers.iter().sum(),
            work: 0,
        };
        for step in &self.plan.steps {
            counts.work += match &step.action {
                Action::Kernel(kernel) => kernel.work(),
                Action::Product(sum) => sum.work(),
                Action::Convolution(convolution) => convolution.work(),
                _ => step.targets.iter().map(|target| target.length).sum(),
            };
            match step.action {
                Action::Kernel(_) => counts.kernels += 1,
                Action::Product(_) | Action::Convolution(_) => counts.products += 1,
                Action::Device { .. } => counts.on_device += 1,
                Action::Reduce(_) | Action::Indexed(_) | Action::Assign { .. } => {
                    counts.others += 1
                }
            }
        }
        counts
    }

    /// All outputs, on up to `threads` threads.
    pub(crate) fn run(&self, inputs: &[&[T]], threads: usize) -> Vec<Produced<T>> {
        if !self.large || threads == 1 {
            return self.run_on(inputs, 1);
        }
        match rayon::current_thread_index() {
            Some(_) => self.run_on(inputs, threads),
            // once into the pool, not once a step
            None => rayon::scope(|_| self.run_on(inputs, threads)),
        }
    }

    fn run_on(&self, inputs: &[&[T]], threads: usize) -> Vec<Produced<T>> {
        let mut arena = self.take_arena();
        for step in &self.plan.steps {
            self.step(step, inputs, &mut arena, threads);
        }
        let outputs = self
            .plan
            .outputs
            .iter()
            .map(|found| match *found {
                Found::Input(position) => Produced::Input(position),
                Found::Constant(position) => Produced::New(self.plan.constants[position].clone()),
                Found::Buffer(buffer) => Produced::New(std::mem::take(&mut arena.buffers[buffer])),
            })
            .collect();
        self.arenas().push(arena);
        outputs
    }

    fn arenas(&self) -> std::sync::MutexGuard<'_, Vec<Arena<T>>> {
        // a run that panicked has taken its arena with it
        self.arenas
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn take_arena(&self) -> Arena<T> {
        let known = self.arenas().pop();
        let mut arena = known.unwrap_or_else(|| Arena {
            buffers: vec![Vec::new(); self.plan.buffers.len()],
            registers: Registers::default(),
        });
        for (buffer, &length) in arena.buffers.iter_mut().zip(&self.plan.buffers) {
            if buffer.len() != length {
                *buffer = vec![T::default(); length];
            }
        }
        arena
    }

    fn step(&self, step: &Step<T>, inputs: &[&[T]], arena: &mut Arena<T>, threads: usize) {
        let mut taken: Vec<Vec<T>> = step
            .targets
            .iter()
            .map(|target| std::mem::take(&mut arena.buffers[target.buffer]))
            .collect();
        {
            let Arena { buffers, registers } = &mut *arena;
            let sources: Vec<&[T]> = step
                .sources
                .iter()
                .map(|source| {
                    let whole: &[T] = match source.base {
                        Base::Input(position) => inputs[position],
                        Base::Constant(position) => &self.plan.constants[position],
                        Base::Buffer(buffer) => &buffers[buffer],
                    };
                    &whole[source.offset..]
                })
                .collect();
            let mut outputs: Vec<&mut [T]> = taken
                .iter_mut()
                .zip(&step.targets)
                .map(|(buffer, target)| piece(buffer, target))
                .collect();
            self.act(&step.action, &sources, &mut outputs, registers, threads);
        }
        for (buffer, target) in taken.into_iter().zip(&step.targets) {
            arena.buffers[target.buffer] = buffer;
        }
    }

    fn act(
        &self,
        action: &Action<T>,
        sources: &[&[T]],
        outputs: &mut [&mut [T]],
        registers: &mut Registers<T>,
        threads: usize,
    ) {
        match action {
            Action::Kernel(kernel) => {
                if threads > 1 && kernel.work() >= PARALLEL {
                    let outputs = outputs.iter_mut().map(|out| &mut **out).collect();
                    return on_threads(kernel, 0, sources, outputs, threads);
                }
                kernel.run(0, sources, outputs, registers);
            }
            Action::Product(sum) => {
                let threads = if sum.is_large() { threads } else { 1 };
                sum.run(sources, outputs[0], threads);
            }
            Action::Convolution(convolution) => convolution.run(sources, outputs[0], threads),
            Action::Reduce(reduction) => reduction.run(sources[0], outputs[0]),
            Action::Indexed(indexed) => indexed.run(sources[0], sources[1], outputs[0]),
            Action::Assign { source, place } => assign(sources[0], source, place, outputs[0]),
            Action::Device {
                op,
                inputs,
                outputs: described,
            } => self.on_device(op, inputs, described, sources, outputs),
        }
    }

    /// An operation without a native form, by the device.
    fn on_device(
        &self,
        op: &Op,
        inputs: &[Value],
        described: &[Value],
        sources: &[&[T]],
        outputs: &mut [&mut [T]],
    ) {
        let tensors = inputs
            .iter()
            .zip(sources)
            .map(|(value, numbers)| {
                let numbers = &numbers[..value.shape.num_elements()];
                self.device.constant(&data(numbers, value))
            })
            .collect();
        let described: Vec<&Value> = described.iter().collect();
        match apply(op, tensors, &described, &self.device) {
            Results::One(one) => outputs[0].copy_from_slice(&read::<T>(one, described[0].kind)),
            Results::Two(one, two) => {
                outputs[0].copy_from_slice(&read::<T>(one, described[0].kind));
                outputs[1].copy_from_slice(&read::<T>(two, described[1].kind));
            }
        }
    }
}

fn piece<'a, T>(buffer: &'a mut [T], target: &Target) -> &'a mut [T] {
    &mut buffer[target.offset..target.offset + target.length]
}

/// Runs a kernel in as many pieces as there are threads.
fn on_threads<T: Number>(
    kernel: &Kernel<T>,
    start: usize,
    sources: &[&[T]],
    mut outputs: Vec<&mut [T]>,
    threads: usize,
) {
    if threads == 1 {
        return kernel.run(start, sources, &mut outputs, &mut Registers::default());
    }
    let half = threads / 2;
    let length = outputs.first().map_or(0, |out| out.len());
    let middle = length * (threads - half) / threads;
    let (left, right): (Vec<_>, Vec<_>) = outputs
        .into_iter()
        .map(|out| out.split_at_mut(middle))
        .unzip();
    rayon::join(
        || on_threads(kernel, start, sources, left, threads - half),
        || on_threads(kernel, start + middle, sources, right, half),
    );
}

/// Copies a strided source into a strided place.
fn assign<T: Number>(x: &[T], source: &View, place: &View, out: &mut [T]) {
    let mut views = [source.clone(), place.clone()];
    let dims = collapse(&source.dims, &mut views);
    let [source, place] = views;
    let (inner, outer) = match dims.split_last() {
        Some((&inner, outer)) => (inner, outer),
        None => (1, &dims[..]),
    };
    let rows: usize = outer.iter().product();
    let step = |view: &View| view.strides.get(outer.len()).copied().unwrap_or(1);
    let (from_step, to_step) = (step(&source), step(&place));
    for row in 0..rows {
        let (from, to) = (
            source.row(outer, row) as usize,
            place.row(outer, row) as usize,
        );
        if from_step == 1 && to_step == 1 {
            out[to..to + inner].copy_from_slice(&x[from..from + inner]);
            continue;
        }
        for index in 0..inner as isize {
            let to = (to as isize + index * to_step) as usize;
            out[to] = x[(from as isize + index * from_step) as usize];
        }
    }
}

/// Numbers as data of a kind.
fn data<T: Number>(numbers: &[T], value: &Value) -> TensorData {
    let shape = value.shape.clone();
    match value.kind {
        Kind::Float => TensorData::new(numbers.to_vec(), shape),
        Kind::Int => {
            let whole: Vec<i64> = numbers.iter().map(|x| x.wide() as i64).collect();
            TensorData::new(whole, shape)
        }
        Kind::Bool => {
            let truths: Vec<bool> = numbers.iter().map(|x| x.wide() != 0.0).collect();
            TensorData::new(truths, shape)
        }
    }
}

/// The elements of a result of the device.
pub(crate) fn read<T: Number>(tensor: DispatchTensor, kind: Kind) -> Vec<T> {
    // Flex labels some booleans as bytes, so that they can be read as floats only
    let floats = match kind {
        Kind::Float => tensor,
        Kind::Int => Dispatch::int_into_float(tensor, FloatDType::F64),
        Kind::Bool => Dispatch::bool_into_float(tensor, FloatDType::F64),
    };
    numbers(&Tensor::<1>::from_dispatch(floats).into_data())
}

/// The nodes that depend on no input, as a graph whose outputs the others need, and the rest.
fn constant_part(graph: &Graph) -> (Graph, Graph) {
    let depends = graph.dependent_on(&graph.inputs);
    let fixed = |node: &crate::graph::Node| {
        !depends[node.outputs[0]] && !matches!(node.op, Op::Full(_) | Op::Random(_))
    };
    let (computed, others): (Vec<_>, Vec<_>) = graph.nodes.iter().cloned().partition(fixed);
    let read: HashSet<ValueId> = others
        .iter()
        .flat_map(|node| node.inputs.iter().copied())
        .chain(graph.outputs.iter().copied())
        .collect();
    let outputs = computed
        .iter()
        .flat_map(|node| node.outputs.iter().copied())
        .filter(|id| read.contains(id))
        .collect();
    let uniform = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::Full(_)));
    let first = Graph {
        values: graph.values.clone(),
        nodes: uniform.cloned().chain(computed).collect(),
        inputs: Vec::new(),
        outputs,
        constants: graph.constants.clone(),
    };
    let rest = Graph {
        nodes: others,
        ..graph.clone()
    };
    (first.without_dead_code(), rest)
}
