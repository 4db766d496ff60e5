//! A matrix times few vectors: bound by reading the matrix once, which a general product copies first.
//!
//! Sums are formed in the same order for every number of vectors and threads.

use super::number::Number;
use pulp::{Arch, Simd, WithSimd};

/// Most vectors; for more of them copying the matrix into the order of a general product pays.
pub(super) const FEW: usize = 8;

/// Elements of a piece of a sum, which stays in the first cache with the pieces of four lines beside it.
const PIECE: usize = 1024;

/// A matrix as lines without gaps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a, T> {
    /// From the first element on.
    pub(super) data: &'a [T],
    /// From one line to the next.
    pub(super) stride: usize,
    pub(super) count: usize,
    pub(super) length: usize,
}

impl<'a, T> Lines<'a, T> {
    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> &'a [T] {
        &self.data[index * self.stride..][..self.length]
    }

    /// Whether the elements across the lines lie side by side.
    pub(super) fn is_one_vector(&self) -> bool {
        self.length == 1 && self.stride == 1
    }

    /// The vectors across the lines, one behind the other: the transposed matrix.
    pub(super) fn across(&self) -> Vec<T>
    where
        T: Copy,
    {
        let vector = |i: usize| (0..self.count).map(move |line| self.get(line)[i]);
        (0..self.length).flat_map(vector).collect()
    }
}

/// How the lines meet a vector.
#[derive(Clone, Copy, Debug)]
pub(super) enum Matrix<'a, T> {
    /// Each line's inner product with a vector is an element of the result.
    Inner(Lines<'a, T>),
    /// The result is the sum of the lines, weighted by the elements of a vector.
    Weighted(Lines<'a, T>),
}

impl<T: Number> Matrix<'_, T> {
    /// Elements of a result.
    pub(super) fn results(&self) -> usize {
        match self {
            Self::Inner(lines) => lines.count,
            Self::Weighted(lines) => lines.length,
        }
    }

    /// The results for all vectors, one behind the other.
    pub(super) fn times(&self, vectors: &[&[T]]) -> Vec<T> {
        let mut sums = vec![T::default(); vectors.len() * self.results()];
        if sums.is_empty() {
            return sums;
        }
        Arch::new().dispatch(Run {
            matrix: *self,
            vectors,
            sums: &mut sums,
        });
        sums
    }
}

/// A run, to be compiled for each set of vector instructions. A closure would be compiled for the common ones only.
struct Run<'a, T> {
    matrix: Matrix<'a, T>,
    vectors: &'a [&'a [T]],
    sums: &'a mut [T],
}

impl<T: Number> WithSimd for Run<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.matrix {
            Matrix::Inner(lines) => inner(simd, lines, self.vectors, self.sums),
            Matrix::Weighted(lines) => weighted(lines, self.vectors, self.sums),
        }
    }
}

/// Whether the processor multiplies and adds in one instruction; without it the loops here are slower than a general product.
pub(super) fn is_fast() -> bool {
    !matches!(Arch::new(), Arch::Scalar)
}

#[inline(always)]
fn inner<S: Simd, T: Number>(simd: S, lines: Lines<'_, T>, vectors: &[&[T]], sums: &mut [T]) {
    let count = lines.count;
    let whole = count - count % 4;
    for first in (0..whole).step_by(4) {
        let four: [&[T]; 4] = std::array::from_fn(|i| lines.get(first + i));
        for (vector, sums) in vectors.iter().zip(sums.chunks_exact_mut(count)) {
            sums[first..first + 4].copy_from_slice(&T::four_dots(simd, four, vector));
        }
    }
    for index in whole..count {
        let line = lines.get(index);
        for (vector, sums) in vectors.iter().zip(sums.chunks_exact_mut(count)) {
            // the same sums as among four
            sums[index] = T::four_dots(simd, [line; 4], vector)[0];
        }
    }
}

/// Inner products with vector instructions: loops over an array of sums are not compiled to them.
pub(crate) trait FourDots: Sized {
    /// The inner products of four lines with one vector of the same length, which is read once for all.
    fn four_dots<S: Simd>(simd: S, lines: [&[Self]; 4], vector: &[Self]) -> [Self; 4];
}

macro_rules! four_dots {
    ($number:ty, $as_simd:ident, $splat:ident, $mul_add:ident, $add:ident, $reduce:ident) => {
        impl FourDots for $number {
            #[inline(always)]
            fn four_dots<S: Simd>(simd: S, lines: [&[Self]; 4], vector: &[Self]) -> [Self; 4] {
                let [a, b, c, d] = lines.map(|line| S::$as_simd(&line[..vector.len()]));
                let (y, y_rest) = S::$as_simd(vector);
                let zero = simd.$splat(0.0);
                // two sums a line fill the pipelines
                let (mut a0, mut b0, mut c0, mut d0) = (zero, zero, zero, zero);
                let (mut a1, mut b1, mut c1, mut d1) = (zero, zero, zero, zero);
                let (y_pairs, y_last) = y.as_chunks::<2>();
                let (a_pairs, a_last) = a.0.as_chunks::<2>();
                let (b_pairs, b_last) = b.0.as_chunks::<2>();
                let (c_pairs, c_last) = c.0.as_chunks::<2>();
                let (d_pairs, d_last) = d.0.as_chunks::<2>();
                let pairs = y_pairs.iter().zip(a_pairs).zip(b_pairs).zip(c_pairs);
                for ((((y, a), b), c), d) in pairs.zip(d_pairs) {
                    a0 = simd.$mul_add(a[0], y[0], a0);
                    b0 = simd.$mul_add(b[0], y[0], b0);
                    c0 = simd.$mul_add(c[0], y[0], c0);
                    d0 = simd.$mul_add(d[0], y[0], d0);
                    a1 = simd.$mul_add(a[1], y[1], a1);
                    b1 = simd.$mul_add(b[1], y[1], b1);
                    c1 = simd.$mul_add(c[1], y[1], c1);
                    d1 = simd.$mul_add(d[1], y[1], d1);
                }
                if let ([y], [a], [b], [c], [d]) = (y_last, a_last, b_last, c_last, d_last) {
                    a0 = simd.$mul_add(*a, *y, a0);
                    b0 = simd.$mul_add(*b, *y, b0);
                    c0 = simd.$mul_add(*c, *y, c0);
                    d0 = simd.$mul_add(*d, *y, d0);
                }
                let mut totals = [
                    simd.$reduce(simd.$add(a0, a1)),
                    simd.$reduce(simd.$add(b0, b1)),
                    simd.$reduce(simd.$add(c0, c1)),
                    simd.$reduce(simd.$add(d0, d1)),
                ];
                for (total, rest) in totals.iter_mut().zip([a.1, b.1, c.1, d.1]) {
                    for (x, y) in rest.iter().zip(y_rest) {
                        *total = x.times_plus(*y, *total);
                    }
                }
                totals
            }
        }
    };
}

four_dots!(
    f32,
    as_simd_f32s,
    splat_f32s,
    mul_add_e_f32s,
    add_f32s,
    reduce_sum_f32s
);
four_dots!(
    f64,
    as_simd_f64s,
    splat_f64s,
    mul_add_e_f64s,
    add_f64s,
    reduce_sum_f64s
);

#[inline(always)]
fn weighted<T: Number>(lines: Lines<'_, T>, vectors: &[&[T]], sums: &mut [T]) {
    let (count, length) = (lines.count, lines.length);
    let whole = count - count % 4;
    for start in (0..length).step_by(PIECE) {
        let end = (start + PIECE).min(length);
        for first in (0..whole).step_by(4) {
            let four: [&[T]; 4] = std::array::from_fn(|i| &lines.get(first + i)[start..end]);
            for (vector, sums) in vectors.iter().zip(sums.chunks_exact_mut(length)) {
                let weights = [
                    vector[first],
                    vector[first + 1],
                    vector[first + 2],
                    vector[first + 3],
                ];
                add_four(&mut sums[start..end], four, weights);
            }
        }
        for index in whole..count {
            let line = &lines.get(index)[start..end];
            for (vector, sums) in vectors.iter().zip(sums.chunks_exact_mut(length)) {
                let weight = vector[index];
                for (sum, x) in sums[start..end].iter_mut().zip(line) {
                    *sum = x.times_plus(weight, *sum);
                }
            }
        }
    }
}

#[inline(always)]
fn add_four<T: Number>(sums: &mut [T], lines: [&[T]; 4], weights: [T; 4]) {
    let length = sums.len();
    let [a, b, c, d] = lines.map(|line| &line[..length]);
    let [w, x, y, z] = weights;
    for i in 0..length {
        let sum = a[i].times_plus(w, sums[i]);
        let sum = b[i].times_plus(x, sum);
        let sum = c[i].times_plus(y, sum);
        sums[i] = d[i].times_plus(z, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers, whose sums are exact.
    fn numbers<T: Number>(count: usize, seed: usize) -> Vec<T> {
        let number = |i: usize| T::of(((i * 7 + i / 11 + seed * 13) % 9) as f64 - 4.0);
        (0..count).map(number).collect()
    }

    fn all_lengths<T: Number>() {
        for (count, length, gap) in [(1, 1, 0), (3, 5, 2), (4, 16, 0), (9, 37, 1), (6, 2100, 3)] {
            let stride = length + gap;
            let data: Vec<T> = numbers(count * stride, 1);
            let lines = Lines {
                data: &data,
                stride,
                count,
                length,
            };
            let element = |line: usize, i: usize| data[line * stride + i].wide();
            for few in 1..=3 {
                let by_line: Vec<Vec<T>> = (0..few).map(|s| numbers(count, s + 2)).collect();
                let along: Vec<Vec<T>> = (0..few).map(|s| numbers(length, s + 2)).collect();
                let slices: Vec<&[T]> = along.iter().map(Vec::as_slice).collect();
                let found = Matrix::Inner(lines).times(&slices);
                for (s, vector) in along.iter().enumerate() {
                    for line in 0..count {
                        let terms = (0..length).map(|i| element(line, i) * vector[i].wide());
                        assert_eq!(found[s * count + line].wide(), terms.sum::<f64>());
                    }
                }
                let slices: Vec<&[T]> = by_line.iter().map(Vec::as_slice).collect();
                let found = Matrix::Weighted(lines).times(&slices);
                for (s, vector) in by_line.iter().enumerate() {
                    for i in 0..length {
                        let terms = (0..count).map(|line| element(line, i) * vector[line].wide());
                        assert_eq!(found[s * length + i].wide(), terms.sum::<f64>());
                    }
                }
            }
        }
    }

    #[test]
    fn inner_products_and_weighted_sums_of_all_lengths_and_numbers() {
        all_lengths::<f32>();
        all_lengths::<f64>();
    }

    #[test]
    fn one_vector_and_several_give_the_same_bits() {
        let data: Vec<f32> = (0..40 * 123).map(|i| (i as f32 * 0.37).sin()).collect();
        let vectors: Vec<Vec<f32>> = (0..3)
            .map(|s| (0..123).map(|i| ((i + s) as f32).cos()).collect())
            .collect();
        let slices: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let lines = Lines {
            data: &data,
            stride: 123,
            count: 40,
            length: 123,
        };
        let together = Matrix::Inner(lines).times(&slices);
        for (index, vector) in slices.iter().enumerate() {
            let alone = Matrix::Inner(lines).times(&[vector]);
            assert_eq!(together[index * 40..(index + 1) * 40], alone);
        }
    }
}
