//! The optimisers of Burn as methods of this crate.
//!
//! Burn's optimisers walk over a module and update each parameter in its own rank. The flat θ is laid out as such a module,
//! with the names, shapes and order of the user's model, so that Burn's own code takes the step: per-parameter statistics
//! (Lamb, Adafactor, clipping by norm) see the tensors they expect, and Muon sees matrices.

mod direction;
mod first_order;
mod lbfgs;
mod parameters;

pub use direction::BurnDirection;
pub use first_order::{BurnOptimizer, ParameterInfo};
pub use lbfgs::BurnLbfgs;
