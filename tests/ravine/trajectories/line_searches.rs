//! Line searches, and the directions that need one.

use ravine_optim::*;

use super::follow;

#[test]
fn armijo_against_nocedal_and_wright() {
    let search = Armijo {
        sufficient_decrease: 0.3,
        shrink: 0.4,
        max_trials: 40,
    };
    let rate = LearningRate::from(1.0).backtracking(search);
    follow("armijo", GradientDescent::new(rate));
}

#[test]
fn strong_wolfe_against_nocedal_and_wright() {
    let search = StrongWolfe::for_conjugate_gradients();
    let rate = LearningRate::from(1e-3).searching(search);
    follow("strong-wolfe/gradient", GradientDescent::new(rate));
}

#[test]
fn nonmonotone_barzilai_borwein_against_raydan() {
    let search = Nonmonotone {
        memory: 4,
        ..Nonmonotone::default()
    };
    let rule = RateRule::BarzilaiBorwein {
        variant: BarzilaiBorwein::Long,
        minimum: 1e-5,
        maximum: 1e3,
    };
    let rate = LearningRate::from(1e-3).by(rule).searching(search);
    follow("nonmonotone", GradientDescent::new(rate));
}

#[test]
fn nonlinear_cg_against_nocedal_and_wright() {
    let search = StrongWolfe::for_conjugate_gradients();
    let rate = LearningRate::from(1.0).searching(search);
    follow("nonlinear-cg", Descent::new(NonlinearCg::new(), rate));
}

#[test]
fn lbfgs_against_the_product_form() {
    follow("lbfgs/fixed", Descent::new(Lbfgs::new(4), 0.5));
}

#[test]
fn lbfgs_with_strong_wolfe_against_scipy() {
    let rate = LearningRate::from(1.0).searching(StrongWolfe::default());
    follow("lbfgs/strong-wolfe", Descent::new(Lbfgs::new(5), rate));
}
