//! Activations and their backwards, in exact forms.

use super::Importer;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::{Binary, Compare, Op, Reduce, Unary};
use burn_ir::{ActivationOperationIr, ScalarIr};
use std::f64::consts::{PI, SQRT_2};

impl Importer {
    pub(super) fn activation(&mut self, op: &ActivationOperationIr) -> Result<(), GraphError> {
        use ActivationOperationIr as A;
        match op {
            A::Relu(o) => self.node(Op::Unary(Unary::Relu), &[&o.input], &[&o.out]),
            A::Sigmoid(o) => self.node(Op::Unary(Unary::Sigmoid), &[&o.input], &[&o.out]),
            A::LogSigmoid(o) => self.node(Op::Unary(Unary::LogSigmoid), &[&o.input], &[&o.out]),
            A::ReluBackward(o) => {
                let (output, grad) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
                let mask = self.compare_scalar(Compare::LowerEqual, output, 0.0);
                let out = self.mask_fill(grad, mask, 0.0);
                self.set(&o.out, out);
                Ok(())
            }
            A::SigmoidBackward(o) => {
                let (output, grad) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
                let slope = self.sigmoid_slope(output);
                let out = self.mul(grad, slope);
                self.set(&o.out, out);
                Ok(())
            }
            A::LogSigmoidBackward(o) => {
                // d/dx log σ(x) = σ(−x)
                let (x, grad) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
                let negative = self.unary(Unary::Neg, x);
                let slope = self.unary(Unary::Sigmoid, negative);
                let out = self.mul(grad, slope);
                self.set(&o.out, out);
                Ok(())
            }
            A::Gelu(o) => {
                let x = self.get(&o.input)?;
                let phi = self.normal_distribution(x);
                let out = self.mul(x, phi);
                self.set(&o.out, out);
                Ok(())
            }
            A::GeluBackward(o) => {
                // Φ(x) + x φ(x), where Burn's default has a tanh approximation
                let (x, grad) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
                let phi = self.normal_distribution(x);
                let square = self.mul(x, x);
                let exponent = self.scalar(Binary::Mul, square, -0.5);
                let bell = self.unary(Unary::Exp, exponent);
                let density = self.scalar(Binary::Mul, bell, 1.0 / (2.0 * PI).sqrt());
                let tail = self.mul(x, density);
                let slope = self.add(phi, tail);
                let out = self.mul(grad, slope);
                self.set(&o.out, out);
                Ok(())
            }
            A::LeakyRelu(o) => {
                let x = self.get(&o.lhs)?;
                let mask = self.compare_scalar(Compare::Lower, x, 0.0);
                let scaled = self.scalar(Binary::Mul, x, number(o.rhs));
                let out = self.mask_where(x, mask, scaled);
                self.set(&o.out, out);
                Ok(())
            }
            A::PRelu(o) => {
                let (x, alpha) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
                let mask = self.compare_scalar(Compare::Lower, x, 0.0);
                let scaled = self.mul(x, alpha);
                let out = self.mask_where(x, mask, scaled);
                self.set(&o.out, out);
                Ok(())
            }
            A::HardSigmoid(o) => {
                let x = self.get(&o.tensor)?;
                let scaled = self.scalar(Binary::Mul, x, number(o.alpha));
                let line = self.scalar(Binary::Add, scaled, number(o.beta));
                let out =
                    self.clamped(line, Some(ScalarIr::Float(0.0)), Some(ScalarIr::Float(1.0)));
                self.set(&o.out, out);
                Ok(())
            }
            A::Softmax(o) => {
                let x = self.get(&o.input)?;
                let out = self.softmax(x, o.axis);
                self.set(&o.out, out);
                Ok(())
            }
            A::Softmin(o) => {
                let x = self.get(&o.input)?;
                let negative = self.unary(Unary::Neg, x);
                let out = self.softmax(negative, o.axis);
                self.set(&o.out, out);
                Ok(())
            }
            A::LogSoftmax(o) => {
                let x = self.get(&o.input)?;
                let shifted = self.shifted_by_maximum(x, o.axis);
                let exp = self.unary(Unary::Exp, shifted);
                let sum = self.reduce_dim(Reduce::Sum, exp, o.axis);
                let log = self.unary(Unary::Log, sum);
                let out = self.sub(shifted, log);
                self.set(&o.out, out);
                Ok(())
            }
        }
    }

    /// σ(1 − σ) from σ.
    fn sigmoid_slope(&mut self, output: ValueId) -> ValueId {
        let negative = self.unary(Unary::Neg, output);
        let complement = self.scalar(Binary::Add, negative, 1.0);
        self.mul(output, complement)
    }

    /// Φ(x) = ½ (1 + erf(x/√2)).
    fn normal_distribution(&mut self, x: ValueId) -> ValueId {
        let scaled = self.scalar(Binary::Mul, x, 1.0 / SQRT_2);
        let erf = self.unary(Unary::Erf, scaled);
        let shifted = self.scalar(Binary::Add, erf, 1.0);
        self.scalar(Binary::Mul, shifted, 0.5)
    }

    /// The maximum cancels in softmax and its derivatives, so it is a constant for both.
    fn shifted_by_maximum(&mut self, x: ValueId, dim: usize) -> ValueId {
        let maximum = self.reduce_dim(Reduce::Max, x, dim);
        let constant = self.detach(maximum);
        self.sub(x, constant)
    }

    pub(super) fn softmax(&mut self, x: ValueId, dim: usize) -> ValueId {
        let shifted = self.shifted_by_maximum(x, dim);
        let exp = self.unary(Unary::Exp, shifted);
        let sum = self.reduce_dim(Reduce::Sum, exp, dim);
        self.binary(Binary::Div, exp, sum)
    }
}

pub(super) fn number(scalar: ScalarIr) -> f64 {
    scalar.elem()
}
