//! Which old direction a new one continues, from a small matrix of overlaps.

use crate::eigen::pairs::Eigenpair;
use crate::error::CurvatureError;
use crate::symmetry::assignment;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// By what a direction is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Continuity {
    /// It was not there before.
    Entered,
    /// By its own overlap.
    Overlap,
    /// By the span of the near-degenerate group that it is in, or was in: its own overlap is small, since the directions inside such a
    /// group are arbitrary.
    Group,
}

/// The new directions in terms of the old ones.
pub(crate) struct Matching {
    /// The old position that each new position continues.
    pub(crate) from: Vec<Option<usize>>,
    pub(crate) continuity: Vec<Continuity>,
    /// Column j: the direction at position j in the basis of the new vectors.
    pub(crate) frame: Mat<f64>,
    /// ⟨old direction, new direction⟩, with signs.
    pub(crate) overlaps: Mat<f64>,
}

/// The number of the near-degenerate group of each pair: chains of eigenvalues no further apart than `gap` or their residuals.
pub(crate) fn groups(pairs: &[Eigenpair], gap: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|a, b| pairs[*a].value.total_cmp(&pairs[*b].value));
    let mut groups = vec![0; pairs.len()];
    let mut group = 0;
    for neighbours in order.windows(2) {
        let (below, above) = (&pairs[neighbours[0]], &pairs[neighbours[1]]);
        let allowed = gap.max(below.residual + above.residual);
        if above.value - below.value > allowed {
            group += 1;
        }
        groups[neighbours[1]] = group;
    }
    groups
}

/// Matches by the assignment with the largest Σ overlap², and turns the directions inside each new group as close to the old ones as they go.
///
/// `overlaps` has ⟨old direction i, new vector j⟩ in row i. A match stands if the overlap is at least `least`, or the part of the one in the
/// span of the group of the other.
pub(crate) fn matching(
    overlaps: &Mat<f64>,
    old_groups: &[usize],
    new_groups: &[usize],
    least: f64,
) -> Result<Matching, CurvatureError> {
    let (old, new) = (overlaps.nrows(), overlaps.ncols());
    let from = assigned(overlaps)?;
    let mut continuity = vec![Continuity::Entered; new];
    for (j, i) in from.iter().enumerate() {
        let Some(i) = *i else { continue };
        let inside_new = (0..new).filter(|&other| new_groups[other] == new_groups[j]);
        let inside_new: f64 = inside_new.map(|other| overlaps[(i, other)].powi(2)).sum();
        let inside_old = (0..old).filter(|&other| old_groups[other] == old_groups[i]);
        let inside_old: f64 = inside_old.map(|other| overlaps[(other, j)].powi(2)).sum();
        if overlaps[(i, j)].abs() >= least {
            continuity[j] = Continuity::Overlap;
        } else if inside_new.max(inside_old).sqrt() >= least {
            continuity[j] = Continuity::Group;
        }
    }
    let kept = |j: usize| from[j].filter(|_| continuity[j] != Continuity::Entered);
    let from: Vec<Option<usize>> = (0..new).map(kept).collect();
    let frame = frame(overlaps, &from, new_groups)?;
    Ok(Matching {
        overlaps: overlaps * &frame,
        from,
        continuity,
        frame,
    })
}

/// The old position of each new one by the assignment with the largest Σ overlap².
fn assigned(overlaps: &Mat<f64>) -> Result<Vec<Option<usize>>, CurvatureError> {
    let (old, new) = (overlaps.nrows(), overlaps.ncols());
    let size = old.max(new);
    let mut costs = vec![0.0; size * size];
    for i in 0..old {
        for j in 0..new {
            costs[i * size + j] = -overlaps[(i, j)].powi(2);
        }
    }
    let mut from = vec![None; new];
    for (i, j) in assignment(&costs, size)?.into_iter().enumerate() {
        if i < old && j < new {
            from[j] = Some(i);
        }
    }
    Ok(from)
}

/// In each group the orthogonal matrix nearest to the old directions (the polar factor); for a single direction its sign.
fn frame(
    overlaps: &Mat<f64>,
    from: &[Option<usize>],
    groups: &[usize],
) -> Result<Mat<f64>, CurvatureError> {
    let new = from.len();
    let mut frame = Mat::<f64>::identity(new, new);
    for group in 0..new {
        let members: Vec<usize> = (0..new).filter(|&j| groups[j] == group).collect();
        let old = |row: usize, column: usize| match from[members[column]] {
            Some(i) => overlaps[(i, members[row])],
            None => 0.0,
        };
        let size = members.len();
        let polar = match size {
            0 => continue,
            1 => Mat::from_fn(1, 1, |_, _| if old(0, 0) < 0.0 { -1.0 } else { 1.0 }),
            _ => {
                let coordinates = Mat::from_fn(size, size, old);
                let failed = |_| CurvatureError::Decomposition { dim: size };
                let svd = coordinates.svd().map_err(failed)?;
                svd.U() * svd.V().transpose()
            }
        };
        for (row, &i) in members.iter().enumerate() {
            for (column, &j) in members.iter().enumerate() {
                frame[(i, j)] = polar[(row, column)];
            }
        }
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_inside_a_group_is_undone() {
        let (c, s) = (0.6, 0.8);
        let rows = [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, -1.0]];
        let overlaps = Mat::from_fn(3, 3, |i, j| rows[i][j]);
        let found = matching(&overlaps, &[1, 1, 0], &[1, 1, 0], 0.9).unwrap();
        assert_eq!(found.continuity[2], Continuity::Overlap);
        assert_eq!(found.continuity[0], Continuity::Group);
        for j in 0..3 {
            let i = found.from[j].unwrap();
            assert!((found.overlaps[(i, j)] - 1.0).abs() < 1e-14);
        }
        // the same overlaps without a group are another thing
        let found = matching(&overlaps, &[0, 1, 2], &[0, 1, 2], 0.9).unwrap();
        assert_eq!(found.from, [None, None, Some(2)]);
    }

    #[test]
    fn more_or_fewer_directions_than_before() {
        let overlaps = Mat::from_fn(1, 3, |_, j| [0.1, 0.99, 0.0][j]);
        let found = matching(&overlaps, &[0], &[0, 1, 2], 0.7).unwrap();
        assert_eq!(found.from, [None, Some(0), None]);
        let overlaps = Mat::from_fn(3, 1, |i, _| [0.1, 0.0, -0.99][i]);
        let found = matching(&overlaps, &[0, 1, 2], &[0], 0.7).unwrap();
        assert_eq!(found.from, [Some(2)]);
        assert!(found.overlaps[(2, 0)] > 0.9);
        let nothing = matching(&Mat::new(), &[], &[], 0.7).unwrap();
        assert!(nothing.from.is_empty());
    }
}
