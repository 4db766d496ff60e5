//! Tables of a report.

use std::cmp::Ordering;

use crate::significant;

/// Significant digits of a number in a table.
const DIGITS: usize = 4;

/// A small table for people: numbers to the right with four significant digits.
///
/// ```
/// use ravine_experiments::{Best, Table};
///
/// let table = Table::new("Steps to a loss of 0.1", ["method", "steps", "seconds"])
///     .row(["sgd".into(), 2000.into(), 1.25.into()])
///     .row(["newton".into(), 7.into(), 0.5.into()])
///     .row(["adam".into(), None::<usize>.into(), "diverged".into()])
///     .mark_best("steps", Best::Lowest);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub(super) caption: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Entry>>,
    best: Vec<(String, Best)>,
}

/// Which value of a column is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// The lowest number.
    Lowest,
    /// The highest number.
    Highest,
}

/// One entry of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A number, shown with four significant digits.
    Number(f64),
    /// A whole number, shown in full.
    Count(i128),
    /// Text.
    Text(String),
    /// Nothing, shown as a dash.
    Missing,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            caption: caption.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            best: Vec::new(),
        }
    }

    /// Adds a row; entries that lack are missing, and entries beyond the last column widen the table.
    pub fn row(mut self, entries: impl IntoIterator<Item = Entry>) -> Self {
        self.push(entries);
        self
    }

    /// Adds a row, for loops.
    pub fn push(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut row: Vec<Entry> = entries.into_iter().collect();
        if row.len() > self.columns.len() {
            self.columns.resize(row.len(), String::new());
            for earlier in &mut self.rows {
                earlier.resize(row.len(), Entry::Missing);
            }
        }
        row.resize(self.columns.len(), Entry::Missing);
        self.rows.push(row);
    }

    /// Marks the best finite number of a column, or all that share it.
    pub fn mark_best(mut self, column: impl Into<String>, best: Best) -> Self {
        self.best.push((column.into(), best));
        self
    }

    /// Whether some column has its best value marked.
    pub(super) fn marks_best(&self) -> bool {
        (0..self.columns.len()).any(|column| self.best_of(column).is_some())
    }

    /// The value to mark in a column.
    pub(super) fn best_of(&self, column: usize) -> Option<f64> {
        let name = &self.columns[column];
        let (_, best) = self.best.iter().find(|(marked, _)| marked == name)?;
        let numbers = self.rows.iter().filter_map(|row| row[column].number());
        numbers
            .filter(|number| number.is_finite())
            .reduce(|a, b| match (best, a.partial_cmp(&b)) {
                (Best::Lowest, Some(Ordering::Greater)) | (Best::Highest, Some(Ordering::Less)) => {
                    b
                }
                _ => a,
            })
    }

    /// Whether a column holds numbers, with words such as `diverged` among them or not.
    pub(super) fn is_numeric(&self, column: usize) -> bool {
        let mut entries = self.rows.iter().map(|row| &row[column]);
        entries.any(|entry| entry.number().is_some())
    }
}

impl Entry {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Count(count) => Some(*count as f64),
            Self::Text(_) | Self::Missing => None,
        }
    }

    pub(super) fn show(&self) -> String {
        match self {
            Self::Number(number) => significant(*number, DIGITS),
            Self::Count(count) => count.to_string(),
            Self::Text(text) => text.clone(),
            Self::Missing => "–".to_owned(),
        }
    }
}

impl From<&str> for Entry {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Entry {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Entry {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

macro_rules! count_from {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Entry {
            fn from(count: $integer) -> Self {
                Self::Count(count as i128)
            }
        }
    )*};
}

count_from!(i32, i64, u32, u64, usize);

impl<T: Into<Entry>> From<Option<T>> for Entry {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new("c", ["method", "steps", "loss"])
            .row(["sgd".into(), 2000.into(), f64::NAN.into()])
            .row(["newton".into(), 7.into(), 0.123456.into()])
            .row(["adam".into(), None::<u64>.into(), f64::NEG_INFINITY.into()])
    }

    #[test]
    fn entries_are_shown_for_people() {
        let shown: Vec<String> = table().rows[1].iter().map(Entry::show).collect();
        assert_eq!(shown, ["newton", "7", "0.1235"]);
        assert_eq!(table().rows[2][1].show(), "–");
    }

    #[test]
    fn the_best_is_a_finite_number() {
        let marked = table()
            .mark_best("steps", Best::Lowest)
            .mark_best("loss", Best::Lowest);
        assert_eq!(marked.best_of(1), Some(7.0));
        assert_eq!(marked.best_of(2), Some(0.123456));
        assert_eq!(marked.best_of(0), None);
        assert_eq!(
            table().mark_best("steps", Best::Highest).best_of(1),
            Some(2000.0)
        );
        assert!(!table().marks_best());
    }

    #[test]
    fn numeric_columns_hold_numbers() {
        assert!(!table().is_numeric(0));
        let with_word = table().row(["x".into(), "diverged".into()]);
        assert!(with_word.is_numeric(1));
        assert!(!Table::new("", ["empty"]).is_numeric(0));
    }

    #[test]
    fn rows_and_columns_fit_each_other() {
        let table = table()
            .row([1.into()])
            .row([1.into(), 2.into(), 3.into(), 4.into()]);
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.len() == table.columns.len())
        );
        assert_eq!(table.columns.len(), 4);
    }
}
