//! Lines as they reach the paper: thinned, cut at the frame, dashed.

/// A point on the paper, in pixels from the upper left corner.
pub(super) type Spot = (f64, f64);

/// A rectangle on the paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn contains(&self, (x, y): Spot) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    /// The parts of a line that lie inside.
    pub(super) fn clip(&self, line: &[Spot]) -> Vec<Vec<Spot>> {
        let mut parts: Vec<Vec<Spot>> = Vec::new();
        for pair in line.windows(2) {
            let Some((from, to)) = self.clip_segment(pair[0], pair[1]) else {
                continue;
            };
            match parts.last_mut() {
                Some(part) if part.last() == Some(&from) => part.push(to),
                _ => parts.push(vec![from, to]),
            }
        }
        parts
    }

    /// The part of a segment that lies inside (Liang and Barsky, 1984).
    fn clip_segment(&self, from: Spot, to: Spot) -> Option<(Spot, Spot)> {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
        for (towards, distance) in [
            (-dx, from.0 - self.left),
            (dx, self.right - from.0),
            (-dy, from.1 - self.top),
            (dy, self.bottom - from.1),
        ] {
            if towards == 0.0 {
                if distance < 0.0 {
                    return None;
                }
            } else if towards < 0.0 {
                enter = enter.max(distance / towards);
            } else {
                leave = leave.min(distance / towards);
            }
        }
        if enter > leave {
            return None;
        }
        let at = |share: f64| match share {
            0.0 => from,
            1.0 => to,
            _ => (from.0 + share * dx, from.1 + share * dy),
        };
        Some((at(enter), at(leave)))
    }
}

/// Leaves out points that nobody can see: of those in one column of pixels, the first, the last, the highest and the
/// lowest stay, in their order.
///
/// A line of 100,000 steps then takes no more room than the paper has pixels.
pub(super) fn thin(line: &[Spot], column: f64) -> Vec<Spot> {
    let mut thinned: Vec<Spot> = Vec::new();
    let same_column = |a: &Spot, b: &Spot| (a.0 / column).floor() == (b.0 / column).floor();
    for chunk in line.chunk_by(same_column) {
        let mut kept = vec![0, chunk.len() - 1];
        let by_height = |a: &usize, b: &usize| chunk[*a].1.total_cmp(&chunk[*b].1);
        kept.extend((0..chunk.len()).min_by(by_height));
        kept.extend((0..chunk.len()).max_by(by_height));
        kept.sort_unstable();
        kept.dedup();
        thinned.extend(kept.into_iter().map(|index| chunk[index]));
    }
    thinned
}

/// Cuts a line into dashes. `pattern` holds lengths of dashes and gaps in turn; an empty one leaves the line whole.
pub(super) fn dash(line: &[Spot], pattern: &[f64]) -> Vec<Vec<Spot>> {
    if pattern.is_empty() {
        return vec![line.to_vec()];
    }
    let mut dashes = Vec::new();
    let mut lengths = pattern.iter().copied().enumerate().cycle();
    let (mut index, mut left) = lengths.next().unwrap_or_default();
    let mut current: Vec<Spot> = line.first().copied().into_iter().collect();
    for pair in line.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let distance = (to.0 - from.0).hypot(to.1 - from.1);
            if distance <= left {
                left -= distance;
                current.push(to);
                break;
            }
            let share = left / distance;
            from = (
                from.0 + share * (to.0 - from.0),
                from.1 + share * (to.1 - from.1),
            );
            current.push(from);
            let finished = std::mem::replace(&mut current, vec![from]);
            // Dashes have even places in the pattern, gaps odd ones.
            if index % 2 == 0 {
                dashes.push(finished);
            }
            (index, left) = lengths.next().unwrap_or_default();
        }
    }
    if index % 2 == 0 && current.len() > 1 {
        dashes.push(current);
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        left: 0.0,
        right: 10.0,
        top: 0.0,
        bottom: 10.0,
    };

    #[test]
    fn lines_are_cut_at_the_frame() {
        let line = [
            (-5.0, 5.0),
            (5.0, 5.0),
            (5.0, 25.0),
            (8.0, 25.0),
            (8.0, 5.0),
        ];
        let parts = FRAME.clip(&line);
        assert_eq!(
            parts,
            [
                vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)],
                vec![(8.0, 10.0), (8.0, 5.0)]
            ]
        );
        assert!(FRAME.clip(&[(-1.0, 2.0), (-3.0, 4.0)]).is_empty());
        assert!(FRAME.clip(&[(5.0, 5.0)]).is_empty());
    }

    #[test]
    fn a_far_away_end_keeps_the_direction() {
        let parts = FRAME.clip(&[(0.0, 10.0), (1e9, -1e9)]);
        let end = parts[0][1];
        assert!((end.0 - 10.0).abs() < 1e-6 && end.1.abs() < 1e-6, "{end:?}");
    }

    #[test]
    fn thinning_keeps_what_can_be_seen() {
        let line: Vec<Spot> = (0..100_000)
            .map(|step| {
                (
                    f64::from(step) * 1e-3,
                    if step == 50_123 { 7.0 } else { 1.0 },
                )
            })
            .collect();
        let thinned = thin(&line, 1.0);
        assert!(thinned.len() <= 400, "{}", thinned.len());
        assert_eq!(thinned.first(), line.first());
        assert_eq!(thinned.last(), line.last());
        assert!(thinned.contains(&line[50_123]));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
        let few = [(0.0, 1.0), (0.1, 2.0), (0.2, 1.5)];
        assert_eq!(thin(&few, 1.0), few);
    }

    #[test]
    fn dashes_follow_the_pattern_around_corners() {
        let dashes = dash(&[(0.0, 0.0), (4.0, 0.0), (4.0, 6.0)], &[3.0, 2.0]);
        assert_eq!(
            dashes,
            [vec![(0.0, 0.0), (3.0, 0.0)], vec![(4.0, 1.0), (4.0, 4.0)]]
        );
        assert_eq!(
            dash(&[(0.0, 0.0), (9.0, 0.0)], &[]),
            [vec![(0.0, 0.0), (9.0, 0.0)]]
        );
        assert!(dash(&[], &[3.0, 2.0]).is_empty());
    }
}
