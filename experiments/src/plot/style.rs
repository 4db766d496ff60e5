//! How series are told apart: by colour, by dashes, and by markers, so that colour is never needed.

use plotters::style::RGBColor;

use super::Plot;

/// The colours of Okabe and Ito, which people with any colour vision can tell apart, without the yellow that white
/// paper swallows.
///
/// # References
///
/// M. Okabe, K. Ito, "Color Universal Design", 2008.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    super::canvas::INK,
];

/// Lengths of dashes and gaps in turn, in pixels. Six patterns and seven colours give 42 different lines.
const DASHES: [&[f64]; 6] = [
    &[],
    &[7.0, 3.5],
    &[2.0, 2.5],
    &[9.0, 3.0, 2.0, 3.0],
    &[14.0, 4.0],
    &[5.0, 2.5, 1.5, 2.5, 1.5, 2.5],
];

const MARKERS: [Marker; 6] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::Cross,
    Marker::TriangleDown,
];

/// The look of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    pub(super) colour: RGBColor,
    pub(super) dashes: &'static [f64],
    pub(super) marker: Marker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    TriangleDown,
}

/// Which name looks how: the first name met gets the first look, and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Styles {
    names: Vec<String>,
}

impl Styles {
    /// Gives a look to every series of `plot` that has none.
    pub(crate) fn learn(&mut self, plot: &Plot) {
        for series in &plot.series {
            if !self.names.contains(&series.name) {
                self.names.push(series.name.clone());
            }
        }
    }

    pub(super) fn of(&self, name: &str) -> Style {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or(self.names.len());
        Style {
            colour: COLOURS[index % COLOURS.len()],
            dashes: DASHES[index % DASHES.len()],
            marker: MARKERS[index % MARKERS.len()],
        }
    }
}

impl Marker {
    /// The outline of a marker of the given radius around the origin, with y downwards; none for a circle.
    pub(super) fn outline(self, radius: f64) -> Vec<Vec<(f64, f64)>> {
        let scaled = |corners: &[(f64, f64)]| {
            corners
                .iter()
                .map(|(x, y)| (x * radius, y * radius))
                .collect::<Vec<_>>()
        };
        match self {
            Self::Circle => Vec::new(),
            Self::Square => vec![scaled(&[
                (-0.9, -0.9),
                (0.9, -0.9),
                (0.9, 0.9),
                (-0.9, 0.9),
            ])],
            Self::Triangle => vec![scaled(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)])],
            Self::TriangleDown => vec![scaled(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)])],
            Self::Diamond => vec![scaled(&[(0.0, -1.3), (1.1, 0.0), (0.0, 1.3), (-1.1, 0.0)])],
            Self::Cross => vec![
                scaled(&[(-1.1, -0.7), (-0.7, -1.1), (1.1, 0.7), (0.7, 1.1)]),
                scaled(&[(1.1, -0.7), (0.7, -1.1), (-1.1, 0.7), (-0.7, 1.1)]),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axis;

    fn plot(names: &[&str]) -> Plot {
        let axis = || Axis::linear("");
        names
            .iter()
            .fold(Plot::new("", axis(), axis()), |plot, name| {
                plot.line(*name, [])
            })
    }

    #[test]
    fn one_name_looks_alike_in_all_plots() {
        let mut styles = Styles::default();
        styles.learn(&plot(&["sgd", "newton"]));
        let newton = styles.of("newton");
        styles.learn(&plot(&["newton", "adam"]));
        assert_eq!(styles.of("newton"), newton);
        assert_ne!(styles.of("adam"), newton);
    }

    #[test]
    fn forty_two_lines_can_be_told_apart() {
        let names: Vec<String> = (0..42).map(|index| index.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut styles = Styles::default();
        styles.learn(&plot(&names));
        for (index, name) in names.iter().enumerate() {
            for other in &names[..index] {
                let (a, b) = (styles.of(name), styles.of(other));
                assert!(
                    a.colour != b.colour || a.dashes != b.dashes,
                    "{name} {other}"
                );
            }
        }
    }
}
