//! Graphs on this machine's processor: fused elementwise kernels, matrix products by faer, buffers that are reused.
//!
//! All values are numbers of one dtype (f32 or f64): integers are exact up to 2²⁴ and 2⁵³, booleans are 0 and 1. Operations without a
//! native form go through Burn's device, so that every graph runs.

mod compile;
mod convolution;
mod fuse;
mod indexing;
mod kernel;
mod number;
mod product;
mod reduce;
mod run;
mod skinny;
mod step;
mod structured;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use compile::numbers;
pub(crate) use number::Number;
pub(crate) use run::{NativeProgram, Produced};
