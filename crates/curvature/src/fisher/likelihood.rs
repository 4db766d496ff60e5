use crate::error::{CurvatureError, argument, check_dimension};
use crate::point::{Map, Point};
use crate::seed::Seed;
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Tensor;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// The distribution of labels that a loss is the negative log-likelihood of, up to a constant weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Softmax cross entropy: the outputs are logits, classes along their last dimension.
    Categorical,
    /// Binary cross entropy of logits.
    Bernoulli,
    /// A squared error.
    Gaussian,
}

impl Likelihood {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Categorical => "categorical",
            Self::Bernoulli => "Bernoulli",
            Self::Gaussian => "Gaussian",
        }
    }

    /// The product of −∂² log p(y|z)/∂z² with x, of one row of outputs.
    fn curvature(self, z: &[f64], x: &[f64]) -> Vec<f64> {
        match self {
            Self::Categorical => {
                let p = softmax(z);
                let mean: f64 = p.iter().zip(x).map(|(p, x)| p * x).sum();
                p.iter().zip(x).map(|(p, x)| p * (x - mean)).collect()
            }
            Self::Bernoulli => z
                .iter()
                .zip(x)
                .map(|(z, x)| sigmoid(*z) * sigmoid(-z) * x)
                .collect(),
            Self::Gaussian => x.to_vec(),
        }
    }

    /// −∂ log p(y|z)/∂z for a label y drawn from p(y|z), of one row of outputs.
    fn score<R: Rng>(self, z: &[f64], rng: &mut R) -> Vec<f64> {
        match self {
            Self::Categorical => {
                let mut score = softmax(z);
                let label = drawn(&score, rng);
                score[label] -= 1.0;
                score
            }
            Self::Bernoulli => z
                .iter()
                .map(|z| {
                    let p = sigmoid(*z);
                    p - f64::from(rng.random::<f64>() < p)
                })
                .collect(),
            Self::Gaussian => z.iter().map(|_| StandardNormal.sample(rng)).collect(),
        }
    }

    /// The weight w with ∂²L/∂z² = w · (−∂² log p(y|z)/∂z²), from one random product with the recorded Hessian of the loss.
    ///
    /// So the reduction of the loss is found rather than assumed, and a loss of another kind is refused.
    pub(super) fn weight(self, point: &Point, seed: Seed) -> Result<f64, CurvatureError> {
        let (outputs, classes) = outputs_and_classes(point)?;
        let mut rng = seed.stream("likelihood").rng();
        let x = standard_normal(outputs.len(), &mut rng);
        let row = from_f64(&x, point.device(), point.dtype()).reshape([1, x.len()]);
        let found = point.map_rows(Map::LossHessian, &row)?;
        let found = to_f64(&found.reshape([x.len()]));
        let expected: Vec<f64> = outputs
            .chunks(classes)
            .zip(x.chunks(classes))
            .flat_map(|(z, x)| self.curvature(z, x))
            .collect();
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let weight = inner(&found, &expected) / inner(&expected, &expected);
        let size = inner(&found, &found).sqrt();
        let difference: f64 = found
            .iter()
            .zip(&expected)
            .map(|(found, expected)| (found - weight * expected).powi(2))
            .sum();
        let defect = difference.sqrt() / size;
        // rounding of f32 logits and products stays far below
        if defect.is_nan() || defect > 1e-3 || weight <= 0.0 {
            return Err(CurvatureError::NotThisLikelihood {
                likelihood: self.name(),
                defect,
            });
        }
        Ok(weight)
    }

    /// √(w/S) times the scores of S drawn labels for each example: `[N, S, O]`, whose outer products have ∂²L/∂z² as their mean.
    pub(super) fn sampled(
        self,
        point: &Point,
        samples: usize,
        seed: Seed,
    ) -> Result<Tensor<3>, CurvatureError> {
        let scale = (self.weight(point, seed)? / samples as f64).sqrt();
        let mut scores = self.drawn_scores(point, samples, seed)?;
        scores.iter_mut().for_each(|u| *u *= scale);
        let (examples, width) = (point.examples(), point.outputs_per_example()?);
        let flat = from_f64(&scores, point.device(), point.dtype());
        Ok(flat.reshape([examples, samples, width]))
    }

    /// The scores of S drawn labels for each example, `[N, S, O]` row-major.
    pub(super) fn drawn_scores(
        self,
        point: &Point,
        samples: usize,
        seed: Seed,
    ) -> Result<Vec<f64>, CurvatureError> {
        let (outputs, classes) = outputs_and_classes(point)?;
        let width = point.outputs_per_example()?;
        let mut scores = Vec::with_capacity(samples * outputs.len());
        for (example, outputs) in outputs.chunks(width.max(1)).enumerate() {
            let mut rng = seed.stream("labels").index(example as u64).rng();
            for _ in 0..samples {
                for z in outputs.chunks(classes) {
                    scores.extend(self.score(z, &mut rng));
                }
            }
        }
        Ok(scores)
    }

    /// The scores of given labels, `[N, O]` row-major.
    pub(super) fn given_scores(
        self,
        point: &Point,
        labels: &[f64],
    ) -> Result<Vec<f64>, CurvatureError> {
        let (outputs, classes) = outputs_and_classes(point)?;
        let count = match self {
            Self::Categorical => outputs.len() / classes,
            Self::Bernoulli | Self::Gaussian => outputs.len(),
        };
        check_dimension("the given labels", labels.len(), count)?;
        if self != Self::Categorical {
            let predicted = |z: f64| match self {
                Self::Bernoulli => sigmoid(z),
                _ => z,
            };
            let scores = outputs.iter().zip(labels).map(|(&z, y)| predicted(z) - y);
            return Ok(scores.collect());
        }
        let mut scores = Vec::with_capacity(outputs.len());
        for (z, &label) in outputs.chunks(classes).zip(labels) {
            if label.fract() != 0.0 || !(0.0..classes as f64).contains(&label) {
                return Err(argument(
                    "a given label",
                    label,
                    "it must be the number of a class, from 0 on",
                ));
            }
            let mut score = softmax(z);
            score[label as usize] -= 1.0;
            scores.extend(score);
        }
        Ok(scores)
    }
}

/// The outputs and the length of their last dimension.
fn outputs_and_classes(point: &Point) -> Result<(Vec<f64>, usize), CurvatureError> {
    let rows = point.output_rows()?;
    let classes = *point.outputs_shape()?.last().expect("examples come first");
    let [examples, width] = rows.dims();
    Ok((to_f64(&rows.reshape([examples * width])), classes.max(1)))
}

fn softmax(z: &[f64]) -> Vec<f64> {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = z.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn drawn<R: Rng>(probabilities: &[f64], rng: &mut R) -> usize {
    let mut left = rng.random::<f64>();
    for (label, p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return label;
        }
    }
    // rounding: the last label that is possible at all
    probabilities.iter().rposition(|&p| p > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of outer products of scores is the curvature: the identity that makes the Fisher matrix.
    #[test]
    fn scores_have_the_curvature_as_their_covariance() {
        let z = [0.3, -1.0, 1.5];
        for likelihood in [
            Likelihood::Categorical,
            Likelihood::Bernoulli,
            Likelihood::Gaussian,
        ] {
            let mut rng = Seed::new(1).rng();
            let draws = 40_000;
            let mut mean = [[0.0; 3]; 3];
            for _ in 0..draws {
                let u = likelihood.score(&z, &mut rng);
                for (i, row) in mean.iter_mut().enumerate() {
                    for (j, entry) in row.iter_mut().enumerate() {
                        *entry += u[i] * u[j] / f64::from(draws);
                    }
                }
            }
            for (j, _) in z.iter().enumerate() {
                let mut unit = [0.0; 3];
                unit[j] = 1.0;
                let expected = likelihood.curvature(&z, &unit);
                for (i, expected) in expected.iter().enumerate() {
                    // five standard errors of the largest entry
                    assert!((mean[i][j] - expected).abs() < 5.0 * 1.5 / f64::from(draws).sqrt());
                }
            }
        }
    }

    #[test]
    fn softmax_of_large_logits_is_finite() {
        assert_eq!(softmax(&[1e4, 0.0]), [1.0, 0.0]);
        assert_eq!(drawn(&[1.0, 0.0], &mut Seed::new(3).rng()), 0);
    }
}
