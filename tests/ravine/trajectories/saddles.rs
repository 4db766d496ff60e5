//! Methods of Newton's kind for losses that curve downwards somewhere.

use ravine_optim::*;

use super::follow;

#[test]
fn saddle_free_newton_against_dense_eigenpairs() {
    follow("saddle-free/dense", SaddleFreeNewton::new(Spectrum::Dense));
    let floored = SaddleFreeNewton::new(Spectrum::Dense)
        .damping(Damping::None)
        .floor(0.05)
        .backtracking(Armijo::default());
    follow("saddle-free/floor", floored);
}

#[test]
fn saddle_free_newton_against_eigenpairs_of_krylov_spaces() {
    let spectrum = Spectrum::Krylov { dimension: 6 };
    follow("saddle-free/krylov", SaddleFreeNewton::new(spectrum));
}

#[test]
fn steihaug_against_nocedal_and_wright() {
    let method = || {
        TrustRegion::new(RegionSubproblem::Steihaug {
            max_iterations: None,
        })
    };
    follow("trust-region/steihaug", method());
    follow("trust-region/steihaug/valley", method());
}

#[test]
fn steihaug_against_scipy() {
    let method = || {
        TrustRegion::new(RegionSubproblem::default()).radius(RadiusRule {
            accept: 0.15,
            ..RadiusRule::default()
        })
    };
    follow("trust-region/scipy", method());
    follow("trust-region/scipy/valley", method());
}

#[test]
fn lanczos_trust_region_against_dense_subproblems_in_krylov_spaces() {
    let subproblem = RegionSubproblem::Lanczos { max_iterations: 39 };
    follow("trust-region/lanczos", TrustRegion::new(subproblem));
}

#[test]
fn dense_trust_region_against_nocedal_and_wright() {
    let method = || TrustRegion::new(RegionSubproblem::Dense);
    follow("trust-region/dense", method());
    let rule = RadiusRule {
        initial: 0.25,
        ..RadiusRule::default()
    };
    follow("trust-region/dense/valley", method().radius(rule));
}

fn from_sigma(initial: f64) -> CubicWeight {
    CubicWeight {
        initial,
        ..CubicWeight::default()
    }
}

#[test]
fn dense_cubics_against_cartis_gould_and_toint() {
    let method = || CubicNewton::new(CubicSubproblem::Dense);
    follow("cubic-newton/dense", method());
    follow(
        "cubic-newton/dense/valley",
        method().weight(from_sigma(100.0)),
    );
}

#[test]
fn krylov_cubics_against_dense_subproblems_in_krylov_spaces() {
    let subproblem = CubicSubproblem::Krylov {
        max_iterations: 39,
        stop: CubicStop::Gradient { kappa: 0.1 },
    };
    let method = CubicNewton::new(subproblem).weight(from_sigma(0.2));
    follow("cubic-newton/krylov", method);
}

#[test]
fn newton_mr_against_least_squares_in_krylov_spaces() {
    follow(
        "newton-mr/gradient-norm",
        NewtonMr::new(Merit::GradientNorm),
    );
    follow("newton-mr/loss", NewtonMr::new(Merit::Loss));
}
