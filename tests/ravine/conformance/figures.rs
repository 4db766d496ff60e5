//! The figures that every entry has to show, and their limits.

use super::entry::{Entry, Expectation, PointOptions, Smoothness};
use crate::support::{direction, gradient_difference, loss_difference, relative};
use burn::prelude::*;
use ravine_curvature::{CurvatureError, HvpMethod, LinearOperator, Mode, Point, Precision, vector};

/// Gradient against central differences of the loss, relative to ‖g‖.
const GRADIENT: f64 = 1e-8;
/// Hv against central differences of the gradient, relative to ‖Hv‖.
const PRODUCT: f64 = 1e-7;
/// |uᵀHv − vᵀHu| relative to the larger of ‖Hu‖ and ‖Hv‖.
const SYMMETRY: f64 = 1e-12;
/// Products by recording and by tape, relative to ‖Hv‖.
const METHODS: f64 = 1e-10;
/// Products in f32 against those in f64, relative to ‖Hv‖.
const SINGLE: f64 = 2e-4;
/// The loss that Burn computes in f32 against ours in f64.
const LOSS: f64 = 1e-5;

/// ‖Hv‖ at least.
const CURVATURE: f64 = 1e-4;

/// Relative errors at one point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) gradient: f64,
    pub(crate) product: f64,
    pub(crate) symmetry: f64,
    pub(crate) methods: f64,
    pub(crate) single_recorded: f64,
    pub(crate) single_tape: f64,
    /// ‖Hv‖ for a unit vector: the other figures say little where there is no curvature.
    pub(crate) curvature: f64,
    /// Of the loss; zero in training mode, where a plain Burn device does not follow.
    pub(crate) loss: f64,
}

impl Figures {
    /// Nothing measured yet.
    pub(crate) const NONE: Self = Self {
        gradient: 0.0,
        product: 0.0,
        symmetry: 0.0,
        methods: 0.0,
        single_recorded: 0.0,
        single_tape: 0.0,
        curvature: f64::INFINITY,
        loss: 0.0,
    };

    /// The worst of the figures in f64.
    pub(crate) fn worst_f64(&self) -> f64 {
        [self.gradient, self.product, self.symmetry, self.methods]
            .into_iter()
            .fold(0.0, larger)
    }

    /// The worst of the figures in f32.
    pub(crate) fn worst_f32(&self) -> f64 {
        larger(self.single_recorded, self.single_tape)
    }

    /// Each figure by figure the worse one.
    pub(crate) fn worst(self, other: Self) -> Self {
        Self {
            gradient: larger(self.gradient, other.gradient),
            product: larger(self.product, other.product),
            symmetry: larger(self.symmetry, other.symmetry),
            methods: larger(self.methods, other.methods),
            single_recorded: larger(self.single_recorded, other.single_recorded),
            single_tape: larger(self.single_tape, other.single_tape),
            curvature: self.curvature.min(other.curvature),
            loss: larger(self.loss, other.loss),
        }
    }

    /// The figures that exceed their limits, in words.
    fn excesses(&self) -> Vec<String> {
        let mut excesses = self.excesses_f64();
        let single = [
            ("recorded f32 against f64", self.single_recorded, SINGLE),
            ("tape f32 against f64", self.single_tape, SINGLE),
        ];
        excesses.extend(above(&single));
        excesses
    }

    fn excesses_f64(&self) -> Vec<String> {
        let mut excesses = above(&[
            ("gradient against differences", self.gradient, GRADIENT),
            ("product against differences", self.product, PRODUCT),
            ("symmetry", self.symmetry, SYMMETRY),
            ("recorded against tape", self.methods, METHODS),
            ("loss against Burn's own", self.loss, LOSS),
        ]);
        if self.curvature.is_nan() || self.curvature < CURVATURE {
            let curvature = self.curvature;
            excesses.push(format!("curvature: {curvature:.1e} < {CURVATURE:.0e}"));
        }
        excesses
    }

    /// What is wrong with the figures of an entry that holds in f64 only.
    fn excesses_only_in_f64(&self) -> Vec<String> {
        let mut excesses = self.excesses_f64();
        if self.worst_f32().is_finite() {
            excesses.push("products in f32 are finite after all".to_string());
        }
        excesses
    }
}

/// The figures above their limits; one that is not a number is above.
fn above(figures: &[(&str, f64, f64)]) -> Vec<String> {
    figures
        .iter()
        .filter(|(_, figure, limit)| figure.is_nan() || figure > limit)
        .map(|(what, figure, limit)| format!("{what}: {figure:.1e} > {limit:.0e}"))
        .collect()
}

/// The larger one, or NaN if one is.
fn larger(a: f64, b: f64) -> f64 {
    match a > b || a.is_nan() {
        true => a,
        false => b,
    }
}

/// How an entry ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) result: Result<Figures, String>,
    /// What is not as expected.
    pub(crate) complaints: Vec<String>,
}

impl Outcome {
    pub(crate) fn of(entry: &Entry) -> Self {
        let result = measure(entry).map_err(|error| error.to_string());
        let complaints = match (&result, entry.expectation) {
            (Ok(figures), Expectation::Conforms) => figures.excesses(),
            (Ok(figures), Expectation::OnlyInF64(_)) => figures.excesses_only_in_f64(),
            (Ok(_), Expectation::Refused(_)) => vec!["was expected to be refused".to_string()],
            (Err(error), Expectation::Refused(because)) if error.contains(because) => Vec::new(),
            (Err(error), _) => vec![error.clone()],
        };
        Self {
            name: entry.name.clone(),
            result,
            complaints,
        }
    }
}

fn measure(entry: &Entry) -> Result<Figures, CurvatureError> {
    let point = entry.point(PointOptions::default())?;
    let (u, v) = (direction(&point, 0.3), direction(&point, 1.9));
    let hessian = point.hessian();
    let (hu, hv) = (hessian.apply(&u)?, hessian.apply(&v)?);
    let tape = hessian.by(HvpMethod::Tape).apply(&v)?;
    let h = match entry.smoothness {
        Smoothness::Smooth => 1e-3,
        Smoothness::Piecewise => 1e-4,
    };
    let single = |method| -> Result<f64, CurvatureError> {
        let options = PointOptions {
            precision: Precision::Model,
            method,
            ..PointOptions::default()
        };
        let hv_f32 = entry.point(options)?.hessian().apply(&v)?;
        let hv_f32 = vector::from_f64(&vector::to_f64(&hv_f32), point.device(), point.dtype());
        Ok(relative(&hv_f32, &hv))
    };
    let asymmetry = (vector::dot(&u, &hv) - vector::dot(&v, &hu)).abs();
    Ok(Figures {
        gradient: larger(slope_error(&point, &u, h)?, slope_error(&point, &v, h)?),
        product: relative(&hv, &gradient_difference(&point, &v, h)),
        symmetry: asymmetry / vector::norm(&hv).max(vector::norm(&hu)),
        methods: relative(&tape, &hv),
        single_recorded: single(HvpMethod::Recorded)?,
        single_tape: single(HvpMethod::Tape)?,
        curvature: vector::norm(&hv),
        loss: match entry.mode {
            Mode::Evaluation => {
                let loss = point.loss()?;
                (entry.burn_loss(point.device()) - loss).abs() / loss.abs()
            }
            Mode::Training { .. } => 0.0,
        },
    })
}

/// |gᵀv − the central difference of the loss along v| relative to ‖g‖.
fn slope_error(point: &Point, v: &Tensor<1>, h: f64) -> Result<f64, CurvatureError> {
    let gradient = point.gradient()?;
    let slope = vector::dot(&gradient, v);
    Ok((slope - loss_difference(point, v, h)).abs() / vector::norm(&gradient))
}

#[test]
fn a_figure_that_is_not_a_number_is_an_excess() {
    let broken = Figures {
        product: f64::NAN,
        ..Figures::NONE
    };
    let (broken, none) = (broken, Figures::NONE);
    assert_eq!((broken.excesses().len(), none.excesses().len()), (1, 0));
    assert!(broken.worst_f64().is_nan());
    assert!(none.worst(broken).product.is_nan());
}
