use crate::operations::OperationError;
use ravine_curvature::{LinearOperator, Point};

/// The Gauss-Newton matrix at a point.
pub(crate) fn gauss_newton(_point: &Point) -> Result<Box<dyn LinearOperator>, OperationError> {
    Err(OperationError::NotAvailable("Gauss-Newton products"))
}
