//! Times ravine on the workloads of the peers' rig, and on others, and prints JSON lines in the rig's format.
//!
//! `RAYON_NUM_THREADS=2 peers --workload mlp_small --ops grad,hvp --budget 1.5 --threads 2`

use anyhow::Context;
use burn::prelude::Device;
use burn::tensor::{DType, Element};
use clap::{Parser, ValueEnum};
use ravine_benches::inputs::probe;
use ravine_benches::timing::{Limits, load_average, measure, peak_mib, reset_peak, resident_mib};
use ravine_benches::workloads;
use ravine_benches::{Execution, Flops, Operation, OperationError, Repeatable, Row, Workload};
use ravine_curvature::vector;
use std::io::Write;

/// Times ravine and prints JSON lines in the format of the peers' rig.
#[derive(Parser)]
struct Options {
    /// Names separated by commas; `all` for every one.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    workload: Vec<String>,
    /// Executions.
    #[arg(long, value_delimiter = ',', default_value = "ravine,ravine_tape")]
    method: Vec<Execution>,
    /// Operations.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "grad,hvp,ggn,eig10,slq,trace100,diag100"
    )]
    ops: Vec<Operation>,
    /// Seconds of repetitions for each operation.
    #[arg(long, default_value_t = 1.5)]
    budget: f64,
    /// Most repetitions.
    #[arg(long, default_value_t = 300)]
    max_reps: usize,
    /// Seconds to wait for a quiet machine, for each operation.
    #[arg(long, default_value_t = 0.0)]
    max_wait: f64,
    /// Threads, which RAYON_NUM_THREADS has to say as well.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Dtype of parameters and data.
    #[arg(long, default_value = "f32")]
    dtype: Float,
}

#[derive(Clone, Copy, ValueEnum)]
enum Float {
    F32,
    F64,
}

impl Float {
    fn dtype(self) -> DType {
        match self {
            Float::F32 => f32::dtype(),
            Float::F64 => f64::dtype(),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    check_threads(options.threads)?;
    let device = Device::flex();
    let names: Vec<String> = match options.workload.as_slice() {
        [all] if all == "all" => workloads::names().map(String::from).collect(),
        names => names.to_vec(),
    };
    for name in names {
        let workload = Workload::new(&name, &device, options.dtype.dtype())?;
        let flops = workload.flops()?;
        for &execution in &options.method {
            for &operation in options.ops.iter().filter(|&&op| execution.has(op)) {
                let mut row = row(&workload, execution, operation, &options);
                row.matmul_flops = flops.and_then(|flops| count(flops, execution, operation));
                print(&row)?;
            }
        }
    }
    Ok(())
}

/// The pool of threads is made by whoever needs it first, so that only the environment has a say.
fn check_threads(threads: usize) -> anyhow::Result<()> {
    let set = std::env::var("RAYON_NUM_THREADS").ok();
    let found = match &set {
        Some(text) => text.parse().context("RAYON_NUM_THREADS is no number")?,
        None => std::thread::available_parallelism()?.get(),
    };
    anyhow::ensure!(
        found == threads,
        "this process would use {found} threads: set RAYON_NUM_THREADS={threads}"
    );
    Ok(())
}

fn print(row: &Row) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(row)?)?;
    Ok(out.flush()?)
}

/// What is counted of an operation: not its matrix products where the tape evaluates the gradient again.
fn count(flops: Flops, execution: Execution, operation: Operation) -> Option<u64> {
    match (execution, operation) {
        (Execution::Recorded, Operation::Grad) => Some(flops.gradient),
        (Execution::Recorded, Operation::Hvp) => Some(flops.product),
        _ => None,
    }
}

/// A measurement, or why there is none.
fn row(workload: &Workload, execution: Execution, operation: Operation, options: &Options) -> Row {
    let mut row = Row {
        workload: workload.name().to_string(),
        method: execution.name().to_string(),
        dtype: options.dtype.dtype().name().to_string(),
        threads: options.threads,
        init: "cos".to_string(),
        n_params: Some(workload.point().dim()),
        batch: Some(workload.batch()),
        op: operation.name().to_string(),
        ..Row::default()
    };
    match fill(&mut row, workload, execution, operation, options) {
        Ok(()) => {}
        Err(error) if error.is_skip() => row.skipped = Some(error.to_string()),
        Err(error) => row.error = Some(error.to_string()),
    }
    row
}

fn fill(
    row: &mut Row,
    workload: &Workload,
    execution: Execution,
    operation: Operation,
    options: &Options,
) -> Result<(), OperationError> {
    let peak_is_known = reset_peak();
    row.rss_before_mb = resident_mib();
    let repeatable = Repeatable::new(workload, operation, execution)?;
    let limits = Limits {
        budget: options.budget,
        repetitions: options.max_reps,
        wait: options.max_wait,
    };
    let (outcome, measurement) = measure(limits, || repeatable.run())?;
    row.setup_s = Some(repeatable.setup_s);
    row.relinearize_s = repeatable.at_another_point_s;
    row.clean = measurement.clean;
    row.foreign_cpu = measurement.foreign;
    row.reps = Some(measurement.seconds.len());
    row.median_s = Some(measurement.median());
    row.min_s = measurement.seconds.first().copied();
    row.p10_s = Some(measurement.tenth());
    row.max_s = measurement.seconds.last().copied();
    row.first_call_s = Some(measurement.first);
    row.peak_rss_mb = peak_mib().filter(|_| peak_is_known);
    row.loadavg1 = load_average();
    let v = vector::to_f64(&probe(workload.point()));
    row.matvecs = outcome.products();
    row.checksum = Some(outcome.checksum(&v));
    Ok(())
}
