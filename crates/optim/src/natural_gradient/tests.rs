use super::*;
use crate::test_network::{
    Matrix, Twin, assert_close, axpy, damped, dot, net, net32, solved, times,
};
use crate::test_problems::{least_squares, least_squares_number, quadratic};
use crate::{Budget, Descent, Method, Silent, run};
use ravine_curvature::{CurvatureError, Point};

/// 1/N Σ (x, 1)(x, 1)ᵀ ⊗ I: the Fisher matrix of a linear model of means with unit variance, weights row by row, then biases.
fn linear_fisher() -> Matrix {
    let mut fisher = vec![vec![0.0; 8]; 8];
    for n in 0..6 {
        let mut x: Vec<f64> = (0..3)
            .map(|i| f64::from(least_squares_number(5 + n * 3 + i)))
            .collect();
        x.push(1.0);
        for i in 0..4 {
            for j in 0..4 {
                for o in 0..2 {
                    fisher[2 * i + o][2 * j + o] += x[i] * x[j] / 6.0;
                }
            }
        }
    }
    fisher
}

/// The direction at the point's own parameters.
fn heading(direction: &mut NaturalGradient, point: &Point) -> (Vec<f64>, Heading) {
    let gradient = point.gradient().unwrap();
    let place = Place {
        theta: point.theta(),
        loss: point.loss().unwrap(),
        gradient: &gradient,
    };
    let heading = direction
        .heading(&mut Oracle::new(point.clone()), place)
        .unwrap();
    (vector::to_f64(&gradient), heading)
}

#[test]
fn of_a_linear_gaussian_model_it_is_exact() {
    let point = least_squares();
    let weight = |point: &Point, likelihood| point.label_weight(likelihood);
    assert!((weight(&point, Likelihood::Gaussian).unwrap() - 1.0 / 6.0).abs() < 1e-12);
    assert!((weight(&net(), Likelihood::Categorical).unwrap() - 1.0 / 8.0).abs() < 1e-12);
    for damping in [0.0, 1e-3, 0.5] {
        let mut direction = NaturalGradient::new(damping)
            .of(Likelihood::Gaussian)
            .tolerance(1e-13);
        let (gradient, heading) = heading(&mut direction, &point);
        let fisher = linear_fisher();
        let d = solved(&damped(&fisher, damping), &gradient);
        let expected: Vec<f64> = d.iter().map(|d| -d).collect();
        assert_close(&vector::to_f64(&heading.d), &expected, 1e-9, "d");
        let curvature = dot(&d, &times(&fisher, &d));
        assert!((heading.curvature.unwrap() / curvature - 1.0).abs() < 1e-9);
    }
    // Without damping one step of length one is at the minimum.
    let mut method = Descent::new(NaturalGradient::new(0.0).tolerance(1e-13), 1.0);
    let step = method
        .step(&mut Oracle::new(point.clone()), point.theta())
        .unwrap();
    let gradient = point.move_to(step.theta).unwrap().gradient().unwrap();
    assert!(vector::norm(&gradient) < 1e-9);
    assert!(step.cost.gauss_newton_products <= 8);
}

#[test]
fn twelve_steps_are_those_of_dense_algebra() {
    let problem = net();
    let twin = Twin::new();
    let (mut theta, mut expected) = (problem.theta().clone(), Twin::theta());
    let mut oracle = Oracle::new(problem);
    let direction = NaturalGradient::new(0.05)
        .of(Likelihood::Categorical)
        .tolerance(1e-13);
    let mut method = Descent::new(direction, 0.5);
    for k in 0..12 {
        let matrix = damped(&twin.gauss_newton(&expected), 0.05);
        let d = solved(&matrix, &twin.gradient(&expected));
        axpy(&mut expected, -0.5, &d);
        theta = method.step(&mut oracle, &theta).unwrap().theta;
        assert_close(
            &vector::to_f64(&theta),
            &expected,
            1e-10,
            &format!("step {k}"),
        );
    }
    assert!(twin.loss(&expected) < 0.8 * twin.loss(&Twin::theta()));
}

#[test]
fn a_region_bounds_the_divergence_or_sets_it() {
    let point = net();
    let twin = Twin::new();
    let divergence = |region| {
        let mut direction = NaturalGradient::new(0.01).within(region).tolerance(1e-12);
        let (_, heading) = heading(&mut direction, &point);
        let d = vector::to_f64(&heading.d);
        let divergence = 0.5 * dot(&d, &times(&twin.gauss_newton(&Twin::theta()), &d));
        assert!((0.5 * heading.curvature.unwrap() - divergence).abs() < 1e-10);
        divergence
    };
    let free = divergence(KlRegion::Unbounded);
    assert!(free > 0.01 && free < 10.0, "{free}");
    assert!((divergence(KlRegion::AtMost { delta: 0.01 }) - 0.01).abs() < 1e-10);
    assert!((divergence(KlRegion::AtMost { delta: 10.0 }) - free).abs() < 1e-10);
    assert!((divergence(KlRegion::Exactly { delta: 10.0 }) - 10.0).abs() < 1e-8);
}

#[test]
fn in_f32_the_losses_are_nearly_those_in_f64() {
    let last = |point: Point| {
        let theta = point.theta().clone();
        let mut method = Descent::new(NaturalGradient::new(0.05), 0.5);
        let run = run(&mut method, &point, &theta, &Budget::steps(12), &mut Silent).unwrap();
        run.final_loss.unwrap()
    };
    let (single, double) = (last(net32()), last(net()));
    assert!((single / double - 1.0).abs() < 1e-3, "{single} {double}");
}

#[test]
fn another_likelihood_is_refused_and_so_is_a_loss_without_outputs() {
    let step = |direction: NaturalGradient, point: Point| {
        let theta = point.theta().clone();
        let mut method = Descent::new(direction, 1.0);
        method
            .step(&mut Oracle::new(point), &theta)
            .map(|step| step.ending)
    };
    let categorical = NaturalGradient::new(0.1).of(Likelihood::Categorical);
    assert!(matches!(
        step(categorical, least_squares()),
        Err(OptimError::Curvature(
            CurvatureError::NotThisLikelihood { .. }
        ))
    ));
    let of_loss = quadratic(&[1.0, 2.0], &[1.0, 1.0]);
    let moved = of_loss.move_to(of_loss.theta().clone() + 1.0).unwrap();
    assert!(matches!(
        step(NaturalGradient::new(0.1), moved),
        Err(OptimError::Curvature(CurvatureError::NoOutputs))
    ));
    let refused = [
        ("damping", NaturalGradient::new(-1.0)),
        ("damping", NaturalGradient::new(f64::NAN)),
        ("tolerance", NaturalGradient::new(0.1).tolerance(0.0)),
        (
            "max_iterations",
            NaturalGradient::new(0.1).max_iterations(0),
        ),
        (
            "delta",
            NaturalGradient::new(0.1).within(KlRegion::Exactly { delta: 0.0 }),
        ),
    ];
    for (name, direction) in refused {
        let error = step(direction, net());
        assert!(
            matches!(error, Err(OptimError::Option { option, .. }) if option == name),
            "{name}"
        );
    }
}

#[test]
fn a_gradient_of_zero_and_an_early_stop_are_told() {
    let point = least_squares();
    let mut method = Descent::new(NaturalGradient::new(0.0).tolerance(1e-14), 1.0);
    let mut oracle = Oracle::new(point.clone());
    let stopped = NaturalGradient::new(1e-3)
        .tolerance(1e-10)
        .max_iterations(1);
    let step = Descent::new(stopped, 1.0)
        .step(&mut oracle, point.theta())
        .unwrap();
    assert!(matches!(
        step.ending,
        StepEnding::SolverStopped { iterations: 1, .. }
    ));
    let nan = point.theta().clone() * f64::NAN;
    let step = method.step(&mut oracle, &nan).unwrap();
    assert!(matches!(step.ending, StepEnding::NonFinite { .. }));
}
