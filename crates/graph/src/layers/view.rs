//! Parameters seen through layout operations: which element of a parameter stands at which place.

use crate::graph::Graph;
use crate::op::Op;

/// A value whose element at (i₁, i₂, …) is element Σ iₖ · strideₖ of a parameter, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Position of the parameter.
    pub(super) parameter: usize,
    pub(super) dims: Vec<usize>,
    /// Zero along dimensions that repeat the parameter.
    pub(super) strides: Vec<usize>,
}

impl View {
    fn whole(parameter: usize, dims: &[usize]) -> Self {
        let mut strides = vec![1; dims.len()];
        for dim in (1..dims.len()).rev() {
            strides[dim - 1] = strides[dim] * dims[dim];
        }
        Self {
            parameter,
            dims: dims.to_vec(),
            strides,
        }
    }

    /// The view through one more operation; none if it is no layout, or none that strides can say.
    fn through(&self, op: &Op, dims: &[usize]) -> Option<Self> {
        let strides = match op {
            Op::Cast => self.strides.clone(),
            Op::SwapDims(a, b) => {
                let mut strides = self.strides.clone();
                strides.swap(*a, *b);
                strides
            }
            Op::Permute(axes) => axes.iter().map(|&axis| self.strides[axis]).collect(),
            Op::Expand => self.expanded(dims),
            Op::Reshape => self.reshaped(dims)?,
            _ => return None,
        };
        Some(Self {
            parameter: self.parameter,
            dims: dims.to_vec(),
            strides,
        })
    }

    fn expanded(&self, dims: &[usize]) -> Vec<usize> {
        let new = dims.len() - self.dims.len();
        let mut strides = vec![0; new];
        for (axis, &stride) in self.strides.iter().enumerate() {
            let repeated = self.dims[axis] == 1 && dims[new + axis] != 1;
            strides.push(if repeated { 0 } else { stride });
        }
        strides
    }

    /// Splits and merges dimensions where neighbours lie in memory one after the other.
    fn reshaped(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let old: Vec<(usize, usize)> = (self.dims.iter().copied())
            .zip(self.strides.iter().copied())
            .filter(|(length, _)| *length != 1)
            .collect();
        let mut strides = vec![0; dims.len()];
        let (mut next, mut axis) = (0, 0);
        while next < old.len() {
            // the shortest run of old and of new dimensions with as many elements
            let first = next;
            let (mut elements, mut covered) = (old[next].0, 1);
            let begin = axis;
            next += 1;
            while covered != elements {
                if covered < elements {
                    covered *= dims.get(axis)?;
                    axis += 1;
                } else {
                    let (length, stride) = *old.get(next)?;
                    if old[next - 1].1 != length * stride {
                        return None;
                    }
                    elements *= length;
                    next += 1;
                }
            }
            debug_assert!(first < next);
            let mut stride = old[next - 1].1;
            for place in (begin..axis).rev() {
                strides[place] = stride;
                stride *= dims[place];
            }
        }
        Some(strides)
    }

    /// The stride of a dimension; zero for length one, where it does not matter.
    pub(super) fn stride(&self, axis: usize) -> usize {
        match self.dims[axis] {
            1 => 0,
            _ => self.strides[axis],
        }
    }

    /// Whether the values repeat along each of these dimensions.
    pub(super) fn repeats(&self, mut axes: impl Iterator<Item = usize>) -> bool {
        axes.all(|axis| self.stride(axis) == 0)
    }

    /// Whether the view is the parameter as a row-major matrix of these sides.
    pub(super) fn is_row_major(&self, rows: usize, width: usize) -> bool {
        let mut expected = rows * width;
        self.dims.iter().enumerate().all(|(axis, &length)| {
            expected /= length.max(1);
            length == 1 || self.strides[axis] == expected
        })
    }
}

/// For each value, its view of a parameter.
pub(super) fn views(graph: &Graph, parameters: usize) -> Vec<Option<View>> {
    let mut views = vec![None; graph.values.len()];
    for (parameter, &id) in graph.inputs[..parameters].iter().enumerate() {
        views[id] = Some(View::whole(parameter, graph.dims(id)));
    }
    for node in &graph.nodes {
        let [input] = node.inputs[..] else { continue };
        if let Some(view) = &views[input] {
            let out = node.outputs[0];
            views[out] = view.through(&node.op, graph.dims(out));
        }
    }
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(dims: &[usize]) -> View {
        View::whole(0, dims)
    }

    #[test]
    fn layouts_are_followed() {
        let matrix = view(&[3, 4]);
        assert_eq!(matrix.strides, [4, 1]);
        let transposed = matrix.through(&Op::SwapDims(0, 1), &[4, 3]).unwrap();
        assert_eq!(transposed.strides, [1, 4]);
        let row = transposed.through(&Op::Reshape, &[1, 4, 3]).unwrap();
        let expanded = row.through(&Op::Expand, &[5, 4, 3]).unwrap();
        assert_eq!(expanded.strides, [0, 1, 4]);
        assert!(expanded.repeats(0..1) && !expanded.repeats(0..2));
        // rows of a transpose do not lie one after the other
        assert_eq!(transposed.through(&Op::Reshape, &[12]), None);
    }

    #[test]
    fn reshapes_split_and_merge() {
        let split = view(&[6, 4]).through(&Op::Reshape, &[2, 3, 4]).unwrap();
        assert_eq!(split.strides, [12, 4, 1]);
        let merged = split.through(&Op::Reshape, &[2, 1, 12]).unwrap();
        assert_eq!((merged.stride(0), merged.stride(2)), (12, 1));
        let mixed = view(&[4, 3]).through(&Op::Reshape, &[2, 6]).unwrap();
        assert_eq!(mixed.strides, [6, 1]);
        let one = view(&[1]).through(&Op::Reshape, &[1, 1]).unwrap();
        assert!(one.repeats(0..2));
    }

    #[test]
    fn other_operations_end_a_view() {
        assert_eq!(view(&[3]).through(&Op::Flip(vec![0]), &[3]), None);
    }
}
