//! Memory of the Lanczos iteration as the system counts it, in a process of its own: other tests would count as well.

use burn::prelude::*;
use burn::tensor::{DType, TensorData};
use ravine_curvature::operators::Diagonal;
use ravine_curvature::{LanczosEnding, LanczosOptions, Seed, lanczos_top_k};
use std::fs::{read_to_string, write};
use std::process::Command;

const DIM: usize = 2_000_000;
/// Megabytes of one vector in f32.
const VECTOR: f64 = 4.0 * DIM as f64 / 1e6;
/// What is no vector: pieces of columns that a restart turns, small matrices, threads, the allocator's own.
const ALLOWANCE: f64 = 0.75;

/// A field of the status of this process, in megabytes.
fn status(field: &str) -> Option<f64> {
    let text = read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// How many vectors more than before were in memory at once while something ran; `None` where the system does not say.
fn held<T>(run: impl FnOnce() -> T) -> Option<(T, f64)> {
    write("/proc/self/clear_refs", "5").ok()?;
    let before = status("VmRSS:")?;
    let result = run();
    Some((result, (status("VmHWM:")? - before) / VECTOR))
}

#[test]
fn lanczos_with_k_vectors_holds_k_and_three() {
    // glibc then gives the memory of each vector back, where it would keep one of them for the next
    const AT_ONCE: &str = "MALLOC_MMAP_THRESHOLD_";
    if std::env::var_os(AT_ONCE).is_none() {
        let own = std::env::current_exe().expect("a running test has a path");
        let mut again = Command::new(own);
        let status = again.arg("--nocapture").env(AT_ONCE, "1000000").status();
        assert!(status.expect("it runs once more").success());
        return;
    }
    let entries: Vec<f32> = (0..DIM).map(|i| i as f32 / DIM as f32).collect();
    let entries = TensorData::new(entries, [DIM]);
    let operator = Diagonal::new(Tensor::from_data(entries, (&Device::flex(), DType::F32)));
    for vectors in [12, 20] {
        let options = LanczosOptions {
            pairs: 4,
            vectors: Some(vectors),
            tolerance: 1e-6,
            max_iterations: 40,
            ..Default::default()
        };
        let run = || lanczos_top_k(&operator, &options, Seed::new(0)).unwrap();
        let Some((found, held)) = held(run) else {
            println!("skipped: no /proc/self/clear_refs or no /proc/self/status here");
            return;
        };
        assert_eq!(found.ending, LanczosEnding::MaxIterations);
        assert!(found.restarts > 0);
        println!("{vectors} vectors: {held:.2} of {VECTOR} MB at once");
        let most = vectors as f64 + 3.0 + ALLOWANCE;
        assert!(held <= most, "{held} vectors at once, allowed {most}");
    }
}
