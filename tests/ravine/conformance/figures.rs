//! The figures that every entry has to show, and their limits.

use super::entry::{Entry, Expectation};
use super::measure::measure;
use std::fmt;

/// Where the page shows a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Gradient and products with the Hessian in f64.
    Double,
    /// The same in f32.
    Single,
    /// Products with the Gauss-Newton matrix and its factors.
    GaussNewton,
    /// Executions against each other, blocks against single products.
    Executions,
    /// Not on the page.
    Unlisted,
}

/// Something measured of an entry, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) column: Column,
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) limit: f64,
}

impl Figure {
    /// Whether it exceeds its limit; what is not a number does.
    fn exceeds(&self) -> bool {
        self.value.is_nan() || self.value > self.limit
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.1e}", self.what, self.value)
    }
}

/// All that was measured of an entry, or the worst of several entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(super) fn push(
        &mut self,
        column: Column,
        limit: f64,
        figures: impl IntoIterator<Item = (&'static str, f64)>,
    ) {
        let figures = figures.into_iter().map(|(what, value)| Figure {
            column,
            what,
            value,
            limit,
        });
        self.0.extend(figures);
    }

    /// The worst of the figures in a column.
    pub(crate) fn worst_of(&self, column: Column) -> f64 {
        let figures = self.0.iter().filter(|figure| figure.column == column);
        figures.map(|figure| figure.value).fold(0.0, larger)
    }

    /// Each figure by figure the worse one.
    pub(crate) fn worst(mut self, other: &Self) -> Self {
        for figure in &other.0 {
            match self.0.iter_mut().find(|known| known.what == figure.what) {
                Some(known) => known.value = larger(known.value, figure.value),
                None => self.0.push(*figure),
            }
        }
        self
    }

    /// The figures that exceed their limits, in words.
    fn excesses(&self) -> Vec<String> {
        let excesses = self.0.iter().filter(|figure| figure.exceeds());
        excesses
            .map(|figure| format!("{figure} > {:.0e}", figure.limit))
            .collect()
    }

    /// What is wrong with the figures of an entry that holds in f64 only.
    fn excesses_only_in_f64(&self) -> Vec<String> {
        let (single, double): (Vec<_>, Vec<_>) =
            (self.0.iter().copied()).partition(|figure: &Figure| figure.column == Column::Single);
        let mut excesses = Self(double).excesses();
        if Self(single).worst_of(Column::Single).is_finite() {
            excesses.push("products in f32 are finite after all".to_string());
        }
        excesses
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|figure| write!(f, "\n    {figure}"))
    }
}

/// The larger one, or NaN if one is.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    match a > b || a.is_nan() {
        true => a,
        false => b,
    }
}

/// How an entry ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) result: Result<Figures, String>,
    /// What is not as expected.
    pub(crate) complaints: Vec<String>,
}

impl Outcome {
    pub(crate) fn of(entry: &Entry) -> Self {
        let result = measure(entry).map_err(|error| error.to_string());
        let complaints = match (&result, entry.expectation) {
            (Ok(figures), Expectation::Conforms) => figures.excesses(),
            (Ok(figures), Expectation::OnlyInF64(_)) => figures.excesses_only_in_f64(),
            (Ok(_), Expectation::Refused(_)) => vec!["was expected to be refused".to_string()],
            (Err(error), Expectation::Refused(because)) if error.contains(because) => Vec::new(),
            (Err(error), _) => vec![error.clone()],
        };
        Self {
            name: entry.name.clone(),
            result,
            complaints,
        }
    }
}

#[test]
fn a_figure_that_is_not_a_number_is_an_excess() {
    let with = |value| {
        let mut figures = Figures::default();
        figures.push(Column::Double, 1e-3, [("first", 1e-4), ("second", value)]);
        figures
    };
    let (broken, fine) = (with(f64::NAN), with(1e-3));
    assert_eq!((broken.excesses().len(), fine.excesses().len()), (1, 0));
    assert!(broken.worst_of(Column::Double).is_nan());
    assert!(fine.worst(&broken).worst_of(Column::Double).is_nan());
}

#[test]
fn an_entry_for_f64_only_is_measured_in_f64_and_fails_in_f32() {
    let with = |double, single| {
        let mut figures = Figures::default();
        figures.push(Column::Double, 1e-3, [("in f64", double)]);
        figures.push(Column::Single, 1e-3, [("in f32", single)]);
        figures.excesses_only_in_f64().len()
    };
    assert_eq!(with(1e-4, f64::NAN), 0);
    assert_eq!(with(1e-4, 1e-4), 1);
    assert_eq!(with(1e-2, f64::NAN), 1);
}
