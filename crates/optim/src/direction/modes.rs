//! A tensor along one of its dimensions: Gram matrices of unfoldings and products with a matrix, on the host in f64.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use ravine_curvature::ParameterLayout;

use crate::OptimError;
use crate::state::broken;

/// One dimension of a row-major tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    /// Product of the dimensions before it.
    before: usize,
    pub(super) length: usize,
    /// Product of the dimensions after it.
    after: usize,
}

/// All dimensions of a shape; none when the tensor holds nothing.
pub(super) fn modes(shape: &[usize]) -> Vec<Mode> {
    if shape.contains(&0) {
        return Vec::new();
    }
    let mode = |axis: usize| Mode {
        before: shape[..axis].iter().product(),
        length: shape[axis],
        after: shape[axis + 1..].iter().product(),
    };
    (0..shape.len()).map(mode).collect()
}

impl Mode {
    /// The tensor as matrices `[length, after]`, one after the other; as one matrix where the dimension is the last.
    fn slabs(self, x: &[f64]) -> impl Iterator<Item = MatRef<'_, f64>> {
        let (chunk, last) = match self.after {
            1 => (self.before * self.length, true),
            after => (self.length * after, false),
        };
        x.chunks(chunk).map(move |slab| match last {
            true => MatRef::from_row_major_slice(slab, self.before, self.length).transpose(),
            false => MatRef::from_row_major_slice(slab, self.length, self.after),
        })
    }

    /// X Xᵀ of the unfolding X with this dimension as rows, `length²` numbers.
    pub(super) fn gram(self, x: &[f64]) -> Vec<f64> {
        let mut gram = vec![0.0; self.length * self.length];
        let mut into = MatMut::from_row_major_slice_mut(&mut gram, self.length, self.length);
        for slab in self.slabs(x) {
            matmul(
                into.as_mut(),
                Accum::Add,
                slab,
                slab.transpose(),
                1.0,
                Par::Seq,
            );
        }
        gram
    }

    /// Diagonal of the Gram matrix.
    pub(super) fn squares(self, x: &[f64]) -> Vec<f64> {
        let mut squares = vec![0.0; self.length];
        for (index, row) in x.chunks(self.after).enumerate() {
            squares[index % self.length] += row.iter().map(|x| x * x).sum::<f64>();
        }
        squares
    }

    /// The tensor multiplied along this dimension by a matrix, y = M x.
    pub(super) fn product(self, matrix: MatRef<'_, f64>, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        let chunk = match self.after {
            1 => self.before * self.length,
            after => self.length * after,
        };
        for (slab, out) in self.slabs(x).zip(y.chunks_mut(chunk)) {
            let into = match self.after {
                1 => {
                    MatMut::from_row_major_slice_mut(out, self.before, self.length).transpose_mut()
                }
                after => MatMut::from_row_major_slice_mut(out, self.length, after),
            };
            matmul(into, Accum::Replace, matrix, slab, 1.0, Par::Seq);
        }
        y
    }

    /// The tensor with its entries multiplied by the factor of their place along this dimension.
    pub(super) fn scaled(self, factors: &[f64], mut x: Vec<f64>) -> Vec<f64> {
        for (index, row) in x.chunks_mut(self.after).enumerate() {
            let factor = factors[index % self.length];
            row.iter_mut().for_each(|x| *x *= factor);
        }
        x
    }

    /// The tensor with its entries along this dimension in another order.
    pub(super) fn permuted(self, order: &[usize], x: &[f64]) -> Vec<f64> {
        let mut y = Vec::with_capacity(x.len());
        for slab in x.chunks(self.length * self.after) {
            for &from in order {
                y.extend_from_slice(&slab[from * self.after..(from + 1) * self.after]);
            }
        }
        y
    }
}

/// A square matrix from its numbers, row by row.
pub(super) fn square(numbers: &[f64]) -> MatRef<'_, f64> {
    let n = numbers.len().isqrt();
    MatRef::from_row_major_slice(numbers, n, n)
}

/// The numbers of a matrix, row by row.
pub(super) fn numbers(matrix: &Mat<f64>) -> Vec<f64> {
    let rows = 0..matrix.nrows();
    rows.flat_map(|i| (0..matrix.ncols()).map(move |j| matrix[(i, j)]))
        .collect()
}

/// The shapes of the parameters, in order.
pub(super) fn shapes(layout: &ParameterLayout) -> Vec<Vec<usize>> {
    let entries = layout.entries().iter();
    entries.map(|e| e.shape.as_slice().to_vec()).collect()
}

/// That a state was made for parameters of these shapes.
pub(super) fn check_shapes(
    kind: &str,
    made_for: &[Vec<usize>],
    shapes: &[Vec<usize>],
) -> Result<(), OptimError> {
    if made_for == shapes {
        return Ok(());
    }
    let count = |shapes: &[Vec<usize>]| shapes.iter().map(|s| s.iter().product::<usize>()).sum();
    let (expected, found) = (count(shapes), count(made_for));
    match expected == found {
        false => Err(OptimError::StateDimension { expected, found }),
        true => Err(broken(
            kind,
            &format!("it was made for parameters of shapes {made_for:?}, the model has {shapes:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direction::plain;

    #[test]
    fn unfoldings_agree_with_sums_over_all_indices() {
        for shape in [
            &[4][..],
            &[2, 3],
            &[3, 1, 2],
            &[2, 3, 4],
            &[2, 2, 3, 2],
            &[1],
        ] {
            let count: usize = shape.iter().product();
            let x: Vec<f64> = (0..count).map(|i| (i as f64 * 1.7).sin()).collect();
            for (axis, mode) in modes(shape).into_iter().enumerate() {
                let n = mode.length;
                let gram = mode.gram(&x);
                let expected = plain::gram(&x, shape, axis);
                let squares = mode.squares(&x);
                for i in 0..n {
                    for j in 0..n {
                        assert!((gram[i * n + j] - expected[i][j]).abs() < 1e-14);
                    }
                    assert!((squares[i] - expected[i][i]).abs() < 1e-14);
                }
                let matrix: Vec<f64> = (0..n * n).map(|i| (i as f64 + 0.3).cos()).collect();
                let rows: Vec<Vec<f64>> = matrix.chunks(n).map(<[f64]>::to_vec).collect();
                let product = mode.product(square(&matrix), &x);
                plain::assert_close(&product, &plain::along(&x, shape, axis, &rows), 1e-14);
                let factors: Vec<f64> = (0..n).map(|i| i as f64 + 0.5).collect();
                let diagonal: Vec<Vec<f64>> = (0..n)
                    .map(|i| {
                        (0..n)
                            .map(|j| if i == j { factors[i] } else { 0.0 })
                            .collect()
                    })
                    .collect();
                let expected = plain::along(&x, shape, axis, &diagonal);
                plain::assert_close(&mode.scaled(&factors, x.clone()), &expected, 1e-14);
                let order: Vec<usize> = (0..n).rev().collect();
                let reversal: Vec<Vec<f64>> = (0..n)
                    .map(|i| {
                        (0..n)
                            .map(|j| if i + j + 1 == n { 1.0 } else { 0.0 })
                            .collect()
                    })
                    .collect();
                let expected = plain::along(&x, shape, axis, &reversal);
                plain::assert_close(&mode.permuted(&order, &x), &expected, 0.0);
            }
        }
    }

    #[test]
    fn a_tensor_of_nothing_has_no_modes_and_matrices_survive() {
        assert_eq!(modes(&[3, 0]), []);
        let flat = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(numbers(&square(&flat).to_owned()), flat);
        assert_eq!(square(&flat)[(0, 1)], 2.0);
    }

    #[test]
    fn states_of_other_shapes_are_refused() {
        let shapes = [vec![2, 3]];
        assert!(check_shapes("test", &shapes, &shapes).is_ok());
        let turned = check_shapes("test", &[vec![3, 2]], &shapes);
        assert!(matches!(turned, Err(OptimError::State { .. })));
        let smaller = check_shapes("test", &[vec![2]], &shapes);
        assert!(matches!(
            smaller,
            Err(OptimError::StateDimension {
                expected: 6,
                found: 2
            })
        ));
    }
}
