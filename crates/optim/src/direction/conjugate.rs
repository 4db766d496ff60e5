use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use super::remembers_memory;
use crate::state::Held;
use crate::{Direction, Heading, OptimError, Oracle, Place};

/// Nonlinear conjugate gradients, Polak and Ribière's with β ≥ 0: d ← −g + max(0, gᵀ(g − g₋)/g₋ᵀg₋) d.
///
/// Starts anew with −g where d does not point downhill. Meant for a line search with strong Wolfe conditions and c₂ well below ½
/// ([`crate::StrongWolfe::for_conjugate_gradients`]), on the whole data.
///
/// # References
///
/// J. C. Gilbert and J. Nocedal, Global convergence properties of conjugate gradient methods for optimization, 1992; J. Nocedal and
/// S. J. Wright, Numerical Optimization, 2006, (5.44) and (5.45).
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, LearningRate, NonlinearCg, StrongWolfe};
///
/// let search = StrongWolfe::for_conjugate_gradients();
/// let method = Descent::new(NonlinearCg::new(), LearningRate::from(1.0).searching(search));
/// # let _ = method;
/// ```
#[derive(Clone, Debug, Default)]
pub struct NonlinearCg {
    memory: Last,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Last {
    gradient_and_direction: Option<(Held, Held)>,
}

impl NonlinearCg {
    /// From −g on.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Direction for NonlinearCg {
    fn name(&self) -> &str {
        "nonlinear-cg"
    }

    fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        let g = place.gradient;
        let mut d = -g.clone();
        if let Some((gradient, direction)) = &self.memory.gradient_and_direction {
            let (last, direction) = (gradient.on(g)?, direction.on(g)?);
            let change = g.clone() - last.clone();
            let beta = (vector::dot(g, &change) / vector::dot(&last, &last)).max(0.0);
            let conjugate = d.clone() + direction * beta;
            if vector::dot(&conjugate, g) < 0.0 {
                d = conjugate;
            }
        }
        self.memory.gradient_and_direction = Some((Held::new(g.clone()), Held::new(d.clone())));
        Ok(Heading::plain(d))
    }

    remembers_memory!();
}
