//! Arithmetic, reductions and float functions.

use super::Importer;
use super::activation::number;
use crate::capture::DETACHED;
use crate::error::GraphError;
use crate::graph::ValueId;
use crate::op::{Binary, Compare, Cumulative, Kind, Op, Reduce, Unary};
use burn_ir::{
    BinaryOpIr, FloatOperationIr, NumericOperationIr, ReduceDimOpIr, ReduceOpIr, ScalarIr,
    ScalarOpIr, TensorIr, UnaryOpIr,
};

impl Importer {
    pub(super) fn numeric(&mut self, op: &NumericOperationIr) -> Result<(), GraphError> {
        use NumericOperationIr as N;
        match op {
            N::Add(o) => self.two(Binary::Add, o),
            N::Sub(o) => self.two(Binary::Sub, o),
            N::Mul(o) => self.two(Binary::Mul, o),
            N::Div(o) => self.two(Binary::Div, o),
            N::Rem(o) => self.two(Binary::Rem, o),
            N::Powi(o) => self.power(o),
            N::AddScalar(o) => self.with_scalar(Binary::Add, o),
            N::SubScalar(o) => self.with_scalar(Binary::Sub, o),
            N::MulScalar(o) => self.with_scalar(Binary::Mul, o),
            N::DivScalar(o) => self.divided(o),
            N::RemScalar(o) => self.with_scalar(Binary::Rem, o),
            N::PowiScalar(o) => self.with_scalar(Binary::Pow, o),
            N::Abs(o) => self.one(Unary::Abs, o),
            N::Neg(o) => self.one(Unary::Neg, o),
            N::Sign(o) => self.one(Unary::Sign, o),
            N::Full(o) => self.node(Op::Full(o.value), &[], &[&o.out]),
            N::IntRandom(o) => self.node(Op::Random(o.distribution), &[], &[&o.out]),
            N::Sum(o) => self.all(Reduce::Sum, o),
            N::Mean(o) => self.all(Reduce::Mean, o),
            N::Prod(o) => self.all(Reduce::Prod, o),
            N::Max(o) => self.all(Reduce::Max, o),
            N::Min(o) => self.all(Reduce::Min, o),
            N::SumDim(o) => self.along(Reduce::Sum, o),
            N::MeanDim(o) => self.along(Reduce::Mean, o),
            N::ProdDim(o) => self.along(Reduce::Prod, o),
            N::MaxDim(o) => self.along(Reduce::Max, o),
            N::MinDim(o) => self.along(Reduce::Min, o),
            N::ArgMax(o) => self.along(Reduce::ArgMax, o),
            N::ArgMin(o) => self.along(Reduce::ArgMin, o),
            N::SumDims(o) => {
                let mut x = self.get(&o.input)?;
                for &axis in &o.axes {
                    x = self.reduce_dim(Reduce::Sum, x, axis);
                }
                self.set(&o.out, x);
                Ok(())
            }
            N::MaxAbs(o) => {
                let x = self.get(&o.input)?;
                let absolute = self.unary(Unary::Abs, x);
                let out = self.graph.push(
                    Op::Reduce(Reduce::Max),
                    [absolute],
                    Kind::Float,
                    o.out.shape.clone(),
                );
                self.set(&o.out, out);
                Ok(())
            }
            N::MaxAbsDim(o) => {
                let x = self.get(&o.input)?;
                let absolute = self.unary(Unary::Abs, x);
                let out = self.reduce_dim(Reduce::Max, absolute, o.axis);
                self.set(&o.out, out);
                Ok(())
            }
            N::MaxDimWithIndices(o) => {
                let op = Op::MaxDimWithIndices(o.dim);
                self.node(op, &[&o.tensor], &[&o.out, &o.out_indices])
            }
            N::MinDimWithIndices(o) => {
                let op = Op::MinDimWithIndices(o.dim);
                self.node(op, &[&o.tensor], &[&o.out, &o.out_indices])
            }
            N::Greater(o) => self.comparison(Compare::Greater, o),
            N::GreaterEqual(o) => self.comparison(Compare::GreaterEqual, o),
            N::Lower(o) => self.comparison(Compare::Lower, o),
            N::LowerEqual(o) => self.comparison(Compare::LowerEqual, o),
            N::GreaterElem(o) => self.comparison_scalar(Compare::Greater, o),
            N::GreaterEqualElem(o) => self.comparison_scalar(Compare::GreaterEqual, o),
            N::LowerElem(o) => self.comparison_scalar(Compare::Lower, o),
            N::LowerEqualElem(o) => self.comparison_scalar(Compare::LowerEqual, o),
            N::Clamp(o) if [o.min.elem::<f64>(), o.max.elem::<f64>()] == DETACHED => {
                self.node(Op::Detach, &[&o.tensor], &[&o.out])
            }
            N::Clamp(o) => self.clamp(&o.tensor, Some(o.min), Some(o.max), &o.out),
            N::ClampMin(o) => self.clamp(&o.lhs, Some(o.rhs), None, &o.out),
            N::ClampMax(o) => self.clamp(&o.lhs, None, Some(o.rhs), &o.out),
            N::CumSum(o) => self.node(
                Op::Cumulative(Cumulative::Sum, o.axis),
                &[&o.input],
                &[&o.out],
            ),
            N::CumProd(o) => self.node(
                Op::Cumulative(Cumulative::Prod, o.axis),
                &[&o.input],
                &[&o.out],
            ),
            N::CumMin(o) => self.node(
                Op::Cumulative(Cumulative::Min, o.axis),
                &[&o.input],
                &[&o.out],
            ),
            N::CumMax(o) => self.node(
                Op::Cumulative(Cumulative::Max, o.axis),
                &[&o.input],
                &[&o.out],
            ),
            N::SortWithIndices(o) => {
                let op = Op::SortWithIndices {
                    dim: o.dim,
                    descending: o.descending,
                };
                self.node(op, &[&o.input], &[&o.out, &o.out_indices])
            }
            N::Sort(o) => self.sort(o, SortResult::Values),
            N::ArgSort(o) => self.sort(o, SortResult::Indices),
            N::Pad(o) => {
                let op = Op::Pad {
                    padding: o.padding.clone(),
                    mode: o.mode,
                };
                self.node(op, &[&o.input], &[&o.out])
            }
            N::TopK(o) => self.top_k(o),
            N::ArgTopK(o) => self.arg_top_k(o),
            N::TopKWithIndices(o) => self.top_k_with_indices(o),
        }
    }

    pub(super) fn float(&mut self, op: &FloatOperationIr) -> Result<(), GraphError> {
        use FloatOperationIr as F;
        match op {
            F::Exp(o) => self.one(Unary::Exp, o),
            F::Log(o) => self.one(Unary::Log, o),
            F::Log1p(o) => self.one(Unary::Log1p, o),
            F::Erf(o) => self.one(Unary::Erf, o),
            F::Sqrt(o) => self.one(Unary::Sqrt, o),
            F::Cos(o) => self.one(Unary::Cos, o),
            F::Cosh(o) => self.one(Unary::Cosh, o),
            F::Sin(o) => self.one(Unary::Sin, o),
            F::Sinh(o) => self.one(Unary::Sinh, o),
            F::Tan(o) => self.one(Unary::Tan, o),
            F::Tanh(o) => self.one(Unary::Tanh, o),
            F::ArcCos(o) => self.one(Unary::ArcCos, o),
            F::ArcCosh(o) => self.one(Unary::ArcCosh, o),
            F::ArcSin(o) => self.one(Unary::ArcSin, o),
            F::ArcSinh(o) => self.one(Unary::ArcSinh, o),
            F::ArcTan(o) => self.one(Unary::ArcTan, o),
            F::ArcTanh(o) => self.one(Unary::ArcTanh, o),
            F::Round(o) => self.one(Unary::Round, o),
            F::Floor(o) => self.one(Unary::Floor, o),
            F::Ceil(o) => self.one(Unary::Ceil, o),
            F::Trunc(o) => self.one(Unary::Trunc, o),
            F::Recip(o) => self.one(Unary::Recip, o),
            F::ArcTan2(o) => self.two(Binary::ArcTan2, o),
            F::Powf(o) => self.two(Binary::Pow, o),
            F::PowfScalar(o) => self.with_scalar(Binary::Pow, o),
            F::Hypot(o) => {
                let (x, y) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
                let (xx, yy) = (self.mul(x, x), self.mul(y, y));
                let sum = self.add(xx, yy);
                let out = self.unary(Unary::Sqrt, sum);
                self.set(&o.out, out);
                Ok(())
            }
            F::IntoInt(o) => self.node(Op::Cast, &[&o.input], &[&o.out]),
            F::Matmul(o) => self.node(Op::Matmul, &[&o.lhs, &o.rhs], &[&o.out]),
            F::Random(o) => self.node(Op::Random(o.distribution), &[], &[&o.out]),
            F::IsNan(o) => self.node(Op::IsNan, &[&o.input], &[&o.out]),
            F::IsInf(o) => self.node(Op::IsInf, &[&o.input], &[&o.out]),
            F::Cross(o) => self.cross(o),
            F::GridSample2d(o) => Err(self.unsupported(
                "grid_sample_2d",
                std::slice::from_ref(&o.tensor),
                "it has no lowering as one operation, as which it is recorded where nothing is trained",
            )),
            F::Quantize(o) => Err(self.unsupported(
                "quantize",
                std::slice::from_ref(&o.tensor),
                "rounding has no derivative",
            )),
            F::Dequantize(o) => Err(self.unsupported(
                "dequantize",
                std::slice::from_ref(&o.input),
                "quantised tensors are not recorded",
            )),
        }
    }

    fn one(&mut self, function: Unary, o: &UnaryOpIr) -> Result<(), GraphError> {
        self.node(Op::Unary(function), &[&o.input], &[&o.out])
    }

    fn two(&mut self, function: Binary, o: &BinaryOpIr) -> Result<(), GraphError> {
        self.node(Op::Binary(function), &[&o.lhs, &o.rhs], &[&o.out])
    }

    fn with_scalar(&mut self, function: Binary, o: &ScalarOpIr) -> Result<(), GraphError> {
        self.node(Op::BinaryScalar(function, o.rhs), &[&o.lhs], &[&o.out])
    }

    /// A division of floats as a product: burn-autodiff rounds the reciprocal to f32 in the derivative of a division.
    fn divided(&mut self, o: &ScalarOpIr) -> Result<(), GraphError> {
        let x = self.get(&o.lhs)?;
        let reciprocal = 1.0 / number(o.rhs);
        if self.graph.values[x].kind != Kind::Float || !reciprocal.is_normal() {
            return self.with_scalar(Binary::Div, o);
        }
        let out = self.scalar(Binary::Mul, x, reciprocal);
        self.set(&o.out, out);
        Ok(())
    }

    fn all(&mut self, reduce: Reduce, o: &ReduceOpIr) -> Result<(), GraphError> {
        self.node(Op::Reduce(reduce), &[&o.input], &[&o.out])
    }

    fn along(&mut self, reduce: Reduce, o: &ReduceDimOpIr) -> Result<(), GraphError> {
        self.node(Op::ReduceDim(reduce, o.axis), &[&o.input], &[&o.out])
    }

    fn comparison(&mut self, compare: Compare, o: &BinaryOpIr) -> Result<(), GraphError> {
        self.node(Op::Compare(compare), &[&o.lhs, &o.rhs], &[&o.out])
    }

    fn comparison_scalar(&mut self, compare: Compare, o: &ScalarOpIr) -> Result<(), GraphError> {
        self.node(Op::CompareScalar(compare, o.rhs), &[&o.lhs], &[&o.out])
    }

    /// An integer exponent tensor becomes a float one.
    fn power(&mut self, o: &BinaryOpIr) -> Result<(), GraphError> {
        let (base, exponent) = (self.get(&o.lhs)?, self.get(&o.rhs)?);
        let exponent = match self.graph.values[exponent].kind {
            Kind::Float => exponent,
            _ => {
                let shape = self.shape(exponent);
                self.graph.push(Op::Cast, [exponent], Kind::Float, shape)
            }
        };
        let out = self.binary(Binary::Pow, base, exponent);
        self.set(&o.out, out);
        Ok(())
    }

    /// A mask and a fill for each bound: the derivative is exactly one inside and zero outside.
    fn clamp(
        &mut self,
        x: &TensorIr,
        min: Option<ScalarIr>,
        max: Option<ScalarIr>,
        out: &TensorIr,
    ) -> Result<(), GraphError> {
        let x = self.get(x)?;
        let clamped = self.clamped(x, min, max);
        self.set(out, clamped);
        Ok(())
    }

    pub(super) fn clamped(
        &mut self,
        mut x: ValueId,
        min: Option<ScalarIr>,
        max: Option<ScalarIr>,
    ) -> ValueId {
        let (kind, shape) = (self.graph.values[x].kind, self.shape(x));
        for (compare, bound) in [(Compare::Lower, min), (Compare::Greater, max)] {
            let Some(bound) = bound else { continue };
            let mask = self.graph.push(
                Op::CompareScalar(compare, bound),
                [x],
                Kind::Bool,
                shape.clone(),
            );
            x = self
                .graph
                .push(Op::MaskFill(bound), [x, mask], kind, shape.clone());
        }
        x
    }

    fn sort(&mut self, o: &burn_ir::SortOpIr, result: SortResult) -> Result<(), GraphError> {
        let x = self.get(&o.input)?;
        let (kind, shape) = (self.graph.values[x].kind, self.shape(x));
        let values = self.graph.value(kind, shape.clone());
        let indices = self.graph.value(Kind::Int, shape);
        self.graph.nodes.push(crate::graph::Node {
            op: Op::SortWithIndices {
                dim: o.dim,
                descending: o.descending,
            },
            inputs: vec![x],
            outputs: vec![values, indices],
        });
        let out = match result {
            SortResult::Values => values,
            SortResult::Indices => indices,
        };
        self.set(&o.out, out);
        Ok(())
    }
}

/// Which of the two results of a sort is wanted.
enum SortResult {
    Values,
    Indices,
}
