//! How often intervals hold the truth over seeds, and whether the means are right, for the tests of estimators.

use crate::estimate::Estimate;
use crate::seed::Seed;

/// Seeds that an estimator is judged by: an honest interval of 95 % holds the truth in 190 ± 3 of them.
pub(crate) const SEEDS: u64 = 200;

/// Spectra of 60 eigenvalues that are easy and hard for different estimators, each with few different values.
pub(crate) fn stepped() -> Vec<(&'static str, Vec<f64>)> {
    let repeated = |groups: &[(f64, usize)]| -> Vec<f64> {
        let values = groups.iter().map(|(value, count)| vec![*value; *count]);
        values.flatten().collect()
    };
    let flat = [(0.8, 12), (0.9, 12), (1.0, 12), (1.1, 12), (1.2, 12)];
    let decaying = [(1.0, 2), (0.1, 4), (0.01, 8), (1e-3, 16), (1e-4, 30)];
    let indefinite = [(-2.0, 10), (-0.5, 15), (0.0, 10), (0.5, 15), (3.0, 10)];
    let outlier = [
        (10.0, 1),
        (0.2, 12),
        (0.1, 12),
        (0.0, 11),
        (-0.1, 12),
        (-0.2, 12),
    ];
    vec![
        ("flat", repeated(&flat)),
        ("decaying", repeated(&decaying)),
        ("indefinite", repeated(&indefinite)),
        (RANK_ONE, repeated(&outlier)),
    ]
}

/// As [`stepped`], with 60 different values: no short rule is exact on them.
pub(crate) fn smooth() -> Vec<(&'static str, Vec<f64>)> {
    let n = 60;
    let flat = (0..n).map(|i| 1.0 + 0.5 * f64::from(i).sin());
    let decaying = (0..n).map(|i| 0.8_f64.powi(i));
    let indefinite = (0..n).map(|i| f64::from(i) / 10.0 - 2.53);
    let outlier = (0..n).map(|i| match i {
        0 => 10.0,
        _ => -(std::f64::consts::PI * f64::from(i) / 60.0).cos(),
    });
    vec![
        ("flat", flat.collect()),
        ("decaying", decaying.collect()),
        ("indefinite", indefinite.collect()),
        (RANK_ONE, outlier.collect()),
    ]
}

/// The spectrum with one eigenvalue that all of the variance comes from: samples are as skewed as χ² with one degree of freedom.
pub(crate) const RANK_ONE: &str = "rank one and bulk";

/// Enough seeds for so many samples: intervals of few cover in 91 to 98 of 100 cases, which 200 seeds do not tell from 90 or 99.
pub(crate) fn seeds_for(vectors: usize) -> u64 {
    match vectors {
        0..=10 => 5 * SEEDS,
        _ => SEEDS,
    }
}

pub(crate) fn sum(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    values.iter().map(|t| f(*t)).sum()
}

pub(crate) fn count(values: &[f64], counted: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|t| counted(**t)).count() as f64
}

/// What is estimated, its truth, and the estimate.
pub(crate) type Case = (String, f64, Estimate);

/// What the seeds say of one estimate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    what: String,
    held: usize,
    errors: Vec<f64>,
    size: f64,
}

impl Coverage {
    fn add(&mut self, (what, truth, estimate): Case) {
        let (low, high) = estimate.interval(0.95);
        self.what = what;
        self.held += usize::from(low <= truth && truth <= high);
        self.errors.push(estimate.value - truth);
        self.size = self.size.max(truth.abs()).max(1e-3);
    }

    /// How often the interval of 95 % held the truth.
    fn share(&self) -> f64 {
        self.held as f64 / self.errors.len() as f64
    }

    /// The mean error in its own standard errors.
    fn bias(&self) -> f64 {
        let mean = Estimate::from_samples(&self.errors, 0);
        mean.value / mean.standard_error
    }

    /// Whether the value was right for every seed, but for rounding.
    fn exact(&self) -> bool {
        self.errors.iter().all(|e| e.abs() <= 1e-9 * self.size)
    }
}

/// Draws the same cases once a seed.
pub(crate) fn coverages(draw: impl Fn(Seed) -> Vec<Case>) -> Vec<Coverage> {
    coverages_over(SEEDS, draw)
}

/// As [`coverages`] over more seeds, to tell a coverage of 98 % from one of more than 99.
pub(crate) fn coverages_over(seeds: u64, draw: impl Fn(Seed) -> Vec<Case>) -> Vec<Coverage> {
    let mut found = Vec::new();
    for seed in 0..seeds {
        let drawn = draw(Seed::new(seed));
        found.resize(drawn.len(), Coverage::default());
        for (found, case) in found.iter_mut().zip(drawn) {
            found.add(case);
        }
    }
    let complete = |found: &Coverage| found.errors.len() as u64 == seeds;
    assert!(found.iter().all(complete));
    found
}

/// Collects what is wrong, so that a failure shows all of it.
#[derive(Default)]
pub(crate) struct Judge {
    wrong: Vec<String>,
}

impl Judge {
    fn check(&mut self, setting: &str, coverage: &Coverage, right: bool) {
        let (what, share, bias) = (&coverage.what, coverage.share(), coverage.bias());
        let line = format!("{what}, {setting}: {share}, mean off by {bias:.1} standard errors");
        println!("{line}");
        if !right {
            self.wrong.push(line);
        }
    }

    /// All cover in 90 to 99 % of cases and are unbiased, or are exact for every seed.
    pub(crate) fn honest(&mut self, setting: &str, coverages: &[Coverage]) {
        for coverage in coverages {
            let honest = (0.90..=0.99).contains(&coverage.share()) && coverage.bias().abs() < 4.0;
            self.check(setting, coverage, honest || coverage.exact());
        }
    }

    /// All cover in at least this share of cases: for intervals with a bound in them, or those that are known to be short.
    pub(crate) fn covering(&mut self, setting: &str, coverages: &[Coverage], least: f64) {
        for coverage in coverages {
            let covering = coverage.share() >= least;
            self.check(setting, coverage, covering || coverage.exact());
        }
    }

    pub(crate) fn finish(self) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}
