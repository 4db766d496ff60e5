//! Records Burn computations and their derivatives as graphs, and evaluates them on any Burn device.
//!
//! A model and a loss, written in plain Burn, are run once on autodiff capture tensors: forward pass and gradient arrive as a
//! [`Graph`]. Replaying that graph on autodiff capture tensors again records the *second* backward: the Hessian-vector product as a
//! graph without a tape, linear in the vector, to be evaluated many times on any device and in any float dtype.
//!
//! This crate is the only place that touches Burn's interior (`burn-ir`, `burn-capture`, backend traits). It knows nothing about
//! curvature: see `ravine-curvature` for what one does with it.

mod arrange;
mod batch;
mod batching;
mod boundary;
mod capture;
mod commute;
mod device;
mod differentiate;
mod error;
mod evaluate;
mod execute;
pub mod from_ir;
mod gauss_newton;
mod graph;
mod layers;
mod native;
mod op;
mod parameters;
mod record;
mod simplify;
mod split;
mod tape;

pub use arrange::arrange;
pub use batch::{Batch, TensorMap, first_example};
pub use batching::{Batched, batch_over};
pub use error::GraphError;
pub use evaluate::{SigmoidForm, Target};
pub use execute::{Array, Executable, Execution, NativeCounts};
pub use gauss_newton::GaussNewton;
pub use graph::{Graph, Node, Value, ValueId};
pub use layers::{Axis, Layer, LayerGradients, LayerUse, Window};
pub use op::{Binary, Compare, Cumulative, Kind, Logic, Op, Pool, Reduce, Unary, Windows};
pub use parameters::{LayerBehaviour, ModuleTensors, Parameter};
pub use record::{Counts, DetachedValue, Evaluated, RandomInput, Recording};
pub use simplify::{Report, simplify, simplify_reported};
pub use split::{Keep, Split};
pub use tape::product_by_tape;

pub use burn::backend::DispatchTensor;
