use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use super::remembers_memory;
use crate::error::in_range;
use crate::state::Held;
use crate::{Direction, Heading, OptimError, Oracle, Place};

/// Limited-memory BFGS: d = −H̃ g by the two-loop recursion over the last m pairs s = Δθ, y = Δg, started from γI with
/// γ = sᵀy/yᵀy of the newest pair.
///
/// A pair with sᵀy ≤ 1e-10 ‖s‖ ‖y‖ is left out, so that H̃ stays positive definite; strong Wolfe conditions see to it that none is.
/// The first direction is −g: a line search finds its length. Unlike [`crate::BurnLbfgs`] it composes with every rule for the rate.
///
/// # Cost
///
/// Nothing but 4 m vector operations; 2 m vectors of memory.
///
/// # References
///
/// D. C. Liu and J. Nocedal, On the limited memory BFGS method for large scale optimization, 1989; J. Nocedal and S. J. Wright,
/// Numerical Optimization, 2006, algorithms 7.4 and 7.5.
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, Lbfgs, LearningRate, StrongWolfe};
///
/// let method = Descent::new(Lbfgs::new(10), LearningRate::from(1.0).searching(StrongWolfe::default()));
/// # let _ = method;
/// ```
#[derive(Clone, Debug)]
pub struct Lbfgs {
    history: usize,
    memory: Pairs,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Pairs {
    /// θ and g of the last step.
    last: Option<(Held, Held)>,
    /// s and y, oldest first.
    pairs: Vec<(Held, Held)>,
}

/// Smallest cosine between s and y of a pair that is kept.
const SMALLEST_COSINE: f64 = 1e-10;

impl Lbfgs {
    /// With a memory of `history` pairs, at least one.
    pub fn new(history: usize) -> Self {
        Self {
            history,
            memory: Pairs::default(),
        }
    }

    fn learn(&mut self, place: Place<'_>) -> Result<(), OptimError> {
        if let Some((theta, gradient)) = &self.memory.last {
            let s = (place.theta.clone() - theta.on(place.theta)?).cast(place.gradient.dtype());
            let y = place.gradient.clone() - gradient.on(place.gradient)?;
            let sy = vector::dot(&s, &y);
            if sy > SMALLEST_COSINE * vector::norm(&s) * vector::norm(&y) {
                self.memory.pairs.push((Held::new(s), Held::new(y)));
            }
            let surplus = self.memory.pairs.len().saturating_sub(self.history);
            self.memory.pairs.drain(..surplus);
        }
        self.memory.last = Some((
            Held::new(place.theta.clone()),
            Held::new(place.gradient.clone()),
        ));
        Ok(())
    }
}

impl Direction for Lbfgs {
    fn name(&self) -> &str {
        "lbfgs"
    }

    fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        let history = self.history;
        in_range("history", history as f64, "at least 1", history > 0)?;
        self.learn(place)?;
        let mut q = place.gradient.clone();
        let mut alphas = Vec::new();
        let mut gamma = 1.0;
        for (index, (s, y)) in self.memory.pairs.iter().rev().enumerate() {
            let (s, y) = (s.on(&q)?, y.on(&q)?);
            let sy = vector::dot(&s, &y);
            if index == 0 {
                gamma = sy / vector::dot(&y, &y);
            }
            let alpha = vector::dot(&s, &q) / sy;
            q = q - y * alpha;
            alphas.push(alpha);
        }
        let mut r = q * gamma;
        for ((s, y), alpha) in self.memory.pairs.iter().zip(alphas.into_iter().rev()) {
            let (s, y) = (s.on(&r)?, y.on(&r)?);
            let beta = vector::dot(&y, &r) / vector::dot(&s, &y);
            r = r + s * (alpha - beta);
        }
        Ok(Heading::plain(-r))
    }

    remembers_memory!();
}
