//! The Gauss-Newton matrix G = Jᵀ H_L J and its factors, against central differences of the outputs and of the loss as a function of
//! the outputs, and against each other.

use super::entry::LossOfOutputs;
use super::figures::{Column, Figures, larger};
use super::measure::Sample;
use crate::support::{difference, direction, gradient_difference, relative};
use burn::prelude::*;
use ravine_curvature::{CurvatureError, LinearOperator, Point, vector};

/// Against central differences.
const DIFFERENCES: f64 = 1e-7;
/// What is the same in exact arithmetic.
const IDENTITIES: f64 = 1e-11;
/// ‖Gv‖ for a unit vector at least, unless the entry says that G is zero.
const SIZE: f64 = 1e-5;

pub(super) fn measure(sample: &Sample<'_>, figures: &mut Figures) -> Result<(), CurvatureError> {
    let factors = Factors::at(sample)?;
    let products = Products::at(sample)?;
    figures.push(
        Column::GaussNewton,
        DIFFERENCES,
        factors.against_differences(sample),
    );
    figures.push(
        Column::GaussNewton,
        DIFFERENCES,
        products.against_differences(sample, &factors)?,
    );
    figures.push(Column::GaussNewton, IDENTITIES, factors.identities(sample)?);
    figures.push(
        Column::GaussNewton,
        IDENTITIES,
        products.identities(sample, &factors)?,
    );
    match sample.entry.loss_of_outputs {
        LossOfOutputs::Curved => {
            let flatness = ("1 / ‖Gv‖", 1.0 / vector::norm(&products.v));
            figures.push(Column::Unlisted, 1.0 / SIZE, [flatness]);
        }
        LossOfOutputs::Flat(_) => {
            let norms = [
                ("H_L against zero", vector::norm(&factors.hw)),
                ("G against zero", vector::norm(&products.v) / products.scale),
            ];
            figures.push(Column::GaussNewton, IDENTITIES, norms);
        }
    }
    Ok(())
}

/// Products with J and H_L.
struct Factors {
    /// The loss of the outputs at a point of its own, where the outputs are the parameters.
    free: Point,
    /// J u, J v.
    ju: Tensor<1>,
    jv: Tensor<1>,
    /// The same by central differences.
    du: Tensor<1>,
    dv: Tensor<1>,
    /// Unit vectors in the space of the outputs.
    x: Tensor<1>,
    w: Tensor<1>,
    /// H_L x, H_L w.
    hx: Tensor<1>,
    hw: Tensor<1>,
    /// What errors of products with H_L are relative to.
    scale: f64,
}

impl Factors {
    fn at(sample: &Sample<'_>) -> Result<Self, CurvatureError> {
        let (entry, point) = (sample.entry, &sample.point);
        let maps = entry.output_maps();
        let by_differences =
            |v: &Tensor<1>| difference(point, v, sample.step, |point| maps.outputs(point));
        let free = entry.loss_of_outputs(point)?;
        let (x, w) = (direction(&free, 0.3), direction(&free, 1.9));
        let (hx, hw) = (maps.loss_hessian(point, &x)?, maps.loss_hessian(point, &w)?);
        Ok(Self {
            ju: maps.jacobian(point, &sample.u)?,
            jv: maps.jacobian(point, &sample.v)?,
            du: by_differences(&sample.u),
            dv: by_differences(&sample.v),
            scale: match entry.loss_of_outputs {
                LossOfOutputs::Curved => vector::norm(&hx).max(vector::norm(&hw)),
                LossOfOutputs::Flat(_) => 1.0,
            },
            free,
            x,
            w,
            hx,
            hw,
        })
    }

    fn against_differences(&self, sample: &Sample<'_>) -> [(&'static str, f64); 2] {
        let jacobian = larger(relative(&self.ju, &self.du), relative(&self.jv, &self.dv));
        let hw = gradient_difference(&self.free, &self.w, sample.step);
        [
            ("J against differences", jacobian),
            ("H_L against differences", self.error(&self.hw, &hw)),
        ]
    }

    /// ⟨J v, w⟩ = ⟨v, Jᵀ w⟩; H_L is symmetric, and the Hessian and the Gauss-Newton matrix where the outputs are the parameters.
    fn identities(&self, sample: &Sample<'_>) -> Result<[(&'static str, f64); 4], CurvatureError> {
        let mut adjoint = 0.0;
        for w in [&self.x, &self.w] {
            let back = (sample.entry.output_maps()).transposed(&sample.point, w)?;
            for (v, jv) in [(&sample.u, &self.ju), (&sample.v, &self.jv)] {
                let gap = (vector::dot(jv, w) - vector::dot(v, &back)).abs();
                let scale = vector::norm(jv).max(vector::norm(&back));
                adjoint = larger(adjoint, gap / scale);
            }
        }
        let asymmetry = (vector::dot(&self.x, &self.hw) - vector::dot(&self.w, &self.hx)).abs();
        let hessian = self.free.hessian().apply(&self.w)?;
        let gauss_newton = self.free.gauss_newton()?.apply(&self.w)?;
        Ok([
            ("J against its transpose", adjoint),
            ("symmetry of H_L", asymmetry / self.scale),
            ("H_L against a Hessian", self.error(&self.hw, &hessian)),
            (
                "G against H where J = 1",
                self.error(&gauss_newton, &hessian),
            ),
        ])
    }

    fn error(&self, found: &Tensor<1>, expected: &Tensor<1>) -> f64 {
        vector::norm(&(found.clone() - expected.clone())) / self.scale
    }
}

/// Products with G.
struct Products {
    u: Tensor<1>,
    v: Tensor<1>,
    /// What their errors are relative to.
    scale: f64,
}

impl Products {
    fn at(sample: &Sample<'_>) -> Result<Self, CurvatureError> {
        let matrix = sample.point.gauss_newton()?;
        let (u, v) = (matrix.apply(&sample.u)?, matrix.apply(&sample.v)?);
        let scale = match sample.entry.loss_of_outputs {
            LossOfOutputs::Curved => vector::norm(&u).max(vector::norm(&v)),
            LossOfOutputs::Flat(_) => vector::norm(&sample.hv),
        };
        Ok(Self { u, v, scale })
    }

    /// uᵀGv = ⟨J u, H_L J v⟩, the right side by differences of outputs and of the gradient of the loss by the outputs.
    fn against_differences(
        &self,
        sample: &Sample<'_>,
        factors: &Factors,
    ) -> Result<[(&'static str, f64); 1], CurvatureError> {
        let length = vector::norm(&factors.dv);
        let along = factors.dv.clone().div_scalar(length);
        let h_dv = gradient_difference(&factors.free, &along, sample.step).mul_scalar(length);
        let gap = |u: &Tensor<1>, du: &Tensor<1>| {
            (vector::dot(u, &self.v) - vector::dot(du, &h_dv)).abs() / self.scale
        };
        let error = larger(gap(&sample.u, &factors.du), gap(&sample.v, &factors.dv));
        Ok([("G against differences", error)])
    }

    fn identities(
        &self,
        sample: &Sample<'_>,
        factors: &Factors,
    ) -> Result<[(&'static str, f64); 2], CurvatureError> {
        let (maps, point) = (sample.entry.output_maps(), &sample.point);
        let composed = maps.transposed(point, &maps.loss_hessian(point, &factors.jv)?)?;
        let composition = vector::norm(&(composed - self.v.clone()));
        let asymmetry = (vector::dot(&sample.u, &self.v) - vector::dot(&sample.v, &self.u)).abs();
        Ok([
            ("G against its factors", composition / self.scale),
            ("symmetry of G", asymmetry / self.scale),
        ])
    }
}
