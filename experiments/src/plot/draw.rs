//! From a plot to its SVG.

use plotters::style::{Color, FontStyle};

use super::canvas::{self, Anchor, Canvas, FAINT_GRID, Font, GRID, INK, PAPER, SOFT};
use super::layout::{LEGEND_SIZE, Layout, NAME_LINE, SAMPLE, SAMPLE_GAP, TICK_SIZE};
use super::path::{self, Frame, Spot};
use super::series::Mark;
use super::shown::Shown;
use super::style::Styles;
use super::{Direction, Drawing, Plot, Reference, Room};

const TITLE: Font = Font {
    size: 15.0,
    colour: INK,
    weight: FontStyle::Bold,
};
const AXIS: Font = Font {
    size: 13.0,
    colour: INK,
    weight: FontStyle::Normal,
};
const TICK: Font = Font {
    size: TICK_SIZE,
    colour: SOFT,
    weight: FontStyle::Normal,
};
const LEGEND: Font = Font {
    size: LEGEND_SIZE,
    colour: INK,
    weight: FontStyle::Normal,
};

const AXIS_WIDTH: f64 = 1.25;
pub(super) const BAND_OPACITY: f64 = 0.18;
const REFERENCE_DASHES: &[f64] = &[4.0, 4.0];

pub(super) fn drawing(plot: &Plot, styles: &Styles, room: Room) -> anyhow::Result<Drawing> {
    let shown = Shown::of(plot, room.ticks());
    let layout = Layout::of(plot, &shown, room);
    let svg = canvas::svg((layout.width, layout.height), &plot.title, |canvas| {
        let painter = Painter {
            plot,
            shown: &shown,
            layout: &layout,
            styles,
            canvas,
        };
        painter.paint()
    })?;
    let notes = shown.notes(plot);
    Ok(Drawing { svg, notes })
}

pub(super) struct Painter<'a, 'svg> {
    pub(super) plot: &'a Plot,
    pub(super) shown: &'a Shown,
    pub(super) layout: &'a Layout,
    pub(super) styles: &'a Styles,
    pub(super) canvas: &'a Canvas<'svg>,
}

impl Painter<'_, '_> {
    fn paint(&self) -> anyhow::Result<()> {
        self.grid()?;
        let series = &self.plot.series;
        series.iter().try_for_each(|series| self.band(series))?;
        self.references()?;
        for (index, one) in series.iter().enumerate() {
            self.series(one, index as f64 / series.len() as f64)?;
        }
        self.axes()?;
        self.legend()?;
        if !self.shown.is_empty() {
            return Ok(());
        }
        let middle = (self.x(0.5), self.y(0.5));
        self.text("no data to show", middle, Anchor::Middle, AXIS)
    }

    pub(super) fn x(&self, fraction: f64) -> f64 {
        let Frame { left, right, .. } = self.layout.frame;
        left + fraction * (right - left)
    }

    pub(super) fn y(&self, fraction: f64) -> f64 {
        let Frame { top, bottom, .. } = self.layout.frame;
        bottom - fraction * (bottom - top)
    }

    fn text(&self, text: &str, spot: Spot, anchor: Anchor, font: Font) -> anyhow::Result<()> {
        self.canvas.text(text, spot, anchor, font)
    }

    fn grid(&self) -> anyhow::Result<()> {
        let Frame {
            left,
            right,
            top,
            bottom,
        } = self.layout.frame;
        let vertical = |tick: f64, colour| {
            let x = self.x(self.shown.x.fraction(tick));
            self.canvas.line(&[(x, top), (x, bottom)], colour, 1.0)
        };
        let horizontal = |tick: f64, colour| {
            let y = self.y(self.shown.y.fraction(tick));
            self.canvas.line(&[(left, y), (right, y)], colour, 1.0)
        };
        let (x, y) = (&self.shown.x_ticks, &self.shown.y_ticks);
        x.minor
            .iter()
            .try_for_each(|at| vertical(*at, FAINT_GRID))?;
        y.minor
            .iter()
            .try_for_each(|at| horizontal(*at, FAINT_GRID))?;
        x.labelled
            .iter()
            .try_for_each(|(at, _)| vertical(*at, GRID))?;
        y.labelled
            .iter()
            .try_for_each(|(at, _)| horizontal(*at, GRID))
    }

    fn axes(&self) -> anyhow::Result<()> {
        let Frame {
            left,
            right,
            top,
            bottom,
        } = self.layout.frame;
        let corner = [(left, top), (left, bottom), (right, bottom)];
        self.canvas.line(&corner, SOFT, AXIS_WIDTH)?;
        for (tick, label) in &self.shown.x_ticks.labelled {
            let x = self.x(self.shown.x.fraction(*tick));
            self.canvas
                .line(&[(x, bottom), (x, bottom + 4.0)], SOFT, AXIS_WIDTH)?;
            self.text(label, (x, bottom + 15.0), Anchor::Middle, TICK)?;
        }
        for (tick, label) in &self.shown.y_ticks.labelled {
            let y = self.y(self.shown.y.fraction(*tick));
            self.canvas
                .line(&[(left - 4.0, y), (left, y)], SOFT, AXIS_WIDTH)?;
            self.text(label, (left - 8.0, y), Anchor::End, TICK)?;
        }
        let Plot { title, x, y, .. } = self.plot;
        self.text(title, (left, 18.0), Anchor::Start, TITLE)?;
        self.text(&x.label, (self.x(0.5), bottom + 38.0), Anchor::Middle, AXIS)?;
        self.text(&y.label, (14.0, self.y(0.5)), Anchor::Upwards, AXIS)
    }

    /// Reference lines, vertical ones up to their labels, and then the labels, which no line may cross.
    fn references(&self) -> anyhow::Result<()> {
        let Frame {
            left,
            right,
            bottom,
            ..
        } = self.layout.frame;
        for label in &self.layout.labels {
            let reference = &self.plot.references[label.reference];
            let Some(place) = self.shown.place(reference) else {
                continue;
            };
            let ends = match reference.direction {
                Direction::Horizontal => [(left, self.y(place)), (right, self.y(place))],
                Direction::Vertical => [(self.x(place), bottom), (self.x(place), label.spot.1)],
            };
            for dash in path::dash(&ends, REFERENCE_DASHES) {
                self.canvas.line(&dash, SOFT, AXIS_WIDTH)?;
            }
        }
        for label in &self.layout.labels {
            let Reference {
                label: text,
                direction,
                ..
            } = &self.plot.references[label.reference];
            let (x, y) = label.spot;
            let width = canvas::text_width(text, TICK_SIZE);
            let (anchor, from) = match direction {
                Direction::Horizontal => (Anchor::Start, x),
                Direction::Vertical => (Anchor::Middle, x - width / 2.0),
            };
            let (top, end, bottom) = (y - 8.0, from + width, y + 7.0);
            let background = [(from, top), (end, top), (end, bottom), (from, bottom)];
            self.canvas.polygon(&background, PAPER.to_rgba())?;
            self.text(text, label.spot, anchor, TICK)?;
        }
        Ok(())
    }

    fn legend(&self) -> anyhow::Result<()> {
        for (series, entry) in self.plot.series.iter().zip(&self.layout.legend) {
            let style = self.styles.of(&series.name);
            let (left, y) = entry.spot;
            let right = left + SAMPLE;
            if series.points.iter().any(|point| point.band.is_some()) {
                let (top, bottom) = (y - 6.0, y + 6.0);
                let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
                self.canvas
                    .polygon(&corners, style.colour.mix(BAND_OPACITY))?;
            }
            if series.mark == Mark::Line {
                self.styled_line(&[entry.spot, (right, y)], style)?;
            }
            self.marker((left + SAMPLE / 2.0, y), style)?;
            for (index, line) in entry.lines.iter().enumerate() {
                let spot = (right + SAMPLE_GAP, y + index as f64 * NAME_LINE);
                self.text(line, spot, Anchor::Start, LEGEND)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::assert_balanced;
    use crate::{Axis, Series};

    const ROOMS: [Room; 2] = [Room::Wide, Room::Half];

    fn svg(plot: &Plot) -> String {
        let mut styles = Styles::default();
        styles.learn(plot);
        let drawings = ROOMS.map(|room| drawing(plot, &styles, room).unwrap().svg);
        for svg in &drawings {
            assert_balanced(svg);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        let [wide, _] = drawings;
        wide
    }

    fn log_log() -> Plot {
        Plot::new("p", Axis::log("x"), Axis::log("y"))
    }

    /// Every combination of values that an axis cannot show, on every kind of axis, with every kind of series.
    #[test]
    fn no_value_makes_it_panic() {
        let bad = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -0.0,
            -1.0,
            5e-324,
            f64::MAX,
            f64::MIN,
            1.0,
        ];
        let pairs: Vec<(f64, f64)> = bad
            .iter()
            .flat_map(|x| bad.iter().map(|y| (*x, *y)))
            .collect();
        let axes: [fn(&str) -> Axis; 2] = [|label| Axis::linear(label), |label| Axis::log(label)];
        for x_axis in axes {
            for y_axis in axes {
                let mut plot = Plot::new("bad", x_axis("x"), y_axis("y"))
                    .line("line", pairs.clone())
                    .scatter("scatter", pairs.clone())
                    .series(Series::line("band", pairs.clone()).band(pairs.clone()))
                    .series(Series::over_seeds("seeds", [pairs.clone(), pairs.clone()]));
                for value in bad {
                    plot = plot.horizontal("h", value).vertical("v", value);
                }
                svg(&plot);
                for limit in bad {
                    svg(
                        &Plot::new("b", x_axis("x").from(limit), y_axis("y").to(limit))
                            .line("a", pairs.clone()),
                    );
                }
            }
        }
    }

    #[test]
    fn without_data_it_says_so() {
        for plot in [
            log_log(),
            log_log().line("a", []),
            log_log().scatter("a", [(1.0, 0.0)]),
        ] {
            assert!(svg(&plot).contains("no data to show"));
        }
        let one = log_log().scatter("a", [(1.0, 1.0)]);
        assert!(!svg(&one).contains("no data to show"));
    }

    #[test]
    fn what_is_said_is_there_and_escaped() {
        let plot = Plot::new("Loss <b> & more", Axis::log("ε"), Axis::linear("y < 1"))
            .line("sgd & co", [(1e-3, 1.0), (1e2, 2.0)])
            .horizontal("a > b", 1.5)
            .vertical("ε*", 1.0);
        let svg = svg(&plot);
        for part in [
            "Loss &lt;b&gt; &amp; more",
            "y &lt; 1",
            "sgd &amp; co",
            "a &gt; b",
            "ε*",
            "10⁻³",
            "10²",
        ] {
            assert!(svg.contains(part), "no {part} in\n{svg}");
        }
    }

    /// A gap in the data is a gap in the line, not a straight line across it.
    #[test]
    fn lines_break_at_missing_values() {
        let points = |missing: f64| {
            [
                (1.0, 1.0),
                (2.0, 2.0),
                (3.0, missing),
                (4.0, 4.0),
                (5.0, 5.0),
            ]
        };
        let lines = |plot: &Plot| {
            let colour = "stroke=\"#0072B2\"";
            let line = |line: &&str| line.starts_with("<polyline") && line.contains(colour);
            svg(plot).lines().filter(line).count()
        };
        // One more is in the legend.
        assert_eq!(lines(&log_log().line("a", points(3.0))), 2);
        assert_eq!(lines(&log_log().line("a", points(f64::NAN))), 3);
        assert_eq!(lines(&log_log().line("a", points(0.0))), 3);
    }

    #[test]
    fn a_long_run_stays_small() {
        let points = (0..200_000).map(|step| (f64::from(step), f64::from(step % 977)));
        let plot = Plot::new("p", Axis::linear("x"), Axis::linear("y")).line("a", points);
        let length = svg(&plot).len();
        assert!(length < 200_000, "{length}");
    }
}
