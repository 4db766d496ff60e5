use super::{check_dimension, check_length};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator, row_by_row};
use crate::row_blocks::as_row;
use crate::solve::{
    CgEnding, CgOptions, CgResult, MinresEnding, MinresOptions, NeumannEnding, NeumannOptions,
    conjugate_gradient, conjugate_gradient_many, minres, neumann,
};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// How the products of an [`Inverse`] are solved for.
#[derive(Clone, Copy)]
pub enum InverseMethod<'a> {
    /// Conjugate gradients, for a positive definite operator; blocks are solved side by side.
    Cg(CgOptions<'a>),
    /// MINRES, for an operator of any sign; of a singular one the pseudo-inverse.
    Minres(MinresOptions<'a>),
    /// The truncated Neumann series, which is exactly linear.
    Neumann(NeumannOptions),
}

/// What happens to a product whose solve does not reach its tolerance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unconverged {
    /// It is [`CurvatureError::Unsolved`], with the residual.
    #[default]
    Refuse,
    /// The iterate there is.
    Accept,
}

/// A⁻¹ by an iterative solve for each product.
///
/// It is linear and symmetric up to the tolerance of the solves.
///
/// # Cost
///
/// A solve per product; conjugate gradients take several at once.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::{Diagonal, Inverse, InverseMethod};
/// use ravine_curvature::{CgOptions, LinearOperator, vector};
///
/// let device = Device::flex();
/// let tensor = |values: &[f64]| vector::from_f64(values, &device, DType::F64);
/// let inverse = Inverse::new(Diagonal::new(tensor(&[2.0, 4.0])), InverseMethod::Cg(CgOptions::default()));
/// let x = vector::to_f64(&inverse.apply(&tensor(&[1.0, 1.0]))?);
/// assert!((x[0] - 0.5).abs() < 1e-12 && (x[1] - 0.25).abs() < 1e-12);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub struct Inverse<'a, A> {
    operator: A,
    method: InverseMethod<'a>,
    unconverged: Unconverged,
}

impl<'a, A: LinearOperator> Inverse<'a, A> {
    /// The inverse of an operator; a product that does not converge is an error.
    pub fn new(operator: A, method: InverseMethod<'a>) -> Self {
        Self {
            operator,
            method,
            unconverged: Unconverged::Refuse,
        }
    }

    /// With another treatment of products that do not converge.
    pub fn unconverged(self, unconverged: Unconverged) -> Self {
        Self {
            unconverged,
            ..self
        }
    }

    /// The operator that is inverted.
    pub fn operator(&self) -> &A {
        &self.operator
    }

    fn by_cg(&self, solve: CgResult) -> Result<Tensor<1>, CurvatureError> {
        let first = solve.residual_norms.first().copied().unwrap_or(0.0);
        let end = Solved {
            converged: matches!(solve.ending, CgEnding::Converged),
            ending: match solve.ending {
                CgEnding::NegativeCurvature { .. } => "NegativeCurvature".to_owned(),
                ref other => format!("{other:?}"),
            },
            relative_residual: solve.residual_norm() / first,
            applications: solve.applications,
        };
        self.checked(solve.solution, end)
    }

    fn checked(&self, x: Tensor<1>, end: Solved) -> Result<Tensor<1>, CurvatureError> {
        match end.converged || self.unconverged == Unconverged::Accept {
            true => Ok(x),
            false => Err(CurvatureError::Unsolved {
                what: "an inverse",
                ending: end.ending,
                relative_residual: end.relative_residual,
                applications: end.applications,
            }),
        }
    }
}

struct Solved {
    converged: bool,
    ending: String,
    relative_residual: f64,
    applications: usize,
}

impl<A: LinearOperator> LinearOperator for Inverse<'_, A> {
    fn dim(&self) -> usize {
        self.operator.dim()
    }
    fn device(&self) -> Device {
        self.operator.device()
    }
    fn dtype(&self) -> DType {
        self.operator.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for an inverse", v, self.dim())?;
        match &self.method {
            InverseMethod::Cg(options) => {
                self.by_cg(conjugate_gradient(&self.operator, v, options)?)
            }
            InverseMethod::Minres(options) => {
                let solve = minres(&self.operator, v, options)?;
                let first = solve.residual_norms.first().copied().unwrap_or(0.0);
                let end = Solved {
                    converged: matches!(
                        solve.ending,
                        MinresEnding::Converged | MinresEnding::LeastSquares
                    ),
                    ending: match solve.ending {
                        MinresEnding::NegativeCurvature { .. } => "NegativeCurvature".to_owned(),
                        ref other => format!("{other:?}"),
                    },
                    relative_residual: solve.residual_norm() / first,
                    applications: solve.applications,
                };
                self.checked(solve.solution, end)
            }
            InverseMethod::Neumann(options) => {
                let sum = neumann(&self.operator, v, options)?;
                let last = sum.residual_norms.last().copied().unwrap_or(0.0);
                let end = Solved {
                    converged: sum.ending == NeumannEnding::Converged,
                    ending: format!("{:?}", sum.ending),
                    relative_residual: last / sum.residual_norms[0],
                    applications: sum.applications,
                };
                self.checked(sum.solution, end)
            }
        }
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector for an inverse", found, self.dim())?;
        let InverseMethod::Cg(options) = &self.method else {
            return row_by_row(&|v: &Tensor<1>| self.apply(v), vs);
        };
        if count == 0 {
            return Ok(vs.clone());
        }
        let solves = conjugate_gradient_many(&self.operator, vs, options)?;
        let rows = solves
            .into_iter()
            .map(|solve| Ok(as_row(&self.by_cg(solve)?)))
            .collect::<Result<Vec<_>, CurvatureError>>()?;
        Ok(Tensor::cat(rows, 0))
    }
    fn block_size(&self) -> usize {
        match self.method {
            InverseMethod::Cg(_) => self.operator.block_size(),
            _ => 1,
        }
    }
    fn definiteness(&self) -> Definiteness {
        // exact solves have the signs of the operator; a truncated one of a semidefinite operator may not
        match self.operator.definiteness() {
            Definiteness::PositiveDefinite => Definiteness::PositiveDefinite,
            _ => Definiteness::Unknown,
        }
    }
}
