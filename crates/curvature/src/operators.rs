//! The algebra of operators: sums, multiples, damping, low rank, projections, parts and inverses, nested as one likes.
//!
//! Every combinator owns what it is made of, and `&A`, `Box<A>`, `Rc<A>` and `Arc<A>` are operators where `A` is one: borrow with
//! `Damped::new(&hessian, 0.1)`, own with `Damped::new(hessian, 0.1)`, return `impl LinearOperator` or `Box<dyn LinearOperator>`.
//!
//! | | |
//! |---|---|
//! | [`Scaled`], [`Sum`], [`Damped`] | c A, Σ cᵢ Aᵢ, A + λI |
//! | [`Diagonal`], [`LowRankPlusDiagonal`] | what can be inverted and rooted exactly |
//! | [`Projected`] | P A P: deflation, or the part on a subspace |
//! | [`Subset`], [`Restricted`], [`BlockDiagonal`], [`DirectSum`] | parameters by name, layer or range |
//! | [`Inverse`] | A⁻¹ by an iterative solve |
//!
//! ```
//! use burn::prelude::*;
//! use burn::tensor::DType;
//! use ravine_curvature::operators::{Damped, Diagonal, Restricted, Scaled, Subset};
//! use ravine_curvature::{LinearOperator, vector};
//!
//! let device = Device::flex();
//! let diagonal = Diagonal::new(vector::from_f64(&[1.0, 2.0, 3.0], &device, DType::F64));
//! let part = Restricted::new(Damped::new(Scaled::new(&diagonal, 2.0), 0.5), Subset::of_range(3, 1..3)?)?;
//! let product = part.apply(&vector::from_f64(&[1.0, 1.0], &device, DType::F64))?;
//! assert_eq!(vector::to_f64(&product), [4.5, 6.5]);
//! # Ok::<(), ravine_curvature::CurvatureError>(())
//! ```

mod block_diagonal;
mod damped;
mod diagonal;
mod direct_sum;
pub(crate) mod forward;
mod inverse;
mod low_rank;
mod projected;
mod restricted;
mod scaled;
mod subset;
mod sum;
#[cfg(test)]
mod tests;

pub use block_diagonal::BlockDiagonal;
pub use damped::Damped;
pub use diagonal::Diagonal;
pub use direct_sum::DirectSum;
pub use inverse::{Inverse, InverseMethod, Unconverged};
pub use low_rank::{LogDeterminant, LowRankPlusDiagonal, Shift};
pub use projected::Projected;
pub use restricted::Restricted;
pub use scaled::Scaled;
pub use subset::Subset;
pub use sum::Sum;

use crate::error::{CurvatureError, check_dimension};
use burn::prelude::{Device, Tensor};

/// Checks the length of a vector before anything is computed with it.
fn check_length(what: &'static str, v: &Tensor<1>, expected: usize) -> Result<(), CurvatureError> {
    check_dimension(what, v.dims()[0], expected)
}

fn check_device(
    what: &'static str,
    found: &Device,
    expected: &Device,
) -> Result<(), CurvatureError> {
    match found == expected {
        true => Ok(()),
        false => Err(CurvatureError::Device {
            what,
            expected: format!("{expected:?}"),
            found: format!("{found:?}"),
        }),
    }
}
