//! Many right-hand sides at once: each solve by itself, the products in blocks.

use super::state::{Need, State};
use super::{CgOptions, CgResult};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::row_blocks::block_to_f64;
use crate::solve::host::{Operand, check_preconditioner};
use burn::prelude::Tensor;
use std::ops::ControlFlow;

/// Solves H x = b by conjugate gradients for several b, whose products are computed in blocks.
///
/// Each solve takes the iterates that [`conjugate_gradient`](super::conjugate_gradient) would, up to the rounding of block products,
/// and ends by itself. A start is that of all of them.
///
/// # Shapes
///
/// `bs` `[k, n]`, a right-hand side a row; k results.
///
/// # Cost
///
/// As k solves, in blocks of those that are not done yet; memory for 4 k vectors in f64.
///
/// # Errors
///
/// As [`conjugate_gradient`](super::conjugate_gradient).
pub fn conjugate_gradient_many(
    op: &dyn LinearOperator,
    bs: &Tensor<2>,
    options: &CgOptions<'_>,
) -> Result<Vec<CgResult>, CurvatureError> {
    let [count, found] = bs.dims();
    let span = tracing::debug_span!("conjugate gradients", dim = op.dim(), count);
    let _entered = span.enter();
    check_preconditioner(options.preconditioner, op.dim())?;
    if found != op.dim() {
        return Err(CurvatureError::Dimension {
            what: "a right-hand side",
            expected: op.dim(),
            found,
        });
    }
    let mut operand = Operand::new(op);
    let numbers = block_to_f64(bs);
    let rows = (0..count).map(|row| numbers[row * found..(row + 1) * found].to_vec());
    let mut applications = vec![0; count];
    let mut states: Vec<State> = match options.start {
        None => rows.map(|b| State::from_zero(b, options)).collect(),
        Some(start) => {
            let start = operand.read("the start", start)?;
            let product = operand.apply(&start)?;
            applications.fill(1);
            rows.map(|b| State::from_start(b, start.clone(), product.clone(), options))
                .collect()
        }
    };
    let mut inverse = options.preconditioner.map(Operand::new);
    loop {
        let open: Vec<usize> = (0..count)
            .filter(|&row| states[row].need().is_some())
            .collect();
        if open.is_empty() {
            break;
        }
        // all open solves wait for the same: they started together
        for row in &open {
            if inverse.is_none() && matches!(states[*row].need(), Some(Need::Preconditioned(_))) {
                states[*row].preconditioned(None);
            }
        }
        let block = match &inverse {
            Some(inverse) => inverse.block_size().max(operand.block_size()),
            None => operand.block_size(),
        };
        for rows in open.chunks(block) {
            round(
                &mut states,
                rows,
                &mut operand,
                inverse.as_mut(),
                &mut applications,
            )?;
        }
    }
    let results = states.into_iter().zip(applications);
    Ok(results
        .map(|(state, applications)| state.finish(&operand, applications))
        .collect())
}

/// Gives each of the solves what it waits for.
fn round(
    states: &mut [State],
    rows: &[usize],
    operand: &mut Operand<'_>,
    inverse: Option<&mut Operand<'_>>,
    applications: &mut [usize],
) -> Result<(), CurvatureError> {
    let (mut products, mut residuals) = (Vec::new(), Vec::new());
    for &row in rows {
        match states[row].need() {
            Some(Need::Product(p)) => products.push((row, p)),
            Some(Need::Preconditioned(r)) => residuals.push((row, r)),
            None => {}
        }
    }
    let vectors = |pairs: &[(usize, &[f64])]| -> Vec<usize> { pairs.iter().map(|p| p.0).collect() };
    let (product_rows, residual_rows) = (vectors(&products), vectors(&residuals));
    let products = products.into_iter().map(|p| p.1).collect::<Vec<_>>();
    let residuals = residuals.into_iter().map(|p| p.1).collect::<Vec<_>>();
    let products = operand.apply_all(&products)?;
    let preconditioned = match inverse {
        Some(inverse) => inverse.apply_all(&residuals)?,
        None => Vec::new(),
    };
    for (row, product) in product_rows.into_iter().zip(products) {
        applications[row] += 1;
        if states[row].advance(&product).is_some() {
            states[row].decide(ControlFlow::Continue(()));
        }
    }
    for (row, z) in residual_rows.into_iter().zip(preconditioned) {
        states[row].preconditioned(Some(z));
    }
    Ok(())
}
