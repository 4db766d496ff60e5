//! Fisher matrices that are sums of outer products, by example: sampled labels, observed labels, and the covariance of gradients.

mod covariance;
mod empirical;
mod likelihood;
mod monte_carlo;
mod outer_products;
mod sampled_gradient;

pub use covariance::{Centring, GradientCovariance, SampleCovariance};
pub use empirical::EmpiricalFisher;
pub use likelihood::Likelihood;
pub use monte_carlo::{MonteCarloFisher, MonteCarloOptions};
pub use sampled_gradient::SampledGradient;
