//! Loops over the columns of a basis: elements in f32 or f64, sums in f64, pieces of a vector on all cores.
//!
//! Partial sums are added in the order of the pieces, so that the result does not depend on how the work was divided.

use faer::{Mat, MatRef};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Elements of a piece: its copy in f64 (32 KB) stays in the fastest cache, beside which the columns stream.
const PIECE: usize = 4096;
/// Numbers below which waking other cores takes longer than the work.
const ALONE: usize = 1 << 17;
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

/// x y + z, rounded once where the processor does that in one instruction.
#[inline(always)]
fn fused<S: Simd>(x: f64, y: f64, z: f64) -> f64 {
    match S::IS_SCALAR {
        true => x * y + z,
        false => x.mul_add(y, z),
    }
}

#[inline(always)]
fn dot<S: Simd, T: Scalar>(column: &[T], wide: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (columns, wides) = (column.chunks_exact(LANES), wide.chunks_exact(LANES));
    let mut total = 0.0;
    for (x, y) in columns.remainder().iter().zip(wides.remainder()) {
        total = fused::<S>(x.wide(), *y, total);
    }
    for (x, y) in columns.zip(wides) {
        for lane in 0..LANES {
            sums[lane] = fused::<S>(x[lane].wide(), y[lane], sums[lane]);
        }
    }
    for sum in sums {
        total += sum;
    }
    total
}

#[inline(always)]
fn add<S: Simd, T: Scalar>(factor: f64, column: &[T], wide: &mut [f64]) {
    for (sum, x) in wide.iter_mut().zip(column) {
        *sum = fused::<S>(factor, x.wide(), *sum);
    }
}

/// The part of every column that belongs to one piece.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    basis: &'a [T],
    /// Elements of a column.
    n: usize,
    first: usize,
    length: usize,
}

impl<'a, T> Columns<'a, T> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.basis.len().checked_div(self.n).unwrap_or(0)
    }

    #[inline(always)]
    fn get(&self, column: usize) -> &'a [T] {
        let first = column * self.n + self.first;
        &self.basis[first..first + self.length]
    }
}

/// Whether one core has done it before another one is awake.
pub(crate) fn is_short(numbers: usize) -> bool {
    numbers < ALONE
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
    let part = |(index, piece): (usize, &[T])| {
        let columns = Columns {
            basis,
            n,
            first: index * PIECE,
            length: piece.len(),
        };
        arch.dispatch(Overlaps { columns, piece })
    };
    let parts = match is_short(basis.len()) {
        true => w.chunks(PIECE).enumerate().map(part).collect(),
        false => w.par_chunks(PIECE).enumerate().map(part).collect(),
    };
    summed(parts, length)
}

/// A piece of [`overlaps`]. Closures would be compiled for the common vector instructions only, here and below.
struct Overlaps<'a, T> {
    columns: Columns<'a, T>,
    piece: &'a [T],
}

impl<T: Scalar> WithSimd for Overlaps<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        let mut wide = [0.0; PIECE];
        widen(self.piece, &mut wide);
        with_norm::<S, T>(self.columns, self.columns.count(), self.piece, &wide)
    }
}

/// The inner products of the first columns with a piece, and of the piece with itself.
#[inline(always)]
fn with_norm<S: Simd, T: Scalar>(
    columns: Columns<'_, T>,
    count: usize,
    piece: &[T],
    wide: &[f64; PIECE],
) -> Vec<f64> {
    let wide = &wide[..piece.len()];
    let mut sums = Vec::with_capacity(count + 1);
    for column in 0..count {
        sums.push(dot::<S, T>(columns.get(column), wide));
    }
    sums.push(dot::<S, T>(piece, wide));
    sums
}

/// w ← w − V c, and of the new w: Vᵀ w, and wᵀw behind it, read while the piece is still in the cache.
pub(crate) fn subtract<T: Scalar>(basis: &[T], c: &[f64], w: &mut [T]) -> Vec<f64> {
    let n = w.len();
    let arch = Arch::new();
    let part = |(index, piece): (usize, &mut [T])| {
        let columns = Columns {
            basis,
            n,
            first: index * PIECE,
            length: piece.len(),
        };
        arch.dispatch(Subtract { columns, c, piece })
    };
    let parts = match is_short(basis.len()) {
        true => w.chunks_mut(PIECE).enumerate().map(part).collect(),
        false => w.par_chunks_mut(PIECE).enumerate().map(part).collect(),
    };
    summed(parts, c.len() + 1)
}

/// A piece of [`subtract`].
struct Subtract<'a, T> {
    columns: Columns<'a, T>,
    c: &'a [f64],
    piece: &'a mut [T],
}

impl<T: Scalar> WithSimd for Subtract<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        let mut wide = [0.0; PIECE];
        let size = self.piece.len();
        widen(self.piece, &mut wide);
        for (column, c) in self.c.iter().enumerate() {
            add::<S, T>(-c, self.columns.get(column), &mut wide[..size]);
        }
        for (x, wide) in self.piece.iter_mut().zip(&mut wide) {
            *x = T::narrow(*wide);
            *wide = x.wide();
        }
        with_norm::<S, T>(self.columns, self.c.len(), self.piece, &wide)
    }
}

/// Aᵀ B of two sets of columns.
pub(crate) fn gram<T: Scalar>(a: &[T], b: &[T], n: usize) -> Mat<f64> {
    let (rows, cols) = match n {
        0 => (0, 0),
        _ => (a.len() / n, b.len() / n),
    };
    let arch = Arch::new();
    let parts = (0..n.div_ceil(PIECE)).into_par_iter().map(|index| {
        let first = index * PIECE;
        let of = |basis| Columns {
            basis,
            n,
            first,
            length: PIECE.min(n - first),
        };
        arch.dispatch(Gram { a: of(a), b: of(b) })
    });
    let sums = summed(parts.collect(), rows * cols);
    Mat::from_fn(rows, cols, |i, j| sums[j * rows + i])
}

/// A piece of [`gram`].
struct Gram<'a, T> {
    a: Columns<'a, T>,
    b: Columns<'a, T>,
}

impl<T: Scalar> WithSimd for Gram<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        let mut wide = [0.0; PIECE];
        let mut sums = Vec::with_capacity(self.a.count() * self.b.count());
        for column in 0..self.b.count() {
            widen(self.b.get(column), &mut wide);
            for row in 0..self.a.count() {
                sums.push(dot::<S, T>(self.a.get(row), &wide[..self.a.length]));
            }
        }
        sums
    }
}

/// w ← f w.
pub(crate) fn scale<T: Scalar>(w: &mut [T], factor: f64) {
    let part = |piece: &mut [T]| {
        for x in piece {
            *x = T::narrow(x.wide() * factor);
        }
    };
    match is_short(w.len()) {
        true => part(w),
        false => w.par_chunks_mut(PIECE).for_each(part),
    }
}

/// The first columns of V ← V C in place; the columns behind them are left as they were.
///
/// C is square or has fewer columns than rows. Needs no memory but a piece of each column.
pub(crate) fn rotate<T: Scalar>(basis: &mut [T], n: usize, c: MatRef<'_, f64>) {
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
        .for_each_init(room, |(old, sum), columns| {
            arch.dispatch(Rotate {
                columns,
                c,
                old,
                sum,
            });
        });
}

/// Elements of a piece of [`rotate`]: all columns of one are held in f64 at once.
const SHORT: usize = 512;

/// A piece of [`rotate`].
struct Rotate<'a, 'b, T> {
    columns: Vec<&'b mut [T]>,
    c: MatRef<'a, f64>,
    old: &'a mut [[f64; SHORT]],
    sum: &'a mut [f64; SHORT],
}

impl<T: Scalar> WithSimd for Rotate<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        for (old, column) in self.old.iter_mut().zip(&self.columns) {
            for (old, x) in old.iter_mut().zip(column.iter()) {
                *old = x.wide();
            }
        }
        for (j, column) in self.columns.iter_mut().enumerate().take(self.c.ncols()) {
            self.sum.fill(0.0);
            for (i, old) in self.old.iter().enumerate() {
                add::<S, f64>(self.c[(i, j)], old.as_slice(), &mut self.sum[..]);
            }
            for (x, sum) in column.iter_mut().zip(self.sum.iter()) {
                *x = T::narrow(*sum);
            }
        }
    }
}
