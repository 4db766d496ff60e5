//! What of a plot's data is in sight, and what has to be said about the rest.

use super::ticks::Ticks;
use super::view::{Unshowable, View};
use super::{Direction, Plot, Reference};

/// The views of both axes, their ticks, and how many points they show.
pub(super) struct Shown {
    pub(super) x: View,
    pub(super) y: View,
    pub(super) x_ticks: Ticks,
    pub(super) y_ticks: Ticks,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    drawn: usize,
    not_finite: usize,
    not_positive: usize,
    outside: usize,
    cut_bands: usize,
}

impl Shown {
    /// `ticks` are wished for on the x axis.
    pub(super) fn of(plot: &Plot, ticks: usize) -> Self {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let references = |direction| {
            let of_direction = move |reference: &&Reference| reference.direction == direction;
            let references = plot.references.iter().filter(of_direction);
            references.map(|reference| reference.value)
        };
        let edges = points()
            .filter_map(|point| point.band)
            .flat_map(|(low, high)| [low, high]);
        let x = View::around(
            &plot.x,
            points()
                .map(|point| point.x)
                .chain(references(Direction::Vertical)),
        );
        let y = View::around(
            &plot.y,
            points()
                .map(|point| point.y)
                .chain(edges)
                .chain(references(Direction::Horizontal)),
        );
        Self {
            x_ticks: x.ticks(ticks),
            y_ticks: y.ticks(6),
            tally: Tally::of(plot, &x, &y),
            x,
            y,
        }
    }

    /// Whether there is any point to see.
    pub(super) fn is_empty(&self) -> bool {
        self.tally.drawn == 0
    }

    /// Where a reference line lies on its axis, if it is in sight.
    pub(super) fn place(&self, reference: &Reference) -> Option<f64> {
        let view = match reference.direction {
            Direction::Horizontal => &self.y,
            Direction::Vertical => &self.x,
        };
        let place = view.place(reference.value).ok()?;
        in_sight(place).then_some(place)
    }

    /// Sentences about what is not shown.
    pub(super) fn notes(&self, plot: &Plot) -> Vec<String> {
        let tally = &self.tally;
        let mut notes = Vec::new();
        for (count, why) in [
            (tally.not_finite, "NaN or infinite"),
            (
                tally.not_positive,
                "zero or negative, which a logarithmic axis cannot show",
            ),
            (tally.outside, "outside the axes"),
        ] {
            match count {
                0 => {}
                1 => notes.push(format!("1 point is not shown: it is {why}.")),
                _ => notes.push(format!("{count} points are not shown: they are {why}.")),
            }
        }
        if tally.cut_bands > 0 {
            notes.push(
                "The band goes beyond what the axis can show and is cut at its end.".to_owned(),
            );
        }
        for reference in &plot.references {
            if self.place(reference).is_none() {
                let Reference { label, value, .. } = reference;
                notes.push(format!("The mark “{label}” at {value} is not in sight."));
            }
        }
        notes
    }
}

impl Tally {
    fn of(plot: &Plot, x: &View, y: &View) -> Self {
        let mut tally = Self::default();
        for point in plot.series.iter().flat_map(|series| &series.points) {
            *match (x.place(point.x), y.place(point.y)) {
                (Err(Unshowable::NotFinite), _) | (_, Err(Unshowable::NotFinite)) => {
                    &mut tally.not_finite
                }
                (Err(Unshowable::NotPositive), _) | (_, Err(Unshowable::NotPositive)) => {
                    &mut tally.not_positive
                }
                (Ok(x), Ok(y)) if in_sight(x) && in_sight(y) => &mut tally.drawn,
                (Ok(_), Ok(_)) => &mut tally.outside,
            } += 1;
            let cut = |edge: f64| y.place(edge).is_err();
            tally.cut_bands +=
                usize::from(point.band.is_some_and(|(low, high)| cut(low) || cut(high)));
        }
        tally
    }
}

/// Whether a place on an axis is between its ends.
pub(super) fn in_sight(fraction: f64) -> bool {
    // A value that an axis begins or ends with is in sight in spite of rounding.
    (-1e-9..=1.0 + 1e-9).contains(&fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, Series};

    #[test]
    fn everything_left_out_is_said() {
        let plot = Plot::new("p", Axis::linear("x"), Axis::log("y").to(100.0))
            .line(
                "a",
                [
                    (0.0, 1.0),
                    (1.0, 0.0),
                    (2.0, -1.0),
                    (f64::NAN, 1.0),
                    (4.0, 1e5),
                ],
            )
            .series(Series::line("b", [(0.0, 1.0)]).band([(0.0, 2.0)]))
            .horizontal("zero", 0.0)
            .vertical("x", 1.0);
        assert_eq!(
            Shown::of(&plot, 7).notes(&plot),
            [
                "1 point is not shown: it is NaN or infinite.",
                "2 points are not shown: they are zero or negative, which a logarithmic axis cannot show.",
                "1 point is not shown: it is outside the axes.",
                "The band goes beyond what the axis can show and is cut at its end.",
                "The mark “zero” at 0 is not in sight.",
            ]
        );
    }

    #[test]
    fn nothing_left_out_is_not_worth_a_word() {
        let plot = Plot::new("p", Axis::log("x").from(1.0).to(10.0), Axis::linear("y"))
            .line("a", [(1.0, 0.0), (10.0, -1.0)]);
        let shown = Shown::of(&plot, 7);
        assert!(shown.notes(&plot).is_empty());
        assert!(!shown.is_empty());
    }
}
