//! The data of a plot.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Named points, joined by a line or not, with a band around them or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Points,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Lower and upper edge of the shaded band at this point.
    pub(super) band: Option<(f64, f64)>,
}

impl Series {
    /// Points joined by a line, in the given order.
    pub fn line(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name.into(), Mark::Line, points)
    }

    /// Single points.
    pub fn scatter(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name.into(), Mark::Points, points)
    }

    fn new(name: String, mark: Mark, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter();
        Self {
            name,
            mark,
            points: points.map(|(x, y)| Point { x, y, band: None }).collect(),
        }
    }

    /// The median over several runs (one for each seed) as a line, with a band from the lowest to the highest run.
    ///
    /// Values are compared at equal x; where some runs have ended, the others go on alone. NaN, the mark of a diverged
    /// run, counts as higher than every number. Of an even number of runs the median is the mean of the middle two.
    pub fn over_seeds<R>(name: impl Into<String>, runs: impl IntoIterator<Item = R>) -> Self
    where
        R: IntoIterator<Item = (f64, f64)>,
    {
        let mut columns: BTreeMap<OrderedFloat, Vec<f64>> = BTreeMap::new();
        for (x, y) in runs.into_iter().flatten() {
            let y = if y.is_nan() { f64::INFINITY } else { y };
            columns.entry(OrderedFloat(x)).or_default().push(y);
        }
        let points = columns.into_iter().map(|(OrderedFloat(x), mut ys)| {
            ys.sort_unstable_by(f64::total_cmp);
            Point {
                x,
                y: median(&ys),
                band: (ys.len() > 1).then(|| (ys[0], ys[ys.len() - 1])),
            }
        });
        Self {
            name: name.into(),
            mark: Mark::Line,
            points: points.collect(),
        }
    }

    /// Shades the area between a lower and an upper edge, one pair for each point; missing pairs leave it unshaded.
    pub fn band(mut self, edges: impl IntoIterator<Item = (f64, f64)>) -> Self {
        for (point, edges) in self.points.iter_mut().zip(edges) {
            point.band = Some(edges);
        }
        self
    }
}

/// The median of sorted numbers, of which there is at least one.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    let (below, above) = (sorted[middle.saturating_sub(1)], sorted[middle]);
    if sorted.len() % 2 == 1 || below == above {
        above
    } else {
        // Halves first, so that large numbers do not overflow.
        0.5 * below + 0.5 * above
    }
}

/// A float ordered as `total_cmp` does, except that 0 and -0 are one.
#[derive(Clone, Copy, Debug)]
struct OrderedFloat(f64);

impl Ord for OrderedFloat {
    fn cmp(&self, other: &Self) -> Ordering {
        // Adding zero turns -0 into 0.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

impl PartialOrd for OrderedFloat {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderedFloat {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for OrderedFloat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread_over_runs() {
        let runs = [
            vec![(0.0, 1.0), (1.0, 5.0), (2.0, 7.0)],
            vec![(0.0, 3.0), (1.0, f64::NAN)],
            vec![(-0.0, 2.0), (1.0, 4.0)],
        ];
        let series = Series::over_seeds("sgd", runs);
        let expected = [
            (0.0, 2.0, Some((1.0, 3.0))),
            (1.0, 5.0, Some((4.0, f64::INFINITY))),
            (2.0, 7.0, None),
        ];
        assert_eq!(series.points.len(), expected.len());
        for (point, (x, y, band)) in series.points.iter().zip(expected) {
            assert_eq!((point.x, point.y, point.band), (x, y, band));
        }
    }

    #[test]
    fn median_of_an_even_number() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(median(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(median(&[f64::INFINITY, f64::INFINITY]), f64::INFINITY);
        assert_eq!(median(&[3.0]), 3.0);
    }

    #[test]
    fn a_band_may_be_shorter_than_its_line() {
        let series = Series::line("a", [(0.0, 1.0), (1.0, 2.0)]).band([(0.5, 1.5)]);
        assert_eq!(series.points[0].band, Some((0.5, 1.5)));
        assert_eq!(series.points[1].band, None);
    }
}
