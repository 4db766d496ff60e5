//! The methods of a comparison: from a description in TOML to a method.
//!
//! A new method is a variant of [`MethodConfig`] with an arm in its `name` and `build` and in [`MethodConfig::space`]; where its main
//! hyperparameter is not a learning rate, or a step needs many products, also in [`MethodConfig::main`] and [`MethodConfig::obstacle`].

mod build;
mod config;
mod field;
mod space;

pub use config::{MethodConfig, MomentumForm, Shrinking};
pub use field::{Entrant, baselines, complete_field, default_field};
pub use space::{Setting, Structure};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::search::{self, Range};
    use ravine_curvature::Seed;

    #[test]
    fn every_point_of_every_space_builds_a_method_of_that_name() {
        for entrant in default_field() {
            let space = entrant.space().unwrap();
            assert!(space.contains_key(entrant.method.main()), "{entrant:?}");
            for index in 0..5 {
                let values = search::point(&space, Seed::new(1), index);
                let method = entrant.method.with_values(&values).unwrap();
                assert_eq!(method.build(100, Seed::new(0)).name(), entrant.name());
                let text = toml::to_string(&method).unwrap();
                assert_eq!(toml::from_str::<MethodConfig>(&text).unwrap(), method);
            }
        }
    }

    #[test]
    fn entrants_round_trip() {
        let text = "name = \"careful\"\n\n[method]\nkind = \"newton-cg\"\neta = 0.1\nmax_iterations = 5\n\n\
                    [search.eta]\nlow = 0.01\nhigh = 0.5\nscale = \"log\"\n";
        let entrant: Entrant = toml::from_str(text).unwrap();
        assert_eq!(entrant.name(), "careful");
        // the limit is the method's own
        let eta = Range::log(0.01, 0.5).at_most(0.9);
        assert_eq!(entrant.space().unwrap()["eta"], eta);
        assert_eq!(toml::to_string(&entrant).unwrap(), text);
    }

    #[test]
    fn unknown_keys_and_kinds_are_named() {
        let error = |text: &str| toml::from_str::<Entrant>(text).unwrap_err().to_string();
        assert!(error("method = { kind = 'adam', lr = 0.1 }").contains("`lr`"));
        assert!(error("method = { kind = 'adm' }").contains("`adm`"));
        assert!(error("methods = 1").contains("`methods`"));
        let entrant: Entrant =
            toml::from_str("method = { kind = 'adam' }\nsearch.rate = { low = 1.0, high = 2.0 }")
                .unwrap();
        let error = entrant.space().unwrap_err().to_string();
        assert!(
            error.contains("search.rate") && error.contains("learning_rate"),
            "{error}"
        );
        let entrant: Entrant = toml::from_str(
            "method = { kind = 'l-bfgs' }\nsearch.history = { low = 1.0, high = 2.0 }",
        )
        .unwrap();
        assert!(entrant.space().unwrap_err().to_string().contains("integer"));
    }

    #[test]
    fn baselines_are_always_there() {
        let (field, added) = complete_field(&default_field()).unwrap();
        assert_eq!((field.len(), added.len()), (default_field().len(), 0));
        let newton = Entrant::of(MethodConfig::described("kind = 'newton'"));
        let (field, added) = complete_field(std::slice::from_ref(&newton)).unwrap();
        assert_eq!(field.len(), 5);
        assert_eq!(
            added,
            ["momentum", "momentum-cosine", "adam", "adam-cosine"]
        );
        let held = "method = { kind = 'adam' }\nsearch.learning_rate = { low = 0.1, high = 0.1 }";
        let held: Entrant = toml::from_str(&format!("name = 'held'\n{held}")).unwrap();
        assert_eq!(complete_field(&[held]).unwrap().1.len(), 4);
        let error = complete_field(&[newton.clone(), newton]).unwrap_err();
        assert!(error.to_string().contains("`newton`"));
    }

    #[test]
    fn a_step_beyond_the_budget_is_an_obstacle() {
        let newton = MethodConfig::described("kind = 'newton'");
        let setting = |dim| Setting {
            dim,
            budget: 100.0,
            product: 2.0,
            structure: Structure::default(),
        };
        assert!(newton.obstacle(setting(50)).is_some());
        assert!(newton.obstacle(setting(10)).is_none());
        let sophia = MethodConfig::described("kind = 'sophia-g'");
        assert!(sophia.obstacle(setting(50)).is_some());
        let categorical = Structure {
            likelihood: Some(ravine_curvature::Likelihood::Categorical),
            ..Structure::default()
        };
        let known = Setting {
            structure: categorical,
            ..setting(50)
        };
        assert!(sophia.obstacle(known).is_none());
        let text = toml::to_string(&sophia.for_problem(categorical)).unwrap();
        assert!(text.contains("likelihood = \"categorical\""), "{text}");
        let adam = MethodConfig::described("kind = 'adam'");
        assert!(adam.obstacle(setting(1_000_000)).is_none());
    }
}
