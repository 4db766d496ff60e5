use crate::gauss_newton::gauss_newton;
use crate::inputs::probe;
use crate::row::Checksum;
use crate::workloads::Workload;
use burn::prelude::*;
use ravine_curvature::{
    CurvatureError, HutchinsonOptions, HvpMethod, LanczosOptions, LinearOperator, Point, Seed,
    SlqOptions, Which, diagonal_estimate, hutchinson_trace, lanczos_top_k, slq,
};
use std::time::Instant;

/// Probe vectors of an estimate.
pub const PROBES: usize = 100;

/// What is timed. Each repetition does the whole work and reads the result to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Operation {
    /// Loss and gradient at a new point, that is, at parameters for which nothing is known.
    Grad,
    /// H v at a point that has been prepared.
    Hvp,
    /// The Gauss-Newton product at a point that has been prepared.
    Ggn,
    /// The ten largest eigenvalues of H with their vectors and residuals, to 1e-4 of the largest.
    Eig10,
    /// The spectral density of H by stochastic Lanczos quadrature: 4 vectors, 50 steps.
    Slq,
    /// Hutchinson's estimate of the trace of H with 100 Rademacher vectors, drawing them included.
    Trace100,
    /// The same estimate of the diagonal of H.
    Diag100,
}

impl Operation {
    /// Its name in the rig's rows.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Grad => "grad",
            Operation::Hvp => "hvp",
            Operation::Ggn => "ggn",
            Operation::Eig10 => "eig10",
            Operation::Slq => "slq",
            Operation::Trace100 => "trace100",
            Operation::Diag100 => "diag100",
        }
    }
}

/// How products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Execution {
    /// The second backward as a recorded graph.
    #[value(name = "ravine")]
    Recorded,
    /// The gradient graph on an autodiff device, then backward: products with H only.
    #[value(name = "ravine_tape")]
    Tape,
}

impl Execution {
    /// Its name among the rig's methods.
    pub fn name(self) -> &'static str {
        match self {
            Execution::Recorded => "ravine",
            Execution::Tape => "ravine_tape",
        }
    }

    /// Whether the operation is timed in this execution.
    pub fn has(self, operation: Operation) -> bool {
        self == Execution::Recorded || operation == Operation::Hvp
    }

    fn method(self) -> HvpMethod {
        match self {
            Execution::Recorded => HvpMethod::Recorded,
            Execution::Tape => HvpMethod::Tape,
        }
    }
}

/// Why an operation cannot be timed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The device could not finish its work.
    #[error("the device failed: {0}")]
    Device(String),
    /// It makes no sense for the workload, or failed.
    #[error(transparent)]
    Curvature(#[from] CurvatureError),
}

impl OperationError {
    /// Whether there is nothing to time, in contrast to something that went wrong.
    pub fn is_skip(&self) -> bool {
        matches!(self, OperationError::Curvature(CurvatureError::NoOutputs))
    }
}

/// A result on the host.
pub enum Outcome {
    /// Loss and gradient.
    Gradient {
        /// The loss.
        loss: f64,
        /// The gradient `[n]`.
        gradient: Tensor<1>,
    },
    /// A product `[n]`.
    Product(Tensor<1>),
    /// An estimate of the trace.
    Trace(f64),
    /// An estimate of the diagonal `[n]`.
    Diagonal(Vec<f64>),
    /// The largest eigenvalues, the largest first.
    Eigenvalues {
        /// λ₁ ≥ λ₂ ≥ …
        values: Vec<f64>,
        /// Operator applications.
        products: usize,
    },
    /// A spectral density.
    Density {
        /// n times its mean: an estimate of the trace.
        trace: f64,
        /// Its integral.
        mass: f64,
        /// Operator applications.
        products: usize,
    },
}

impl Outcome {
    /// Products that it consists of, where it is more than one.
    pub fn products(&self) -> Option<usize> {
        match self {
            Outcome::Gradient { .. } | Outcome::Product(_) => None,
            Outcome::Trace(_) | Outcome::Diagonal(_) => Some(PROBES),
            Outcome::Eigenvalues { products, .. } | Outcome::Density { products, .. } => {
                Some(*products)
            }
        }
    }

    /// Figures to compare with those of other programs; `v` is the vector of products.
    pub fn checksum(&self, v: &[f64]) -> Checksum {
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut checksum = Checksum::default();
        match self {
            Outcome::Gradient { loss, gradient } => {
                checksum.loss = Some(*loss);
                checksum.g_norm = Some(norm(&numbers(gradient)));
            }
            Outcome::Product(product) => {
                let product = numbers(product);
                checksum.norm = Some(norm(&product));
                checksum.vav = Some(product.iter().zip(v).map(|(a, b)| a * b).sum());
                checksum.first5 = Some(product.into_iter().take(5).collect());
            }
            Outcome::Trace(trace) => checksum.trace = Some(*trace),
            Outcome::Diagonal(diagonal) => {
                checksum.norm = Some(norm(diagonal));
                checksum.sum = Some(diagonal.iter().sum());
            }
            Outcome::Eigenvalues { values, .. } => checksum.eigs = Some(values.clone()),
            Outcome::Density { trace, mass, .. } => {
                checksum.mean_times_n = Some(*trace);
                checksum.mass = Some(*mass);
            }
        }
        checksum
    }
}

fn numbers(vector: &Tensor<1>) -> Vec<f64> {
    ravine_curvature::vector::to_f64(vector)
}

/// The vector once the device has computed it.
fn finished(vector: Tensor<1>) -> Result<Tensor<1>, OperationError> {
    vector
        .device()
        .sync()
        .map_err(|error| OperationError::Device(error.to_string()))?;
    Ok(vector)
}

/// An operation that is ready to be repeated.
pub struct Repeatable<'a> {
    run: Box<dyn Fn() -> Result<Outcome, OperationError> + 'a>,
    /// Seconds to get ready the first time, recording included.
    pub setup_s: f64,
    /// Seconds to get ready for products at another point, once everything is recorded.
    pub at_another_point_s: Option<f64>,
}

impl<'a> Repeatable<'a> {
    /// Makes an operation ready.
    ///
    /// # Errors
    ///
    /// [`OperationError`] where the operation cannot be had.
    pub fn new(
        workload: &'a Workload,
        operation: Operation,
        execution: Execution,
    ) -> Result<Self, OperationError> {
        let start = Instant::now();
        let point = at_same_parameters(workload.point())?;
        if operation == Operation::Grad {
            return Ok(Self {
                run: Box::new(move || gradient(&at_same_parameters(&point)?)),
                setup_s: start.elapsed().as_secs_f64(),
                at_another_point_s: None,
            });
        }
        let operator = operator(&point, operation, execution)?;
        let setup_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        self::operator(&at_same_parameters(&point)?, operation, execution)?;
        let at_another_point_s = Some(start.elapsed().as_secs_f64());
        let v = probe(&point);
        let run: Box<dyn Fn() -> Result<Outcome, OperationError>> = match operation {
            Operation::Trace100 => Box::new(move || trace(operator.as_ref())),
            Operation::Diag100 => Box::new(move || diagonal(operator.as_ref())),
            Operation::Eig10 => Box::new(move || eigenvalues(operator.as_ref())),
            Operation::Slq => Box::new(move || quadrature(operator.as_ref())),
            _ => Box::new(move || Ok(Outcome::Product(finished(operator.apply(&v)?)?))),
        };
        Ok(Self {
            run,
            setup_s,
            at_another_point_s,
        })
    }

    /// Does it once.
    ///
    /// # Errors
    ///
    /// [`OperationError`] if the computation fails.
    pub fn run(&self) -> Result<Outcome, OperationError> {
        (self.run)()
    }
}

/// A point with the same parameters at which nothing has been computed.
fn at_same_parameters(point: &Point) -> Result<Point, CurvatureError> {
    point.move_to(point.theta().clone())
}

fn operator(
    point: &Point,
    operation: Operation,
    execution: Execution,
) -> Result<Box<dyn LinearOperator>, OperationError> {
    if operation == Operation::Ggn {
        return gauss_newton(point);
    }
    if execution == Execution::Recorded {
        point.prepare()?;
    }
    Ok(Box::new(point.hessian().by(execution.method())))
}

fn gradient(point: &Point) -> Result<Outcome, OperationError> {
    let gradient = finished(point.gradient()?)?;
    let loss = point.loss()?;
    Ok(Outcome::Gradient { loss, gradient })
}

/// (1/k) Σ zᵀAz.
fn trace(operator: &dyn LinearOperator) -> Result<Outcome, OperationError> {
    let options = HutchinsonOptions::default().with_probes(PROBES);
    let trace = hutchinson_trace(operator, &options, Seed::new(0))?;
    Ok(Outcome::Trace(trace.estimate.value))
}

/// (1/k) Σ z ∘ Az.
fn diagonal(operator: &dyn LinearOperator) -> Result<Outcome, OperationError> {
    let options = HutchinsonOptions::default().with_probes(PROBES);
    let diagonal = diagonal_estimate(operator, &options, Seed::new(0))?;
    Ok(Outcome::Diagonal(diagonal.values))
}

/// As the peers ask of ARPACK: k = 10, residuals of 1e-4 |λ|.
fn eigenvalues(operator: &dyn LinearOperator) -> Result<Outcome, OperationError> {
    let options = LanczosOptions {
        pairs: 10,
        which: Which::LargestAlgebraic,
        tolerance: 1e-4,
        ..Default::default()
    };
    let top = lanczos_top_k(operator, &options, Seed::new(0))?;
    Ok(Outcome::Eigenvalues {
        values: top.ritz_values(),
        products: top.applications,
    })
}

/// Mass and mean of the density.
fn quadrature(operator: &dyn LinearOperator) -> Result<Outcome, OperationError> {
    let options = SlqOptions {
        probes: 4,
        steps: 50,
        ..Default::default()
    };
    let measure = slq(operator, &options, Seed::new(0))?;
    Ok(Outcome::Density {
        // the nodes' mean alone, as the peers compute it
        trace: operator.dim() as f64 * measure.moment(1).value,
        mass: measure.moment(0).value,
        products: measure.applications,
    })
}
