use super::host::{Operand, axpy, norm};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use burn::prelude::Tensor;

/// ‖b − Ax‖, computed with a product instead of a recurrence.
///
/// # Cost
///
/// One operator application.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for vectors of another length, what the operator reports.
pub fn true_residual(
    operator: &dyn LinearOperator,
    x: &Tensor<1>,
    b: &Tensor<1>,
) -> Result<f64, CurvatureError> {
    let mut operand = Operand::new(operator);
    let (x, mut residual) = (
        operand.read("the solution", x)?,
        operand.read("the right-hand side", b)?,
    );
    axpy(&mut residual, -1.0, &operand.apply(&x)?);
    Ok(norm(&residual))
}
