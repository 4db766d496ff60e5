use serde::{Deserialize, Serialize};

use super::remembers_memory;
use crate::error::in_range;
use crate::state::{Held, held_or_zeros};
use crate::{Direction, Heading, OptimError, Oracle, Place};

/// Polyak's heavy ball: v ← βv − g, d = v.
///
/// With a constant rate this is θₖ₊₁ = θₖ − εg + β(θₖ − θₖ₋₁). On a quadratic with eigenvalues in [μ, L] the error shrinks
/// asymptotically by √β = (√κ − 1)/(√κ + 1) per step at the numbers of [`HeavyBall::for_quadratic`].
///
/// # References
///
/// B. T. Polyak, Some methods of speeding up the convergence of iteration methods, 1964.
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, HeavyBall, Method};
///
/// let (direction, rate) = HeavyBall::for_quadratic(1.0, 100.0);
/// assert_eq!(Descent::new(direction, rate).name(), "heavy-ball");
/// ```
#[derive(Clone, Debug)]
pub struct HeavyBall {
    momentum: f64,
    memory: Velocity,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Velocity {
    v: Option<Held>,
}

impl HeavyBall {
    /// With momentum β in [0, 1).
    pub fn new(momentum: f64) -> Self {
        Self {
            momentum,
            memory: Velocity::default(),
        }
    }

    /// The best β and rate for eigenvalues in [μ, L]: β = ((√L − √μ)/(√L + √μ))², ε = 4/(√L + √μ)².
    pub fn for_quadratic(mu: f64, l: f64) -> (Self, f64) {
        let (low, high) = (mu.sqrt(), l.sqrt());
        let root = (high - low) / (high + low);
        (Self::new(root * root), 4.0 / (high + low).powi(2))
    }
}

fn check_momentum(momentum: f64) -> Result<(), OptimError> {
    let inside = (0.0..1.0).contains(&momentum);
    in_range("momentum", momentum, "at least 0 and below 1", inside)
}

impl Direction for HeavyBall {
    fn name(&self) -> &str {
        "heavy-ball"
    }

    fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        check_momentum(self.momentum)?;
        let before = held_or_zeros(&self.memory.v, place.gradient)?;
        let v = before * self.momentum - place.gradient.clone();
        self.memory.v = Some(Held::new(v.clone()));
        Ok(Heading::plain(v))
    }

    remembers_memory!();
}

/// Nesterov's accelerated gradient, with the gradient taken where the step looks ahead to.
///
/// v ← βv − g, d = βv − g. θ is the point of the gradient (Nesterov's y), as in Sutskever's form; on a quadratic with eigenvalues
/// in [μ, L] the error shrinks by 1 − 2/√(3κ + 1) per step at the numbers of [`Nesterov::for_quadratic`].
///
/// # References
///
/// Y. Nesterov, A method for solving the convex programming problem with convergence rate O(1/k²), 1983; I. Sutskever et al.,
/// On the importance of initialization and momentum in deep learning, 2013; L. Lessard, B. Recht and A. Packard, Analysis and
/// design of optimization algorithms via integral quadratic constraints, 2016, table 1 (the best numbers on quadratics).
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, Method, Nesterov, Schedule};
///
/// let rate = Schedule::Cosine { initial: 0.1, last: 0.0, steps: 500 };
/// assert_eq!(Descent::new(Nesterov::new(0.9), rate).name(), "nesterov");
/// ```
#[derive(Clone, Debug)]
pub struct Nesterov {
    momentum: f64,
    memory: Velocity,
}

impl Nesterov {
    /// With momentum β in [0, 1).
    pub fn new(momentum: f64) -> Self {
        Self {
            momentum,
            memory: Velocity::default(),
        }
    }

    /// The best β and rate for eigenvalues in [μ, L]: β = (√(3κ + 1) − 2)/(√(3κ + 1) + 2), ε = 4/(3L + μ).
    pub fn for_quadratic(mu: f64, l: f64) -> (Self, f64) {
        let root = (3.0 * l / mu + 1.0).sqrt();
        let momentum = (root - 2.0) / (root + 2.0);
        (Self::new(momentum), 4.0 / (3.0 * l + mu))
    }
}

impl Direction for Nesterov {
    fn name(&self) -> &str {
        "nesterov"
    }

    fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        check_momentum(self.momentum)?;
        let before = held_or_zeros(&self.memory.v, place.gradient)?;
        let v = before * self.momentum - place.gradient.clone();
        self.memory.v = Some(Held::new(v.clone()));
        Ok(Heading::plain(v * self.momentum - place.gradient.clone()))
    }

    remembers_memory!();
}

/// Chebyshev semi-iteration: of all methods that combine gradients with numbers fixed in advance, the one with the smallest error
/// bound on quadratics with eigenvalues in [μ, L].
///
/// d₀ = −g/c, d ← ρρ₋ d − (2ρ/δ) g with c = (L + μ)/2, δ = (L − μ)/2, ρ₋ the last ρ and ρ = 1/(2c/δ − ρ₋). After k steps the error in
/// every eigendirection is at most 1/T_k(c/δ), asymptotically (√κ − 1)/(√κ + 1) per step. The steps have their lengths: use a rate
/// of 1. An eigenvalue outside of [μ, L] makes it diverge: it is a method for quadratics.
///
/// # References
///
/// G. H. Golub and R. S. Varga, Chebyshev semi-iterative methods, 1961; Y. Saad, Iterative Methods for Sparse Linear Systems,
/// 2003, algorithm 12.1.
///
/// # Example
///
/// ```
/// use ravine_optim::{Chebyshev, Descent, Method};
///
/// assert_eq!(Descent::new(Chebyshev::new(1.0, 100.0), 1.0).name(), "chebyshev");
/// ```
#[derive(Clone, Debug)]
pub struct Chebyshev {
    mu: f64,
    l: f64,
    memory: Recurrence,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Recurrence {
    /// The last d and its ρ.
    last: Option<(Held, f64)>,
}

impl Chebyshev {
    /// For eigenvalues in [μ, L], 0 < μ ≤ L.
    pub fn new(mu: f64, l: f64) -> Self {
        Self {
            mu,
            l,
            memory: Recurrence::default(),
        }
    }
}

impl Direction for Chebyshev {
    fn name(&self) -> &str {
        "chebyshev"
    }

    fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        let (mu, l) = (self.mu, self.l);
        in_range("mu", mu, "positive and finite", mu > 0.0 && mu.is_finite())?;
        in_range("l", l, "finite and not below mu", l >= mu && l.is_finite())?;
        let (centre, radius) = (0.5 * (l + mu), 0.5 * (l - mu));
        let g = place.gradient.clone();
        let (d, rho) = match &self.memory.last {
            // One eigenvalue: 1/c is exact in every step.
            _ if radius == 0.0 => (-g / centre, 0.0),
            None => (-g / centre, radius / centre),
            Some((last, before)) => {
                let rho = 1.0 / (2.0 * centre / radius - before);
                let d = last.on(&g)? * (rho * before) - g * (2.0 * rho / radius);
                (d, rho)
            }
        };
        self.memory.last = Some((Held::new(d.clone()), rho));
        Ok(Heading::plain(d))
    }

    remembers_memory!();
}
