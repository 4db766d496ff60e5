//! Reductions along one dimension of a contiguous value.

use super::number::Number;
use crate::op::Reduce;
use pulp::{Arch, Simd, WithSimd};

/// Rows added before their sum goes into the total: keeps the rounding of long sums small.
const BLOCK: usize = 64;

/// Rows of up to this length are added in four lanes.
const SHORT: usize = 32;

/// A value `[outer, length, inner]`, reduced over its middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduction {
    pub(crate) function: Reduce,
    pub(crate) length: usize,
    pub(crate) inner: usize,
}

impl Reduction {
    /// Writes `[outer, inner]`.
    pub(crate) fn run<T: Number>(&self, x: &[T], out: &mut [T]) {
        Arch::new().dispatch(Run {
            reduction: self,
            x,
            out,
        });
    }

    #[inline(always)]
    fn reduce<T: Number>(&self, x: &[T], out: &mut [T]) {
        let zero = T::of(0.0);
        match self.function {
            Reduce::Sum => self.sum(x, out),
            Reduce::Mean => {
                self.sum(x, out);
                let factor = T::of(1.0 / self.length as f64);
                out.iter_mut().for_each(|out| *out *= factor);
            }
            Reduce::Prod => self.fold(
                x,
                out,
                #[inline(always)]
                |a, b| a * b,
            ),
            Reduce::Max => self.fold(x, out, larger),
            Reduce::Min => self.fold(
                x,
                out,
                #[inline(always)]
                |a, b| -larger(-a, -b),
            ),
            Reduce::Any => self.truths(x, out, zero, |a, b| a || b),
            Reduce::All => self.truths(x, out, T::of(1.0), |a, b| a && b),
            Reduce::ArgMax => self.positions(x, out, |a, b| a > b),
            Reduce::ArgMin => self.positions(x, out, |a, b| a < b),
        }
    }

    #[inline(always)]
    fn sum<T: Number>(&self, x: &[T], out: &mut [T]) {
        if self.length == 0 {
            return out.fill(T::of(0.0));
        }
        if self.inner == 1 {
            let short = self.length <= SHORT;
            for (row, out) in x.chunks_exact(self.length.max(1)).zip(out) {
                *out = if short { short_sum(row) } else { sum(row) };
            }
            return;
        }
        out.fill(T::of(0.0));
        let mut partial = vec![T::of(0.0); self.inner];
        let block = self.length * self.inner;
        for (outer, out) in out.chunks_exact_mut(self.inner).enumerate() {
            for rows in x[outer * block..(outer + 1) * block].chunks(BLOCK * self.inner) {
                partial.fill(T::of(0.0));
                for row in rows.chunks_exact(self.inner) {
                    for (partial, &x) in partial.iter_mut().zip(row) {
                        *partial += x;
                    }
                }
                for (out, &partial) in out.iter_mut().zip(&partial) {
                    *out += partial;
                }
            }
        }
    }

    #[inline(always)]
    fn fold<T: Number>(&self, x: &[T], out: &mut [T], f: impl Fn(T, T) -> T) {
        let block = self.length * self.inner;
        for (outer, out) in out.chunks_exact_mut(self.inner).enumerate() {
            let x = &x[outer * block..(outer + 1) * block];
            out.copy_from_slice(&x[..self.inner]);
            for row in x[self.inner..].chunks_exact(self.inner) {
                for (out, &x) in out.iter_mut().zip(row) {
                    *out = f(*out, x);
                }
            }
        }
    }

    /// Truths from `start` on: a single number counts as a truth as well.
    fn truths<T: Number>(&self, x: &[T], out: &mut [T], start: T, f: impl Fn(bool, bool) -> bool) {
        let zero = T::of(0.0);
        let block = self.length * self.inner;
        out.fill(start);
        for (outer, out) in out.chunks_exact_mut(self.inner).enumerate() {
            for row in x[outer * block..(outer + 1) * block].chunks_exact(self.inner) {
                for (out, &x) in out.iter_mut().zip(row) {
                    *out = truth(f(*out != zero, x != zero));
                }
            }
        }
    }

    #[inline(always)]
    fn positions<T: Number>(&self, x: &[T], out: &mut [T], better: impl Fn(T, T) -> bool) {
        let block = self.length * self.inner;
        for (index, out) in out.iter_mut().enumerate() {
            let (outer, inner) = (index / self.inner, index % self.inner);
            let at = |place: usize| x[outer * block + place * self.inner + inner];
            let mut best = 0;
            for place in 1..self.length {
                if better(at(place), at(best)) || (at(place).nan() && !at(best).nan()) {
                    best = place;
                }
            }
            *out = T::of(best as f64);
        }
    }
}

/// A run, to be compiled for each set of vector instructions.
struct Run<'a, T> {
    reduction: &'a Reduction,
    x: &'a [T],
    out: &'a mut [T],
}

impl<T: Number> WithSimd for Run<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.reduction.reduce(self.x, self.out);
    }
}

/// The larger number, or NaN where there is one.
#[inline(always)]
fn larger<T: Number>(a: T, b: T) -> T {
    if a > b || a.nan() { a } else { b }
}

fn truth<T: Number>(x: bool) -> T {
    T::of(f64::from(u8::from(x)))
}

/// A sum in four lanes.
#[inline(always)]
fn short_sum<T: Number>(x: &[T]) -> T {
    let mut lanes = [T::of(0.0); 4];
    let pieces = x.chunks_exact(4);
    let rest = pieces.remainder();
    for piece in pieces {
        for (lane, &x) in lanes.iter_mut().zip(piece) {
            *lane += x;
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// A sum in sixteen lanes, block by block, the blocks in f64.
#[inline(always)]
fn sum<T: Number>(x: &[T]) -> T {
    let mut total = 0.0;
    for block in x.chunks(16 * BLOCK) {
        let mut lanes = [T::of(0.0); 16];
        let pieces = block.chunks_exact(16);
        let rest = pieces.remainder();
        for piece in pieces {
            for (lane, &x) in lanes.iter_mut().zip(piece) {
                *lane += x;
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += x;
        }
        let mut width = 8;
        while width > 0 {
            for lane in 0..width {
                let other = lanes[lane + width];
                lanes[lane] += other;
            }
            width /= 2;
        }
        total += lanes[0].wide();
    }
    T::of(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(function: Reduce, dims: [usize; 3], x: &[f64]) -> Vec<f64> {
        let [outer, length, inner] = dims;
        let mut out = vec![0.0; outer * inner];
        Reduction {
            function,
            length,
            inner,
        }
        .run(x, &mut out);
        out
    }

    #[test]
    fn each_reduction_along_a_middle_dimension() {
        // [2, 3, 2]
        let x = [1.0, 2.0, 5.0, -2.0, 3.0, 0.0, 4.0, 4.0, 0.0, 1.0, -1.0, 4.0];
        assert_eq!(run(Reduce::Sum, [2, 3, 2], &x), [9.0, 0.0, 3.0, 9.0]);
        assert_eq!(run(Reduce::Mean, [2, 3, 2], &x), [3.0, 0.0, 1.0, 3.0]);
        assert_eq!(run(Reduce::Max, [2, 3, 2], &x), [5.0, 2.0, 4.0, 4.0]);
        assert_eq!(run(Reduce::Min, [2, 3, 2], &x), [1.0, -2.0, -1.0, 1.0]);
        assert_eq!(run(Reduce::Prod, [2, 3, 2], &x), [15.0, 0.0, 0.0, 16.0]);
        assert_eq!(run(Reduce::ArgMax, [2, 3, 2], &x), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(run(Reduce::Any, [2, 3, 2], &x), [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(run(Reduce::All, [2, 3, 2], &x), [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn sums_of_any_length_and_long_sums_in_f32() {
        for length in [1, 15, 16, 17, 100, 1025, 5000] {
            let x: Vec<f64> = (0..length).map(f64::from).collect();
            let expected: f64 = x.iter().sum();
            assert_eq!(run(Reduce::Sum, [1, length as usize, 1], &x), [expected]);
        }
        // a running sum in f32 would be off by more than 1e-4
        let tenth = vec![0.1f32; 1 << 20];
        let mut out = [0f32];
        Reduction {
            function: Reduce::Sum,
            length: 1 << 20,
            inner: 1,
        }
        .run(&tenth, &mut out);
        let expected = 0.1f64 * f64::from(1 << 20);
        assert!((f64::from(out[0]) - expected).abs() / expected < 1e-6);
    }

    #[test]
    fn not_a_number_wins() {
        let x = [1.0, f64::NAN, 2.0];
        assert!(run(Reduce::Max, [1, 3, 1], &x)[0].is_nan());
        assert!(run(Reduce::Min, [1, 3, 1], &x)[0].is_nan());
        assert_eq!(run(Reduce::ArgMax, [1, 3, 1], &x), [1.0]);
    }
}
