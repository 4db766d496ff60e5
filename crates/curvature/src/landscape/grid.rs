use crate::error::CurvatureError;
use serde::{Deserialize, Serialize};

/// Evenly spaced coordinates, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// The first coordinate.
    pub low: f64,
    /// The last coordinate.
    pub high: f64,
    /// How many there are; one alone is the first.
    pub points: usize,
}

impl Grid {
    /// From −`radius` to `radius`; an odd number of points holds 0.
    pub fn symmetric(radius: f64, points: usize) -> Self {
        Self {
            low: -radius,
            high: radius,
            points,
        }
    }

    /// A grid around these numbers that reaches beyond them by `margin` of their extent on either side.
    pub fn around(numbers: &[f64], margin: f64, points: usize) -> Self {
        let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let room = margin * (high - low);
        Self {
            low: low - room,
            high: high + room,
            points,
        }
    }

    /// The coordinates.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for no points, [`CurvatureError::NonFinite`] for ends that are not finite.
    pub fn coordinates(&self) -> Result<Vec<f64>, CurvatureError> {
        for value in [self.low, self.high] {
            if !value.is_finite() {
                return Err(CurvatureError::NonFinite {
                    what: "an end of the grid",
                    value,
                });
            }
        }
        if self.points == 0 {
            return Err(CurvatureError::Argument {
                name: "points",
                value: 0.0,
                requirement: "a grid needs at least one point",
            });
        }
        let last = (self.points - 1).max(1) as f64;
        // weights of both ends, so that the ends come out exactly, and 0 in the middle of a symmetric grid
        let at = |index: usize| {
            let t = index as f64;
            (self.low * (last - t) + self.high * t) / last
        };
        Ok((0..self.points).map(at).collect())
    }
}

impl Default for Grid {
    /// 51 points from −1 to 1.
    fn default() -> Self {
        Self::symmetric(1.0, 51)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_are_exact() {
        let coordinates = Grid::symmetric(0.3, 7).coordinates().unwrap();
        assert_eq!(
            (coordinates[0], coordinates[3], coordinates[6]),
            (-0.3, 0.0, 0.3)
        );
        let one = Grid::symmetric(2.0, 1).coordinates().unwrap();
        assert_eq!(one, [-2.0]);
        let around = Grid::around(&[3.0, 1.0], 0.5, 2).coordinates().unwrap();
        assert_eq!(around, [0.0, 4.0]);
    }

    #[test]
    fn no_points_and_no_ends_are_refused() {
        assert!(Grid::symmetric(1.0, 0).coordinates().is_err());
        assert!(Grid::symmetric(f64::INFINITY, 3).coordinates().is_err());
        assert!(Grid::around(&[], 0.1, 3).coordinates().is_err());
    }
}
