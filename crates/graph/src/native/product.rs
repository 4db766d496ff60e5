//! Sums of matrix products, by faer, on one thread or shared among several.

use super::number::Number;
use super::skinny::{self, FEW, Lines, Matrix};
use super::view::View;
use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef, Par};

/// Multiply-adds from which a second thread is worth waking.
const PARALLEL: usize = 1 << 20;

/// The last two dimensions of a view: one of the two must be without gaps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// Rows of this distance.
    Rows(usize),
    /// Columns of this distance.
    Columns(usize),
}

/// The stack of matrices that a view holds.
#[derive(Clone, Debug)]
pub(crate) struct Matrices {
    rows: usize,
    columns: usize,
    order: Order,
    /// Where each matrix starts.
    offsets: Vec<usize>,
}

impl Matrices {
    /// Reads a view of at least two dimensions, broadcast to the leading dimensions `batch`; none if it must be copied first.
    pub(crate) fn of(view: &View, batch: &[usize]) -> Option<Self> {
        let rank = view.dims.len();
        let (rows, columns) = (view.dims[rank - 2], view.dims[rank - 1]);
        let (down, across) = (view.strides[rank - 2], view.strides[rank - 1]);
        let wide = |stride: isize, length: usize, count: usize| {
            (count <= 1 || stride >= length as isize)
                .then_some(stride.max(length as isize) as usize)
        };
        let order = if across == 1 || columns == 1 {
            wide(down, columns, rows).map(Order::Rows)
        } else {
            None
        };
        let order = match order {
            Some(order) => order,
            None if down == 1 || rows == 1 => Order::Columns(wide(across, rows, columns)?),
            None => return None,
        };
        let leading = View {
            offset: view.offset,
            dims: view.dims[..rank - 2].to_vec(),
            strides: view.strides[..rank - 2].to_vec(),
        };
        Some(Self {
            rows,
            columns,
            order,
            offsets: offsets(&leading.expand(batch)),
        })
    }

    /// From one matrix of the stack to the next.
    fn spacing(&self) -> usize {
        match self.offsets[..] {
            [first, second, ..] => second.saturating_sub(first),
            _ => 0,
        }
    }

    fn get<'a, T>(&self, data: &'a [T], index: usize) -> MatRef<'a, T> {
        let data = &data[self.offsets[index]..];
        match self.order {
            Order::Rows(stride) => {
                MatRef::from_row_major_slice_with_stride(data, self.rows, self.columns, stride)
            }
            Order::Columns(stride) => {
                MatRef::from_column_major_slice_with_stride(data, self.rows, self.columns, stride)
            }
        }
    }
}

impl Matrices {
    /// The lines of a matrix without gaps, from row and column `corner`, `rows` × `columns` of it.
    fn lines<'a, T>(
        &self,
        data: &'a [T],
        index: usize,
        corner: (usize, usize),
        (rows, columns): (usize, usize),
    ) -> Lines<'a, T> {
        let data = &data[self.offsets[index]..];
        match self.order {
            Order::Rows(stride) => Lines {
                data: &data[corner.0 * stride + corner.1..],
                stride,
                count: rows,
                length: columns,
            },
            Order::Columns(stride) => Lines {
                data: &data[corner.1 * stride + corner.0..],
                stride,
                count: columns,
                length: rows,
            },
        }
    }
}

/// The start of each element of a view, in order.
fn offsets(view: &View) -> Vec<usize> {
    let mut starts = vec![view.offset as isize];
    for (&length, &stride) in view.dims.iter().zip(&view.strides) {
        starts = starts
            .iter()
            .flat_map(|&start| (0..length as isize).map(move |i| start + i * stride))
            .collect();
    }
    starts.into_iter().map(|start| start as usize).collect()
}

/// factor · left · right; operands by their position among the sources.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) left: usize,
    pub(crate) right: usize,
    pub(crate) left_matrices: Matrices,
    pub(crate) right_matrices: Matrices,
    pub(crate) factor: f64,
}

impl Term {
    /// Whether a stack of left matrices, row after row, meets one right matrix.
    pub(crate) fn is_tall(&self) -> bool {
        let right = &self.right_matrices.offsets;
        let left = &self.left_matrices;
        let Order::Rows(stride) = left.order else {
            return false;
        };
        right.iter().all(|offset| *offset == right[0])
            && left
                .offsets
                .windows(2)
                .all(|pair| pair[1] == pair[0] + left.rows * stride)
    }

    /// Whether one left matrix meets a stack of vectors, each without gaps.
    pub(crate) fn is_wide(&self) -> bool {
        let (left, right) = (&self.left_matrices, &self.right_matrices);
        let spacing = right.spacing();
        right.columns == 1
            && matches!(right.order, Order::Rows(1))
            && left.offsets.iter().all(|offset| *offset == left.offsets[0])
            && spacing >= right.rows
            && right
                .offsets
                .windows(2)
                .all(|pair| pair[1] == pair[0] + spacing)
    }

    /// The stack of products as one: the vectors as rows, times the transposed matrix.
    pub(crate) fn widen(&mut self) {
        let spacing = self.right_matrices.spacing();
        let (left, right) = (&self.left_matrices, &self.right_matrices);
        let vectors = Matrices {
            rows: right.offsets.len(),
            columns: right.rows,
            order: Order::Rows(spacing),
            offsets: vec![right.offsets[0]],
        };
        let transposed = Matrices {
            rows: left.columns,
            columns: left.rows,
            order: match left.order {
                Order::Rows(stride) => Order::Columns(stride),
                Order::Columns(stride) => Order::Rows(stride),
            },
            offsets: vec![left.offsets[0]],
        };
        (self.left_matrices, self.right_matrices) = (vectors, transposed);
        std::mem::swap(&mut self.left, &mut self.right);
    }

    /// The stack as one matrix.
    pub(crate) fn stack(&mut self, count: usize) {
        self.left_matrices.rows *= count;
        self.left_matrices.offsets.truncate(1);
        self.right_matrices.offsets.truncate(1);
    }
}

impl Term {
    /// The part at `corner` of a product with few rows or few columns, written or added to `out`.
    fn few_vectors<T: Number>(
        &self,
        index: usize,
        corner: (usize, usize),
        sources: &[&[T]],
        mut out: MatMut<'_, T>,
        accumulate: Accum,
    ) {
        let (rows, columns) = (out.nrows(), out.ncols());
        let depth = self.left_matrices.columns;
        let (left, right) = (sources[self.left], sources[self.right]);
        let left_lines = self
            .left_matrices
            .lines(left, index, (corner.0, 0), (rows, depth));
        let right_lines = self
            .right_matrices
            .lines(right, index, (0, corner.1), (depth, columns));
        let is_wide = columns > rows;
        // the few vectors lie along the depth: as the rows of the left or the columns of the right matrix
        let (matrix, few, along) = match is_wide {
            true => (
                match self.right_matrices.order {
                    Order::Rows(_) => Matrix::Weighted(right_lines),
                    Order::Columns(_) => Matrix::Inner(right_lines),
                },
                left_lines,
                matches!(self.left_matrices.order, Order::Rows(_)),
            ),
            false => (
                match self.left_matrices.order {
                    Order::Rows(_) => Matrix::Inner(left_lines),
                    Order::Columns(_) => Matrix::Weighted(left_lines),
                },
                right_lines,
                matches!(self.right_matrices.order, Order::Columns(_)),
            ),
        };
        let gathered = match along || few.is_one_vector() {
            true => Vec::new(),
            false => few.across(),
        };
        let vectors: Vec<&[T]> = match (along, gathered.is_empty()) {
            (true, _) => (0..few.count).map(|vector| few.get(vector)).collect(),
            (false, true) => vec![&few.data[..depth]],
            (false, false) => gathered.chunks_exact(depth).collect(),
        };
        let products = matrix.times(&vectors);
        let factor = T::of(self.factor);
        let write = |place: &mut T, product: T| match accumulate {
            Accum::Replace => *place = factor * product,
            Accum::Add => *place += factor * product,
        };
        for (vector, products) in products.chunks_exact(matrix.results()).enumerate() {
            let places = match is_wide {
                true => out.rb_mut().row_mut(vector).transpose_mut(),
                false => out.rb_mut().col_mut(vector),
            };
            for (place, &product) in places.iter_mut().zip(products) {
                write(place, product);
            }
        }
    }
}

/// Σ factorᵢ leftᵢ rightᵢ for a stack of matrices.
#[derive(Clone, Debug)]
pub(crate) struct ProductSum {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) count: usize,
    pub(crate) terms: Vec<Term>,
}

impl ProductSum {
    /// Multiply-adds.
    pub(crate) fn work(&self) -> usize {
        let depth: usize = self
            .terms
            .iter()
            .map(|term| term.left_matrices.columns)
            .sum();
        self.count * self.rows * self.columns * depth
    }

    /// Whether threads are worth it.
    pub(crate) fn is_large(&self) -> bool {
        // a matrix times few vectors is bound by memory, which two cores read faster
        match self.rows.min(self.columns) {
            few @ 1..=FEW => self.work() / few >= PARALLEL / 4,
            _ => self.work() >= PARALLEL,
        }
    }

    /// Writes the stack, row-major, to `out`.
    pub(crate) fn run<T: Number>(&self, sources: &[&[T]], out: &mut [T], threads: usize) {
        self.matrices(0, self.count, sources, out, threads);
    }

    fn matrices<T: Number>(
        &self,
        first: usize,
        count: usize,
        sources: &[&[T]],
        out: &mut [T],
        threads: usize,
    ) {
        let size = self.rows * self.columns;
        if threads > 1 && count > 1 {
            let left = count / 2;
            let (a, b) = out.split_at_mut(left * size);
            let half = threads / 2;
            rayon::join(
                || self.matrices(first, left, sources, a, threads - half),
                || self.matrices(first + left, count - left, sources, b, half),
            );
            return;
        }
        for (index, out) in out.chunks_exact_mut(size).enumerate() {
            let out = MatMut::from_row_major_slice_mut(out, self.rows, self.columns);
            self.piece(first + index, (0, 0), sources, out, threads);
        }
    }

    /// The part of one matrix that starts at `corner`.
    fn piece<T: Number>(
        &self,
        index: usize,
        corner: (usize, usize),
        sources: &[&[T]],
        mut out: MatMut<'_, T>,
        threads: usize,
    ) {
        let (rows, columns) = (out.nrows(), out.ncols());
        if threads > 1 {
            let half = threads / 2;
            let more = threads - half;
            if rows >= columns {
                let middle = rows * more / threads;
                let (a, b) = out.split_at_row_mut(middle);
                rayon::join(
                    || self.piece(index, corner, sources, a, more),
                    || self.piece(index, (corner.0 + middle, corner.1), sources, b, half),
                );
            } else {
                let middle = columns * more / threads;
                let (a, b) = out.split_at_col_mut(middle);
                rayon::join(
                    || self.piece(index, corner, sources, a, more),
                    || self.piece(index, (corner.0, corner.1 + middle), sources, b, half),
                );
            }
            return;
        }
        let few = rows.min(columns) <= FEW && rows.max(columns) > FEW && skinny::is_fast();
        let mut accumulate = Accum::Replace;
        for term in &self.terms {
            if few && term.left_matrices.columns > FEW {
                term.few_vectors(index, corner, sources, out.rb_mut(), accumulate);
                accumulate = Accum::Add;
                continue;
            }
            let left = term.left_matrices.get(sources[term.left], index);
            let right = term.right_matrices.get(sources[term.right], index);
            matmul(
                out.rb_mut(),
                accumulate,
                left.subrows(corner.0, rows),
                right.subcols(corner.1, columns),
                T::of(term.factor),
                Par::Seq,
            );
            accumulate = Accum::Add;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_transposed_and_shared_operands_on_threads() {
        // out_b = A_bᵀ B + 2 C_b D, A [2, 4, 3], B [4, 5], C [2, 3, 2], D [2, 5]
        let numbers = |count: usize, seed: usize| -> Vec<f64> {
            (0..count)
                .map(|i| ((i * 7 + seed * 13) % 11) as f64 - 5.0)
                .collect()
        };
        let (a, b, c, d) = (
            numbers(24, 1),
            numbers(20, 2),
            numbers(12, 3),
            numbers(10, 4),
        );
        let stack = |dims: &[usize]| View::contiguous(dims);
        let term = |left, right, l: View, r: View, factor| Term {
            left,
            right,
            left_matrices: Matrices::of(&l, &[2]).unwrap(),
            right_matrices: Matrices::of(&r, &[2]).unwrap(),
            factor,
        };
        let sum = ProductSum {
            rows: 3,
            columns: 5,
            count: 2,
            terms: vec![
                term(0, 1, stack(&[2, 4, 3]).swap(1, 2), stack(&[4, 5]), 1.0),
                term(2, 3, stack(&[2, 3, 2]), stack(&[2, 5]), 2.0),
            ],
        };
        let sources: [&[f64]; 4] = [&a, &b, &c, &d];
        for threads in [1, 2, 3] {
            let mut out = vec![0.0; 30];
            sum.run(&sources, &mut out, threads);
            for (index, found) in out.iter().enumerate() {
                let (s, i, j) = (index / 15, index / 5 % 3, index % 5);
                let first: f64 = (0..4).map(|k| a[s * 12 + k * 3 + i] * b[k * 5 + j]).sum();
                let second: f64 = (0..2).map(|k| c[s * 6 + i * 2 + k] * d[k * 5 + j]).sum();
                assert_eq!(*found, first + 2.0 * second);
            }
        }
    }

    #[test]
    fn a_matrix_with_gaps_in_both_directions_must_be_copied() {
        let view = View {
            offset: 0,
            dims: vec![2, 2],
            strides: vec![8, 2],
        };
        assert!(Matrices::of(&view, &[]).is_none());
        let repeated = View::contiguous(&[1, 3]).expand(&[4, 3]);
        assert!(Matrices::of(&repeated, &[]).is_none());
    }
}
