//! Breast cancer, Wisconsin diagnostic.

use super::{Table, numbers};
use std::sync::LazyLock;

/// 569 tumours with 30 measurements each, and whether they were benign (target 1, 357 of them) or malignant (target 0).
///
/// Logistic regression on it is convex and tiny, and **as badly conditioned as problems get**: raw measurements run from 1e-3 to 4e3, so that
/// the second-moment matrix of the design with an intercept has a condition number of 2.4e12; standardised, 1.0e5
/// ([`Table::second_moment_condition_number`]).
///
/// # References
///
/// W. Wolberg, O. Mangasarian, N. Street and W. Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning Repository (1995),
/// CC BY 4.0, as scikit-learn ships it.
///
/// ```
/// use ravine_model::datasets::{BreastCancer, Dataset};
///
/// let tumours = BreastCancer::load();
/// assert_eq!((tumours.len(), tumours.features()), (569, 30));
/// assert_eq!(tumours.names()[0], "mean_radius");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BreastCancer;

static TUMOURS: LazyLock<Table> = LazyLock::new(|| {
    let message = "the file has a header, and 30 features and a target a line";
    let mut lines = include_str!("../../data/breast_cancer.csv").lines();
    let mut names: Vec<&str> = lines.next().expect(message).split(',').collect();
    names.pop();
    let (mut features, mut targets) = (Vec::new(), Vec::new());
    for line in lines {
        features.extend(numbers(line));
        targets.extend(features.pop());
    }
    Table::new(names, features, targets).expect(message)
});

impl BreastCancer {
    /// All tumours, raw. The file is parsed on the first call only.
    pub fn load() -> Table {
        TUMOURS.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dataset, Standardisation};
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn the_file_is_read_as_it_is() {
        let tumours = BreastCancer::load();
        assert_eq!(tumours.len(), 569);
        assert_eq!(tumours.targets().iter().sum::<f64>(), 357.0);
        assert_eq!(tumours.names().len(), 30);
        let (features, _) = tumours.batch(&[0], (&Device::flex(), DType::F64)).unwrap();
        let first: Vec<f64> = features.into_data().iter::<f64>().collect();
        assert_eq!(first[..4], [17.99, 10.38, 122.8, 1001.0]);
        assert_eq!(first[29], 0.1189);
    }

    #[test]
    fn raw_features_are_a_real_ravine() {
        let condition_number = |standardisation| {
            let table = BreastCancer::load().standardised(standardisation);
            let value = table.second_moment_condition_number().unwrap();
            format!("{value:.1e}")
        };
        assert_eq!(condition_number(Standardisation::Raw), "2.4e12");
        assert_eq!(condition_number(Standardisation::Standardised), "1.0e5");
    }
}
