//! Gradient, Hessian-vector products by both methods, Gauss-Newton products and blocks of them, for each workload.
//!
//! `just bench`, or a part of it: `just bench blocks`, `just bench mlp`, `just bench --max-time 5`.

use burn::prelude::*;
use burn::tensor::DType;
use divan::Bencher;
use ravine_benches::inputs::probe;
use ravine_benches::workloads;
use ravine_benches::{Execution, Operation, Repeatable, Workload};
use ravine_curvature::LinearOperator;
use std::time::Duration;

fn main() {
    // a hundred samples of a block of 100 products would take minutes
    divan::Divan::default()
        .max_time(Duration::from_secs(1))
        .config_with_args()
        .main();
}

fn workload(name: &str) -> Workload {
    Workload::new(name, &Device::flex(), DType::F32).expect("a workload of the list")
}

fn bench(bencher: Bencher<'_, '_>, name: &str, operation: Operation, execution: Execution) {
    let workload = workload(name);
    match Repeatable::new(&workload, operation, execution) {
        Ok(repeatable) => bencher.bench_local(|| repeatable.run().expect("it ran before")),
        Err(error) if error.is_skip() => eprintln!("{name}: {error}"),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[divan::bench(args = workloads::names())]
fn gradient(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, Operation::Grad, Execution::Recorded);
}

#[divan::bench(args = workloads::names())]
fn hvp_recorded(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, Operation::Hvp, Execution::Recorded);
}

#[divan::bench(args = workloads::names())]
fn hvp_by_tape(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, Operation::Hvp, Execution::Tape);
}

#[divan::bench(args = workloads::names())]
fn gauss_newton(bencher: Bencher<'_, '_>, name: &str) {
    bench(bencher, name, Operation::Ggn, Execution::Recorded);
}

/// Products with several vectors at once.
#[divan::bench(args = workloads::names(), consts = [1, 10, 100])]
fn blocks<const VECTORS: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let workload = workload(name);
    let point = workload.point();
    point.prepare().expect("it can be prepared");
    let (hessian, v) = (point.hessian(), probe(point));
    let vs = v.unsqueeze::<2>().repeat_dim(0, VECTORS);
    bencher.bench_local(|| {
        hessian
            .apply_block(&vs)
            .expect("the vectors fit")
            .into_data()
    });
}
