//! What the quadrature of a measure may be wrong by: a Gauss rule beside others of the same Jacobi matrix.

use super::slq::{ProbeMeasure, SpectralMeasure};
use crate::tridiagonal::{EigenRows, Row, Tridiagonal};
use rayon::prelude::*;

/// Nodes and weights.
type Rule = Vec<(f64, f64)>;

impl ProbeMeasure {
    /// Whether the Krylov space was invariant: then nothing was cut off.
    fn is_exact(&self) -> bool {
        self.beta.last() == Some(&0.0)
    }

    /// The rule of a Jacobi matrix with this diagonal; `None` where it cannot be decomposed.
    fn rule(&self, alpha: &[f64]) -> Option<Rule> {
        let jacobi = Tridiagonal::new(alpha.to_vec(), self.beta.clone());
        let EigenRows { values, rows } = jacobi.eigen([Row::First]).ok()?;
        let [first] = rows;
        Some(
            values
                .into_iter()
                .zip(first.iter().map(|s| s * s))
                .collect(),
        )
    }

    /// Gauss's rule after the first steps.
    fn shorter(&self, steps: usize) -> Option<Rule> {
        self.rule(&self.alpha[..steps])
    }

    /// Radau's rule: one more node, which lies at `end`, no eigenvalue beyond it.
    fn radau(&self, end: f64) -> Option<Rule> {
        let mut alpha = self.alpha.clone();
        // the last pivot of J − end I; from below all are positive, from above all negative
        let mut pivot = f64::INFINITY;
        for (step, diagonal) in self.alpha.iter().enumerate() {
            let before = match step {
                0 => 0.0,
                _ => self.beta[step - 1],
            };
            pivot = diagonal - end - before * before / pivot;
        }
        let last = self.beta.last()?;
        alpha.push(end + last * last / pivot);
        let below = self.alpha.first()? > &end;
        let inside = |node: f64| if below { node.max(end) } else { node.min(end) };
        let rule = self.rule(&alpha)?;
        Some(rule.into_iter().map(|(t, w)| (inside(t), w)).collect())
    }

    fn gauss(&self, f: &dyn Fn(f64) -> f64) -> f64 {
        let terms = self.nodes.iter().zip(&self.weights);
        terms.map(|(t, w)| w * f(*t)).sum()
    }

    /// The result of another rule less that of all steps; infinite where there is none.
    fn apart(&self, rule: Option<Rule>, f: &dyn Fn(f64) -> f64) -> f64 {
        let other = rule.map(|rule| rule.iter().map(|(t, w)| w * f(*t)).sum::<f64>());
        match other {
            Some(other) if other.is_finite() => other - self.gauss(f),
            _ => f64::INFINITY,
        }
    }

    /// How much smaller and larger than Σ w over the nodes below a cut the share of the spectrum below it may be.
    fn distribution_error(&self, cut: f64) -> (f64, f64) {
        if self.is_exact() {
            return (0.0, 0.0);
        }
        let left = self.nodes.partition_point(|node| *node <= cut);
        let weight = |index: Option<usize>| index.and_then(|i| self.weights.get(i).copied());
        let below = weight(left.checked_sub(1)).unwrap_or(0.0);
        let above = weight(Some(left)).unwrap_or(0.0);
        // a Ritz vector of residual r has at most (r/d)² of its length at eigenvalues further than d
        let leak: f64 = (0..self.nodes.len())
            .map(|i| self.weights[i].sqrt() * self.residuals[i] / (self.nodes[i] - cut).abs())
            .sum();
        let share: f64 = self.weights[..left].iter().sum();
        let length = share.min(1.0 - share).max(0.0).sqrt();
        let converged = match leak.is_finite() {
            true => leak * (2.0 * length + leak),
            false => f64::INFINITY,
        };
        (below.min(converged), above.min(converged))
    }
}

impl SpectralMeasure {
    /// The largest distance that the products cannot tell from none.
    pub(super) fn rounding(&self) -> f64 {
        self.probes
            .iter()
            .fold(0.0, |m, probe| m.max(probe.rounding))
    }

    /// The mean of something over the random vectors.
    fn mean(&self, of: impl Fn(&ProbeMeasure) -> f64) -> f64 {
        self.probes.iter().map(of).sum::<f64>() / self.probes.len().max(1) as f64
    }

    /// The largest difference of the mean to that of the rules after a half, three quarters and all but one of the steps.
    pub(super) fn difference_to_shorter_rules(&self, f: &dyn Fn(f64) -> f64) -> f64 {
        // the rules know nothing of the function, and go side by side
        let rule = |probe: &ProbeMeasure, fewer: fn(usize) -> usize| match fewer(probe.alpha.len())
        {
            // of a single step there is no shorter rule: the other one of the same degree has a node at the farthest Ritz value
            0 => probe.radau(probe.nodes[0] + probe.residuals[0]),
            steps => probe.shorter(steps),
        };
        let difference = |fewer: fn(usize) -> usize| {
            let cut: Vec<&ProbeMeasure> = self.probes.iter().filter(|p| !p.is_exact()).collect();
            let rules: Vec<Option<Rule>> = cut.par_iter().map(|p| rule(p, fewer)).collect();
            let apart = cut.iter().zip(rules).map(|(p, rule)| p.apart(rule, f));
            (apart.sum::<f64>() / self.probes.len().max(1) as f64).abs()
        };
        let fewer: [fn(usize) -> usize; 3] = [|m| m / 2, |m| 3 * m / 4, |m| m - 1];
        fewer
            .iter()
            .map(|fewer| difference(*fewer))
            .fold(0.0, f64::max)
    }

    /// The difference of the mean to that of Radau's rules with a node at `end`, below all eigenvalues.
    pub(super) fn difference_to_radau(&self, end: f64, f: &dyn Fn(f64) -> f64) -> f64 {
        let difference = |probe: &ProbeMeasure| match probe.is_exact() {
            true => 0.0,
            false => probe.apart(probe.radau(end), f),
        };
        self.mean(difference).abs()
    }

    /// What a share of the spectrum that begins or ends at these cuts may be wrong by, in the mean over the random vectors.
    pub(super) fn count_error(&self, cuts: &[f64]) -> f64 {
        let side = |side: &dyn Fn((f64, f64)) -> f64| -> f64 {
            let all = |probe: &ProbeMeasure| {
                let errors = cuts.iter().map(|cut| probe.distribution_error(*cut));
                errors.map(side).sum()
            };
            self.mean(all)
        };
        match cuts {
            // the share below a single cut errs to one side or to the other
            [_] => side(&|(below, _)| below).max(side(&|(_, above)| above)),
            _ => side(&|(below, above)| below.max(above)),
        }
    }
}
