//! Line and scatter plots on linear and logarithmic axes.

mod canvas;
mod draw;
mod draw_data;
mod layout;
mod path;
mod series;
mod shown;
mod style;
mod ticks;
mod view;

use serde::Serialize;

pub use series::Series;
pub(crate) use style::Styles;

/// A plot of a report.
///
/// Values that an axis cannot show (NaN and infinite ones, and on a logarithmic axis zero and negative ones) are left
/// out, and the report says how many. Lines break there.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    title: String,
    x: Axis,
    y: Axis,
    series: Vec<Series>,
    references: Vec<Reference>,
    caption: Option<String>,
}

/// One axis of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    label: String,
    scale: Scale,
    from: Option<f64>,
    to: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Logarithmic,
}

/// A value marked by a line across the plot.
#[derive(Clone, Debug, PartialEq)]
struct Reference {
    label: String,
    value: f64,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Horizontal,
    Vertical,
}

/// How much of the page a plot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The whole width, the legend to the right.
    Wide,
    /// About half of it, the legend below.
    Half,
}

impl Room {
    /// Width of the drawing, in pixels of the page; text must be readable without enlarging it.
    fn width(self) -> f64 {
        match self {
            Self::Wide => 860.0,
            Self::Half => 540.0,
        }
    }

    fn frame_height(self) -> f64 {
        match self {
            Self::Wide => 320.0,
            Self::Half => 270.0,
        }
    }

    /// How many ticks the x axis has room for.
    fn ticks(self) -> usize {
        match self {
            Self::Wide => 7,
            Self::Half => 5,
        }
    }
}

/// A plot as an SVG document, and what has to be said about it.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    pub(crate) svg: String,
    /// Sentences about values that are not shown.
    pub(crate) notes: Vec<String>,
}

/// One point of a plot, as it stands in the rows.
#[derive(Debug, Serialize)]
pub(crate) struct PointRow<'a> {
    series: &'a str,
    x: f64,
    y: f64,
    low: Option<f64>,
    high: Option<f64>,
}

impl Axis {
    /// An axis on which equal distances are equal differences.
    pub fn linear(label: impl Into<String>) -> Self {
        Self::new(label.into(), Scale::Linear)
    }

    /// An axis on which equal distances are equal ratios.
    pub fn log(label: impl Into<String>) -> Self {
        Self::new(label.into(), Scale::Logarithmic)
    }

    fn new(label: String, scale: Scale) -> Self {
        Self {
            label,
            scale,
            from: None,
            to: None,
        }
    }

    /// Begins the axis here instead of at the lowest value; what lies below is cut off.
    pub fn from(mut self, value: f64) -> Self {
        self.from = Some(value);
        self
    }

    /// Ends the axis here instead of at the highest value, so that one diverged run does not flatten the others.
    pub fn to(mut self, value: f64) -> Self {
        self.to = Some(value);
        self
    }
}

impl Plot {
    /// A plot without data.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            title: title.into(),
            x,
            y,
            series: Vec::new(),
            references: Vec::new(),
            caption: None,
        }
    }

    /// Adds points joined by a line, in the given order.
    pub fn line(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        self.series(Series::line(name, points))
    }

    /// Adds single points.
    pub fn scatter(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        self.series(Series::scatter(name, points))
    }

    /// Adds a series. Series of one name look alike in all plots of a report.
    pub fn series(mut self, series: Series) -> Self {
        self.push(series);
        self
    }

    /// Adds a series, for loops.
    pub fn push(&mut self, series: Series) {
        self.series.push(series);
    }

    /// Marks a value of the y axis by a line across the plot.
    pub fn horizontal(self, label: impl Into<String>, value: f64) -> Self {
        self.reference(label.into(), value, Direction::Horizontal)
    }

    /// Marks a value of the x axis by a line across the plot.
    pub fn vertical(self, label: impl Into<String>, value: f64) -> Self {
        self.reference(label.into(), value, Direction::Vertical)
    }

    fn reference(mut self, label: String, value: f64, direction: Direction) -> Self {
        self.references.push(Reference {
            label,
            value,
            direction,
        });
        self
    }

    /// Sentences below the plot: what to look at.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    pub(crate) fn caption_text(&self) -> Option<&str> {
        self.caption.as_deref()
    }

    /// Every point, shown or not.
    pub(crate) fn points(&self) -> impl Iterator<Item = PointRow<'_>> {
        self.series.iter().flat_map(|series| {
            series.points.iter().map(|point| PointRow {
                series: &series.name,
                x: point.x,
                y: point.y,
                low: point.band.map(|(low, _)| low),
                high: point.band.map(|(_, high)| high),
            })
        })
    }

    /// Draws the plot.
    pub(crate) fn draw(&self, styles: &Styles, room: Room) -> anyhow::Result<Drawing> {
        draw::drawing(self, styles, room)
    }
}
