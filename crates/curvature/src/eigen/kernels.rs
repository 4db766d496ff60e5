//! Loops over the columns of a basis: elements in f32 or f64, sums in f64, pieces of a vector on all cores.
//!
//! Partial sums are added in the order of the pieces, so that the result does not depend on how the work was divided.

use faer::{Mat, MatRef};
use pulp::Arch;
use rayon::prelude::*;

/// Elements of a piece: its copy in f64 (32 KB) stays in the fastest cache, beside which the columns stream.
const PIECE: usize = 4096;
/// Independent sums of an inner product: enough to fill the pipelines.
const LANES: usize = 16;

/// What a basis is stored in.
pub(crate) trait Scalar: Copy + Default + Send + Sync + 'static {
    /// Exactly.
    fn wide(self) -> f64;
    /// Rounded.
    fn narrow(x: f64) -> Self;
}

impl Scalar for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x as f32
    }
}

impl Scalar for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x
    }
}

#[inline(always)]
fn widen<T: Scalar>(piece: &[T], wide: &mut [f64; PIECE]) {
    for (wide, x) in wide.iter_mut().zip(piece) {
        *wide = x.wide();
    }
}

#[inline(always)]
fn dot<T: Scalar>(column: &[T], wide: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (columns, wides) = (column.chunks_exact(LANES), wide.chunks_exact(LANES));
    let rest = columns.remainder().iter().zip(wides.remainder());
    let rest: f64 = rest.map(|(x, y)| x.wide() * y).sum();
    for (x, y) in columns.zip(wides) {
        for lane in 0..LANES {
            sums[lane] += x[lane].wide() * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[inline(always)]
fn add<T: Scalar>(factor: f64, column: &[T], wide: &mut [f64]) {
    for (sum, x) in wide.iter_mut().zip(column) {
        *sum += factor * x.wide();
    }
}

/// The part of every column that belongs to one piece.
fn columns<T>(basis: &[T], n: usize, first: usize, length: usize) -> impl Iterator<Item = &[T]> {
    let count = basis.len().checked_div(n).unwrap_or(0);
    (0..count).map(move |column| &basis[column * n + first..column * n + first + length])
}

fn summed(parts: Vec<Vec<f64>>, length: usize) -> Vec<f64> {
    let mut sums = vec![0.0; length];
    for part in parts {
        for (sum, x) in sums.iter_mut().zip(part) {
            *sum += x;
        }
    }
    sums
}

/// Vᵀ w, and wᵀw behind it.
pub(crate) fn overlaps<T: Scalar>(basis: &[T], w: &[T]) -> Vec<f64> {
    let n = w.len();
    let length = basis.len().checked_div(n).unwrap_or(0) + 1;
    let arch = Arch::new();
    let parts = w.par_chunks(PIECE).enumerate().map(|(index, piece)| {
        arch.dispatch(
            #[inline(always)]
            || {
                let mut wide = [0.0; PIECE];
                widen(piece, &mut wide);
                let wide = &wide[..piece.len()];
                let mut sums = Vec::with_capacity(length);
                for column in columns(basis, n, index * PIECE, piece.len()) {
                    sums.push(dot(column, wide));
                }
                sums.push(dot(piece, wide));
                sums
            },
        )
    });
    summed(parts.collect(), length)
}

/// w ← w − V c, and of the new w: Vᵀ w, and wᵀw behind it, read while the piece is still in the cache.
pub(crate) fn subtract<T: Scalar>(basis: &[T], c: &[f64], w: &mut [T]) -> Vec<f64> {
    let n = w.len();
    let length = c.len() + 1;
    let arch = Arch::new();
    let parts = w.par_chunks_mut(PIECE).enumerate().map(|(index, piece)| {
        arch.dispatch(
            #[inline(always)]
            || {
                let mut wide = [0.0; PIECE];
                let size = piece.len();
                widen(piece, &mut wide);
                for (column, c) in columns(basis, n, index * PIECE, size).zip(c) {
                    add(-c, column, &mut wide[..size]);
                }
                for (x, wide) in piece.iter_mut().zip(&mut wide) {
                    *x = T::narrow(*wide);
                    *wide = x.wide();
                }
                let mut sums = Vec::with_capacity(length);
                for column in columns(basis, n, index * PIECE, size).take(c.len()) {
                    sums.push(dot(column, &wide[..size]));
                }
                sums.push(dot(piece, &wide[..size]));
                sums
            },
        )
    });
    summed(parts.collect(), length)
}

/// Aᵀ B of two sets of columns.
pub(crate) fn gram<T: Scalar>(a: &[T], b: &[T], n: usize) -> Mat<f64> {
    let (rows, cols) = match n {
        0 => (0, 0),
        _ => (a.len() / n, b.len() / n),
    };
    let arch = Arch::new();
    let parts = (0..n.div_ceil(PIECE)).into_par_iter().map(|index| {
        arch.dispatch(
            #[inline(always)]
            || {
                let first = index * PIECE;
                let size = PIECE.min(n - first);
                let mut wide = [0.0; PIECE];
                let mut sums = Vec::with_capacity(rows * cols);
                for column in columns(b, n, first, size) {
                    widen(column, &mut wide);
                    for row in columns(a, n, first, size) {
                        sums.push(dot(row, &wide[..size]));
                    }
                }
                sums
            },
        )
    });
    let sums = summed(parts.collect(), rows * cols);
    Mat::from_fn(rows, cols, |i, j| sums[j * rows + i])
}

/// w ← f w.
pub(crate) fn scale<T: Scalar>(w: &mut [T], factor: f64) {
    w.par_chunks_mut(PIECE).for_each(|piece| {
        for x in piece {
            *x = T::narrow(x.wide() * factor);
        }
    });
}

/// The first columns of V ← V C in place; the columns behind them are left as they were.
///
/// C is square or has fewer columns than rows. Needs no memory but a piece of each column.
pub(crate) fn rotate<T: Scalar>(basis: &mut [T], n: usize, c: MatRef<'_, f64>) {
    /// Smaller pieces: all columns of one are held in f64 at once.
    const SHORT: usize = 512;
    let rows = c.nrows();
    let mut pieces: Vec<Vec<&mut [T]>> = (0..n.div_ceil(SHORT)).map(|_| Vec::new()).collect();
    for column in basis.chunks_mut(n.max(1)).take(rows) {
        for (pieces, piece) in pieces.iter_mut().zip(column.chunks_mut(SHORT)) {
            pieces.push(piece);
        }
    }
    let arch = Arch::new();
    let room = || (vec![[0.0; SHORT]; rows], [0.0; SHORT]);
    pieces
        .into_par_iter()
        .for_each_init(room, |(old, sum), mut columns| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for (old, column) in old.iter_mut().zip(&columns) {
                        for (old, x) in old.iter_mut().zip(column.iter()) {
                            *old = x.wide();
                        }
                    }
                    for (j, column) in columns.iter_mut().enumerate().take(c.ncols()) {
                        sum.fill(0.0);
                        for (i, old) in old.iter().enumerate() {
                            add(c[(i, j)], old.as_slice(), &mut sum[..]);
                        }
                        for (x, sum) in column.iter_mut().zip(sum.iter()) {
                            *x = T::narrow(*sum);
                        }
                    }
                },
            )
        });
}
