use super::*;
use crate::kfac::{EkFac, Kfac, KfacFactors, Others, WeightSharing};

#[track_caller]
fn assert_same_factors(found: &KfacFactors, expected: &KfacFactors) {
    assert_eq!(found.layers().count(), expected.layers().count());
    for (found, expected) in found.layers().zip(expected.layers()) {
        assert_eq!((found.weight, found.bias), (expected.weight, expected.bias));
        assert_same(found.activations, expected.activations);
        assert_same(found.gradients, expected.gradients);
    }
    // with the diagonals of the others
    let operators = [found, expected].map(|factors| matrix(&Kfac::new(factors.clone())));
    assert_same(&operators[0], &operators[1]);
}

fn trace(operator: &dyn LinearOperator) -> f64 {
    dense(operator).unwrap().trace()
}

#[test]
fn factors_of_a_dataset_are_those_of_one_batch() {
    for_each_dataset(|data, point| {
        for factors in [Factors::Exact, Factors::Empirical] {
            for sharing in [WeightSharing::Expand, WeightSharing::Reduce] {
                let options = KfacOptions {
                    sharing,
                    ..options(factors)
                };
                let found = data.kfac_factors(&options).unwrap();
                let expected = KfacFactors::at(point, &options).unwrap();
                assert_eq!(found.layers().count(), 2);
                assert_eq!(found.other_parameters().len(), 2);
                assert_same_factors(&found, &expected);
            }
        }
    });
}

#[test]
fn one_linear_layer_has_the_gauss_newton_matrix_of_the_dataset() {
    let model: Linear = mixed(LinearConfig::new(3, 2).init(&device()));
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let objective = Objective::new(
            |model: &Linear, (x, _): &Pair| model.forward(x.clone()),
            move |z: Tensor<2>, (_, y): &Pair| {
                let squares = (z - y.clone()).powi_scalar(2).sum_dim(1);
                match reduction {
                    Reduction::Mean => squares.mean(),
                    Reduction::Sum => squares.sum(),
                }
            },
        )
        .reduction(reduction)
        .precision(Precision::F64);
        let load = |index: usize| Ok::<_, std::io::Error>(batches()[index].clone());
        let datasets = [
            objective.over(&model, &batches(), Memory::Kept).unwrap(),
            objective
                .over(&model, &batches(), Memory::Recomputed)
                .unwrap(),
            objective.streamed(&model, 3, load).unwrap(),
        ];
        for data in datasets {
            let expected = matrix(&data.gauss_newton());
            let options = KfacOptions::default();
            assert_same(&matrix(&data.kfac(&options).unwrap()), &expected);
            assert_same(&matrix(&data.ekfac(&options).unwrap()), &expected);
        }
    }
}

#[test]
fn eigenvalues_of_a_dataset_are_those_of_one_batch_in_the_bases_of_the_dataset() {
    for_each_dataset(|data, point| {
        for factors in [Factors::Exact, Factors::Empirical] {
            let options = options(factors);
            let kfac = data.kfac(&options).unwrap();
            let expected = EkFac::in_bases_of(&kfac, point, &options).unwrap();
            let found = data.ekfac_in_bases_of(&kfac, &options).unwrap();
            assert_same(&matrix(&found), &matrix(&expected));
            let both = data.ekfac(&options).unwrap();
            assert_same(&matrix(&both), &matrix(&expected));
        }
        let ekfac = data.ekfac(&options(Factors::Exact)).unwrap();
        let expected = trace(&data.gauss_newton());
        assert!((ekfac.trace() / expected - 1.0).abs() < 1e-10);
        let distance = |operator: &dyn LinearOperator| {
            (matrix(operator) - matrix(&data.gauss_newton())).norm_l2()
        };
        let kfac = data.kfac(&options(Factors::Exact)).unwrap();
        assert!(distance(&ekfac) < distance(&kfac));
        // a later batch goes on from all examples
        let (mut more, mut twice) = (ekfac.clone(), data.ekfac(&options(Factors::Exact)).unwrap());
        more.accumulate(point, data.reduction().into()).unwrap();
        twice.accumulate(point, crate::Accumulation::Sum).unwrap();
        let factor = match data.reduction() {
            Reduction::Mean => 1.0,
            Reduction::Sum => 2.0,
        };
        assert!((more.trace() / (factor * expected) - 1.0).abs() < 1e-10);
        assert!((twice.trace() / (2.0 * expected) - 1.0).abs() < 1e-10);
    });
}

#[test]
fn batches_weigh_by_their_examples_wherever_these_lie_in_the_outputs() {
    let turned = Objective::new(
        |model: &Net, (x, _): &Pair| model.forward(x.clone()).transpose(),
        |z: Tensor<2>, (_, y)| loss(z.transpose(), y, Reduction::Mean),
    )
    .precision(Precision::F64);
    // sizes without a divisor in common with the two outputs: else these would pass for examples that depend on each other
    let (x, y) = whole();
    let cut = [(0, 5), (5, 3), (8, 3)].map(|(first, size)| {
        let part = |all: &Tensor<2>| all.clone().narrow(0, first, size);
        (part(&x), part(&y))
    });
    let data = turned.over(&net(), &cut, Memory::Kept).unwrap();
    let found = data.kfac_factors(&options(Factors::Exact)).unwrap();
    let point = objective(Reduction::Mean).at(&net(), &whole()).unwrap();
    let expected = KfacFactors::at(&point, &options(Factors::Exact)).unwrap();
    assert_same_factors(&found, &expected);
}

#[test]
fn each_batch_draws_with_a_seed_of_its_own() {
    let point = |index: usize| {
        let objective = objective(Reduction::Mean);
        objective.at(&net(), &batches()[index]).unwrap()
    };
    let data = kept(Reduction::Mean);
    let (seed, of_others) = (Seed::new(3), Seed::new(4));
    let with = |index: Option<u64>| {
        let of = |seed: Seed| index.map_or(seed, |index| seed.index(index));
        KfacOptions {
            factors: sampled(of(seed)),
            others: Others::Diagonal {
                samples: 2,
                seed: of(of_others),
            },
            sharing: WeightSharing::Expand,
        }
    };
    let found = data.kfac_factors(&with(None)).unwrap();
    let mut by_hand = KfacFactors::at(&point(0), &with(Some(0))).unwrap();
    for index in 1..3 {
        let new = KfacFactors::at(&point(index), &with(Some(index as u64))).unwrap();
        by_hand.accumulate(&new, crate::Accumulation::Mean).unwrap();
    }
    assert_eq!(found.save(), by_hand.save(), "bitwise, and the passes too");
    assert_eq!(found.save(), data.kfac_factors(&with(None)).unwrap().save());
    let again = || data.ekfac(&with(None)).unwrap().eigenvalues();
    assert_eq!(again(), again());
    let kfac = data.kfac(&with(None)).unwrap();
    let mut eigenvalues = EkFac::in_bases_of(&kfac, &point(0), &with(Some(0)))
        .unwrap()
        .trace();
    eigenvalues *= 5.0 / 11.0;
    for (index, weight) in [(1, 2.0 / 11.0), (2, 4.0 / 11.0)] {
        let with = with(Some(index as u64));
        let of_batch = EkFac::in_bases_of(&kfac, &point(index), &with).unwrap();
        eigenvalues += weight * of_batch.trace();
    }
    let found = data.ekfac(&with(None)).unwrap().trace();
    assert!((found / eigenvalues - 1.0).abs() < 1e-12);
}

#[test]
fn sampled_factors_are_unbiased() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let data = kept(reduction);
        let gradients = |factors: &KfacFactors| -> f64 {
            let layers = factors.layers();
            let entries = layers.map(|layer| layer.gradients[(0, 0)] - layer.gradients[(0, 1)]);
            entries.sum()
        };
        let exact = data.kfac_factors(&options(Factors::Exact)).unwrap();
        let draw = |seed| {
            let found = data.kfac_factors(&options(sampled(seed))).unwrap();
            gradients(&found)
        };
        assert_unbiased(draw, gradients(&exact));
        let truth = trace(&data.gauss_newton());
        let draw = |seed| data.ekfac(&options(sampled(seed))).unwrap().trace();
        assert_unbiased(draw, truth);
    }
}
