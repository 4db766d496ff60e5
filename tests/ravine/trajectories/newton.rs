//! Newton's method and its relatives.

use ravine_optim::*;

use super::follow;

#[test]
fn newton_against_dense_solves() {
    follow("newton/undamped", Newton::new(Damping::None));
    let damped = Newton::new(Damping::Fixed { lambda: 5.0 });
    follow("newton/fixed", damped.backtracking(Armijo::default()));
}

#[test]
fn levenberg_marquardt_against_dense_solves() {
    let method = || Newton::new(Damping::adaptive());
    follow("newton/levenberg-marquardt", method());
    follow("newton/levenberg-marquardt/indefinite", method());
}

#[test]
fn newton_cg_against_nocedal_and_wright() {
    follow("newton-cg/square-root", NewtonCg::new());
    let forcing = Forcing::EisenstatWalker {
        gamma: 0.9,
        alpha: 2.0,
    };
    follow(
        "newton-cg/eisenstat-walker",
        NewtonCg::new().forcing(forcing),
    );
}
