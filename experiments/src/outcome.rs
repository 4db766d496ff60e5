//! What a method made of a problem: the part of a trajectory that a run keeps.

use ravine_optim::{Ending, Row, Trajectory};
use serde::{Deserialize, Serialize};

/// A trajectory without its parameters, as a cell keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// A row for each kept step.
    pub rows: Vec<Row>,
    /// How the run ended.
    pub ending: Ending,
    /// The loss at the end.
    pub final_loss: Option<f64>,
    /// The gradient's norm at the end.
    pub final_gradient_norm: Option<f64>,
    /// Steps taken.
    pub steps: usize,
    /// Cost in gradients.
    pub gradient_equivalents: f64,
    /// Seconds in steps.
    pub seconds: f64,
}

impl Outcome {
    /// Keeps at most about `rows` rows, spread evenly, the first and the last among them.
    pub fn of(trajectory: &Trajectory, rows: usize) -> Self {
        let all = &trajectory.rows;
        let every = all.len().div_ceil(rows.max(1)).max(1);
        let kept = all
            .iter()
            .enumerate()
            .filter(|(index, _)| index % every == 0 || index + 1 == all.len())
            .map(|(_, row)| *row)
            .collect();
        Self {
            rows: kept,
            ending: trajectory.ending,
            final_loss: trajectory.final_loss,
            final_gradient_norm: trajectory.final_gradient_norm,
            steps: all.len(),
            gradient_equivalents: all.last().map_or(0.0, |row| row.gradient_equivalents),
            seconds: trajectory.seconds,
        }
    }

    /// Whether the target loss was reached.
    pub fn reached(&self) -> bool {
        matches!(self.ending, Ending::TargetReached { .. })
    }

    /// The ending in a few words.
    pub fn ending_text(&self) -> String {
        match &self.ending {
            Ending::TargetReached { .. } => "target reached".to_string(),
            Ending::BudgetSpent { limit, .. } => format!("budget spent ({limit:?})").to_lowercase(),
            Ending::Diverged { step, .. } => format!("diverged at step {step}"),
            Ending::Stalled { step, ending } => {
                format!("stalled at step {step} ({ending:?})").to_lowercase()
            }
            Ending::Stopped { .. } => "stopped".to_string(),
            _ => "ended".to_string(),
        }
    }
}

/// The middle value; NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => 0.5 * (values[count / 2 - 1] + values[count / 2]),
    }
}

/// Slope of log|y| over log x by least squares; NaN with fewer than two usable points.
pub fn log_slope(points: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let points: Vec<(f64, f64)> = points
        .into_iter()
        .map(|(x, y)| (x.ln(), y.abs().ln()))
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .collect();
    if points.len() < 2 {
        return f64::NAN;
    }
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let variance: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_power_law_has_its_exponent_as_slope() {
        let cubic = (1..6).map(|x| (f64::from(x), -2.0 * f64::from(x).powi(3)));
        assert!((log_slope(cubic) - 3.0).abs() < 1e-12);
        assert!(log_slope([(1.0, 0.0)]).is_nan());
    }
}
