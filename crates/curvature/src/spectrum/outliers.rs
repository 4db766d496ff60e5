use super::slq::SpectralMeasure;
use super::sphere::mean_on_sphere;
use crate::estimate::Estimate;
use serde::{Deserialize, Serialize};

/// An eigenvalue apart from the bulk that the random vectors agree on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    /// The Ritz value with the smallest residual.
    pub value: f64,
    /// An eigenvalue lies within this distance of it.
    pub residual: f64,
    /// n times its weight: how many eigenvalues lie there.
    pub multiplicity: Estimate,
}

/// A node of a probe.
struct Node {
    probe: usize,
    value: f64,
    weight: f64,
    residual: f64,
}

impl SpectralMeasure {
    /// Eigenvalues that are converged for every random vector and lie further than `gap` from every other node, the largest first.
    ///
    /// A node counts as converged when its residual is below a tenth of the gap. A gap of a few per cent of the range is a good start.
    pub fn outliers(&self, gap: f64) -> Vec<Outlier> {
        let mut nodes: Vec<Node> = self
            .probes
            .iter()
            .enumerate()
            .flat_map(|(probe, measure)| {
                let nodes = measure.nodes.iter().zip(&measure.weights);
                let nodes = nodes.zip(&measure.residuals);
                nodes.map(move |((value, weight), residual)| Node {
                    probe,
                    value: *value,
                    weight: *weight,
                    residual: *residual,
                })
            })
            .collect();
        nodes.sort_by(|a, b| b.value.total_cmp(&a.value));
        // groups with a gap on either side
        let mut groups: Vec<Vec<Node>> = Vec::new();
        for node in nodes {
            match groups.last_mut() {
                Some(group) if group[group.len() - 1].value - node.value <= gap => group.push(node),
                _ => groups.push(vec![node]),
            }
        }
        groups
            .iter()
            .filter_map(|group| self.outlier(group, gap))
            .collect()
    }

    fn outlier(&self, group: &[Node], gap: f64) -> Option<Outlier> {
        let width = group[0].value - group[group.len() - 1].value;
        let converged = group.iter().all(|node| node.residual <= 0.1 * gap);
        let mut shares = vec![0.0; self.probes.len()];
        let mut seen = vec![false; self.probes.len()];
        for node in group {
            shares[node.probe] += node.weight;
            seen[node.probe] = true;
        }
        if !converged || width > 0.1 * gap || !seen.iter().all(|seen| *seen) {
            return None;
        }
        let best = group
            .iter()
            .min_by(|a, b| a.residual.total_cmp(&b.residual))?;
        let terms = |share: &f64| [(*share, 1.0), (1.0 - share, 0.0)].into_iter();
        let share = mean_on_sphere(self.dim, shares.iter().map(terms), 0);
        Some(Outlier {
            value: best.value,
            residual: best.residual,
            multiplicity: self.scaled(share, 0.0),
        })
    }
}
