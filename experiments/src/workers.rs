//! Measurements on several threads, each of which computes alone.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;

use crate::cell::{Failure, attempt};

/// A measurement that can be taken on any thread.
pub type Work<'a, T> = Box<dyn FnOnce() -> anyhow::Result<T> + Send + 'a>;

/// Recording a recurrent network goes deep; pools have 2 MiB by default.
const STACK: usize = 16 << 20;

/// Runs numbered jobs on `workers` threads, and hands each outcome with its seconds to `finished`, on the caller's thread, as
/// soon as it is there.
///
/// When `finished` fails no further job begins.
pub(crate) fn run<T: Send>(
    workers: usize,
    jobs: VecDeque<(usize, Work<'_, T>)>,
    mut finished: impl FnMut(usize, Result<T, Failure>, f64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let workers = workers.clamp(1, jobs.len().max(1));
    let queue = Mutex::new(jobs);
    let next = || lock(&queue).pop_front();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for number in 0..workers {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .stack_size(STACK)
                .build()
                .context("starting a worker")?;
            let sender = sender.clone();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn_scoped(scope, move || {
                    while let Some((index, work)) = next() {
                        let started = Instant::now();
                        let outcome = pool.install(|| attempt(work));
                        let seconds = started.elapsed().as_secs_f64();
                        if sender.send((index, outcome, seconds)).is_err() {
                            return;
                        }
                    }
                })
                .context("starting a worker")?;
        }
        drop(sender);
        let outcome = receiver
            .iter()
            .try_for_each(|(index, outcome, seconds)| finished(index, outcome, seconds));
        lock(&queue).clear();
        outcome
    })
}

/// A queue is whole whenever somebody holds it, so that a panic elsewhere leaves it usable.
fn lock<T>(queue: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(count: usize) -> VecDeque<(usize, Work<'static, usize>)> {
        let job = |index: usize| -> Work<'static, usize> {
            Box::new(move || match index {
                3 => anyhow::bail!("three"),
                4 => panic!("four"),
                _ => Ok(index * rayon::current_num_threads()),
            })
        };
        (0..count).map(|index| (index, job(index))).collect()
    }

    #[test]
    fn every_job_runs_once_on_a_pool_of_one_thread() {
        for workers in [0, 1, 2, 20] {
            let mut seen = vec![None; 9];
            run(workers, jobs(9), |index, outcome, seconds| {
                assert!(seconds >= 0.0);
                assert!(seen[index].replace(outcome).is_none());
                Ok(())
            })
            .unwrap();
            for (index, outcome) in seen.into_iter().enumerate() {
                match (index, outcome.unwrap()) {
                    (3, Err(failure)) => assert_eq!(failure.message, "three"),
                    (4, Err(failure)) => assert_eq!(failure.message, "panicked: four"),
                    (_, outcome) => assert_eq!(outcome, Ok(index)),
                }
            }
        }
    }

    #[test]
    fn a_result_that_cannot_be_kept_ends_the_rest() {
        let mut kept = 0;
        let error = run(1, jobs(1000), |_, _, _| {
            kept += 1;
            anyhow::bail!("the disk is full")
        });
        assert_eq!(error.unwrap_err().to_string(), "the disk is full");
        assert_eq!(kept, 1);
    }
}
