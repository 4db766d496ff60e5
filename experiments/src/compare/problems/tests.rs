use super::*;
use ravine_curvature::{LinearOperator, Seed, vector};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn the_table_is_sound() {
    let problems = shipped().unwrap();
    for (name, problem) in &problems {
        problem.check(name).unwrap();
        assert!(!problem.target_source.is_empty());
        let text = toml::to_string(problem).unwrap();
        assert_eq!(toml::from_str::<Problem>(&text).unwrap(), *problem);
    }
    assert_eq!(problems.len(), 14);
}

#[test]
fn every_problem_has_gradients_and_starts_of_its_own() {
    let device = Device::flex();
    for (name, problem) in shipped().unwrap() {
        let ready = build(&problem, &device).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let [a, again, b] = [1, 1, 2].map(|seed| ready.start(seed).unwrap());
        assert_eq!(a.to_data(), again.to_data(), "{name}");
        assert_ne!(a.to_data(), b.to_data(), "{name}");
        let point = ready.train().move_to(a).unwrap();
        let loss = point.loss().unwrap();
        assert!(loss.is_finite() && loss > problem.target, "{name}: {loss}");
        let slope = vector::norm(&point.gradient().unwrap());
        assert!(slope.is_finite() && slope > 0.0, "{name}");
        if let Some(validation) = ready.validation() {
            assert!(validation.loss().unwrap().is_finite());
        }
        let step = ready.step_point().unwrap();
        assert_eq!(step.dim(), ready.train().dim());
    }
}

#[test]
fn recurrence_and_attention_have_symmetric_products() {
    for name in ["character-lstm", "transformer"] {
        let problem = shipped().unwrap().remove(name).unwrap();
        let ready = build(&problem, &Device::flex()).unwrap();
        let point = ready.step_point().unwrap();
        let draw = |purpose| {
            let mut rng = Seed::new(1).stream(purpose).rng();
            let values = vector::standard_normal(point.dim(), &mut rng);
            vector::from_f64(&values, point.device(), point.dtype())
        };
        let (u, v) = (draw("u"), draw("v"));
        let hessian = point.hessian();
        let gauss_newton = point.gauss_newton().unwrap();
        for operator in [&hessian as &dyn LinearOperator, &gauss_newton] {
            let (au, av) = (operator.apply(&u).unwrap(), operator.apply(&v).unwrap());
            let difference = vector::dot(&u, &av) - vector::dot(&v, &au);
            let size = vector::norm(&au) * vector::norm(&v);
            assert!(
                size > 0.0 && difference.abs() < 1e-4 * size,
                "{name}: {difference}"
            );
        }
        let curvature = vector::dot(&u, &gauss_newton.apply(&u).unwrap());
        assert!(curvature > 0.0, "{name}: {curvature}");
    }
}

#[test]
fn unknown_problems_and_keys_are_named() {
    let error = chosen(&names(&["digits"]), &BTreeMap::new()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("`digits`") && error.contains("digits-cnn"),
        "{error}"
    );
    let error = chosen(&names(&["rosenbrock-2", "rosenbrock-2"]), &BTreeMap::new());
    assert!(error.unwrap_err().to_string().contains("twice"));
    assert!(chosen(&[], &BTreeMap::new()).is_err());
    let text = "model = { kind = 'rosenbrock', dimension = 2 }\nbudget = 1.0\ntarget = 0.0\ntarget_source = ''";
    let error = toml::from_str::<Problem>(text).unwrap_err().to_string();
    assert!(error.contains("`dimension`"), "{error}");
}

#[test]
fn own_problems_go_before_shipped_ones() {
    let mut own = shipped().unwrap();
    own.retain(|name, _| name == "rosenbrock-2");
    own.get_mut("rosenbrock-2").unwrap().budget = 7.0;
    let chosen = chosen(&names(&["rosenbrock-2", "rosenbrock-20"]), &own).unwrap();
    assert_eq!(chosen[0].1.budget, 7.0);
    own.get_mut("rosenbrock-2").unwrap().budget = 0.0;
    assert!(super::chosen(&names(&["rosenbrock-2"]), &own).is_err());
}
