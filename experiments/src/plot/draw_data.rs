//! The data of a plot as it is drawn: bands, lines and markers.

use plotters::style::Color;

use super::canvas::PAPER;
use super::draw::{BAND_OPACITY, Painter};
use super::path::{self, Frame, Spot};
use super::series::{Mark, Series};
use super::shown::in_sight;
use super::style::{Marker, Style};

const LINE_WIDTH: f64 = 1.75;

const MARKER_RADIUS: f64 = 3.75;
/// Width of the ring of paper around a marker, which keeps it visible on a noisy line.
const MARKER_RING: f64 = 1.25;
/// Markers on a line with many points.
const MARKERS_ON_A_LINE: usize = 8;

impl Painter<'_, '_> {
    pub(super) fn band(&self, series: &Series) -> anyhow::Result<()> {
        let height = |edge: f64| {
            let place = self.shown.y.place_edge(edge)?;
            Some(self.y(place.clamp(0.0, 1.0)))
        };
        let slices = series.points.iter().map(|point| {
            let (low, high) = point.band?;
            let x = self.shown.x.place(point.x).ok()?;
            in_sight(x).then_some((self.x(x), height(low)?, height(high)?))
        });
        let slices: Vec<Option<(f64, f64, f64)>> = slices.collect();
        let colour = self.styles.of(&series.name).colour.mix(BAND_OPACITY);
        for run in slices.split(Option::is_none) {
            let run = || run.iter().flatten();
            let lower: Vec<Spot> = run().map(|(x, low, _)| (*x, *low)).collect();
            let upper: Vec<Spot> = run().map(|(x, _, high)| (*x, *high)).collect();
            let mut corners = path::thin(&lower, 1.0);
            corners.extend(path::thin(&upper, 1.0).into_iter().rev());
            if corners.len() > 2 {
                self.canvas.polygon(&corners, colour)?;
            }
        }
        Ok(())
    }

    /// `phase`, from 0 to 1, keeps the markers of different series apart.
    pub(super) fn series(&self, series: &Series, phase: f64) -> anyhow::Result<()> {
        let style = self.styles.of(&series.name);
        let spots: Vec<Option<Spot>> = series
            .points
            .iter()
            .map(|point| {
                let x = self.shown.x.place(point.x).ok()?;
                let y = self.shown.y.place(point.y).ok()?;
                Some((self.x(x), self.y(y)))
            })
            .collect();
        let frame = self.layout.frame;
        let visible = spots.iter().flatten().filter(|spot| frame.contains(**spot));
        let visible: Vec<Spot> = visible.copied().collect();
        if series.mark == Mark::Points {
            return visible
                .iter()
                .try_for_each(|spot| self.marker(*spot, style));
        }
        for run in spots.split(Option::is_none) {
            let run: Vec<Spot> = run.iter().flatten().copied().collect();
            for part in frame.clip(&path::thin(&run, 0.5)) {
                self.styled_line(&part, style)?;
            }
        }
        let marked = spaced(&visible, frame, phase);
        marked
            .iter()
            .try_for_each(|spot| self.ringed_marker(*spot, style))
    }

    pub(super) fn styled_line(&self, line: &[Spot], style: Style) -> anyhow::Result<()> {
        path::dash(line, style.dashes)
            .iter()
            .try_for_each(|dash| self.canvas.line(dash, style.colour, LINE_WIDTH))
    }

    pub(super) fn marker(&self, spot: Spot, style: Style) -> anyhow::Result<()> {
        self.marker_of(spot, style, MARKER_RADIUS)
    }

    fn ringed_marker(&self, spot: Spot, style: Style) -> anyhow::Result<()> {
        let ring = Style {
            colour: PAPER,
            ..style
        };
        self.marker_of(spot, ring, MARKER_RADIUS + MARKER_RING)?;
        self.marker(spot, style)
    }

    fn marker_of(&self, (x, y): Spot, style: Style, radius: f64) -> anyhow::Result<()> {
        if style.marker == Marker::Circle {
            return self.canvas.circle((x, y), radius, style.colour);
        }
        for outline in style.marker.outline(radius) {
            let corners: Vec<Spot> = outline.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            self.canvas.polygon(&corners, style.colour.to_rgba())?;
        }
        Ok(())
    }
}

/// Where a line has its markers: at all of its points if they are few, else at some, evenly over the width.
fn spaced(spots: &[Spot], frame: Frame, phase: f64) -> Vec<Spot> {
    if spots.len() <= MARKERS_ON_A_LINE + 4 {
        return spots.to_vec();
    }
    let width = (frame.right - frame.left) / MARKERS_ON_A_LINE as f64;
    let slot = |spot: &Spot| ((spot.0 - frame.left) / width - phase).floor();
    let entered = |pair: &&[Spot]| slot(&pair[0]) != slot(&pair[1]);
    spots
        .windows(2)
        .filter(entered)
        .map(|pair| pair[1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_few_and_spread() {
        let frame = Frame {
            left: 0.0,
            right: 800.0,
            top: 0.0,
            bottom: 1.0,
        };
        let spots: Vec<Spot> = (0..800).map(|x| (f64::from(x), 0.0)).collect();
        let marked = spaced(&spots, frame, 0.5);
        assert_eq!(marked.len(), MARKERS_ON_A_LINE);
        assert_eq!(marked[0].0, 50.0);
        assert_eq!(spaced(&spots[..5], frame, 0.5), spots[..5]);
        assert!(spaced(&[], frame, 0.5).is_empty());
    }
}
