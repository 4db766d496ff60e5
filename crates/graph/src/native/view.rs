//! Where the elements of a value lie in a buffer: a start and a stride for each dimension.

use burn::tensor::Slice;

/// A strided view of a buffer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    pub(crate) offset: usize,
    pub(crate) dims: Vec<usize>,
    pub(crate) strides: Vec<isize>,
}

/// Row-major strides.
pub(crate) fn strides_of(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for dim in (1..dims.len()).rev() {
        strides[dim - 1] = strides[dim] * dims[dim] as isize;
    }
    strides
}

impl View {
    /// A whole buffer, row-major.
    pub(crate) fn contiguous(dims: &[usize]) -> Self {
        Self {
            offset: 0,
            dims: dims.to_vec(),
            strides: strides_of(dims),
        }
    }

    pub(crate) fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether the elements lie one after the other; strides of dimensions of length one do not matter.
    pub(crate) fn is_contiguous(&self) -> bool {
        let expected = strides_of(&self.dims);
        let mut all = self.dims.iter().zip(&self.strides).zip(expected);
        all.all(|((&dim, &stride), expected)| dim <= 1 || stride == expected)
    }

    /// Where row number `row` of the outer dimensions starts.
    #[inline(always)]
    pub(crate) fn row(&self, outer: &[usize], mut row: usize) -> isize {
        let mut start = self.offset as isize;
        for (dim, &length) in outer.iter().enumerate().rev() {
            start += (row % length) as isize * self.strides[dim];
            row /= length;
        }
        start
    }

    pub(crate) fn permute(&self, axes: &[usize]) -> Self {
        Self {
            offset: self.offset,
            dims: axes.iter().map(|&axis| self.dims[axis]).collect(),
            strides: axes.iter().map(|&axis| self.strides[axis]).collect(),
        }
    }

    pub(crate) fn swap(&self, a: usize, b: usize) -> Self {
        let mut view = self.clone();
        view.dims.swap(a, b);
        view.strides.swap(a, b);
        view
    }

    /// Broadcast to `dims`: new leading dimensions and dimensions of length one repeat without memory.
    pub(crate) fn expand(&self, dims: &[usize]) -> Self {
        let new = dims.len() - self.dims.len();
        let strides = (0..dims.len())
            .map(|dim| match dim.checked_sub(new) {
                Some(old) if self.dims[old] == dims[dim] => self.strides[old],
                _ => 0,
            })
            .collect();
        Self {
            offset: self.offset,
            dims: dims.to_vec(),
            strides,
        }
    }

    /// A range of each dimension; none if a step is not positive.
    pub(crate) fn slice(&self, ranges: &[Slice]) -> Option<Self> {
        let mut view = self.clone();
        for (dim, range) in ranges.iter().enumerate() {
            if range.step < 1 {
                return None;
            }
            let bounds = range.to_range(self.dims[dim]);
            let step = range.step as usize;
            view.offset = view
                .offset
                .checked_add_signed(bounds.start as isize * self.strides[dim])?;
            view.dims[dim] = bounds.len().div_ceil(step);
            view.strides[dim] *= range.step;
        }
        Some(view)
    }

    /// Backwards along some dimensions.
    pub(crate) fn flip(&self, axes: &[usize]) -> Self {
        let mut view = self.clone();
        for &axis in axes {
            let last = (self.dims[axis].max(1) - 1) as isize * self.strides[axis];
            view.offset = (view.offset as isize + last) as usize;
            view.strides[axis] = -self.strides[axis];
        }
        view
    }

    /// Windows of `size` elements along `dim`, `step` apart, as a new last dimension.
    pub(crate) fn windows(&self, dim: usize, size: usize, step: usize) -> Self {
        let mut view = self.clone();
        view.dims[dim] = (self.dims[dim] - size) / step + 1;
        view.strides[dim] = self.strides[dim] * step as isize;
        view.dims.push(size);
        view.strides.push(self.strides[dim]);
        view
    }

    /// A new dimension before `dim` that repeats everything behind it.
    pub(crate) fn repeat(&self, dim: usize, times: usize) -> Self {
        let mut view = self.clone();
        view.dims.insert(dim, times);
        view.strides.insert(dim, 0);
        view
    }

    /// The same elements in another shape, where strides can say it.
    pub(crate) fn reshape(&self, dims: &[usize]) -> Option<Self> {
        if self.is_contiguous() {
            return Some(Self {
                offset: self.offset,
                ..Self::contiguous(dims)
            });
        }
        let mut strides = vec![0; dims.len()];
        let old: Vec<usize> = (0..self.dims.len())
            .filter(|&d| self.dims[d] != 1)
            .collect();
        let (mut from, mut to) = (0, 0);
        // groups of old and new dimensions with the same number of elements
        while from < old.len() {
            let (mut old_end, mut new_end) = (from + 1, to);
            let mut old_count = self.dims[old[from]];
            let mut new_count = 1;
            while old_count != new_count {
                if new_count < old_count {
                    new_count *= dims.get(new_end)?;
                    new_end += 1;
                } else {
                    old_count *= self.dims[*old.get(old_end)?];
                    old_end += 1;
                }
            }
            for pair in old[from..old_end].windows(2) {
                if self.strides[pair[0]] != self.strides[pair[1]] * self.dims[pair[1]] as isize {
                    return None;
                }
            }
            let mut stride = self.strides[old[old_end - 1]];
            for dim in (to..new_end).rev() {
                strides[dim] = stride;
                stride *= dims[dim] as isize;
            }
            (from, to) = (old_end, new_end);
        }
        Some(Self {
            offset: self.offset,
            dims: dims.to_vec(),
            strides,
        })
    }
}

/// Merges neighbouring dimensions that every view runs through without a break, and drops those of length one.
pub(crate) fn collapse(dims: &[usize], views: &mut [View]) -> Vec<usize> {
    let mut out: Vec<usize> = Vec::new();
    let mut strides: Vec<Vec<isize>> = vec![Vec::new(); views.len()];
    for (dim, &length) in dims.iter().enumerate() {
        if length == 1 {
            continue;
        }
        let merges = !out.is_empty()
            && views.iter().zip(&strides).all(|(view, known)| {
                known.last().copied() == Some(view.strides[dim] * length as isize)
            });
        for (view, known) in views.iter().zip(&mut strides) {
            if merges {
                known.pop();
            }
            known.push(view.strides[dim]);
        }
        match out.last_mut().filter(|_| merges) {
            Some(last) => *last *= length,
            None => out.push(length),
        }
    }
    for (view, strides) in views.iter_mut().zip(strides) {
        view.dims = out.clone();
        view.strides = strides;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_matrix_is_a_view_but_not_in_another_shape() {
        let matrix = View::contiguous(&[2, 3]).swap(0, 1);
        assert_eq!(
            (&matrix.dims[..], &matrix.strides[..]),
            (&[3, 2][..], &[1, 3][..])
        );
        assert!(!matrix.is_contiguous());
        assert_eq!(matrix.reshape(&[6]), None);
        let with_ones = matrix.reshape(&[3, 1, 2]).unwrap();
        assert_eq!(with_ones.strides[0], 1);
        assert_eq!(with_ones.strides[2], 3);
    }

    #[test]
    fn a_part_of_a_vector_is_a_matrix() {
        let vector = View::contiguous(&[4, 10]);
        let part = vector
            .slice(&[Slice::new(0, Some(4), 1), Slice::new(4, Some(10), 1)])
            .unwrap();
        let matrices = part.reshape(&[4, 2, 3]).unwrap();
        assert_eq!(
            matrices,
            View {
                offset: 4,
                dims: vec![4, 2, 3],
                strides: vec![10, 3, 1]
            }
        );
    }

    #[test]
    fn neighbouring_dimensions_collapse_where_all_views_allow() {
        let whole = View::contiguous(&[2, 1, 3, 4]);
        let row = View::contiguous(&[1, 1, 1, 4]).expand(&[2, 1, 3, 4]);
        let mut views = [whole.clone(), row];
        assert_eq!(collapse(&[2, 1, 3, 4], &mut views), [6, 4]);
        assert_eq!(views[1].strides, [0, 1]);
        assert_eq!(collapse(&[2, 1, 3, 4], &mut [whole]), [24]);
    }
}
