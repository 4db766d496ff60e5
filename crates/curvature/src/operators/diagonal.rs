use super::{check_dimension, check_length};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::row_blocks::as_row;
use crate::vector::to_f64;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// diag(d), which is inverted and rooted entry by entry.
///
/// # Shapes
///
/// d `[n]`; products have its dtype.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::{LinearOperator, vector};
///
/// let device = Device::flex();
/// let tensor = |values: &[f64]| vector::from_f64(values, &device, DType::F64);
/// let root = Diagonal::new(tensor(&[4.0, 16.0])).inverse()?.square_root()?;
/// assert_eq!(vector::to_f64(&root.apply(&tensor(&[1.0, 1.0]))?), [0.5, 0.25]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Diagonal {
    entries: Tensor<1>,
    smallest: f64,
    largest: f64,
    smallest_size: f64,
}

impl Diagonal {
    /// The operator with these entries; reads them once.
    pub fn new(entries: Tensor<1>) -> Self {
        let (mut smallest, mut largest, mut smallest_size) =
            (f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY);
        for entry in to_f64(&entries) {
            // a NaN stays: neither definite nor invertible
            smallest = if entry < smallest || entry.is_nan() {
                entry
            } else {
                smallest
            };
            largest = largest.max(entry);
            smallest_size = smallest_size.min(entry.abs());
        }
        Self {
            entries,
            smallest,
            largest,
            smallest_size,
        }
    }

    /// d.
    pub fn entries(&self) -> &Tensor<1> {
        &self.entries
    }

    /// The smallest entry, an eigenvalue; infinite for no entries.
    pub fn smallest(&self) -> f64 {
        self.smallest
    }

    /// The largest entry, an eigenvalue; −∞ for no entries.
    pub fn largest(&self) -> f64 {
        self.largest
    }

    /// diag(1 / d).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for an entry that is zero.
    pub fn inverse(&self) -> Result<Self, CurvatureError> {
        if self.smallest_size == 0.0 {
            return Err(CurvatureError::Argument {
                name: "the smallest entry of a diagonal that is inverted",
                value: 0.0,
                requirement: "it must not be zero: damp it first",
            });
        }
        Ok(Self::new(self.entries.clone().recip()))
    }

    /// diag(√d).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a negative entry.
    pub fn square_root(&self) -> Result<Self, CurvatureError> {
        if self.smallest < 0.0 {
            return Err(CurvatureError::Argument {
                name: "the smallest entry of a diagonal under a square root",
                value: self.smallest,
                requirement: "it must not be negative",
            });
        }
        Ok(Self::new(self.entries.clone().sqrt()))
    }
}

impl LinearOperator for Diagonal {
    fn dim(&self) -> usize {
        self.entries.dims()[0]
    }
    fn device(&self) -> Device {
        self.entries.device()
    }
    fn dtype(&self) -> DType {
        self.entries.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for a diagonal", v, self.dim())?;
        Ok(v.clone().cast(self.dtype()) * self.entries.clone())
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        check_dimension("a vector for a diagonal", vs.dims()[1], self.dim())?;
        Ok(vs.clone().cast(self.dtype()) * as_row(&self.entries))
    }
    fn block_size(&self) -> usize {
        32
    }
    fn definiteness(&self) -> Definiteness {
        match self.smallest {
            smallest if smallest > 0.0 => Definiteness::PositiveDefinite,
            smallest if smallest >= 0.0 => Definiteness::PositiveSemidefinite,
            _ => Definiteness::Unknown,
        }
    }
}
