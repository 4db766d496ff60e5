//! Blocks of vectors in the memory of the processor, a vector a row, in the dtype of their operator.

use crate::eigen::basis::Numbers;
use crate::eigen::kernels::is_short;
use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, TensorData};
use faer::Mat;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Elements of an inner product that a thread takes.
const PIECE: usize = 1 << 15;

/// The rows of a block: f32 for an operator in f32 or less, f64 otherwise. What reduces them accumulates in f64.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) numbers: Numbers,
    pub(crate) count: usize,
    pub(crate) dim: usize,
}

impl Rows {
    /// Reads a block `[count, dim]`; it is copied only where the device holds it elsewhere.
    pub(crate) fn from_tensor(block: Tensor<2>) -> Self {
        let [count, dim] = block.dims();
        let dtype = block.dtype();
        let numbers = Numbers::read(block.into_data(), dtype);
        Self {
            numbers,
            count,
            dim,
        }
    }

    /// The columns of a matrix as rows.
    pub(crate) fn from_columns(columns: &Mat<f64>, first: usize, count: usize) -> Self {
        let numbers = (first..first + count).flat_map(|j| columns.col(j).iter().copied());
        Self {
            numbers: Numbers::F64(numbers.collect()),
            count,
            dim: columns.nrows(),
        }
    }

    /// The block on a device.
    pub(crate) fn to_tensor(&self, device: &Device, dtype: DType) -> Tensor<2> {
        self.clone().into_tensor(device, dtype)
    }

    /// The block on a device, its memory moved where that is this machine's.
    pub(crate) fn into_tensor(self, device: &Device, dtype: DType) -> Tensor<2> {
        let shape = [self.count, self.dim];
        let data = match self.numbers {
            Numbers::F32(numbers) => TensorData::new(numbers, shape),
            Numbers::F64(numbers) => TensorData::new(numbers, shape),
        };
        Tensor::from_data(data.convert_dtype(dtype), (device, dtype))
    }

    /// Σⱼ aᵢⱼ bᵢⱼ for each row i.
    pub(crate) fn dots(&self, other: &Self) -> Vec<f64> {
        match (&self.numbers, &other.numbers) {
            (Numbers::F32(a), Numbers::F32(b)) => self.dots_of(a, b),
            (Numbers::F32(a), Numbers::F64(b)) => self.dots_of(a, b),
            (Numbers::F64(a), Numbers::F32(b)) => self.dots_of(a, b),
            (Numbers::F64(a), Numbers::F64(b)) => self.dots_of(a, b),
        }
    }

    fn dots_of<A, B>(&self, a: &[A], b: &[B]) -> Vec<f64>
    where
        A: Copy + Into<f64> + Sync,
        B: Copy + Into<f64> + Sync,
    {
        let width = self.dim.max(1);
        let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
        let long = |a: &[A], b: &[B]| {
            let pieces = a.par_chunks(PIECE).zip(b.par_chunks(PIECE));
            // added in their order, so that the sum does not depend on the threads
            let sums: Vec<f64> = pieces.map(|(a, b)| dot(a, b)).collect();
            sums.iter().sum()
        };
        match is_short(width) {
            true => rows.map(|(a, b)| dot(a, b)).collect(),
            false => rows.map(|(a, b)| long(a, b)).collect(),
        }
    }

    /// One row in f64, into a buffer that is reused.
    pub(crate) fn read_row(&self, row: usize, into: &mut Vec<f64>) {
        let range = row * self.dim..(row + 1) * self.dim;
        into.clear();
        match &self.numbers {
            Numbers::F32(numbers) => into.extend(numbers[range].iter().map(|&x| f64::from(x))),
            Numbers::F64(numbers) => into.extend_from_slice(&numbers[range]),
        }
    }
}

/// Σ aᵢ bᵢ in f64.
pub(crate) fn dot<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    Arch::new().dispatch(Dot { a, b })
}

/// An inner product in independent sums, which the compiler keeps in vector registers. A closure would be compiled for the common vector
/// instructions only.
struct Dot<'a, A, B> {
    a: &'a [A],
    b: &'a [B],
}

impl<A: Copy + Into<f64>, B: Copy + Into<f64>> WithSimd for Dot<'_, A, B> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0; 16];
        let (a, a_rest) = self.a.as_chunks::<16>();
        let (b, b_rest) = self.b.as_chunks::<16>();
        for (a, b) in a.iter().zip(b) {
            for lane in 0..16 {
                let (x, y): (f64, f64) = (a[lane].into(), b[lane].into());
                sums[lane] += x * y;
            }
        }
        let mut total = 0.0;
        for (a, b) in a_rest.iter().zip(b_rest) {
            let (x, y): (f64, f64) = ((*a).into(), (*b).into());
            total += x * y;
        }
        for sum in sums {
            total += sum;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_and_dots_are_in_f64() {
        let device = Device::flex();
        for dtype in [DType::F32, DType::F64] {
            let data = TensorData::new(vec![1e4, 1.0, 1e4, 3.0, 4.0, 0.0], [2, 3]);
            let block = Tensor::<2>::from_data(data.convert_dtype(dtype), (&device, dtype));
            let rows = Rows::from_tensor(block);
            assert_eq!(rows.dots(&rows), [2e8 + 1.0, 25.0]);
            let again = Rows::from_tensor(rows.to_tensor(&device, dtype));
            let mut row = Vec::new();
            again.read_row(1, &mut row);
            assert_eq!(row, [3.0, 4.0, 0.0]);
        }
    }

    #[test]
    fn dots_of_any_length() {
        for n in 0..20 {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let expected: f64 = (0..n).map(|i| f64::from(i * i)).sum();
            assert_eq!(dot(&a, &a), expected);
        }
    }
}
