use crate::operations::OperationError;
use ravine_curvature::{LinearOperator, Point};

/// The Gauss-Newton matrix at a point.
pub(crate) fn gauss_newton(point: &Point) -> Result<Box<dyn LinearOperator>, OperationError> {
    Ok(Box::new(point.gauss_newton()?))
}
