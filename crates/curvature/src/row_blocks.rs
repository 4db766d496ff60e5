//! Vectors as rows of a block and back, of any length: `reshape` takes a 0 in a shape for "as before".

use crate::vector::to_f64;
use burn::prelude::{Device, Tensor};
use burn::tensor::{DType, TensorData};

/// A vector `[n]` as a block `[1, n]`.
pub(crate) fn as_row(v: &Tensor<1>) -> Tensor<2> {
    match v.dims()[0] {
        0 => Tensor::zeros([1, 0], (&v.device(), v.dtype())),
        dim => v.clone().reshape([1, dim]),
    }
}

/// A block `[1, n]` as a vector `[n]`.
pub(crate) fn as_vector(row: Tensor<2>) -> Tensor<1> {
    row.flatten(0, 1)
}

/// A block `[count, dim]` from its numbers, row by row.
pub(crate) fn block_from_f64(
    numbers: Vec<f64>,
    [count, dim]: [usize; 2],
    device: &Device,
    dtype: DType,
) -> Tensor<2> {
    let data = TensorData::new(numbers, [count, dim]).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

/// The numbers of a block, row by row.
pub(crate) fn block_to_f64(vs: &Tensor<2>) -> Vec<f64> {
    to_f64(&vs.clone().flatten(0, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_vectors_and_blocks_keep_their_shapes() {
        let device = Device::flex();
        let none = Tensor::<1>::zeros([0], (&device, DType::F64));
        assert_eq!(as_row(&none).dims(), [1, 0]);
        assert_eq!(as_vector(as_row(&none)).dims(), [0]);
        for shape in [[0, 3], [2, 0], [0, 0]] {
            let block = block_from_f64(Vec::new(), shape, &device, DType::F64);
            assert_eq!((block.dims(), block_to_f64(&block).len()), (shape, 0));
        }
    }
}
