//! Vectors on the host in the operator's own precision, and orthonormal sets of them.

use crate::eigen::kernels::{self, Scalar};
use crate::seed::Seed;
use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, Element, TensorData};
use faer::{Mat, MatRef};
use rand_distr::{Distribution, StandardNormal};

/// Numbers on the host: f64 for an operator in f64, f32 for every other.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Runs a generic expression on the numbers of one or two stores of the same precision.
macro_rules! each {
    ($a:expr, $x:ident => $body:expr) => {
        match $a {
            Numbers::F32($x) => $body,
            Numbers::F64($x) => $body,
        }
    };
    ($a:expr, $b:expr, $x:ident, $y:ident => $body:expr) => {
        match ($a, $b) {
            (Numbers::F32($x), Numbers::F32($y)) => $body,
            (Numbers::F64($x), Numbers::F64($y)) => $body,
            _ => unreachable!("one operator, one precision"),
        }
    };
}

impl Numbers {
    /// No numbers, room for some.
    pub(crate) fn empty(dtype: DType, capacity: usize) -> Self {
        match dtype {
            DType::F64 => Self::F64(Vec::with_capacity(capacity)),
            _ => Self::F32(Vec::with_capacity(capacity)),
        }
    }

    /// The elements of a tensor; its memory is moved where nobody else holds it.
    pub(crate) fn read(data: TensorData, dtype: DType) -> Self {
        fn typed<T: Element>(data: TensorData) -> Vec<T> {
            let data = data.convert_dtype(T::dtype());
            data.try_into_vec().expect("the data was converted")
        }
        match dtype {
            DType::F64 => Self::F64(typed(data)),
            _ => Self::F32(typed(data)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, x => x.len())
    }

    fn unit(&self) -> f64 {
        match self {
            Self::F32(_) => f64::from(f32::EPSILON) / 2.0,
            Self::F64(_) => f64::EPSILON / 2.0,
        }
    }

    fn data(self, shape: [usize; 2], dtype: DType) -> TensorData {
        each!(self, x => TensorData::new(x, shape)).convert_dtype(dtype)
    }
}

/// One vector on the host.
#[derive(Clone, Debug)]
pub(crate) struct HostVector(Numbers);

impl HostVector {
    /// Takes a tensor's elements.
    pub(crate) fn read(tensor: Tensor<1>, dtype: DType) -> Self {
        Self(Numbers::read(tensor.into_data(), dtype))
    }

    /// The rows of a block, such as the products of `apply_block`.
    pub(crate) fn rows(tensor: Tensor<2>, dtype: DType) -> Vec<Self> {
        let [count, n] = tensor.dims();
        let numbers = Numbers::read(tensor.into_data(), dtype);
        if count == 1 {
            return vec![Self(numbers)];
        }
        let row = |row: usize| match &numbers {
            Numbers::F32(x) => Numbers::F32(x[row * n..(row + 1) * n].to_vec()),
            Numbers::F64(x) => Numbers::F64(x[row * n..(row + 1) * n].to_vec()),
        };
        (0..count).map(|index| Self(row(index))).collect()
    }

    /// A random direction of norm one, the same for every dtype up to rounding.
    pub(crate) fn random_unit(n: usize, dtype: DType, seed: Seed) -> Self {
        fn normal<T: Scalar>(n: usize, seed: Seed) -> Vec<T> {
            let mut rng = seed.rng();
            (0..n)
                .map(|_| T::narrow(StandardNormal.sample(&mut rng)))
                .collect()
        }
        let mut vector = Self(match dtype {
            DType::F64 => Numbers::F64(normal(n, seed)),
            _ => Numbers::F32(normal(n, seed)),
        });
        let norm = vector.norm();
        vector.scale(1.0 / norm.max(f64::MIN_POSITIVE));
        vector
    }

    /// √Σ wᵢ² in f64.
    pub(crate) fn norm(&self) -> f64 {
        each!(&self.0, w => kernels::overlaps(&[], w)[0]).sqrt()
    }

    /// ⟨a, b⟩ in f64.
    pub(crate) fn dot(&self, other: &Self) -> f64 {
        each!(&self.0, &other.0, a, b => kernels::overlaps(a, b)[0])
    }

    /// w ← f w.
    pub(crate) fn scale(&mut self, factor: f64) {
        each!(&mut self.0, w => kernels::scale(w, factor));
    }

    /// w ← w + f v; returns ‖w‖ afterwards.
    pub(crate) fn add(&mut self, factor: f64, v: &Self) -> f64 {
        let sums = each!(&v.0, &mut self.0, v, w => kernels::subtract(v, &[-factor], w));
        sums[1].sqrt()
    }

    /// As a tensor of the operator's.
    pub(crate) fn into_tensor(self, device: &Device, dtype: DType) -> Tensor<1> {
        let n = self.0.len();
        let data = self.0.data([1, n], dtype);
        Tensor::<2>::from_data(data, (device, dtype)).reshape([n])
    }
}

/// An orthonormal set of vectors, one behind the other in one piece of memory.
///
/// The set is kept orthonormal by its users: [`Basis::orthogonalise`] and [`Basis::push`].
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    dim: usize,
    dtype: DType,
    numbers: Numbers,
}

impl Basis {
    /// An empty set with room for `capacity` vectors of n elements; the room is memory only once it is filled.
    pub(crate) fn new(dim: usize, dtype: DType, capacity: usize) -> Self {
        let numbers = Numbers::empty(dtype, dim * capacity);
        Self {
            dim,
            dtype,
            numbers,
        }
    }

    /// The rows of a block as they are.
    pub(crate) fn read(tensor: Tensor<2>, dtype: DType) -> Self {
        let dim = tensor.dims()[1];
        let numbers = Numbers::read(tensor.into_data(), dtype);
        Self {
            dim,
            dtype,
            numbers,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len().checked_div(self.dim).unwrap_or(0)
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Vectors that there is room for without moving any.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        each!(&self.numbers, x => x.capacity()) / self.dim
    }

    /// Unit of rounding of the elements.
    pub(crate) fn unit(&self) -> f64 {
        self.numbers.unit()
    }

    pub(crate) fn push(&mut self, vector: &HostVector) {
        each!(&mut self.numbers, &vector.0, x, v => x.extend_from_slice(v));
    }

    /// Forgets all but the first `count` vectors.
    pub(crate) fn truncate(&mut self, count: usize) {
        let length = count * self.dim;
        each!(&mut self.numbers, x => x.truncate(length));
    }

    /// Gives the room behind the vectors back.
    pub(crate) fn shrink(&mut self) {
        each!(&mut self.numbers, x => x.shrink_to_fit());
    }

    /// Forgets the vectors in front of `first`.
    pub(crate) fn drop_front(&mut self, first: usize) {
        let length = first * self.dim;
        each!(&mut self.numbers, x => drop(x.drain(..length)));
    }

    /// Moves vector `from` to the place of vector `to`, which is lost; what was at `from` stays there.
    pub(crate) fn copy_within(&mut self, from: usize, to: usize) {
        let (n, start) = (self.dim, from * self.dim);
        each!(&mut self.numbers, x => x.copy_within(start..start + n, to * n));
    }

    /// A copy of one vector.
    pub(crate) fn vector(&self, index: usize) -> HostVector {
        let range = index * self.dim..(index + 1) * self.dim;
        HostVector(match &self.numbers {
            Numbers::F32(x) => Numbers::F32(x[range].to_vec()),
            Numbers::F64(x) => Numbers::F64(x[range].to_vec()),
        })
    }

    /// One vector as a tensor of the operator's.
    pub(crate) fn tensor(&self, index: usize, device: &Device) -> Tensor<1> {
        self.vector(index).into_tensor(device, self.dtype)
    }

    /// Some vectors as the rows of a block for `apply_block`.
    pub(crate) fn rows(&self, range: std::ops::Range<usize>, device: &Device) -> Tensor<2> {
        let shape = [range.len(), self.dim];
        let range = range.start * self.dim..range.end * self.dim;
        let part = match &self.numbers {
            Numbers::F32(x) => Numbers::F32(x[range].to_vec()),
            Numbers::F64(x) => Numbers::F64(x[range].to_vec()),
        };
        Tensor::from_data(part.data(shape, self.dtype), (device, self.dtype))
    }

    /// Vᵀ w of the vectors from `first`, and wᵀw behind them.
    pub(crate) fn overlaps(&self, first: usize, w: &HostVector) -> Vec<f64> {
        let start = first * self.dim;
        each!(&self.numbers, &w.0, v, w => kernels::overlaps(&v[start..], w))
    }

    /// w ← w − V c with the vectors from `first`; of the new w: Vᵀ w, and wᵀw behind it.
    pub(crate) fn subtract(&self, first: usize, c: &[f64], w: &mut HostVector) -> Vec<f64> {
        let start = first * self.dim;
        let end = start + c.len() * self.dim;
        each!(&self.numbers, &mut w.0, v, w => kernels::subtract(&v[start..end], c, w))
    }

    /// Makes w orthogonal to the vectors from `first` (twice, where once is not enough); returns Vᵀ w of the old w, and the norm of the new.
    pub(crate) fn orthogonalise(&self, first: usize, w: &mut HostVector) -> (Vec<f64>, f64) {
        let mut c = self.overlaps(first, w);
        c.pop();
        let mut left = self.subtract(first, &c, w);
        let mut square = left.pop().unwrap_or(0.0);
        let off = left.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        if off > 4.0 * self.unit() * square.sqrt() {
            for (c, left) in c.iter_mut().zip(&left) {
                *c += left;
            }
            square = self
                .subtract(first, &left, w)
                .last()
                .copied()
                .unwrap_or(0.0);
        }
        (c, square.sqrt())
    }

    /// Aᵀ B.
    pub(crate) fn gram(&self, other: &Self) -> Mat<f64> {
        each!(&self.numbers, &other.numbers, a, b => kernels::gram(a, b, self.dim))
    }

    /// V ← V C in place for the vectors from `first`: as many as C has columns are replaced, the others stay.
    pub(crate) fn rotate(&mut self, first: usize, c: MatRef<'_, f64>) {
        let (n, start) = (self.dim, first * self.dim);
        each!(&mut self.numbers, x => kernels::rotate(&mut x[start..], n, c));
    }
}
