//! Methods with the Gauss-Newton matrix or its Kronecker factors.

use ravine_curvature::{KfacOptions, Likelihood};
use ravine_optim::*;

use super::follow;

fn from_lambda(initial: f64) -> LevenbergMarquardt {
    LevenbergMarquardt {
        initial,
        ..LevenbergMarquardt::default()
    }
}

#[test]
fn hessian_free_against_martens() {
    follow("hessian-free", HessianFree::new().damping(from_lambda(5.0)));
    let method = HessianFree::new()
        .damping(from_lambda(0.1))
        .preconditioned(Preconditioning::EmpiricalFisher { exponent: 0.75 })
        .max_iterations(8);
    follow("hessian-free/preconditioned", method);
}

#[test]
fn natural_gradient_against_a_fisher_matrix_over_the_labels() {
    let direction = NaturalGradient::new(0.05)
        .of(Likelihood::Categorical)
        .tolerance(1e-13);
    follow("natural-gradient", Descent::new(direction, 0.5));
    let direction = NaturalGradient::new(0.01)
        .tolerance(1e-13)
        .within(KlRegion::AtMost { delta: 0.05 });
    follow("natural-gradient/kl", Descent::new(direction, 1.0));
}

#[test]
fn kfac_in_practice_against_martens_and_grosse() {
    let length = KfacLength::Rate {
        schedule: 0.5.into(),
        momentum: 0.5,
        clipping: Some(0.01),
    };
    let method = KfacDescent::plain(0.5, 0.01)
        .options(KfacOptions::default())
        .length(length)
        .decay(0.7)
        .factors_every(2)
        .inverse_every(3);
    follow("kfac/plain", method);
}

#[test]
fn kfac_against_martens_and_grosse() {
    let damping = KfacDamping::Adaptive {
        lambda: LevenbergMarquardt {
            initial: 0.5,
            increase: 20.0 / 19.0,
            decrease: 19.0 / 20.0,
            ..LevenbergMarquardt::default()
        },
        every: 2,
        gamma: KfacGamma::Search { every: 4 },
    };
    let method = KfacDescent::new()
        .options(KfacOptions::default())
        .damping(damping)
        .inverse_every(5);
    follow("kfac", method);
}
