//! Pooling as gather (maximum) and as products with averaging matrices (mean), both linear in their input.

use super::Importer;
use crate::error::GraphError;
use crate::graph::{Node, ValueId};
use crate::op::{Kind, Op, Pool, Windows};
use burn::tensor::{Shape, TensorData};
use burn_ir::{ModuleOperationIr, TensorIr};

/// One dimension of an average pooling.
#[derive(Clone, Copy, Debug)]
struct Window {
    kernel: usize,
    stride: usize,
    padding: usize,
    padded_elements: PaddedElements,
}

/// Whether padding counts in the denominator of a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PaddedElements {
    Count,
    Ignore,
}

impl From<bool> for PaddedElements {
    fn from(count_include_pad: bool) -> Self {
        match count_include_pad {
            true => Self::Count,
            false => Self::Ignore,
        }
    }
}

impl Importer {
    pub(super) fn pooling(&mut self, op: &ModuleOperationIr) -> Result<(), GraphError> {
        use ModuleOperationIr as M;
        match op {
            M::AvgPool1d(o) => {
                let window = Window {
                    kernel: o.kernel_size,
                    stride: o.stride,
                    padding: o.padding,
                    padded_elements: o.count_include_pad.into(),
                };
                self.average(&o.x, &o.out, &[(2, window)])
            }
            M::AvgPool2d(o) => {
                let window = |axis: usize| Window {
                    kernel: o.kernel_size[axis],
                    stride: o.stride[axis],
                    padding: o.padding[axis],
                    padded_elements: o.count_include_pad.into(),
                };
                self.average(&o.x, &o.out, &[(2, window(0)), (3, window(1))])
            }
            M::AdaptiveAvgPool1d(o) => self.adaptive(&o.x, &o.out, 1),
            M::AdaptiveAvgPool2d(o) => self.adaptive(&o.x, &o.out, 2),
            M::AdaptiveAvgPool3d(o) => self.adaptive(&o.x, &o.out, 3),
            M::MaxPool1d(o) => {
                let windows = Windows {
                    kernel: [o.kernel_size],
                    stride: [o.stride],
                    padding: [o.padding],
                    dilation: [o.dilation],
                    ceil_mode: o.ceil_mode,
                    count_include_pad: false,
                };
                self.maximum(&o.x, &o.out, None, Pool::Max1dWithIndices(windows))
            }
            M::MaxPool1dWithIndices(o) => {
                let windows = Windows {
                    kernel: [o.kernel_size],
                    stride: [o.stride],
                    padding: [o.padding],
                    dilation: [o.dilation],
                    ceil_mode: o.ceil_mode,
                    count_include_pad: false,
                };
                self.maximum(
                    &o.x,
                    &o.out,
                    Some(&o.out_indices),
                    Pool::Max1dWithIndices(windows),
                )
            }
            M::MaxPool1dWithIndicesBackward(o) => {
                let windows = Windows {
                    kernel: [o.kernel_size],
                    stride: [o.stride],
                    padding: [o.padding],
                    dilation: [o.dilation],
                    ceil_mode: o.ceil_mode,
                    count_include_pad: false,
                };
                self.native(
                    Pool::Max1dBackward(windows),
                    &[&o.x, &o.grad, &o.indices],
                    &o.out,
                )
            }
            M::AvgPool1dBackward(o) => {
                let windows = Windows {
                    kernel: [o.kernel_size],
                    stride: [o.stride],
                    padding: [o.padding],
                    dilation: [1; 1],
                    ceil_mode: o.ceil_mode,
                    count_include_pad: o.count_include_pad,
                };
                self.native(Pool::Avg1dBackward(windows), &[&o.x, &o.grad], &o.out)
            }
            M::MaxPool2d(o) => {
                let windows = Windows {
                    kernel: o.kernel_size,
                    stride: o.stride,
                    padding: o.padding,
                    dilation: o.dilation,
                    ceil_mode: o.ceil_mode,
                    count_include_pad: false,
                };
                self.maximum(&o.x, &o.out, None, Pool::Max2dWithIndices(windows))
            }
            M::MaxPool2dWithIndices(o) => {
                let windows = Windows {
                    kernel: o.kernel_size,
                    stride: o.stride,
                    padding: o.padding,
                    dilation: o.dilation,
                    ceil_mode: o.ceil_mode,
                    count_include_pad: false,
                };
                self.maximum(
                    &o.x,
                    &o.out,
                    Some(&o.out_indices),
                    Pool::Max2dWithIndices(windows),
                )
            }
            M::MaxPool2dWithIndicesBackward(o) => {
                let windows = Windows {
                    kernel: o.kernel_size,
                    stride: o.stride,
                    padding: o.padding,
                    dilation: o.dilation,
                    ceil_mode: o.ceil_mode,
                    count_include_pad: false,
                };
                self.native(
                    Pool::Max2dBackward(windows),
                    &[&o.x, &o.grad, &o.indices],
                    &o.out,
                )
            }
            M::AvgPool2dBackward(o) => {
                let windows = Windows {
                    kernel: o.kernel_size,
                    stride: o.stride,
                    padding: o.padding,
                    dilation: [1; 2],
                    ceil_mode: o.ceil_mode,
                    count_include_pad: o.count_include_pad,
                };
                self.native(Pool::Avg2dBackward(windows), &[&o.x, &o.grad], &o.out)
            }
            M::AdaptiveAvgPool1dBackward(o) => {
                self.native(Pool::AdaptiveAvg1dBackward, &[&o.x, &o.grad], &o.out)
            }
            M::AdaptiveAvgPool2dBackward(o) => {
                self.native(Pool::AdaptiveAvg2dBackward, &[&o.x, &o.grad], &o.out)
            }
            M::AdaptiveAvgPool3dBackward(o) => {
                self.native(Pool::AdaptiveAvg3dBackward, &[&o.x, &o.grad], &o.out)
            }
            other => {
                let text = format!("{other:?}");
                let name = text.split('(').next().unwrap_or("module operation");
                Err(self.unsupported(name, &[], "it has no lowering yet"))
            }
        }
    }

    /// Burn's own kernel, for graphs that are evaluated only.
    fn native(
        &mut self,
        pool: Pool,
        inputs: &[&TensorIr],
        out: &TensorIr,
    ) -> Result<(), GraphError> {
        self.node(Op::Pool(pool), inputs, &[out])
    }

    /// The maxima by their indices: piecewise linear, with the indices as constants.
    fn maximum(
        &mut self,
        x: &TensorIr,
        out: &TensorIr,
        indices: Option<&TensorIr>,
        pool: Pool,
    ) -> Result<(), GraphError> {
        let x = self.get(x)?;
        let values = self.graph.value(Kind::Float, out.shape.clone());
        let positions = self.graph.value(Kind::Int, out.shape.clone());
        self.graph.nodes.push(Node {
            op: Op::Pool(pool),
            inputs: vec![x],
            outputs: vec![values, positions],
        });
        let shape = self.shape(x);
        let (channels, area) = (shape[..2].to_vec(), shape[2..].iter().product::<usize>());
        let selected: usize = out.shape.iter().skip(2).product();
        let flat = self.reshape(x, [channels[0], channels[1], area]);
        let flat_positions = self.reshape(positions, [channels[0], channels[1], selected]);
        let maxima = self.graph.push(
            Op::Gather { dim: 2 },
            [flat, flat_positions],
            Kind::Float,
            [channels[0], channels[1], selected],
        );
        let result = self.reshape(maxima, out.shape.clone());
        self.set(out, result);
        if let Some(indices) = indices {
            self.set(indices, positions);
        }
        Ok(())
    }

    fn average(
        &mut self,
        x: &TensorIr,
        out: &TensorIr,
        windows: &[(usize, Window)],
    ) -> Result<(), GraphError> {
        let mut value = self.get(x)?;
        for &(dim, window) in windows {
            let (from, to) = (self.shape(value)[dim], out.shape[dim]);
            value = self.along_dim(value, dim, averaging_matrix(from, to, window), to);
        }
        self.set(out, value);
        Ok(())
    }

    fn adaptive(&mut self, x: &TensorIr, out: &TensorIr, dims: usize) -> Result<(), GraphError> {
        let mut value = self.get(x)?;
        for dim in 2..2 + dims {
            let (from, to) = (self.shape(value)[dim], out.shape[dim]);
            value = self.along_dim(value, dim, adaptive_matrix(from, to), to);
        }
        self.set(out, value);
        Ok(())
    }

    /// Multiplies dimension `dim` by a constant matrix `[from, to]`.
    pub(super) fn along_dim(
        &mut self,
        x: ValueId,
        dim: usize,
        matrix: Vec<f64>,
        to: usize,
    ) -> ValueId {
        let mut shape = self.shape(x);
        let from = shape[dim];
        let outer: usize = shape[..dim].iter().product();
        let inner: usize = shape[dim + 1..].iter().product();
        shape[dim] = to;
        let product = if inner == 1 {
            let rows = self.reshape(x, [outer, from]);
            let matrix = self.constant(TensorData::new(matrix, [from, to]));
            self.matmul(rows, matrix)
        } else {
            // from the left, so that nothing has to be transposed
            let blocks = self.reshape(x, [outer, from, inner]);
            let transposed: Vec<f64> = (0..to * from)
                .map(|index| matrix[index % from * to + index / from])
                .collect();
            let matrix = self.constant(TensorData::new(transposed, [1, to, from]));
            let dims = [outer, to, inner];
            self.graph
                .push(Op::Matmul, [matrix, blocks], Kind::Float, dims)
        };
        self.reshape(product, Shape::from(shape))
    }
}

/// Entry (i, o) is the weight of element i in the mean of window o.
fn averaging_matrix(from: usize, to: usize, window: Window) -> Vec<f64> {
    let mut matrix = vec![0.0; from * to];
    for output in 0..to {
        let start = (output * window.stride) as isize - window.padding as isize;
        let end = start + window.kernel as isize;
        let inside = start.max(0)..end.min(from as isize);
        let count = match window.padded_elements {
            // a window that hangs over the padded border (ceiling mode) counts up to that border
            PaddedElements::Count => (end.min((from + window.padding) as isize) - start).max(1),
            PaddedElements::Ignore => (inside.end - inside.start).max(1),
        };
        for element in inside {
            matrix[element as usize * to + output] = 1.0 / count as f64;
        }
    }
    matrix
}

/// Output o averages the elements from ⌊o n/m⌋ to ⌈(o+1) n/m⌉.
fn adaptive_matrix(from: usize, to: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; from * to];
    for output in 0..to {
        let start = output * from / to;
        let end = ((output + 1) * from).div_ceil(to);
        for element in start..end {
            matrix[element * to + output] = 1.0 / (end - start) as f64;
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averaging_matrices_have_windows_as_columns() {
        let window = Window {
            kernel: 2,
            stride: 2,
            padding: 0,
            padded_elements: PaddedElements::Count,
        };
        assert_eq!(
            averaging_matrix(5, 2, window),
            [0.5, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.5, 0.0, 0.0]
        );
        let padded = Window {
            padding: 1,
            padded_elements: PaddedElements::Ignore,
            ..window
        };
        assert_eq!(
            averaging_matrix(3, 2, padded),
            [1.0, 0.0, 0.0, 0.5, 0.0, 0.5]
        );
    }

    #[test]
    fn adaptive_windows_overlap_when_sizes_do_not_divide() {
        // 3 elements to 2 means: {0, 1} and {1, 2}
        assert_eq!(adaptive_matrix(3, 2), [0.5, 0.0, 0.5, 0.5, 0.0, 0.5]);
    }
}
