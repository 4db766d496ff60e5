//! Operations with a native form of their own: reductions, indexing, concatenation, assignment.

use super::compile::{Compiler, Place};
use super::convolution::{Convolution, Direction};
use super::indexing::{Indexed, Indexing};
use super::number::Number;
use super::reduce::Reduction;
use super::step::{Action, Base, Source, Target};
use super::view::View;
use crate::graph::{Node, ValueId};
use crate::op::{Kind, Op, Reduce};
use burn::tensor::{IndexingUpdateOp, Slice};
use burn_ir::PadModeIr;

impl<T: Number> Compiler<'_, T> {
    /// Emits the steps of a node; false if it has no native form.
    pub(crate) fn structured(&mut self, node: &Node) -> bool {
        let out = node.outputs[0];
        match &node.op {
            Op::Reduce(Reduce::ArgMax | Reduce::ArgMin) => return false,
            // a division of integers, which rounds
            Op::Reduce(Reduce::Mean) | Op::ReduceDim(Reduce::Mean, _)
                if self.graph.values[out].kind == Kind::Int =>
            {
                return false;
            }
            Op::Reduce(function) => {
                let length = self.dims(node.inputs[0]).iter().product();
                self.reduce(node.inputs[0], out, *function, [1, length, 1]);
            }
            Op::ReduceDim(function, dim) => self.reduce_dim(node.inputs[0], out, *function, *dim),
            Op::MaxDimWithIndices(dim) => {
                self.reduce_dim(node.inputs[0], out, Reduce::Max, *dim);
                self.reduce_dim(node.inputs[0], node.outputs[1], Reduce::ArgMax, *dim);
            }
            Op::MinDimWithIndices(dim) => {
                self.reduce_dim(node.inputs[0], out, Reduce::Min, *dim);
                self.reduce_dim(node.inputs[0], node.outputs[1], Reduce::ArgMin, *dim);
            }
            Op::Gather { dim } => {
                if !self.alike_but_for(node.inputs[0], node.inputs[1], *dim) {
                    return false;
                }
                self.read_by(node, Indexing::Gather, *dim);
            }
            Op::Select { dim } => self.read_by(node, Indexing::Select, *dim),
            Op::Scatter {
                dim,
                update: IndexingUpdateOp::Add,
            } => {
                if !self.alike_but_for(node.inputs[0], node.inputs[1], *dim) {
                    return false;
                }
                self.add_by(node, Indexing::ScatterAdd, *dim);
            }
            Op::SelectAssign {
                dim,
                update: IndexingUpdateOp::Add,
            } => {
                self.add_by(node, Indexing::SelectAdd, *dim);
            }
            Op::SliceAssign(ranges) => {
                let Some(place) = View::contiguous(self.dims(out)).slice(ranges) else {
                    return false;
                };
                let target = self.changed_copy(out, node.inputs[0]);
                self.assign(node.inputs[1], place, target);
            }
            Op::Pad {
                padding,
                mode: PadModeIr::Constant(number),
            } => {
                let dims = self.dims(node.inputs[0]).to_vec();
                let target = self.filled(out, number.elem());
                let place = View::contiguous(self.dims(out)).slice(&inner(&dims, padding));
                let place = place.expect("steps of one");
                self.assign(node.inputs[0], place, target);
            }
            Op::Cat { dim } => self.concatenate(node, *dim),
            op => return self.any_convolution(node, op),
        }
        true
    }

    /// Convolutions in one and two dimensions, their gradients and their transposes; false for any other operation.
    fn any_convolution(&mut self, node: &Node, op: &Op) -> bool {
        // what is padded behind shows in the shape of the result
        macro_rules! options {
            ($o:expr, $before:expr) => {
                Options::of(
                    &$o.stride,
                    &$o.padding.map($before),
                    &$o.dilation,
                    $o.groups,
                )
            };
        }
        let first = |(before, _): (usize, usize)| before;
        let both = |padding: usize| padding;
        match op {
            Op::Conv1d(o) => self.convolve(node, Direction::Forward, options!(o, first)),
            Op::Conv2d(o) => self.convolve(node, Direction::Forward, options!(o, first)),
            Op::Conv1dXBackward(o) => self.convolve(node, Direction::Input, options!(o, first)),
            Op::Conv2dXBackward(o) => self.convolve(node, Direction::Input, options!(o, first)),
            Op::Conv1dWeightBackward(o) => {
                self.convolve(node, Direction::Weight, options!(o, first));
            }
            Op::Conv2dWeightBackward(o) => {
                self.convolve(node, Direction::Weight, options!(o, first));
            }
            Op::ConvTranspose1d(o) => self.convolve_back(node, options!(o, both)),
            Op::ConvTranspose2d(o) => self.convolve_back(node, options!(o, both)),
            Op::ConvTranspose1dWeightBackward(o) => {
                self.convolve_back_weight(node, options!(o, both));
            }
            Op::ConvTranspose2dWeightBackward(o) => {
                self.convolve_back_weight(node, options!(o, both));
            }
            _ => return false,
        }
        true
    }

    /// A transposed convolution is the gradient by the input of the convolution with the same kernel.
    fn convolve_back(&mut self, node: &Node, options: Options) {
        let (x, weight) = (node.inputs[0], node.inputs[1]);
        let out = node.outputs[0];
        self.convolution(
            out,
            Direction::Input,
            [weight, x],
            weight,
            [out, x],
            options,
        );
    }

    /// The gradient of a transposed convolution by its kernel, from its x and ∂y.
    fn convolve_back_weight(&mut self, node: &Node, options: Options) {
        let (x, weight, gradient) = (node.inputs[0], node.inputs[1], node.inputs[2]);
        let ends = [gradient, x];
        self.convolution(
            node.outputs[0],
            Direction::Weight,
            ends,
            weight,
            ends,
            options,
        );
    }

    /// A convolution of x and weight, or of the two of (x, weight, ∂y) whose values count.
    fn convolve(&mut self, node: &Node, direction: Direction, options: Options) {
        let out = node.outputs[0];
        let (x, weight) = (node.inputs[0], node.inputs[1]);
        let (read, ends) = match direction {
            Direction::Forward => ([x, weight], [x, out]),
            Direction::Input => ([weight, node.inputs[2]], [out, node.inputs[2]]),
            Direction::Weight => ([x, node.inputs[2]], [x, node.inputs[2]]),
        };
        self.convolution(out, direction, read, weight, ends, options);
    }

    /// `ends` are the values that have the shapes of the input and the output of the convolution.
    fn convolution(
        &mut self,
        out: ValueId,
        direction: Direction,
        read: [ValueId; 2],
        weight: ValueId,
        ends: [ValueId; 2],
        options: Options,
    ) {
        let [x, y] = ends;
        let convolution = Convolution {
            direction,
            examples: self.dims(x)[0],
            groups: options.groups,
            channels: self.dims(weight)[1],
            filters: self.dims(weight)[0] / options.groups,
            input: flat_or_not(&self.dims(x)[2..]),
            output: flat_or_not(&self.dims(y)[2..]),
            kernel: flat_or_not(&self.dims(weight)[2..]),
            stride: options.stride,
            padding: options.padding,
            dilation: options.dilation,
        };
        let sources = read.map(|id| Source::of(&self.contiguous(id))).to_vec();
        let target = self.target(out, &sources);
        self.push(Action::Convolution(convolution), sources, vec![target]);
    }

    fn reduce_dim(&mut self, x: ValueId, out: ValueId, function: Reduce, dim: usize) {
        let dims = self.dims(x);
        let shape = [
            dims[..dim].iter().product(),
            dims[dim],
            dims[dim + 1..].iter().product(),
        ];
        self.reduce(x, out, function, shape);
    }

    fn reduce(&mut self, x: ValueId, out: ValueId, function: Reduce, shape: [usize; 3]) {
        let [_, length, inner] = shape;
        let source = Source::of(&self.contiguous(x));
        let target = self.target(out, &[source]);
        let reduction = Reduction {
            function,
            length,
            inner,
        };
        self.push(Action::Reduce(reduction), vec![source], vec![target]);
    }

    fn alike_but_for(&self, x: ValueId, indices: ValueId, dim: usize) -> bool {
        let (x, indices) = (self.dims(x), self.dims(indices));
        (0..x.len()).all(|d| d == dim || x[d] == indices[d])
    }

    fn indexed(&self, x: ValueId, indices: ValueId, indexing: Indexing, dim: usize) -> Indexed {
        let dims = self.dims(x);
        let indices = self.dims(indices);
        Indexed {
            indexing,
            outer: dims[..dim].iter().product(),
            length: dims[dim],
            inner: dims[dim + 1..].iter().product(),
            count: match indexing {
                Indexing::Gather | Indexing::ScatterAdd => indices[dim],
                Indexing::Select | Indexing::SelectAdd => indices[0],
            },
        }
    }

    fn read_by(&mut self, node: &Node, indexing: Indexing, dim: usize) {
        let (x, indices) = (node.inputs[0], node.inputs[1]);
        let indexed = self.indexed(x, indices, indexing, dim);
        let sources = vec![
            Source::of(&self.contiguous(x)),
            Source::of(&self.contiguous(indices)),
        ];
        let target = self.target(node.outputs[0], &sources);
        self.push(Action::Indexed(indexed), sources, vec![target]);
    }

    fn add_by(&mut self, node: &Node, indexing: Indexing, dim: usize) {
        let (x, indices, value) = (node.inputs[0], node.inputs[1], node.inputs[2]);
        let indexed = self.indexed(x, indices, indexing, dim);
        let sources = vec![
            Source::of(&self.contiguous(value)),
            Source::of(&self.contiguous(indices)),
        ];
        let target = self.changed_copy(node.outputs[0], x);
        self.push(Action::Indexed(indexed), sources, vec![target]);
    }

    /// Writes `value` into the part of a target that `place` views.
    fn assign(&mut self, value: ValueId, place: View, target: Target) {
        let stored = self.stored(value);
        let action = Action::Assign {
            source: stored.view,
            place,
        };
        self.push(action, vec![Source::whole(stored.base)], vec![target]);
    }

    fn concatenate(&mut self, node: &Node, dim: usize) {
        let out = node.outputs[0];
        let dims = self.dims(out).to_vec();
        let buffer = match self.place(out) {
            // some parts may have been written in place
            Place::Stored(stored) => match stored.base {
                Base::Buffer(buffer) => buffer,
                _ => unreachable!("a concatenation has memory of its own"),
            },
            _ => self.buffer(dims.iter().product()),
        };
        let target = self.written_into(out, buffer);
        let mut start = 0;
        for &part in &node.inputs {
            let mut ranges: Vec<Slice> = dims
                .iter()
                .map(|&d| Slice::new(0, Some(d as isize), 1))
                .collect();
            let end = start + self.dims(part)[dim];
            ranges[dim] = Slice::new(start as isize, Some(end as isize), 1);
            let place = View::contiguous(&dims)
                .slice(&ranges)
                .expect("steps of one");
            start = end;
            let mut stored = self.stored(part);
            if stored.base == Base::Buffer(buffer) {
                if stored.view.is_contiguous() && stored.view.offset == place.offset && dim == 0 {
                    continue;
                }
                stored = self.copied(&stored);
            }
            let action = Action::Assign {
                source: stored.view,
                place,
            };
            self.push(action, vec![Source::whole(stored.base)], vec![target]);
        }
    }
}

/// Options of a convolution in two dimensions.
struct Options {
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
}

impl Options {
    fn of(stride: &[usize], padding: &[usize], dilation: &[usize], groups: usize) -> Self {
        Self {
            stride: flat_or_not(stride),
            padding: match *padding {
                [one] => [0, one],
                _ => [padding[0], padding[1]],
            },
            dilation: flat_or_not(dilation),
            groups,
        }
    }
}

/// One dimension as two, the first of length one.
fn flat_or_not(dims: &[usize]) -> [usize; 2] {
    match *dims {
        [one] => [1, one],
        _ => [dims[0], dims[1]],
    }
}

/// Where the padded value lies in the result.
fn inner(dims: &[usize], padding: &[(usize, usize)]) -> Vec<Slice> {
    let unpadded = dims.len() - padding.len();
    dims.iter()
        .enumerate()
        .map(|(dim, &length)| {
            let before = dim.checked_sub(unpadded).map_or(0, |d| padding[d].0);
            Slice::new(before as isize, Some((before + length) as isize), 1)
        })
        .collect()
}
