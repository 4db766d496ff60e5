//! Neighbouring elementwise operations of one shape become one kernel.
//!
//! A group stays open while elementwise operations join it, and runs when anything else needs one of its results. A member reads
//! other members or values that exist already, so that open groups never depend on each other and can be merged freely.

use super::compile::{Compiler, Place};
use super::kernel::{Function1, Function2, Instruction, Kernel, LONG_ROW, Operand, Walk};
use super::number::Number;
use super::step::{Action, Source};
use super::view::{View, collapse, strides_of};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Kind, Op, Unary};
use std::collections::{HashMap, HashSet};

/// Elementwise operations that will run as one kernel.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    dims: Vec<usize>,
    members: Vec<usize>,
}

/// Whether a node can be a member of a group.
pub(crate) fn is_elementwise(graph: &Graph, node: &Node) -> bool {
    let kind = node.inputs.first().map(|&id| graph.values[id].kind);
    match &node.op {
        Op::Unary(_)
        | Op::Compare(_)
        | Op::CompareScalar(..)
        | Op::Logic(_)
        | Op::Not
        | Op::IsNan
        | Op::IsInf
        | Op::Cast
        | Op::MaskWhere
        | Op::MaskFill(_) => true,
        // divisions and powers of integers have rules of their own
        Op::Binary(function) | Op::BinaryScalar(function, _) => {
            kind != Some(Kind::Int) || matches!(function, Binary::Add | Binary::Sub | Binary::Mul)
        }
        _ => false,
    }
}

impl<T: Number> Compiler<'_, T> {
    /// Adds an elementwise node to the open group of its inputs, or opens one.
    pub(crate) fn join_group(&mut self, index: usize, node: &Node) {
        let out = node.outputs[0];
        let dims = self.dims(out);
        let mut joined: Vec<usize> = Vec::new();
        for &id in &node.inputs {
            let Place::Open(group) = *self.place(id) else {
                continue;
            };
            let alike = self.groups[group]
                .as_ref()
                .is_some_and(|known| known.dims == dims);
            if !alike {
                self.close(group);
            } else if !joined.contains(&group) {
                joined.push(group);
            }
        }
        joined.sort_unstable();
        let Some((&first, others)) = joined.split_first() else {
            self.groups.push(Some(Group {
                dims: dims.to_vec(),
                members: vec![index],
            }));
            self.places[out] = Place::Open(self.groups.len() - 1);
            return;
        };
        let mut members = vec![index];
        for &other in others {
            let merged = self.groups[other].take().expect("an open group");
            for &member in &merged.members {
                self.places[self.graph.nodes[member].outputs[0]] = Place::Open(first);
            }
            members.extend(merged.members);
        }
        let group = self.groups[first].as_mut().expect("an open group");
        group.members.extend(members);
        group.members.sort_unstable();
        self.places[out] = Place::Open(first);
    }

    /// Emits the kernel of a group.
    pub(crate) fn close(&mut self, group: usize) {
        let group = self.groups[group].take().expect("a group runs once");
        let members: HashSet<usize> = group.members.iter().copied().collect();
        let nodes: Vec<&Node> = group
            .members
            .iter()
            .map(|&m| &self.graph.nodes[m])
            .collect();
        let inside: HashSet<ValueId> = nodes.iter().map(|node| node.outputs[0]).collect();
        let mut builder = Builder::new(&group.dims);
        for &id in nodes.iter().flat_map(|node| &node.inputs) {
            let id = self.same[id];
            if inside.contains(&id) {
                *builder.uses.entry(id).or_insert(0) += 1;
                continue;
            }
            if let Place::Uniform(number) = self.place(id) {
                builder.operands.insert(id, Operand::Scalar(T::of(*number)));
                continue;
            }
            let stored = self.stored(id);
            builder.input(
                id,
                Source::whole(stored.base),
                stored.view.expand(&group.dims),
            );
        }
        let outputs: Vec<ValueId> = nodes
            .iter()
            .map(|node| node.outputs[0])
            .filter(|&id| {
                self.is_output[id]
                    || self.readers[id]
                        .iter()
                        .any(|reader| !members.contains(reader))
            })
            .collect();
        for &id in &outputs {
            // kept in its register to the end
            *builder.uses.entry(id).or_insert(0) += 1;
        }
        builder.place_inputs();
        for node in nodes {
            builder.node(node, &self.same, self.graph);
        }
        let (kernel, sources) = builder.finish(&outputs);
        let mut taken: Vec<Source> = sources.clone();
        let mut targets = Vec::new();
        for &id in &outputs {
            let target = self.target(id, &taken);
            // two results in one concatenation cannot be written by one kernel
            taken.push(Source::whole(super::step::Base::Buffer(target.buffer)));
            targets.push(target);
        }
        self.push(Action::Kernel(kernel), sources, targets);
    }
}

impl Group {
    /// A kernel that copies a view.
    pub(crate) fn copy<T: Number>(view: &View) -> Kernel<T> {
        let mut builder = Builder::new(&view.dims);
        builder.input(0, Source::whole(super::step::Base::Input(0)), view.clone());
        builder.place_inputs();
        let operand = builder.read(0);
        let kernel = Kernel {
            outputs: vec![Some(operand)],
            ..builder.kernel()
        };
        kernel.write_directly()
    }

    /// A kernel that repeats a number.
    pub(crate) fn fill<T: Number>(length: usize, number: T) -> Kernel<T> {
        Kernel {
            dims: vec![length],
            inputs: Vec::new(),
            instructions: Vec::new(),
            direct: Vec::new(),
            registers: 0,
            outputs: vec![Some(Operand::Scalar(number))],
            walk: Walk::Whole,
        }
    }
}

/// A kernel being built.
struct Builder<T> {
    dims: Vec<usize>,
    sources: Vec<Source>,
    views: Vec<View>,
    /// Which input holds a value.
    inputs: HashMap<ValueId, usize>,
    operands: HashMap<ValueId, Operand<T>>,
    /// How often a value is still read, outputs included.
    uses: HashMap<ValueId, usize>,
    instructions: Vec<Instruction<T>>,
    free: Vec<usize>,
    registers: usize,
    walk: Walk,
}

impl<T: Number> Builder<T> {
    fn new(dims: &[usize]) -> Self {
        Self {
            dims: dims.to_vec(),
            sources: Vec::new(),
            views: Vec::new(),
            inputs: HashMap::new(),
            operands: HashMap::new(),
            uses: HashMap::new(),
            instructions: Vec::new(),
            free: Vec::new(),
            registers: 0,
            walk: Walk::Whole,
        }
    }

    fn input(&mut self, id: ValueId, source: Source, view: View) {
        *self.uses.entry(id).or_insert(0) += 1;
        if self.inputs.contains_key(&id) {
            return;
        }
        self.inputs.insert(id, self.sources.len());
        self.sources.push(source);
        self.views.push(view);
    }

    /// Merges dimensions; inputs without gaps are then read in place, the others through a register.
    fn place_inputs(&mut self) {
        self.dims = collapse(&self.dims.clone(), &mut self.views);
        let whole = strides_of(&self.dims);
        let long = self.dims.last().is_some_and(|&length| length >= LONG_ROW);
        if long && self.views.iter().any(|view| view.strides != whole) {
            self.walk = Walk::Rows;
        }
        for (&id, &input) in &self.inputs {
            let strides = &self.views[input].strides;
            let in_place = match self.walk {
                Walk::Whole => *strides == whole,
                Walk::Rows => matches!(strides.last(), Some(0 | 1)),
            };
            if in_place {
                self.operands.insert(id, Operand::Input(input));
            }
        }
    }

    fn register(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.registers += 1;
            self.registers - 1
        })
    }

    /// The operand of a value; loads it first where it must.
    fn read(&mut self, id: ValueId) -> Operand<T> {
        if let Some(&operand) = self.operands.get(&id) {
            return operand;
        }
        let out = self.register();
        let input = self.inputs[&id];
        self.instructions.push(Instruction::Load { input, out });
        let operand = Operand::Register(out);
        self.operands.insert(id, operand);
        operand
    }

    /// Counts one use of a value; its register is free after the last.
    fn used(&mut self, id: ValueId) {
        let left = self.uses.get_mut(&id).map(|left| {
            *left -= 1;
            *left
        });
        if let (Some(0), Some(Operand::Register(register))) = (left, self.operands.get(&id)) {
            self.free.push(*register);
            self.operands.remove(&id);
        }
    }

    fn node(&mut self, node: &Node, same: &[ValueId], graph: &Graph) {
        let ids: Vec<ValueId> = node.inputs.iter().map(|&id| same[id]).collect();
        let x: Vec<Operand<T>> = ids.iter().map(|&id| self.read(id)).collect();
        let out = self.register();
        self.instructions.push(instruction(node, &x, out, graph));
        self.operands
            .insert(node.outputs[0], Operand::Register(out));
        for id in ids {
            self.used(id);
        }
    }

    fn kernel(self) -> Kernel<T> {
        Kernel {
            dims: self.dims,
            inputs: self.views,
            direct: vec![None; self.instructions.len()],
            instructions: self.instructions,
            registers: self.registers,
            outputs: Vec::new(),
            walk: self.walk,
        }
    }

    fn finish(self, outputs: &[ValueId]) -> (Kernel<T>, Vec<Source>) {
        let outputs = outputs.iter().map(|id| Some(self.operands[id])).collect();
        let sources = self.sources.clone();
        let kernel = self.kernel();
        (Kernel { outputs, ..kernel }.write_directly(), sources)
    }
}

fn instruction<T: Number>(
    node: &Node,
    x: &[Operand<T>],
    out: usize,
    graph: &Graph,
) -> Instruction<T> {
    let one = |function| Instruction::One {
        function,
        x: x[0],
        out,
    };
    let two = |function, x, y| Instruction::Two {
        function,
        x,
        y,
        out,
    };
    let number = |scalar: &burn_ir::ScalarIr| Operand::Scalar(T::of(scalar.elem()));
    match &node.op {
        Op::Unary(function) => one(Function1::Unary(*function)),
        Op::Not => one(Function1::Not),
        Op::IsNan => one(Function1::IsNan),
        Op::IsInf => one(Function1::IsInf),
        Op::Cast => match graph.values[node.outputs[0]].kind {
            Kind::Int => one(Function1::Truncate),
            _ => one(Function1::Truth),
        },
        Op::Binary(function) => two(function2(*function), x[0], x[1]),
        Op::BinaryScalar(Binary::Pow, scalar) => match scalar.elem::<f64>() {
            2.0 => one(Function1::Square),
            0.5 => one(Function1::Unary(Unary::Sqrt)),
            -1.0 => one(Function1::Unary(Unary::Recip)),
            _ => two(Function2::Pow, x[0], number(scalar)),
        },
        Op::BinaryScalar(function, scalar) => two(function2(*function), x[0], number(scalar)),
        Op::Compare(compare) => two(Function2::Compare(*compare), x[0], x[1]),
        Op::CompareScalar(compare, scalar) => {
            two(Function2::Compare(*compare), x[0], number(scalar))
        }
        Op::Logic(logic) => two(Function2::Logic(*logic), x[0], x[1]),
        Op::MaskWhere => Instruction::Choose {
            mask: x[1],
            yes: x[2],
            no: x[0],
            out,
        },
        Op::MaskFill(scalar) => Instruction::Choose {
            mask: x[1],
            yes: number(scalar),
            no: x[0],
            out,
        },
        other => unreachable!("{} is not elementwise", other.name()),
    }
}

fn function2(function: Binary) -> Function2 {
    match function {
        Binary::Add => Function2::Add,
        Binary::Sub => Function2::Sub,
        Binary::Mul => Function2::Mul,
        Binary::Div => Function2::Div,
        Binary::Rem => Function2::Rem,
        Binary::Pow => Function2::Pow,
        Binary::ArcTan2 => Function2::ArcTan2,
    }
}
