use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A number estimated from independent random samples, with its standard error.
///
/// ```
/// use ravine_curvature::Estimate;
///
/// let estimate = Estimate::from_samples(&[1.0, 2.0, 3.0], 3);
/// assert_eq!(estimate.value, 2.0);
/// assert!((estimate.standard_error - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
/// let (low, high) = estimate.interval(0.95);
/// assert!(low < 0.0 && high > 4.0); // three samples say little
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean of the samples.
    pub value: f64,
    /// The standard error of the mean; 0 for a value that is exact, infinite for a single sample.
    pub standard_error: f64,
    /// Number of independent samples.
    pub samples: usize,
    /// Operator applications that it cost.
    pub applications: usize,
    /// What more samples would not take away: the error of a quadrature that was cut off, for the traces of functions of a
    /// [`SpectralMeasure`](crate::SpectralMeasure); 0 elsewhere.
    #[serde(default)]
    pub quadrature_error: f64,
    /// Degrees of freedom of the standard error where they are not `samples` − 1: more where the distribution of the samples is known,
    /// as it is for a [`SpectralMeasure`](crate::SpectralMeasure).
    #[serde(default)]
    pub freedom: Option<f64>,
}

impl Estimate {
    /// Mean and standard error of independent samples.
    pub fn from_samples(samples: &[f64], applications: usize) -> Self {
        let count = samples.len() as f64;
        let value = samples.iter().sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|x| (x - value).powi(2)).sum();
        let standard_error = match samples.len() {
            0 | 1 => f64::INFINITY,
            _ => (squares / (count - 1.0) / count).sqrt(),
        };
        Self {
            value,
            standard_error,
            samples: samples.len(),
            applications,
            quadrature_error: 0.0,
            freedom: None,
        }
    }

    /// A value that holds no chance.
    pub fn exact(value: f64, applications: usize) -> Self {
        Self {
            value,
            standard_error: 0.0,
            samples: 0,
            applications,
            quadrature_error: 0.0,
            freedom: None,
        }
    }

    /// The degrees of freedom of the standard error: `samples` − 1, at least 1, where nothing else is known.
    pub(crate) fn freedom(&self) -> f64 {
        let of_samples = self.samples.saturating_sub(1).max(1) as f64;
        self.freedom.unwrap_or(of_samples)
    }

    /// The interval that covers the truth with this probability: Student's with the degrees of freedom of the standard error (`samples` − 1
    /// where nothing else is known), and the whole error of the quadrature on either side.
    ///
    /// Infinite for a single sample.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let sampling = match self.standard_error {
            0.0 => 0.0,
            error if error.is_finite() => quantile(confidence, self.freedom()) * error,
            _ => f64::INFINITY,
        };
        let half = sampling + self.quadrature_error;
        match half.is_finite() {
            true => (self.value - half, self.value + half),
            false => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// How many standard errors the two-sided interval of a mean of this many samples reaches.
pub(crate) fn student_quantile(confidence: f64, samples: usize) -> f64 {
    quantile(confidence, samples.saturating_sub(1).max(1) as f64)
}

/// How many standard errors with these degrees of freedom the two-sided interval reaches.
pub(crate) fn quantile(confidence: f64, freedom: f64) -> f64 {
    let student =
        StudentsT::new(0.0, 1.0, freedom).expect("a positive number of degrees of freedom");
    student.inverse_cdf(0.5 + 0.5 * confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_student() {
        // tables: t(0.975, 9) = 2.262, t(0.975, 1) = 12.706
        assert!((student_quantile(0.95, 10) - 2.262157).abs() < 1e-5);
        assert!((student_quantile(0.95, 2) - 12.7062).abs() < 1e-3);
        // between and beyond the tables: 1.959964 (1 + (1.959964² + 1)/(4 ν))
        assert!((quantile(0.95, 1e4) - 1.960201).abs() < 1e-5);
        assert!(quantile(0.95, 9.5) < quantile(0.95, 9.0));
    }

    #[test]
    fn one_sample_knows_nothing_of_its_error_and_an_exact_value_all() {
        let one = Estimate::from_samples(&[3.0], 1);
        assert_eq!(one.interval(0.95), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(Estimate::exact(2.0, 0).interval(0.95), (2.0, 2.0));
    }

    #[test]
    fn an_error_of_the_quadrature_widens_the_interval() {
        let exact = Estimate {
            quadrature_error: 0.5,
            ..Estimate::exact(2.0, 0)
        };
        assert_eq!(exact.interval(0.95), (1.5, 2.5));
        let three = Estimate::from_samples(&[1.0, 2.0, 3.0], 3);
        let wider = Estimate {
            quadrature_error: 0.5,
            ..three
        };
        let (before, after) = (three.interval(0.95), wider.interval(0.95));
        assert!(
            (before.0 - after.0 - 0.5).abs() < 1e-12 && (after.1 - before.1 - 0.5).abs() < 1e-12
        );
    }
}
