//! Second moments of the gradients of single examples, entry by entry, in given bases.

use super::operator::Bases;
use super::pass::{LayerAt, LayerPass, part};
use super::product::product;
use crate::error::CurvatureError;
use crate::output_factors::OutputFactors;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use std::sync::Arc;

/// Σ_nc (U_Aᵀ G_nc U_B)∘² for the gradients G_nc = Σ_r a gᵀ of all examples and vectors u: `[inputs, outputs]` for each block.
///
/// These are the diagonals of the blocks of Σ_nc vec(G) vec(G)ᵀ in the bases, exactly; in the parameters themselves without bases.
pub(crate) fn second_moments(
    pass: &LayerPass<'_>,
    factors: &OutputFactors,
    bases: Option<&[Arc<Bases>]>,
) -> Result<Vec<Mat<f64>>, CurvatureError> {
    pass.check_independent()?;
    let mut moments: Vec<Vec<Mat<f64>>> = (pass.layers.iter())
        .map(|at| {
            let zeros = || Mat::zeros(at.entries[0].inputs, at.layer.outputs);
            (0..at.layer.groups).map(|_| zeros()).collect()
        })
        .collect();
    let mut first = 0;
    let of_layer: Vec<Option<&[Arc<Bases>]>> = (pass.layers.iter())
        .map(|at| {
            let own = first..first + at.layer.groups;
            first = own.end;
            bases.map(|bases| &bases[own])
        })
        .collect();
    pass.for_each(factors, |gradients| {
        (pass.layers.par_iter().zip(&mut moments).zip(&of_layer))
            .for_each(|((at, moments), bases)| at.add_moments(moments, gradients, *bases));
    })?;
    Ok(moments.into_iter().flatten().collect())
}

impl LayerAt<'_> {
    fn add_moments(
        &self,
        moments: &mut [Mat<f64>],
        gradients: &[&[f64]],
        bases: Option<&[Arc<Bases>]>,
    ) {
        let (inputs, outputs) = (self.entries[0].inputs, self.layer.outputs);
        for chunk in self.chunks() {
            let activations = self.activations(chunk.clone());
            let own: Vec<Vec<f64>> = (gradients.iter())
                .map(|gradient| self.gradients(gradient, chunk.clone()))
                .collect();
            for (group, moments) in moments.iter_mut().enumerate() {
                let basis = bases.map(|bases| &*bases[group]);
                let columns = group * inputs..(group + 1) * inputs;
                let a = part(&activations, columns, self.input_width());
                let a = in_basis(a, basis.map(|basis| &basis.a));
                let gs = own.iter().map(|gradient| {
                    let columns = group * outputs..(group + 1) * outputs;
                    let g = part(gradient, columns, self.output_width());
                    in_basis(g, basis.map(|basis| &basis.b))
                });
                match self.positions() {
                    1 => add_of_single(moments, &a, gs),
                    positions => add_of_shared(moments, &a, gs, positions),
                }
            }
        }
    }
}

fn in_basis(rows: MatRef<'_, f64>, basis: Option<&Mat<f64>>) -> Mat<f64> {
    match basis {
        Some(basis) => product(rows, basis.as_ref()),
        None => rows.to_owned(),
    }
}

/// One position an example: (a gᵀ)∘² = a∘² g∘²ᵀ.
fn add_of_single(moments: &mut Mat<f64>, a: &Mat<f64>, gs: impl Iterator<Item = Mat<f64>>) {
    let mut squares = Mat::<f64>::zeros(a.nrows(), moments.ncols());
    for g in gs {
        squares += squared(&g);
    }
    let a = squared(a);
    matmul(moments, Accum::Add, a.transpose(), &squares, 1.0, Par::Seq);
}

fn squared(matrix: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| {
        matrix[(i, j)].powi(2)
    })
}

fn add_of_shared(
    moments: &mut Mat<f64>,
    a: &Mat<f64>,
    gs: impl Iterator<Item = Mat<f64>>,
    positions: usize,
) {
    let mut gradient = Mat::zeros(moments.nrows(), moments.ncols());
    for g in gs {
        for first in (0..a.nrows()).step_by(positions) {
            let a = a.subrows(first, positions).transpose();
            let g = g.subrows(first, positions);
            matmul(&mut gradient, Accum::Replace, a, g, 1.0, Par::Seq);
            for (sum, own) in moments.col_iter_mut().zip(gradient.col_iter()) {
                (sum.iter_mut().zip(own.iter())).for_each(|(sum, x)| *sum += x * x);
            }
        }
    }
}
