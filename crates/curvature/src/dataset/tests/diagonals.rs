use super::*;

#[test]
fn diagonals_are_those_of_the_dense_matrices() {
    for_each_dataset(|data, point| {
        let expected = dense(&data.gauss_newton()).unwrap().diagonal();
        assert_same_vector(&data.gauss_newton_diagonal().unwrap(), &expected);
        let of_one = to_f64(&point.gauss_newton_diagonal().unwrap());
        assert_same_vector(&data.gauss_newton_diagonal().unwrap(), &of_one);
        let expected = dense(&data.empirical_fisher()).unwrap().diagonal();
        let empirical = data.curvature_diagonal(&Factors::Empirical).unwrap();
        assert_same_vector(&empirical.values, &expected);
        let passes = |index: usize| {
            let (point, _) = data.batch(index).unwrap();
            point
                .curvature_diagonal(&Factors::Empirical)
                .unwrap()
                .passes
        };
        assert_eq!(empirical.passes, (0..3).map(passes).sum::<usize>());
    });
}

#[test]
fn sampled_diagonals_are_the_weighted_sums_of_independent_ones() {
    for_each_dataset(|data, _| {
        let seed = Seed::new(5);
        let found = data.gauss_newton_diagonal_sampled(6, seed).unwrap();
        let n = data.layout().dim();
        let (mut values, mut variances) = (vec![0.0; n], vec![0.0; n]);
        for index in 0..3 {
            let (point, weight) = data.batch(index).unwrap();
            let own = point.gauss_newton_diagonal_sampled(6, seed.index(index as u64));
            let own = own.unwrap();
            let errors = to_f64(&own.standard_errors);
            for (place, value) in to_f64(&own.values).into_iter().enumerate() {
                values[place] += weight * value;
                variances[place] += (weight * errors[place]).powi(2);
            }
        }
        let errors: Vec<f64> = variances.into_iter().map(f64::sqrt).collect();
        assert_same_vector(&found.values, &values);
        assert_same_vector(&found.standard_errors, &errors);
        assert_eq!(found.samples, 6);
        let again = data.gauss_newton_diagonal_sampled(6, seed).unwrap();
        assert_eq!(to_f64(&again.values), to_f64(&found.values));
        let one = data.gauss_newton_diagonal_sampled(1, seed).unwrap();
        assert!(to_f64(&one.standard_errors).iter().all(|e| e.is_infinite()));
        assert!(data.gauss_newton_diagonal_sampled(0, seed).is_err());
    });
}

#[test]
fn sampled_diagonals_are_unbiased_and_know_their_errors() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let data = kept(reduction);
        let truth = to_f64(&data.gauss_newton_diagonal().unwrap());
        let sum: f64 = truth.iter().sum();
        let draw = |seed| {
            let found = data.gauss_newton_diagonal_sampled(2, seed).unwrap();
            to_f64(&found.values).iter().sum()
        };
        assert_unbiased(draw, sum);
        let draw = |seed| {
            let found = data.curvature_diagonal(&sampled(seed)).unwrap();
            to_f64(&found.values).iter().sum()
        };
        assert_unbiased(draw, sum);
        let found = data
            .gauss_newton_diagonal_sampled(2000, Seed::new(1))
            .unwrap();
        let errors = to_f64(&found.standard_errors);
        for (place, value) in to_f64(&found.values).into_iter().enumerate() {
            let error = (value - truth[place]).abs();
            assert!(error <= 4.0 * errors[place] + 1e-14, "{place}: {error:e}");
        }
    }
}
