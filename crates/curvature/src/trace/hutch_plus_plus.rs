use super::hutchinson::TraceEstimate;
use super::sampling::SamplingEnding;
use super::sketch::{Products, column_dots, probe_columns};
use super::xtrace::{SketchOptions, check_products, exact_trace, from_sketch};
use crate::error::{CurvatureError, finite};
use crate::estimate::Estimate;
use crate::operator::LinearOperator;
use crate::progress::{Observer, unobserved};
use crate::seed::Seed;
use std::ops::ControlFlow;

/// The trace by Hutch++: exact on the range of a sketch, Hutchinson's estimate on the rest.
///
/// tr A = tr(Qᵀ A Q) + E\[gᵀ (I − QQᵀ) A (I − QQᵀ) g\], with Q an orthonormal basis of A S for m/3 random columns S. Unbiased; the standard
/// error is that of the second term, whose samples are independent given Q.
///
/// For positive semidefinite A the relative error falls as 1/m instead of Hutchinson's 1/√m.
/// [`xtrace`](crate::trace::xtrace) needs fewer products for the same error; the error bar of this one is the more honest.
///
/// ```
/// use burn::{prelude::*, tensor::DType};
/// use ravine_curvature::{DenseSymmetric, Seed, SketchOptions, hutch_plus_plus};
///
/// let matrix = faer::Mat::from_fn(100, 100, |i, j| 1.0 / (1.0 + i as f64 + j as f64));
/// let trace: f64 = (0..100).map(|i| matrix[(i, i)]).sum();
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let options = SketchOptions { products: 60, ..Default::default() };
/// let found = hutch_plus_plus(&operator, &options, Seed::new(0))?;
/// assert!((found.estimate.value - trace).abs() < 1e-9);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// At most `products` operator applications, O(n m²) operations on the processor, and memory of 16 n m bytes.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for fewer than six products, [`CurvatureError::NonFinite`] for a product that is not finite, what the
/// operator reports.
///
/// # References
///
/// Meyer, Musco, Musco and Woodruff (2021), Hutch++: optimal stochastic trace estimation, Algorithm 1.
pub fn hutch_plus_plus(
    operator: &dyn LinearOperator,
    options: &SketchOptions,
    seed: Seed,
) -> Result<TraceEstimate, CurvatureError> {
    hutch_plus_plus_observed(operator, options, seed, &mut unobserved)
}

/// As [`hutch_plus_plus`], and calls `observer` after each block; when it stops, the estimate is Hutchinson's from the probes so far.
///
/// # Errors
///
/// As [`hutch_plus_plus`].
pub fn hutch_plus_plus_observed(
    operator: &dyn LinearOperator,
    options: &SketchOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<TraceEstimate, CurvatureError> {
    check_products(options.products, 6)?;
    let span = tracing::debug_span!("hutch_plus_plus", dim = operator.dim());
    let _entered = span.enter();
    if options.products >= operator.dim() {
        return exact_trace(operator, observer);
    }
    let sketched = options.products / 3;
    let rest = options.products - 2 * sketched;
    let mut products = Products::new(operator, observer, options.products);
    let s = probe_columns(operator, options.probe, sketched, seed.stream("sketch"));
    let y = match products.of(&s)? {
        ControlFlow::Continue(y) => y,
        ControlFlow::Break(y) => return Ok(from_sketch(&s, &y, products.applications)),
    };
    let q = y.qr().compute_thin_Q();
    let aq = match products.of(&q)? {
        ControlFlow::Continue(aq) => aq,
        ControlFlow::Break(_) => return Ok(from_sketch(&s, &y, products.applications)),
    };
    let g = probe_columns(operator, options.probe, rest, seed.stream("rest"));
    let outside = &g - &q * (q.transpose() * &g);
    let (product, ending) = match products.of(&outside)? {
        ControlFlow::Continue(product) => (product, SamplingEnding::Finished),
        ControlFlow::Break(product) => (product, SamplingEnding::Stopped),
    };
    let trace: f64 = column_dots(&q, &aq).iter().sum();
    let mut samples = column_dots(&outside, &product);
    for sample in &mut samples {
        *sample = finite("a sample of the residual trace", *sample + trace)?;
    }
    Ok(TraceEstimate {
        estimate: Estimate::from_samples(&samples, products.applications),
        samples,
        ending,
    })
}
