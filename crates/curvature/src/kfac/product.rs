//! Matrix products on all threads.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Multiplications that are worth a thread.
const PART: usize = 1 << 22;

/// Columns below which a product is no better than products with single vectors.
const NARROW: usize = 256;

/// A B.
pub(super) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(a.nrows(), b.ncols());
    write(result.as_mut(), a, b, 1.0);
    result
}

/// C + scale A B, by columns of B.
fn write(sum: MatMut<'_, f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>, scale: f64) {
    let columns = b.ncols();
    if columns < NARROW || a.nrows() * a.ncols() * columns < PART {
        return matmul(sum, Accum::Add, a, b, scale, Par::Seq);
    }
    let half = columns / 2;
    let (left, right) = sum.split_at_col_mut(half);
    let (of_left, of_right) = b.split_at_col(half);
    rayon::join(
        || write(left, a, of_left, scale),
        || write(right, a, of_right, scale),
    );
}

/// C + scale XᵀX; only the lower triangle of C is read and written.
pub(super) fn add_gram(sum: MatMut<'_, f64>, x: MatRef<'_, f64>, scale: f64) {
    let columns = x.ncols();
    if columns < 2 || columns * columns * x.nrows() < PART {
        let lower = BlockStructure::TriangularLower;
        let whole = BlockStructure::Rectangular;
        let t = x.transpose();
        return triangular::matmul(sum, lower, Accum::Add, t, whole, x, whole, scale, Par::Seq);
    }
    let half = columns / 2;
    let (first, _, below, second) = sum.split_at_mut(half, half);
    let (left, right) = x.split_at_col(half);
    rayon::join(
        || write(below, right.transpose(), left, scale),
        || {
            rayon::join(
                || add_gram(first, left, scale),
                || add_gram(second, right, scale),
            )
        },
    );
}

/// Fills the upper triangle from the lower one.
pub(super) fn mirror(matrix: &mut Mat<f64>) {
    for column in 0..matrix.ncols() {
        for row in 0..column {
            matrix[(row, column)] = matrix[(column, row)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| {
            (1.0 + 3.1 * i as f64 + 7.7 * j as f64).sin()
        })
    }

    #[test]
    fn products_in_parts_are_products() {
        for (m, k, n) in [(3, 4, 5), (300, 200, 301), (1, 1, 1), (2, 3, 0)] {
            let (a, b) = (numbers(m, k), numbers(k, n));
            let difference = product(a.as_ref(), b.as_ref()) - &a * &b;
            assert!(difference.norm_max() < 1e-12);
        }
    }

    #[test]
    fn grams_in_parts_are_grams() {
        for (rows, columns) in [(7, 3), (100, 401), (0, 2)] {
            let x = numbers(rows, columns);
            let mut sum = Mat::identity(columns, columns);
            add_gram(sum.as_mut(), x.as_ref(), 0.5);
            mirror(&mut sum);
            let mut expected = x.transpose() * &x * faer::Scale(0.5);
            (0..columns).for_each(|i| expected[(i, i)] += 1.0);
            assert!((sum - expected).norm_max() < 1e-12);
        }
    }
}
