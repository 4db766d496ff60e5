//! Flat vectors with reductions in f64, whatever the dtype of the elements.

use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, TensorData};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// The inner product Σ aᵢ bᵢ, accumulated in f64.
pub fn dot(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    let (a, b) = (to_f64(a), to_f64(b));
    dot_f64(&a, &b)
}

/// The Euclidean norm √Σ aᵢ², accumulated in f64.
pub fn norm(a: &Tensor<1>) -> f64 {
    let a = to_f64(a);
    dot_f64(&a, &a).sqrt()
}

/// The elements in f64.
pub fn to_f64(a: &Tensor<1>) -> Vec<f64> {
    a.to_data().iter::<f64>().collect()
}

/// A vector on a device from numbers in f64.
pub fn from_f64(values: &[f64], device: &Device, dtype: DType) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

/// A vector of independent standard normal numbers.
pub fn standard_normal<R: Rng>(dim: usize, rng: &mut R) -> Vec<f64> {
    (0..dim).map(|_| StandardNormal.sample(rng)).collect()
}

pub(crate) fn dot_f64(a: &[f64], b: &[f64]) -> f64 {
    // four independent sums: the compiler can keep them in one vector register
    let mut sums = [0.0; 4];
    let (chunks_a, chunks_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = chunks_a
        .remainder()
        .iter()
        .zip(chunks_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..4 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_are_in_f64() {
        let device = Device::flex();
        // 10^8 + 1 ones: in f32 the sum would stop at 2^24 steps of one
        let big = from_f64(&[1e4, 1.0, 1e4], &device, DType::F32);
        assert_eq!(dot(&big, &big), 2e8 + 1.0);
        assert_eq!(norm(&from_f64(&[3.0, 4.0], &device, DType::F64)), 5.0);
    }

    #[test]
    fn dot_of_any_length() {
        for n in 0..10 {
            let a: Vec<f64> = (0..n).map(f64::from).collect();
            let expected: f64 = (0..n).map(|i| f64::from(i * i)).sum();
            assert_eq!(dot_f64(&a, &a), expected);
        }
    }
}
