use super::*;
use crate::test_problems::{ToVec, quadratic, rosenbrock, vector32};
use crate::{
    AdaHessian, BarzilaiBorwein, BurnDirection, BurnLbfgs, BurnOptimizer, Chebyshev, CubicNewton,
    CubicSubproblem, Damping, Descent, Forcing, GradientDescent, HeavyBall, Lbfgs, LearningRate,
    Merit, Method, Nesterov, Newton, NewtonCg, NewtonMr, NonlinearCg, Nonmonotone, Oracle,
    PolyakTarget, RateRule, RegionSubproblem, SaddleFreeNewton, Schedule, Shampoo, SharpnessCap,
    Soap, SophiaH, Spectrum, StrongWolfe, TrustRegion, Vectors,
};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, LineSearchFn, SgdConfig};
use burn::tensor::DType;
use ravine_curvature::vector;

#[test]
fn vectors_keep_their_bits_and_their_dtype() {
    let odd = [f64::MIN_POSITIVE / 4.0, -0.0, 1.0 / 3.0, f64::INFINITY];
    let held = Held::new(vector::from_f64(&odd, &Device::flex(), DType::F64));
    let bytes = MethodState::new("test", &held).unwrap().to_bytes().unwrap();
    let back: Held = MethodState::from_bytes(&bytes)
        .unwrap()
        .memory("test")
        .unwrap();
    assert_eq!(back.0.dtype(), DType::F64);
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(vector::to_f64(&back.0)), bits(odd.to_vec()));
}

#[test]
fn another_kind_another_length_and_rubbish_are_named() {
    let state = MethodState::new("one", &Held::new(vector32(&[1.0, 2.0]))).unwrap();
    assert!(matches!(
        state.memory::<Held>("other"),
        Err(OptimError::StateOfAnother { .. })
    ));
    let held: Held = state.memory("one").unwrap();
    assert!(matches!(
        held.on(&vector32(&[1.0])),
        Err(OptimError::StateDimension {
            expected: 1,
            found: 2
        })
    ));
    assert!(matches!(
        MethodState::from_bytes(b"no state"),
        Err(OptimError::State { .. })
    ));
}

/// Every method, made anew each time.
fn methods() -> Vec<Box<dyn Method>> {
    let plateau = Schedule::Plateau {
        initial: 1e-3,
        factor: 0.5,
        patience: 1,
        threshold: 0.1,
        minimum: 1e-6,
    };
    let walker = Forcing::EisenstatWalker {
        gamma: 0.9,
        alpha: 1.6,
    };
    let secant = RateRule::BarzilaiBorwein {
        variant: BarzilaiBorwein::Short,
        minimum: 1e-6,
        maximum: 1.0,
    };
    let estimated = RateRule::Polyak {
        target: PolyakTarget::Estimated {
            margin: 1.0,
            grow: 1.5,
            shrink: 0.5,
            minimum: 1e-9,
            relaxation: 1.2,
        },
    };
    let sharpness = SharpnessCap {
        every: 4,
        iterations: 1,
        ..SharpnessCap::default()
    };
    let wolfe = LearningRate::from(1.0).searching(StrongWolfe::default());
    let momentum = MomentumConfig::new().with_momentum(0.9);
    let sgd = SgdConfig::new().with_momentum(Some(momentum)).init();
    vec![
        Box::new(GradientDescent::new(plateau)),
        Box::new(GradientDescent::new(
            LearningRate::from(1e-3)
                .by(secant)
                .searching(Nonmonotone::default()),
        )),
        Box::new(GradientDescent::new(LearningRate::from(1.0).by(estimated))),
        Box::new(GradientDescent::new(
            LearningRate::from(1e-3).by(RateRule::Hypergradient { beta: 1e-9 }),
        )),
        Box::new(GradientDescent::new(
            LearningRate::from(1.0)
                .warmed_up(9)
                .below_sharpness(sharpness),
        )),
        Box::new(Descent::new(HeavyBall::new(0.9), 1e-3)),
        Box::new(Descent::new(Nesterov::new(0.9), 1e-3)),
        Box::new(Descent::new(Chebyshev::new(1.0, 2000.0), 1.0)),
        Box::new(Descent::new(NonlinearCg::new(), wolfe)),
        Box::new(Descent::new(Lbfgs::new(3), wolfe)),
        Box::new(Descent::new(AdaHessian::new().every(2), plateau)),
        Box::new(Descent::new(SophiaH::new().every(3).samples(2), 1e-3)),
        Box::new(Descent::new(Shampoo::new().every(3).momentum(0.5), 1e-2)),
        Box::new(Descent::new(
            Soap::new().every(4).vectors(Vectors::Rotated),
            1e-2,
        )),
        Box::new(Descent::new(
            BurnDirection::new("adam", AdamConfig::new().init()),
            LearningRate::from(1e-3).warmed_up(7),
        )),
        Box::new(Newton::new(Damping::adaptive())),
        Box::new(NewtonCg::new().forcing(walker)),
        Box::new(SaddleFreeNewton::new(Spectrum::Dense)),
        Box::new(SaddleFreeNewton::default()),
        Box::new(TrustRegion::default().forcing(walker)),
        Box::new(TrustRegion::new(RegionSubproblem::Dense)),
        Box::new(CubicNewton::default()),
        Box::new(CubicNewton::new(CubicSubproblem::Dense)),
        Box::new(NewtonMr::new(Merit::GradientNorm).forcing(walker)),
        Box::new(NewtonMr::new(Merit::Loss).forcing(walker)),
        Box::new(BurnOptimizer::new(
            "adam",
            AdamConfig::new().init(),
            plateau,
        )),
        Box::new(BurnOptimizer::new("momentum", sgd, 1e-3)),
        Box::new(BurnLbfgs::by_iterations(4, LineSearchFn::StrongWolfe, 1.0)),
    ]
}

/// Steps on a fresh Rosenbrock, as another process would have it: with other identities of its parameters.
fn go_on(method: &mut dyn Method, theta: &Tensor<1>, steps: usize) -> Tensor<1> {
    let mut oracle = Oracle::new(rosenbrock());
    (0..steps).fold(theta.clone(), |theta, _| {
        method.step(&mut oracle, &theta).unwrap().theta
    })
}

#[test]
fn a_run_that_was_cut_goes_on_bitwise() {
    let begin = vector32(&[-1.2, 1.0]);
    for (index, (mut whole, mut cut)) in methods().into_iter().zip(methods()).enumerate() {
        let expected = go_on(&mut *whole, &begin, 12);
        let middle = go_on(&mut *cut, &begin, 5);
        let bytes = cut.state().unwrap().to_bytes().unwrap();
        let mut resumed = methods().swap_remove(index);
        resumed
            .load_state(&MethodState::from_bytes(&bytes).unwrap())
            .unwrap();
        let saved_again = resumed.state().unwrap();
        let found = go_on(&mut *resumed, &middle, 7);
        let name = resumed.name();
        assert_eq!(
            found.to_vec_f32(),
            expected.clone().to_vec_f32(),
            "{index} {name}"
        );
        // A state that was loaded and not used yet can be saved again.
        let mut once_more = methods().swap_remove(index);
        once_more.load_state(&saved_again).unwrap();
        let found = go_on(&mut *once_more, &middle, 7);
        assert_eq!(
            found.to_vec_f32(),
            expected.to_vec_f32(),
            "{index} {name}, saved twice"
        );
    }
}

#[test]
fn without_its_state_a_method_with_memory_goes_elsewhere() {
    let begin = vector32(&[-1.2, 1.0]);
    let mut whole = Descent::new(HeavyBall::new(0.9), 1e-3);
    let mut fresh = whole.clone();
    let middle = go_on(&mut whole, &begin, 5);
    let expected = go_on(&mut whole, &middle, 5).to_vec_f32();
    assert_ne!(go_on(&mut fresh, &middle, 5).to_vec_f32(), expected);
}

#[test]
fn states_do_not_fit_other_methods_or_models() {
    let begin = vector32(&[-1.2, 1.0]);
    let mut ball = Descent::new(HeavyBall::new(0.9), 1e-3);
    go_on(&mut ball, &begin, 1);
    let state = ball.state().unwrap();
    let another =
        |error: Result<(), OptimError>| matches!(error, Err(OptimError::StateOfAnother { .. }));
    assert!(another(Newton::new(Damping::None).load_state(&state)));
    assert!(another(
        Descent::new(Nesterov::new(0.9), 1e-3).load_state(&state)
    ));
    ball.load_state(&state).unwrap();
    let mut larger = Oracle::new(quadratic(&[1.0, 2.0, 3.0], &[0.0; 3]));
    let step = ball.step(&mut larger, &vector32(&[1.0, 1.0, 1.0]));
    assert!(matches!(
        step,
        Err(OptimError::StateDimension {
            expected: 3,
            found: 2
        })
    ));

    let mut adam = BurnOptimizer::new("adam", AdamConfig::new().init(), 1e-3);
    go_on(&mut adam, &begin, 1);
    let state = adam.state().unwrap();
    let mut sgd = BurnOptimizer::new("sgd", SgdConfig::new().init(), 1e-3);
    assert!(matches!(
        sgd.load_state(&state),
        Err(OptimError::State { .. })
    ));
    let mut larger_adam = BurnOptimizer::new("adam", AdamConfig::new().init(), 1e-3);
    larger_adam.load_state(&state).unwrap();
    let step = larger_adam.step(&mut larger, &vector32(&[1.0, 1.0, 1.0]));
    assert!(matches!(
        step,
        Err(OptimError::StateDimension {
            expected: 3,
            found: 2
        })
    ));
}

#[test]
fn files_are_written_and_read() {
    let path = std::env::temp_dir().join(format!("ravine-state-{}.cbor", std::process::id()));
    let state = Newton::new(Damping::adaptive()).state().unwrap();
    state.save(&path).unwrap();
    assert_eq!(MethodState::load(&path).unwrap(), state);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        MethodState::load(&path),
        Err(OptimError::State { .. })
    ));
}
