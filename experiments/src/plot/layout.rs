//! Where the parts of a plot stand: nothing but data inside the frame.

use super::canvas::text_width;
use super::path::{Frame, Spot};
use super::shown::Shown;
use super::{Direction, Plot, Room};

pub(super) const TICK_SIZE: f64 = 12.0;
pub(super) const LEGEND_SIZE: f64 = 12.5;

/// Width of the piece of line in the legend, and the gap to its name.
pub(super) const SAMPLE: f64 = 34.0;
pub(super) const SAMPLE_GAP: f64 = 8.0;

/// Distance of two entries of a legend, and of two lines of one entry.
const ENTRY: f64 = 21.0;
pub(super) const NAME_LINE: f64 = 15.0;

/// Height of one row of labels of vertical reference lines.
const LABEL_ROW: f64 = 16.0;

pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) frame: Frame,
    /// One entry for each series, in order.
    pub(super) legend: Vec<LegendEntry>,
    /// Labels of reference lines.
    pub(super) labels: Vec<Label>,
}

pub(super) struct LegendEntry {
    /// Left end of the piece of line.
    pub(super) spot: Spot,
    pub(super) lines: Vec<String>,
}

pub(super) struct Label {
    /// Which reference line it belongs to.
    pub(super) reference: usize,
    pub(super) spot: Spot,
}

impl Layout {
    pub(super) fn of(plot: &Plot, shown: &Shown, room: Room) -> Self {
        let width = room.width();
        let letters = match room {
            Room::Wide => 26,
            Room::Half => 56,
        };
        let names: Vec<Vec<String>> = plot
            .series
            .iter()
            .map(|series| wrap(&series.name, letters))
            .collect();

        let tick_labels = shown
            .y_ticks
            .labelled
            .iter()
            .map(|(_, label)| label.as_str());
        let left = 36.0 + widest(tick_labels, TICK_SIZE);
        let horizontal = placed(plot, shown, Direction::Horizontal);
        let label_width = match widest(horizontal.iter().map(|mark| mark.label), TICK_SIZE) {
            0.0 => 0.0,
            width => width + 8.0,
        };
        let legend_width = match room {
            Room::Wide if !names.is_empty() => {
                let widest_name = widest(names.iter().flatten().map(String::as_str), LEGEND_SIZE);
                16.0 + SAMPLE + SAMPLE_GAP + widest_name
            }
            _ => 0.0,
        };
        let right = width - 12.0 - label_width - legend_width;

        let vertical = placed(plot, shown, Direction::Vertical)
            .into_iter()
            .map(|mark| {
                let centre = left + mark.place * (right - left);
                (mark.reference, centre, text_width(mark.label, TICK_SIZE))
            })
            .collect();
        let (rows, vertical) = stagger(vertical, width);
        let top = 40.0 + rows as f64 * LABEL_ROW;
        let (bottom, height, legend) = match room {
            Room::Wide => {
                let (legend, end) = stacked(names, (right + label_width + 16.0, top + ENTRY / 2.0));
                let bottom = (top + room.frame_height()).max(end);
                (bottom, bottom + 52.0, legend)
            }
            Room::Half => {
                let bottom = top + room.frame_height();
                let (legend, end) = flowing(names, (8.0, bottom + 64.0), width);
                (bottom, end, legend)
            }
        };

        let mut labels: Vec<Label> = vertical
            .into_iter()
            .map(|(reference, x, row)| Label {
                reference,
                spot: (x, top - 9.0 - row as f64 * LABEL_ROW),
            })
            .collect();
        let heights = horizontal
            .iter()
            .map(|mark| (mark.reference, bottom - mark.place * (bottom - top)))
            .collect();
        labels.extend(
            spread(heights, 14.0)
                .into_iter()
                .map(|(reference, y)| Label {
                    reference,
                    spot: (right + 5.0, y),
                }),
        );
        Self {
            width,
            height,
            frame: Frame {
                left,
                right,
                top,
                bottom,
            },
            legend,
            labels,
        }
    }
}

struct PlacedReference<'a> {
    reference: usize,
    label: &'a str,
    place: f64,
}

fn placed<'a>(plot: &'a Plot, shown: &Shown, direction: Direction) -> Vec<PlacedReference<'a>> {
    let references = plot.references.iter().enumerate();
    references
        .filter(|(_, reference)| reference.direction == direction)
        .filter_map(|(index, reference)| {
            Some(PlacedReference {
                reference: index,
                label: &reference.label,
                place: shown.place(reference)?,
            })
        })
        .collect()
}

fn widest<'a>(texts: impl Iterator<Item = &'a str>, size: f64) -> f64 {
    texts.map(|text| text_width(text, size)).fold(0.0, f64::max)
}

/// Entries below one another, and where they end.
fn stacked(names: Vec<Vec<String>>, (left, mut y): Spot) -> (Vec<LegendEntry>, f64) {
    let mut entries = Vec::new();
    for lines in names {
        let more_lines = lines.len().saturating_sub(1) as f64 * NAME_LINE;
        entries.push(LegendEntry {
            spot: (left, y),
            lines,
        });
        y += ENTRY + more_lines;
    }
    (entries, y - ENTRY / 2.0)
}

/// Entries beside one another, in as many rows as they need, and where they end.
fn flowing(names: Vec<Vec<String>>, (left, mut y): Spot, width: f64) -> (Vec<LegendEntry>, f64) {
    let mut entries: Vec<LegendEntry> = Vec::new();
    let (mut x, mut most_lines) = (left, 1);
    let mut end = y - ENTRY / 2.0;
    for lines in names {
        let name_width = widest(lines.iter().map(String::as_str), LEGEND_SIZE);
        let entry_width = SAMPLE + SAMPLE_GAP + name_width;
        if x > left && x + entry_width > width {
            y += ENTRY + (most_lines - 1) as f64 * NAME_LINE;
            (x, most_lines) = (left, 1);
        }
        most_lines = most_lines.max(lines.len());
        end = y + ENTRY / 2.0 + (most_lines - 1) as f64 * NAME_LINE;
        entries.push(LegendEntry {
            spot: (x, y),
            lines,
        });
        x += entry_width + 18.0;
    }
    (entries, end)
}

/// A name in lines of limited length, cut between words where that is possible.
fn wrap(name: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in name.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        for piece in word.chunks(letters) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= letters => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// Moves labels down until they are `distance` apart, in their order.
fn spread(mut labels: Vec<(usize, f64)>, distance: f64) -> Vec<(usize, f64)> {
    labels.sort_by(|a, b| a.1.total_cmp(&b.1));
    for index in 1..labels.len() {
        labels[index].1 = labels[index].1.max(labels[index - 1].1 + distance);
    }
    labels
}

/// Puts centred labels (which, centre, width) into rows that keep them apart: the number of rows, and (which, centre,
/// row).
fn stagger(mut labels: Vec<(usize, f64, f64)>, paper: f64) -> (usize, Vec<(usize, f64, usize)>) {
    labels.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut ends: Vec<f64> = Vec::new();
    let mut placed = Vec::new();
    for (which, centre, width) in labels {
        let centre = centre.min(paper - width / 2.0).max(width / 2.0);
        let fits = |end: &f64| *end + 8.0 <= centre - width / 2.0;
        let row = ends.iter().position(fits).unwrap_or(ends.len());
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = centre + width / 2.0;
        placed.push((which, centre, row));
    }
    (ends.len(), placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Axis;

    fn layout(names: &[String], room: Room) -> Layout {
        let plot = Plot::new("p", Axis::linear("x"), Axis::linear("y"))
            .horizontal("target", 0.5)
            .vertical("here", 0.5);
        let plot = names
            .iter()
            .fold(plot, |plot, name| plot.line(name, [(0.0, 0.0), (1.0, 1.0)]));
        Layout::of(&plot, &Shown::of(&plot, 7), room)
    }

    /// The legend and the labels are on the paper, and outside the frame.
    #[test]
    fn nothing_hides_data() {
        for room in [Room::Wide, Room::Half] {
            for count in [0, 1, 5, 30] {
                let names: Vec<String> = (0..count)
                    .map(|index| format!("a method with a rather long name, number {index}"))
                    .collect();
                let layout = layout(&names, room);
                let frame = layout.frame;
                assert!(frame.right - frame.left > 250.0, "{room:?} {count}");
                assert_eq!(layout.labels.len(), 2);
                let entries = layout.legend.iter().map(|entry| entry.spot);
                for spot in entries.chain(layout.labels.iter().map(|label| label.spot)) {
                    assert!(!frame.contains(spot), "{room:?} {count} {spot:?}");
                    assert!(
                        (0.0..layout.width).contains(&spot.0),
                        "{room:?} {count} {spot:?}"
                    );
                    assert!(
                        (0.0..layout.height).contains(&spot.1),
                        "{room:?} {count} {spot:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn names_are_cut_between_words() {
        assert_eq!(wrap("SGD with momentum", 10), ["SGD with", "momentum"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert!(wrap("", 4).is_empty());
    }

    #[test]
    fn labels_keep_apart() {
        assert_eq!(
            spread(vec![(0, 5.0), (1, 3.0), (2, 40.0)], 14.0),
            [(1, 3.0), (0, 17.0), (2, 40.0)]
        );
        let (rows, placed) = stagger(
            vec![(0, 50.0, 30.0), (1, 60.0, 30.0), (2, 150.0, 30.0)],
            160.0,
        );
        assert_eq!(rows, 2);
        assert_eq!(placed, [(0, 50.0, 0), (1, 60.0, 1), (2, 145.0, 0)]);
    }
}
