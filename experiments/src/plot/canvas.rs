//! The paper: a thin layer over the SVG backend of `plotters`, in pixels of the page.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, RGBColor, ShapeStyle,
    TextStyle,
};

use super::path::Spot;

// The report's style sheet replaces exactly these colours on a dark page.
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub(super) const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
pub(super) const SOFT: RGBColor = RGBColor(0x59, 0x63, 0x6e);
pub(super) const GRID: RGBColor = RGBColor(0xd1, 0xd9, 0xe0);
pub(super) const FAINT_GRID: RGBColor = RGBColor(0xeb, 0xee, 0xf1);

/// `plotters` draws on whole pixels; this many of its pixels to one of the page keep curves smooth.
const FINENESS: f64 = 8.0;

/// `plotters` divides font sizes by this before it writes them.
const FONT_FACTOR: f64 = 1.24;

/// Where a text stands relative to its spot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    /// Begins at the spot.
    Start,
    /// Centred on the spot.
    Middle,
    /// Ends at the spot.
    End,
    /// Centred on the spot, read from below.
    Upwards,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) colour: RGBColor,
    pub(super) weight: FontStyle,
}

/// A drawing in progress.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws with `work` on paper of the given size, and returns the SVG document, called `title` for screen readers.
pub(super) fn svg(
    (width, height): (f64, f64),
    title: &str,
    work: impl FnOnce(&Canvas<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let (fine_width, fine_height) = (fine(width) as u32, fine(height) as u32);
    let mut drawn = String::new();
    {
        let backend = SVGBackend::with_string(&mut drawn, (fine_width, fine_height));
        let canvas = Canvas {
            area: backend.into_drawing_area(),
        };
        canvas.area.fill(&PAPER).map_err(failed)?;
        work(&canvas)?;
        canvas.area.present().map_err(failed)?;
    }
    // `plotters` has no way to say that the page shows the fine pixels smaller.
    let opening = format!("<svg width=\"{fine_width}\" height=\"{fine_height}\"");
    let rest = drawn
        .strip_prefix(&opening)
        .ok_or_else(|| anyhow!("the SVG does not begin with {opening}"))?;
    let label = crate::report::escape(title);
    Ok(format!(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{label}\" width=\"{width}\" height=\"{height}\"{rest}"
    ))
}

impl Canvas<'_> {
    pub(super) fn line(&self, points: &[Spot], colour: RGBColor, width: f64) -> anyhow::Result<()> {
        let style = ShapeStyle::from(colour).stroke_width(fine(width) as u32);
        let points = fine_spots(points);
        self.area
            .draw(&PathElement::new(points, style))
            .map_err(failed)
    }

    pub(super) fn polygon(&self, corners: &[Spot], colour: RGBAColor) -> anyhow::Result<()> {
        let corners = fine_spots(corners);
        self.area
            .draw(&Polygon::new(corners, colour.filled()))
            .map_err(failed)
    }

    pub(super) fn circle(&self, centre: Spot, radius: f64, colour: RGBColor) -> anyhow::Result<()> {
        let circle = Circle::new(fine_spot(centre), fine(radius), colour.filled());
        self.area.draw(&circle).map_err(failed)
    }

    pub(super) fn text(
        &self,
        text: &str,
        spot: Spot,
        anchor: Anchor,
        font: Font,
    ) -> anyhow::Result<()> {
        let family = FontFamily::SansSerif;
        let size = font.size * FINENESS * FONT_FACTOR;
        let transform = match anchor {
            Anchor::Upwards => FontTransform::Rotate270,
            _ => FontTransform::None,
        };
        let desc = FontDesc::new(family, size, font.weight).transform(transform);
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle | Anchor::Upwards => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = TextStyle::from(desc)
            .color(&font.colour)
            .pos(Pos::new(horizontal, VPos::Center));
        let printable = text.replace(char::is_control, " ");
        self.area
            .draw_text(&printable, &style, fine_spot(spot))
            .map_err(failed)
    }
}

/// About how wide a text is; sans-serif fonts have letters of half to two thirds of their height.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

fn fine(length: f64) -> i32 {
    (length * FINENESS).round() as i32
}

fn fine_spot((x, y): Spot) -> (i32, i32) {
    (fine(x), fine(y))
}

fn fine_spots(spots: &[Spot]) -> Vec<(i32, i32)> {
    spots.iter().copied().map(fine_spot).collect()
}

fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("drawing a plot: {error}")
}
