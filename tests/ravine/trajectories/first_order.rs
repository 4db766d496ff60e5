//! Gradient descent, momentum and rates.

use ravine_curvature::Seed;
use ravine_optim::*;

use super::follow;

/// Eigenvalues of the quadratic.
const MU: f64 = 0.01;
const L: f64 = 10.0;

fn scheduled(schedule: Schedule) -> GradientDescent {
    GradientDescent::new(schedule)
}

#[test]
fn constant_rate_against_torch() {
    follow(
        "gradient-descent/constant",
        GradientDescent::new(2.0 / (MU + L)),
    );
}

#[test]
fn step_decay_against_optax() {
    let (initial, factor, every) = (0.18, 0.5, 3);
    let schedule = Schedule::StepDecay {
        initial,
        factor,
        every,
    };
    follow("gradient-descent/step-decay", scheduled(schedule));
}

#[test]
fn exponential_decay_against_optax() {
    let (initial, factor) = (0.18, 0.9);
    let schedule = Schedule::Exponential { initial, factor };
    follow("gradient-descent/exponential", scheduled(schedule));
}

#[test]
fn cosine_against_optax() {
    let (initial, last, steps) = (1.0, 0.1, 9);
    let schedule = Schedule::Cosine {
        initial,
        last,
        steps,
    };
    follow("gradient-descent/cosine", scheduled(schedule));
}

#[test]
fn warm_up_against_optax() {
    let (initial, last, steps) = (1.0, 0.0, 8);
    let schedule = Schedule::Cosine {
        initial,
        last,
        steps,
    };
    let rate = LearningRate::from(schedule).warmed_up(4);
    follow("gradient-descent/warm-up", GradientDescent::new(rate));
}

#[test]
fn inverse_time_against_torch() {
    let (initial, decay) = (0.18, 0.3);
    let schedule = Schedule::InverseTime { initial, decay };
    follow("gradient-descent/inverse-time", scheduled(schedule));
}

#[test]
fn plateau_against_torch() {
    let schedule = Schedule::Plateau {
        initial: 0.3,
        factor: 0.6,
        patience: 1,
        threshold: 0.05,
        minimum: 0.02,
    };
    follow("gradient-descent/plateau", scheduled(schedule));
}

#[test]
fn heavy_ball_against_torch() {
    let (direction, rate) = HeavyBall::for_quadratic(MU, L);
    follow("heavy-ball", Descent::new(direction, rate));
}

#[test]
fn nesterov_against_torch() {
    let (direction, rate) = Nesterov::for_quadratic(MU, L);
    follow("nesterov", Descent::new(direction, rate));
}

#[test]
fn chebyshev_against_the_three_terms_of_golub_and_varga() {
    follow("chebyshev", Descent::new(Chebyshev::new(MU, L), 1.0));
}

#[test]
fn polyak_with_a_known_minimum_against_its_formula() {
    let target = PolyakTarget::Known { loss: 0.0 };
    let rate = LearningRate::from(0.05).by(RateRule::Polyak { target });
    follow("polyak/known", GradientDescent::new(rate));
}

#[test]
fn polyak_with_an_estimated_minimum_against_its_formulas() {
    let target = PolyakTarget::Estimated {
        margin: 2.0,
        grow: 1.1,
        shrink: 0.5,
        minimum: 1e-3,
        relaxation: 1.5,
    };
    let rate = LearningRate::from(10.0).by(RateRule::Polyak { target });
    follow("polyak/estimated", GradientDescent::new(rate));
}

fn barzilai_borwein(variant: BarzilaiBorwein) -> GradientDescent {
    let rule = RateRule::BarzilaiBorwein {
        variant,
        minimum: 1e-6,
        maximum: 1e6,
    };
    GradientDescent::new(LearningRate::from(1.0 / L).by(rule))
}

#[test]
fn barzilai_and_borwein_against_their_formulas() {
    follow(
        "barzilai-borwein/long",
        barzilai_borwein(BarzilaiBorwein::Long),
    );
    follow(
        "barzilai-borwein/short",
        barzilai_borwein(BarzilaiBorwein::Short),
    );
}

#[test]
fn hypergradient_against_its_formula() {
    let rate = LearningRate::from(0.1).by(RateRule::Hypergradient { beta: 0.5 });
    follow("hypergradient", GradientDescent::new(rate));
}

#[test]
fn curvature_cap_against_a_dense_hessian() {
    let rate = LearningRate::from(5.0).capped(CurvatureCap { fraction: 1.5 });
    follow("curvature-cap", GradientDescent::new(rate));
}

/// Four Lanczos steps in four dimensions find λ_max exactly.
#[test]
fn sharpness_cap_against_dense_eigenvalues() {
    let cap = SharpnessCap {
        fraction: 1.2,
        every: 3,
        iterations: 4,
        seed: Seed::new(3),
    };
    let rate = LearningRate::from(0.01).below_sharpness(cap);
    follow("sharpness-cap", GradientDescent::new(rate));
}
