use super::{Surface, SurfaceOptions, surface_observed};
use crate::error::CurvatureError;
use crate::point::Point;
use crate::progress::{Observer, unobserved};
use crate::vector::{dot_f64, from_f64, to_f64};
use burn::prelude::Tensor;

/// The plane through three solutions θ₁, θ₂, θ₃, with an orthonormal basis: u along θ₂ − θ₁, v by Gram-Schmidt from θ₃ − θ₁.
///
/// ```
/// use burn::prelude::*;
/// use ravine_curvature::landscape::Plane;
///
/// let device = Device::flex();
/// let [a, b, c] = [[1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [2.0, 4.0, 0.0]].map(|x| Tensor::<1>::from_data(x, &device));
/// let plane = Plane::through([&a, &b, &c])?;
/// assert_eq!(plane.coordinates(), [[0.0, 0.0], [2.0, 0.0], [1.0, 4.0]]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # References
///
/// T. Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs, NeurIPS 2018, appendix A.1.
#[derive(Clone, Debug)]
pub struct Plane {
    origin: Tensor<1>,
    basis: [Tensor<1>; 2],
    coordinates: [[f64; 2]; 3],
}

impl Plane {
    /// The plane through three vectors `[n]`, computed in f64.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] if their lengths differ, [`CurvatureError::NonFinite`] for numbers that are not finite,
    /// [`CurvatureError::Argument`] if they lie on a line, to the rounding of their dtype.
    pub fn through(solutions: [&Tensor<1>; 3]) -> Result<Self, CurvatureError> {
        let [origin, second, third] = solutions;
        let (device, dtype) = (origin.device(), origin.dtype());
        let n = origin.dims()[0];
        for other in [second, third] {
            if other.dims()[0] != n {
                return Err(CurvatureError::Dimension {
                    what: "a solution of the plane",
                    expected: n,
                    found: other.dims()[0],
                });
            }
        }
        let start = to_f64(origin);
        let from_start = |other: &Tensor<1>| -> Vec<f64> {
            let other = to_f64(other);
            other.iter().zip(&start).map(|(x, o)| x - o).collect()
        };
        let (mut u, mut v) = (from_start(second), from_start(third));
        let size = norm(&start) + norm(&u) + norm(&v);
        if !size.is_finite() {
            return Err(CurvatureError::NonFinite {
                what: "a solution of the plane",
                value: size,
            });
        }
        let unit = dtype.finfo().map_or(f64::EPSILON, |info| info.epsilon);
        let least = 8.0 * unit * size;
        let length = normalised(&mut u, least)?;
        let mut along = 0.0;
        // twice is enough for orthogonality to rounding
        for _ in 0..2 {
            let overlap = dot_f64(&u, &v);
            along += overlap;
            v.iter_mut().zip(&u).for_each(|(v, u)| *v -= overlap * u);
        }
        let height = normalised(&mut v, least)?;
        Ok(Self {
            origin: origin.clone(),
            basis: [u, v].map(|e| from_f64(&e, &device, dtype)),
            coordinates: [[0.0, 0.0], [length, 0.0], [along, height]],
        })
    }

    /// θ₁, the origin of the coordinates.
    pub fn origin(&self) -> &Tensor<1> {
        &self.origin
    }

    /// u and v, orthonormal.
    pub fn basis(&self) -> &[Tensor<1>; 2] {
        &self.basis
    }

    /// The coordinates of the three solutions; the first are (0, 0), the second (‖θ₂ − θ₁‖, 0).
    pub fn coordinates(&self) -> [[f64; 2]; 3] {
        self.coordinates
    }

    /// θ₁ + x u + y v.
    pub fn at(&self, [x, y]: [f64; 2]) -> Tensor<1> {
        let [u, v] = self.basis.clone();
        self.origin.clone() + u.mul_scalar(x) + v.mul_scalar(y)
    }

    /// The coordinates of the foot of the perpendicular from θ, and the distance of θ from the plane.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length.
    pub fn project(&self, theta: &Tensor<1>) -> Result<([f64; 2], f64), CurvatureError> {
        let (expected, found) = (self.origin.dims()[0], theta.dims()[0]);
        if expected != found {
            return Err(CurvatureError::Dimension {
                what: "a vector to project on the plane",
                expected,
                found,
            });
        }
        let (theta, origin) = (to_f64(theta), to_f64(&self.origin));
        let mut rest: Vec<f64> = theta.iter().zip(&origin).map(|(x, o)| x - o).collect();
        let coordinates = self.basis.each_ref().map(|e| {
            let e = to_f64(e);
            let coordinate = dot_f64(&e, &rest);
            rest.iter_mut()
                .zip(&e)
                .for_each(|(r, e)| *r -= coordinate * e);
            coordinate
        });
        Ok((coordinates, norm(&rest)))
    }

    /// The loss on the plane, in its coordinates; the point gives the loss and the batch.
    ///
    /// [`Grid::around`](super::Grid::around) the coordinates makes grids that hold all three solutions.
    ///
    /// # Errors
    ///
    /// As [`surface`](super::surface()).
    pub fn surface(
        &self,
        point: &Point,
        options: &SurfaceOptions,
    ) -> Result<Surface, CurvatureError> {
        self.surface_observed(point, options, &mut unobserved)
    }

    /// As [`surface`](Plane::surface), and shows an observer each loss evaluated.
    ///
    /// # Errors
    ///
    /// As [`surface`](super::surface()).
    pub fn surface_observed(
        &self,
        point: &Point,
        options: &SurfaceOptions,
        observer: &mut Observer<'_>,
    ) -> Result<Surface, CurvatureError> {
        let point = point.move_to(self.origin.clone())?;
        let [u, v] = &self.basis;
        surface_observed(&point, [u, v], options, observer)
    }
}

fn norm(x: &[f64]) -> f64 {
    dot_f64(x, x).sqrt()
}

/// Scales to norm one and gives the norm.
fn normalised(x: &mut [f64], least: f64) -> Result<f64, CurvatureError> {
    let norm = norm(x);
    if norm <= least {
        return Err(CurvatureError::Argument {
            name: "the distance of a solution from the line through the others",
            value: norm,
            requirement: "a plane needs three solutions that do not lie on a line",
        });
    }
    x.iter_mut().for_each(|x| *x /= norm);
    Ok(norm)
}
