//! Elementwise operations fused into one pass over memory.
//!
//! A kernel runs over a common iteration space in chunks that fit into the first cache. Each of its instructions is one tight
//! loop over a chunk, compiled for the vector instructions that the processor turns out to have.

use super::number::Number;
use super::view::View;
use crate::op::{Compare, Logic, Unary};
use pulp::{Arch, Simd, WithSimd};

/// Elements of a chunk: a register of f32 takes 2 KiB.
const CHUNK: usize = 512;

/// Where an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand<T> {
    /// A register of the kernel.
    Register(usize),
    /// An input without gaps in the iteration space, or in each row of it where the kernel goes by rows.
    Input(usize),
    /// A number.
    Scalar(T),
}

/// Two numbers to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function2 {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Pow,
    ArcTan2,
    Compare(Compare),
    Logic(Logic),
}

/// One number to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function1 {
    Unary(Unary),
    Square,
    Not,
    IsNan,
    IsInf,
    /// Towards zero: a float as an integer.
    Truncate,
    /// Anything but zero as one.
    Truth,
}

/// One loop over a chunk.
#[derive(Clone, Debug)]
pub(crate) enum Instruction<T> {
    /// A strided or broadcast input, copied.
    Load { input: usize, out: usize },
    One {
        function: Function1,
        x: Operand<T>,
        out: usize,
    },
    Two {
        function: Function2,
        x: Operand<T>,
        y: Operand<T>,
        out: usize,
    },
    /// yes where the mask is not zero, else no.
    Choose {
        mask: Operand<T>,
        yes: Operand<T>,
        no: Operand<T>,
        out: usize,
    },
}

/// A compiled chain of elementwise operations.
#[derive(Clone, Debug)]
pub(crate) struct Kernel<T> {
    /// The iteration space, neighbouring dimensions merged.
    pub(crate) dims: Vec<usize>,
    /// How each input lies in it.
    pub(crate) inputs: Vec<View>,
    pub(crate) instructions: Vec<Instruction<T>>,
    /// For each instruction, the output that it writes in place of its register.
    pub(crate) direct: Vec<Option<usize>>,
    pub(crate) registers: usize,
    /// What is copied to each output, all of them contiguous; none where an instruction writes it.
    pub(crate) outputs: Vec<Option<Operand<T>>>,
    pub(crate) walk: Walk,
}

/// How a kernel goes through its iteration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Chunk after chunk.
    Whole,
    /// A chunk ends with its row, so that inputs that are broadcast over rows are read in place.
    Rows,
}

/// Rows of this length are walked one by one where that saves copies.
pub(crate) const LONG_ROW: usize = 96;

/// Registers, kept between calls.
#[derive(Debug, Default)]
pub(crate) struct Registers<T>(Vec<Vec<T>>);

impl<T: Number> Kernel<T> {
    pub(crate) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// A rough measure of the work, to decide on threads.
    pub(crate) fn work(&self) -> usize {
        let heavy = |instruction: &Instruction<T>| match instruction {
            Instruction::One {
                function: Function1::Unary(Unary::Neg | Unary::Abs | Unary::Relu),
                ..
            } => 1,
            Instruction::One {
                function: Function1::Unary(_),
                ..
            } => 12,
            Instruction::Two {
                function: Function2::Pow | Function2::Rem | Function2::ArcTan2,
                ..
            } => 30,
            _ => 1,
        };
        let loops: usize = self.instructions.iter().map(heavy).sum();
        (loops + self.outputs.len()) * self.elements()
    }

    /// Writes the elements from `start` on, as many as the outputs take.
    pub(crate) fn run(
        &self,
        start: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
        registers: &mut Registers<T>,
    ) {
        let registers = &mut registers.0;
        if registers.len() < self.registers {
            registers.resize_with(self.registers, || vec![T::default(); CHUNK]);
        }
        Arch::new().dispatch(Run {
            kernel: self,
            start,
            inputs,
            outputs,
            registers,
        });
    }

    #[inline(always)]
    fn chunks(
        &self,
        start: usize,
        inputs: &[&[T]],
        outputs: &mut [&mut [T]],
        registers: &mut [Vec<T>],
    ) {
        let total = outputs.first().map_or(0, |out| out.len());
        let inner = self.dims.last().copied().unwrap_or(1);
        let mut starts = vec![0; self.inputs.len()];
        let mut done = 0;
        while done < total {
            let first = start + done;
            let mut length = CHUNK.min(total - done);
            if self.walk == Walk::Rows {
                length = length.min(inner - first % inner);
            }
            self.locate(first, &mut starts);
            let chunk = Chunk {
                first,
                length,
                walk: self.walk,
                views: &self.inputs,
                starts: &starts,
                inputs,
            };
            for (instruction, direct) in self.instructions.iter().zip(&self.direct) {
                match *direct {
                    Some(output) => {
                        let out = &mut outputs[output][done..done + length];
                        chunk.execute(instruction, &self.dims, registers, out);
                    }
                    None => {
                        let place = instruction.out();
                        // taken out, so that the others can be read meanwhile
                        let mut register = std::mem::take(&mut registers[place]);
                        chunk.execute(instruction, &self.dims, registers, &mut register[..length]);
                        registers[place] = register;
                    }
                }
            }
            for (out, operand) in outputs.iter_mut().zip(&self.outputs) {
                let Some(operand) = operand else { continue };
                let out = &mut out[done..done + length];
                match chunk.operand(operand, registers) {
                    Argument::Slice(x) => out.copy_from_slice(x),
                    Argument::Scalar(x) => out.fill(x),
                }
            }
            done += length;
        }
    }

    /// Where each input is at an element.
    #[inline(always)]
    fn locate(&self, first: usize, starts: &mut [usize]) {
        for (start, view) in starts.iter_mut().zip(&self.inputs) {
            *start = match (self.walk, self.dims.split_last()) {
                (Walk::Rows, Some((&inner, outer))) => {
                    let column = (first % inner) as isize * view.strides[outer.len()];
                    (view.row(outer, first / inner) + column) as usize
                }
                _ => view.offset + first,
            };
        }
    }
}

impl<T> Instruction<T> {
    fn out(&self) -> usize {
        match *self {
            Instruction::Load { out, .. }
            | Instruction::One { out, .. }
            | Instruction::Two { out, .. }
            | Instruction::Choose { out, .. } => out,
        }
    }

    /// Whether it reads a register.
    fn reads(&self, register: usize) -> bool {
        let is = |operand: &Operand<T>| matches!(*operand, Operand::Register(index) if index == register);
        match self {
            Instruction::Load { .. } => false,
            Instruction::One { x, .. } => is(x),
            Instruction::Two { x, y, .. } => is(x) || is(y),
            Instruction::Choose { mask, yes, no, .. } => is(mask) || is(yes) || is(no),
        }
    }
}

impl<T: Number> Kernel<T> {
    /// Lets the instruction that computes an output write it there, unless its register is read again.
    pub(crate) fn write_directly(mut self) -> Self {
        self.direct = vec![None; self.instructions.len()];
        for (output, operand) in self.outputs.iter_mut().enumerate() {
            let Some(Operand::Register(register)) = *operand else {
                continue;
            };
            let writer = self.instructions.iter().rposition(|i| i.out() == register);
            let Some(writer) = writer else { continue };
            if !self.instructions[writer + 1..]
                .iter()
                .any(|i| i.reads(register))
            {
                self.direct[writer] = Some(output);
                *operand = None;
            }
        }
        self
    }
}

/// A run, to be compiled for each set of vector instructions. A closure would be compiled for the common ones only.
struct Run<'a, 'b, T> {
    kernel: &'a Kernel<T>,
    start: usize,
    inputs: &'a [&'a [T]],
    outputs: &'a mut [&'b mut [T]],
    registers: &'a mut [Vec<T>],
}

impl<T: Number> WithSimd for Run<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.kernel
            .chunks(self.start, self.inputs, self.outputs, self.registers);
    }
}

enum Argument<'a, T> {
    Slice(&'a [T]),
    Scalar(T),
}

struct Chunk<'a, T> {
    first: usize,
    length: usize,
    walk: Walk,
    views: &'a [View],
    /// Where each input is, for those that are read in place.
    starts: &'a [usize],
    inputs: &'a [&'a [T]],
}

impl<T: Number> Chunk<'_, T> {
    #[inline(always)]
    fn operand<'b>(&'b self, operand: &Operand<T>, registers: &'b [Vec<T>]) -> Argument<'b, T> {
        match *operand {
            Operand::Register(index) => Argument::Slice(&registers[index][..self.length]),
            Operand::Scalar(number) => Argument::Scalar(number),
            Operand::Input(index) => {
                let (start, data) = (self.starts[index], self.inputs[index]);
                if self.walk == Walk::Rows && self.views[index].strides.last() == Some(&0) {
                    return Argument::Scalar(data[start]);
                }
                Argument::Slice(&data[start..start + self.length])
            }
        }
    }

    #[inline(always)]
    fn execute(
        &self,
        instruction: &Instruction<T>,
        dims: &[usize],
        registers: &[Vec<T>],
        out: &mut [T],
    ) {
        match instruction {
            Instruction::Load { input, .. } => {
                load(
                    out,
                    self.first,
                    self.inputs[*input],
                    &self.views[*input],
                    dims,
                );
            }
            Instruction::One { function, x, .. } => one(*function, self.operand(x, registers), out),
            Instruction::Two { function, x, y, .. } => {
                let (x, y) = (self.operand(x, registers), self.operand(y, registers));
                two(*function, x, y, out);
            }
            Instruction::Choose { mask, yes, no, .. } => choose(
                self.operand(mask, registers),
                self.operand(yes, registers),
                self.operand(no, registers),
                out,
            ),
        }
    }
}

/// Copies a strided piece: runs along the innermost dimension, then on to the next place of the outer ones.
#[inline(always)]
fn load<T: Number>(out: &mut [T], first: usize, data: &[T], view: &View, dims: &[usize]) {
    let Some((&inner, outer)) = dims.split_last() else {
        out.fill(data[view.offset]);
        return;
    };
    let stride = view.strides[outer.len()];
    let (mut row, mut column) = (first / inner, first % inner);
    let mut done = 0;
    while done < out.len() {
        let length = (inner - column).min(out.len() - done);
        let start = view.row(outer, row) + column as isize * stride;
        let piece = &mut out[done..done + length];
        match stride {
            0 => piece.fill(data[start as usize]),
            1 => piece.copy_from_slice(&data[start as usize..start as usize + length]),
            _ => {
                for (index, out) in piece.iter_mut().enumerate() {
                    *out = data[(start + index as isize * stride) as usize];
                }
            }
        }
        done += length;
        (row, column) = (row + 1, 0);
    }
}

#[inline(always)]
fn map1<T: Number>(x: Argument<'_, T>, out: &mut [T], f: impl Fn(T) -> T) {
    match x {
        Argument::Slice(x) => {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = f(x);
            }
        }
        Argument::Scalar(x) => out.fill(f(x)),
    }
}

#[inline(always)]
fn map2<T: Number>(x: Argument<'_, T>, y: Argument<'_, T>, out: &mut [T], f: impl Fn(T, T) -> T) {
    match (x, y) {
        (Argument::Slice(x), Argument::Slice(y)) => {
            for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
                *out = f(x, y);
            }
        }
        (Argument::Slice(x), Argument::Scalar(y)) => {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = f(x, y);
            }
        }
        (Argument::Scalar(x), Argument::Slice(y)) => {
            for (out, &y) in out.iter_mut().zip(y) {
                *out = f(x, y);
            }
        }
        (Argument::Scalar(x), Argument::Scalar(y)) => out.fill(f(x, y)),
    }
}

#[inline(always)]
fn truth<T: Number>(x: bool) -> T {
    T::of(if x { 1.0 } else { 0.0 })
}

#[inline(always)]
fn one<T: Number>(function: Function1, x: Argument<'_, T>, out: &mut [T]) {
    let (zero, number) = (T::of(0.0), T::of(1.0));
    match function {
        Function1::Square => map1(
            x,
            out,
            #[inline(always)]
            |x| x * x,
        ),
        Function1::Not => map1(
            x,
            out,
            #[inline(always)]
            |x| truth(x == zero),
        ),
        Function1::Truth => map1(
            x,
            out,
            #[inline(always)]
            |x| truth(x != zero),
        ),
        Function1::IsNan => map1(
            x,
            out,
            #[inline(always)]
            |x| truth(x.nan()),
        ),
        Function1::IsInf => {
            let infinity = T::of(f64::INFINITY);
            map1(
                x,
                out,
                #[inline(always)]
                |x| truth(x.magnitude() == infinity),
            );
        }
        Function1::Truncate => map1(x, out, |x| x.by_f64(f64::trunc)),
        Function1::Unary(unary) => match unary {
            Unary::Neg => map1(
                x,
                out,
                #[inline(always)]
                |x| -x,
            ),
            Unary::Recip => map1(
                x,
                out,
                #[inline(always)]
                |x| number / x,
            ),
            Unary::Abs => map1(
                x,
                out,
                #[inline(always)]
                |x| x.magnitude(),
            ),
            Unary::Sign => map1(
                x,
                out,
                #[inline(always)]
                |x| truth::<T>(x > zero) - truth::<T>(x < zero),
            ),
            Unary::Exp => map1(
                x,
                out,
                #[inline(always)]
                |x| x.exponential(),
            ),
            Unary::Log => map1(
                x,
                out,
                #[inline(always)]
                |x| x.logarithm(),
            ),
            Unary::Log1p => map1(x, out, |x| x.by_f64(f64::ln_1p)),
            Unary::Sqrt => map1(
                x,
                out,
                #[inline(always)]
                |x| x.root(),
            ),
            Unary::Erf => map1(x, out, |x| x.error_function()),
            Unary::Sin => map1(x, out, |x| x.by_f64(f64::sin)),
            Unary::Cos => map1(x, out, |x| x.by_f64(f64::cos)),
            Unary::Tan => map1(x, out, |x| x.by_f64(f64::tan)),
            Unary::Sinh => map1(x, out, |x| x.by_f64(f64::sinh)),
            Unary::Cosh => map1(x, out, |x| x.by_f64(f64::cosh)),
            Unary::Tanh => map1(
                x,
                out,
                #[inline(always)]
                |x| x.hyperbolic_tangent(),
            ),
            Unary::ArcSin => map1(x, out, |x| x.by_f64(f64::asin)),
            Unary::ArcCos => map1(x, out, |x| x.by_f64(f64::acos)),
            Unary::ArcTan => map1(x, out, |x| x.by_f64(f64::atan)),
            Unary::ArcSinh => map1(x, out, |x| x.by_f64(f64::asinh)),
            Unary::ArcCosh => map1(x, out, |x| x.by_f64(f64::acosh)),
            Unary::ArcTanh => map1(x, out, |x| x.by_f64(f64::atanh)),
            Unary::Round => map1(x, out, |x| x.by_f64(f64::round_ties_even)),
            Unary::Floor => map1(x, out, |x| x.by_f64(f64::floor)),
            Unary::Ceil => map1(x, out, |x| x.by_f64(f64::ceil)),
            Unary::Trunc => map1(x, out, |x| x.by_f64(f64::trunc)),
            // NaN is not below zero and stays
            Unary::Relu => map1(
                x,
                out,
                #[inline(always)]
                |x| if x < zero { zero } else { x },
            ),
            Unary::Sigmoid => map1(
                x,
                out,
                #[inline(always)]
                |x| x.logistic(),
            ),
            // min(x, 0) − log(1 + exp(−|x|))
            Unary::LogSigmoid => map1(x, out, |x| {
                x.by_f64(|x| x.min(0.0) - (-x.abs()).exp().ln_1p())
            }),
        },
    }
}

#[inline(always)]
fn two<T: Number>(function: Function2, x: Argument<'_, T>, y: Argument<'_, T>, out: &mut [T]) {
    let zero = T::of(0.0);
    match function {
        Function2::Add => map2(
            x,
            y,
            out,
            #[inline(always)]
            |x, y| x + y,
        ),
        Function2::Sub => map2(
            x,
            y,
            out,
            #[inline(always)]
            |x, y| x - y,
        ),
        Function2::Mul => map2(
            x,
            y,
            out,
            #[inline(always)]
            |x, y| x * y,
        ),
        Function2::Div => map2(
            x,
            y,
            out,
            #[inline(always)]
            |x, y| x / y,
        ),
        // as Burn has it: the sign of the divisor
        Function2::Rem => map2(x, y, out, |x, y| {
            let (x, y) = (x.wide(), y.wide());
            T::of(x - y * (x / y).floor())
        }),
        Function2::Pow => map2(x, y, out, |x, y| T::of(x.wide().powf(y.wide()))),
        Function2::ArcTan2 => map2(x, y, out, |x, y| T::of(x.wide().atan2(y.wide()))),
        Function2::Compare(compare) => match compare {
            Compare::Equal => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x == y),
            ),
            Compare::NotEqual => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x != y),
            ),
            Compare::Greater => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x > y),
            ),
            Compare::GreaterEqual => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x >= y),
            ),
            Compare::Lower => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x < y),
            ),
            Compare::LowerEqual => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x <= y),
            ),
        },
        Function2::Logic(logic) => match logic {
            Logic::And => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x != zero && y != zero),
            ),
            Logic::Or => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth(x != zero || y != zero),
            ),
            Logic::Xor => map2(
                x,
                y,
                out,
                #[inline(always)]
                |x, y| truth((x != zero) != (y != zero)),
            ),
        },
    }
}

#[inline(always)]
fn choose<T: Number>(
    mask: Argument<'_, T>,
    yes: Argument<'_, T>,
    no: Argument<'_, T>,
    out: &mut [T],
) {
    let zero = T::of(0.0);
    let mask = match mask {
        Argument::Slice(mask) => mask,
        Argument::Scalar(mask) => {
            let chosen = if mask != zero { yes } else { no };
            return map1(
                chosen,
                out,
                #[inline(always)]
                |x| x,
            );
        }
    };
    match (yes, no) {
        (Argument::Slice(yes), Argument::Slice(no)) => {
            for (((out, &mask), &yes), &no) in out.iter_mut().zip(mask).zip(yes).zip(no) {
                *out = if mask != zero { yes } else { no };
            }
        }
        (Argument::Slice(yes), Argument::Scalar(no)) => {
            map2(
                Argument::Slice(mask),
                Argument::Slice(yes),
                out,
                #[inline(always)]
                |mask, yes| {
                    if mask != zero { yes } else { no }
                },
            );
        }
        (Argument::Scalar(yes), Argument::Slice(no)) => {
            map2(
                Argument::Slice(mask),
                Argument::Slice(no),
                out,
                #[inline(always)]
                |mask, no| {
                    if mask != zero { yes } else { no }
                },
            );
        }
        (Argument::Scalar(yes), Argument::Scalar(no)) => {
            map1(
                Argument::Slice(mask),
                out,
                #[inline(always)]
                |mask| {
                    if mask != zero { yes } else { no }
                },
            );
        }
    }
}
