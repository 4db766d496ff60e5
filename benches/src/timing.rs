//! Repeated measurements as the peers' rig takes them, and whether the machine was quiet meanwhile.

mod foreign;
mod memory;

pub use foreign::ForeignWork;
pub use memory::{load_average, peak_mib, reset_peak, resident_mib};

use std::time::{Duration, Instant};

/// A call longer than this many seconds is measured once.
const LONG: f64 = 10.0;
/// Repetitions are judged together in chunks of this many seconds: the system counts work in hundredths.
const CHUNK: f64 = 0.3;
/// Cores that others may use while a chunk still counts as clean.
const CLEAN_BELOW: f64 = 0.10;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Seconds of repetitions.
    pub budget: f64,
    /// Most repetitions.
    pub repetitions: usize,
    /// Seconds to wait for a quiet machine, beyond the budget.
    pub wait: f64,
}

/// Seconds of repetitions.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The first call, which is not among the repetitions.
    pub first: f64,
    /// The repetitions in increasing order: the clean ones if there are any, else all.
    pub seconds: Vec<f64>,
    /// Whether they were clean; unknown where the system does not say what others did.
    pub clean: Option<bool>,
    /// Cores that others used, the median over the chunks.
    pub foreign: Option<f64>,
}

impl Measurement {
    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// The tenth percentile.
    pub fn tenth(&self) -> f64 {
        self.seconds[self.seconds.len() / 10]
    }
}

/// The median of numbers in increasing order, NaN of none.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => 0.5 * (sorted[middle - 1] + sorted[middle]),
    }
}

/// Times a call: the first apart, one more to warm up, then chunks until the budget is spent on clean ones, or on any and the waiting
/// has been in vain.
///
/// # Errors
///
/// What the call returns.
pub fn measure<T, E>(
    limits: Limits,
    mut call: impl FnMut() -> Result<T, E>,
) -> Result<(T, Measurement), E> {
    let mut timed = || {
        let start = Instant::now();
        let result = call()?;
        Ok((result, start.elapsed().as_secs_f64()))
    };
    let (_, first) = timed()?;
    let foreign = ForeignWork::start();
    let (mut result, second) = timed()?;
    let mut chunks = Chunks::default();
    if second > LONG {
        chunks.add(vec![second], foreign.cores());
        return Ok((result, chunks.into_measurement(first)));
    }
    let start = Instant::now();
    loop {
        let foreign = ForeignWork::start();
        let mut seconds = Vec::new();
        while seconds.iter().sum::<f64>() < CHUNK {
            let (next, elapsed) = timed()?;
            result = next;
            seconds.push(elapsed);
        }
        let quiet = chunks.add(seconds, foreign.cores());
        if chunks.enough(limits, start.elapsed()) {
            return Ok((result, chunks.into_measurement(first)));
        }
        if !quiet && chunks.seconds() > limits.budget {
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Repetitions so far.
#[derive(Default)]
struct Chunks {
    clean: Vec<f64>,
    dirty: Vec<f64>,
    foreign: Vec<f64>,
    unknown: bool,
}

impl Chunks {
    /// Whether the machine was quiet.
    fn add(&mut self, seconds: Vec<f64>, foreign: Option<f64>) -> bool {
        self.foreign.extend(foreign);
        self.unknown |= foreign.is_none();
        let quiet = foreign.is_none_or(|cores| cores < CLEAN_BELOW);
        match quiet {
            true => self.clean.extend(seconds),
            false => self.dirty.extend(seconds),
        }
        quiet
    }

    fn seconds(&self) -> f64 {
        self.clean.iter().chain(&self.dirty).sum()
    }

    fn enough(&self, limits: Limits, elapsed: Duration) -> bool {
        let (clean, elapsed) = (self.clean.len(), elapsed.as_secs_f64());
        let spent = self.clean.iter().sum::<f64>() >= limits.budget;
        (clean >= 3 && (spent || clean >= limits.repetitions))
            || (elapsed >= limits.budget + limits.wait && clean + self.dirty.len() >= 3)
            || elapsed > 3.0 * LONG + limits.wait
    }

    fn into_measurement(mut self, first: f64) -> Measurement {
        let quiet = !self.clean.is_empty();
        let mut seconds = if quiet { self.clean } else { self.dirty };
        seconds.sort_by(f64::total_cmp);
        self.foreign.sort_by(f64::total_cmp);
        Measurement {
            first,
            seconds,
            clean: (!self.unknown).then_some(quiet),
            foreign: (!self.unknown).then(|| median(&self.foreign)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_call_is_not_among_the_repetitions() {
        let limits = Limits {
            budget: 0.0,
            repetitions: 3,
            wait: 0.0,
        };
        let mut calls = 0;
        let (last, measurement) = measure(limits, || {
            calls += 1;
            std::thread::sleep(Duration::from_millis(60));
            Ok::<_, ()>(calls)
        })
        .unwrap();
        assert_eq!(last, calls);
        assert!(measurement.seconds.len() <= calls - 2);
        assert!(measurement.seconds.len() >= 3);
        assert!(measurement.seconds[0] >= 0.06);
        assert!(measurement.tenth() <= measurement.median());
    }

    #[test]
    fn an_error_ends_the_measurement() {
        let limits = Limits {
            budget: 1.0,
            repetitions: 3,
            wait: 0.0,
        };
        assert_eq!(measure(limits, || Err::<(), _>("no")).unwrap_err(), "no");
    }

    #[test]
    fn clean_repetitions_are_preferred_to_disturbed_ones() {
        let mut chunks = Chunks::default();
        assert!(!chunks.add(vec![9.0, 9.5], Some(0.8)));
        assert!(chunks.add(vec![2.0, 1.0], Some(0.02)));
        let measurement = chunks.into_measurement(3.0);
        assert_eq!(measurement.seconds, [1.0, 2.0]);
        assert_eq!(measurement.median(), 1.5);
        assert_eq!(measurement.clean, Some(true));
        assert!((measurement.foreign.unwrap() - 0.41).abs() < 1e-12);
    }
}
