use burn::prelude::*;
use ravine_curvature::ParameterLayout;
use serde::{Deserialize, Serialize};

/// Which entries of the estimated diagonal share their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SpatialAveraging {
    /// None: each entry has its own.
    Off,
    /// Those of one kernel: all dimensions of a parameter from the third on, as `[out, in, height, width]` of a convolution. Parameters
    /// of rank 1 and 2 keep their entries apart.
    #[default]
    Kernels,
    /// Blocks of so many consecutive entries of a parameter, row-major; the last one holds what is left.
    Blocks {
        /// b, at least 1.
        size: usize,
    },
}

/// What is averaged over a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Averaged {
    /// |z ⊙ Hz|, as in the code of the authors.
    #[default]
    Magnitudes,
    /// z ⊙ Hz with its signs, as the paper writes it: noise cancels, and so do curvatures of different sign.
    Signed,
}

impl SpatialAveraging {
    /// The diagonal with the mean of its block in each entry.
    pub(super) fn apply(
        self,
        averaged: Averaged,
        diagonal: Tensor<1>,
        layout: &ParameterLayout,
    ) -> Tensor<1> {
        let diagonal = match averaged {
            Averaged::Magnitudes => diagonal.abs(),
            Averaged::Signed => diagonal,
        };
        let entries = layout.entries().iter().filter(|e| !e.range.is_empty());
        let sized: Vec<_> = entries
            .map(|entry| (entry.range.clone(), self.size(entry.shape.as_slice())))
            .collect();
        if sized.iter().all(|(_, size)| *size <= 1) {
            return diagonal;
        }
        let parts = sized
            .into_iter()
            .map(|(range, size)| averages(diagonal.clone().slice(range), size));
        Tensor::cat(parts.collect(), 0)
    }

    fn size(self, shape: &[usize]) -> usize {
        match self {
            Self::Off => 1,
            Self::Kernels => shape.iter().skip(2).product(),
            Self::Blocks { size } => size,
        }
    }
}

/// Each block of `size` entries replaced by its mean.
fn averages(part: Tensor<1>, size: usize) -> Tensor<1> {
    let [length] = part.dims();
    let size = size.clamp(1, length.max(1));
    if size == 1 {
        return part;
    }
    let blocks = length / size;
    let whole = part.clone().slice(0..blocks * size);
    let means = whole.reshape([blocks, size]).mean_dim(1);
    let whole = means.expand([blocks, size]).reshape([blocks * size]);
    if blocks * size == length {
        return whole;
    }
    let rest = part.slice(blocks * size..length);
    let rest = rest.clone().mean().expand([length - blocks * size]);
    Tensor::cat(vec![whole, rest], 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::{ToVec, vector32};

    #[test]
    fn the_last_block_holds_what_is_left() {
        let part = || vector32(&[1.0, 3.0, 4.0, 8.0, 5.0]);
        assert_eq!(averages(part(), 1).to_vec_f32(), part().to_vec_f32());
        assert_eq!(averages(part(), 2).to_vec_f32(), [2.0, 2.0, 6.0, 6.0, 5.0]);
        assert_eq!(averages(part(), 3).to_vec_f32()[3..], [6.5, 6.5]);
        assert_eq!(averages(part(), 9).to_vec_f32(), [4.2; 5]);
    }

    #[test]
    fn kernels_are_all_dimensions_from_the_third_on() {
        let size = |shape: &[usize]| SpatialAveraging::Kernels.size(shape);
        assert_eq!([size(&[7]), size(&[7, 3]), size(&[7, 3, 5])], [1, 1, 5]);
        assert_eq!(size(&[7, 3, 3, 3]), 9);
    }
}
