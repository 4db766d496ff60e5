//! One operation on one device, through Burn's runtime dispatch.
//!
//! The same function serves plain devices (values), autodiff devices (values with a tape) and autodiff capture devices
//! (recording a derivative), because Burn's dispatch backend takes all of them.

use crate::graph::Value;
use crate::op::{Binary, Compare, Cumulative, Kind, Logic, Op, Pool, Reduce, Unary, Windows};
use burn::backend::ops::{ActivationOps, BoolTensorOps, FloatTensorOps, IntTensorOps, ModuleOps};
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::prelude::Device;
use burn::tensor::{BoolDType, DType, FloatDType, IntDType, Scalar, TensorData};
use burn_ir::{Conv1dOptionsIr, Conv2dOptionsIr, ScalarIr};

/// Where and in which dtypes a graph is evaluated.
#[derive(Clone, Debug)]
pub struct Target {
    /// The device; an autodiff device only for tapes and recordings.
    pub device: Device,
    /// The dtype of all floats.
    pub float: FloatDType,
    /// The dtype of integers that the graph computes.
    pub int: IntDType,
    /// The dtype of booleans that the graph computes.
    pub bool: BoolDType,
    /// How sigmoids are computed.
    pub sigmoid: SigmoidForm,
}

/// Burn's default `sigmoid` passes through f32, so that in f64 another form is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigmoidForm {
    /// Burn's own, with its own derivative: for recordings, and for f32.
    Native,
    /// 1/(1 + exp(−x)): exact in every dtype; its derivative by a tape overflows for large −x.
    Exponential,
    /// ½ (1 + tanh(x/2)): its derivative by a tape is exact.
    Tanh,
}

impl Target {
    /// Evaluation of plain values on `device` in `float`.
    pub fn values(device: &Device, float: FloatDType) -> Self {
        let settings = device.settings();
        Self {
            device: device.clone(),
            float,
            int: settings.int_dtype,
            bool: settings.bool_dtype,
            sigmoid: match float {
                FloatDType::F64 => SigmoidForm::Exponential,
                _ => SigmoidForm::Native,
            },
        }
    }

    /// Evaluation on the autodiff side of `device`.
    pub fn tape(device: &Device, float: FloatDType) -> Self {
        Self {
            sigmoid: match float {
                FloatDType::F64 => SigmoidForm::Tanh,
                _ => SigmoidForm::Native,
            },
            ..Self::values(device, float)
        }
    }

    /// Recording on a capture device, whose floats all count as `float`.
    pub fn recording(device: &Device, float: FloatDType) -> Self {
        Self {
            sigmoid: SigmoidForm::Native,
            ..Self::values(device, float)
        }
    }

    /// A constant on the device.
    pub fn constant(&self, data: &TensorData) -> DispatchTensor {
        let device = self.device.as_dispatch();
        let dtype = data.dtype();
        if dtype.is_float() {
            let data = data.clone().convert_dtype(self.float.into());
            Dispatch::float_from_data(data, device)
        } else if dtype.is_bool() {
            Dispatch::bool_from_data(data.clone().convert_dtype(self.bool.into()), device)
        } else {
            Dispatch::int_from_data(data.clone().convert_dtype(self.int.into()), device)
        }
    }
}

/// Results of one operation: one, or two for those that return indices as well.
pub(crate) enum Results {
    One(DispatchTensor),
    Two(DispatchTensor, DispatchTensor),
}

/// Applies `op`. Inputs are given away, so that the device may work in place.
pub(crate) fn apply(
    op: &Op,
    inputs: Vec<DispatchTensor>,
    outputs: &[&Value],
    target: &Target,
) -> Results {
    let kind = match inputs.first() {
        Some(tensor) => kind_of(tensor.dtype()),
        None => outputs[0].kind,
    };
    let out = outputs[0];
    if let Op::Cat { dim } = op {
        return Results::One(match kind {
            Kind::Float => Dispatch::float_cat(inputs, *dim),
            Kind::Int => Dispatch::int_cat(inputs, *dim),
            Kind::Bool => Dispatch::bool_cat(inputs, *dim),
        });
    }
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next().expect("an operation has its inputs");
    let one = match op {
        Op::MaxDimWithIndices(dim) => {
            let x = next();
            let (values, indices) = match kind {
                Kind::Int => Dispatch::int_max_dim_with_indices(x, *dim),
                _ => Dispatch::float_max_dim_with_indices(x, *dim, target.int),
            };
            return Results::Two(values, indices);
        }
        Op::MinDimWithIndices(dim) => {
            let x = next();
            let (values, indices) = match kind {
                Kind::Int => Dispatch::int_min_dim_with_indices(x, *dim),
                _ => Dispatch::float_min_dim_with_indices(x, *dim, target.int),
            };
            return Results::Two(values, indices);
        }
        Op::SortWithIndices { dim, descending } => {
            let x = next();
            let (values, indices) = match kind {
                Kind::Int => Dispatch::int_sort_with_indices(x, *dim, *descending),
                _ => Dispatch::float_sort_with_indices(x, *dim, *descending, target.int),
            };
            return Results::Two(values, indices);
        }
        Op::Pool(operation) => return pool(*operation, &mut next, target),
        Op::Full(value) => full(*value, out, target),
        Op::Random(distribution) => match out.kind {
            Kind::Int => Dispatch::int_random(
                out.shape.clone(),
                *distribution,
                target.device.as_dispatch(),
                target.int,
            ),
            _ => Dispatch::float_random(
                out.shape.clone(),
                *distribution,
                target.device.as_dispatch(),
                target.float,
            ),
        },
        Op::Unary(function) => unary(*function, next(), kind, target),
        Op::Binary(function) => binary(*function, next(), next(), kind),
        Op::BinaryScalar(function, scalar) => binary_scalar(*function, next(), *scalar, kind),
        Op::Compare(function) => compare(*function, next(), next(), kind, target),
        Op::CompareScalar(function, scalar) => {
            compare_scalar(*function, next(), *scalar, kind, target)
        }
        Op::Logic(Logic::And) => Dispatch::bool_and(next(), next()),
        Op::Logic(Logic::Or) => Dispatch::bool_or(next(), next()),
        Op::Logic(Logic::Xor) => Dispatch::bool_xor(next(), next()),
        Op::Not => Dispatch::bool_not(next()),
        Op::IsNan => Dispatch::float_is_nan(next(), target.bool),
        Op::IsInf => Dispatch::float_is_inf(next(), target.bool),
        Op::Cast => cast(next(), kind, out.kind, target),
        Op::Detach => Dispatch::float_detach(next()),
        Op::Reduce(function) => reduce(*function, next(), kind, target),
        Op::ReduceDim(function, dim) => reduce_dim(*function, next(), *dim, kind, target),
        Op::Cumulative(function, dim) => cumulative(*function, next(), *dim, kind),
        Op::Matmul => Dispatch::float_matmul(next(), next()),
        Op::Conv1d(o) => Dispatch::conv1d(next(), next(), None, o.clone().into()),
        Op::Conv2d(o) => Dispatch::conv2d(next(), next(), None, o.clone().into()),
        Op::Conv3d(o) => Dispatch::conv3d(next(), next(), None, o.clone().into()),
        Op::Conv1dXBackward(o) => {
            Dispatch::conv1d_x_backward(next(), next(), next(), o.clone().into())
        }
        Op::Conv2dXBackward(o) => {
            Dispatch::conv2d_x_backward(next(), next(), next(), o.clone().into())
        }
        Op::Conv3dXBackward(o) => {
            Dispatch::conv3d_x_backward(next(), next(), next(), o.clone().into())
        }
        Op::Conv1dWeightBackward(o) => conv1d_weight_backward(next(), next(), next(), o),
        Op::Conv2dWeightBackward(o) => {
            Dispatch::conv2d_weight_backward(next(), next(), next(), o.clone().into())
        }
        Op::Conv3dWeightBackward(o) => {
            Dispatch::conv3d_weight_backward(next(), next(), next(), o.clone().into())
        }
        Op::ConvTranspose1d(o) => {
            Dispatch::conv_transpose1d(next(), next(), None, o.clone().into())
        }
        Op::ConvTranspose2d(o) => {
            Dispatch::conv_transpose2d(next(), next(), None, o.clone().into())
        }
        Op::ConvTranspose3d(o) => {
            Dispatch::conv_transpose3d(next(), next(), None, o.clone().into())
        }
        Op::ConvTranspose1dWeightBackward(o) => {
            Dispatch::conv_transpose1d_weight_backward(next(), next(), next(), o.clone().into())
        }
        Op::ConvTranspose2dWeightBackward(o) => {
            Dispatch::conv_transpose2d_weight_backward(next(), next(), next(), o.clone().into())
        }
        Op::ConvTranspose3dWeightBackward(o) => {
            Dispatch::conv_transpose3d_weight_backward(next(), next(), next(), o.clone().into())
        }
        // not by the input's dtype: Flex gathers booleans into bytes
        layout => match out.kind {
            Kind::Float => float_layout(layout, &mut next, out),
            Kind::Int => int_layout(layout, &mut next, out),
            Kind::Bool => bool_layout(layout, &mut next, out),
        },
    };
    Results::One(one)
}

pub(crate) fn kind_of(dtype: DType) -> Kind {
    if dtype.is_float() {
        Kind::Float
    } else if dtype.is_bool() {
        Kind::Bool
    } else {
        Kind::Int
    }
}

fn full(value: ScalarIr, out: &Value, target: &Target) -> DispatchTensor {
    let device = target.device.as_dispatch();
    let shape = out.shape.clone();
    match out.kind {
        Kind::Float => Dispatch::float_full(shape, value.into(), device, target.float),
        Kind::Int => Dispatch::int_full(shape, value.into(), device, target.int),
        Kind::Bool => match value.elem::<f32>() == 0.0 {
            true => Dispatch::bool_zeros(shape, device, target.bool),
            false => Dispatch::bool_ones(shape, device, target.bool),
        },
    }
}

fn unary(function: Unary, x: DispatchTensor, kind: Kind, target: &Target) -> DispatchTensor {
    if kind == Kind::Int {
        return match function {
            Unary::Neg => Dispatch::int_neg(x),
            Unary::Abs => Dispatch::int_abs(x),
            Unary::Sign => Dispatch::int_sign(x),
            other => unreachable!("{other:?} of integers is not in Burn's representation"),
        };
    }
    match function {
        Unary::Neg => Dispatch::float_neg(x),
        Unary::Recip => Dispatch::float_recip(x),
        Unary::Abs => Dispatch::float_abs(x),
        Unary::Sign => Dispatch::float_sign(x),
        Unary::Exp => Dispatch::float_exp(x),
        Unary::Log => Dispatch::float_log(x),
        Unary::Log1p => Dispatch::float_log1p(x),
        Unary::Sqrt => Dispatch::float_sqrt(x),
        Unary::Erf => Dispatch::float_erf(x),
        Unary::Sin => Dispatch::float_sin(x),
        Unary::Cos => Dispatch::float_cos(x),
        Unary::Tan => Dispatch::float_tan(x),
        Unary::Sinh => Dispatch::float_sinh(x),
        Unary::Cosh => Dispatch::float_cosh(x),
        Unary::Tanh => Dispatch::float_tanh(x),
        Unary::ArcSin => Dispatch::float_asin(x),
        Unary::ArcCos => Dispatch::float_acos(x),
        Unary::ArcTan => Dispatch::float_atan(x),
        Unary::ArcSinh => Dispatch::float_asinh(x),
        Unary::ArcCosh => Dispatch::float_acosh(x),
        Unary::ArcTanh => Dispatch::float_atanh(x),
        Unary::Round => Dispatch::float_round(x),
        Unary::Floor => Dispatch::float_floor(x),
        Unary::Ceil => Dispatch::float_ceil(x),
        Unary::Trunc => Dispatch::float_trunc(x),
        Unary::Relu => Dispatch::relu(x),
        Unary::Sigmoid => sigmoid(x, target.sigmoid),
        Unary::LogSigmoid => Dispatch::log_sigmoid(x),
    }
}

fn sigmoid(x: DispatchTensor, form: SigmoidForm) -> DispatchTensor {
    match form {
        SigmoidForm::Native => Dispatch::sigmoid(x),
        SigmoidForm::Exponential => {
            let exp = Dispatch::float_exp(Dispatch::float_neg(x));
            Dispatch::float_recip(Dispatch::float_add_scalar(exp, 1.0.into()))
        }
        SigmoidForm::Tanh => {
            let tanh = Dispatch::float_tanh(Dispatch::float_mul_scalar(x, 0.5.into()));
            Dispatch::float_mul_scalar(Dispatch::float_add_scalar(tanh, 1.0.into()), 0.5.into())
        }
    }
}

fn binary(function: Binary, x: DispatchTensor, y: DispatchTensor, kind: Kind) -> DispatchTensor {
    match (kind, function) {
        (Kind::Int, Binary::Add) => Dispatch::int_add(x, y),
        (Kind::Int, Binary::Sub) => Dispatch::int_sub(x, y),
        (Kind::Int, Binary::Mul) => Dispatch::int_mul(x, y),
        (Kind::Int, Binary::Div) => Dispatch::int_div(x, y),
        (Kind::Int, Binary::Rem) => Dispatch::int_remainder(x, y),
        (Kind::Int, Binary::Pow) => Dispatch::int_powi(x, y),
        (_, Binary::Add) => Dispatch::float_add(x, y),
        (_, Binary::Sub) => Dispatch::float_sub(x, y),
        (_, Binary::Mul) => Dispatch::float_mul(x, y),
        (_, Binary::Div) => Dispatch::float_div(x, y),
        (_, Binary::Rem) => Dispatch::float_remainder(x, y),
        (_, Binary::Pow) => Dispatch::float_powf(x, y),
        (_, Binary::ArcTan2) => Dispatch::float_atan2(x, y),
    }
}

fn binary_scalar(
    function: Binary,
    x: DispatchTensor,
    scalar: ScalarIr,
    kind: Kind,
) -> DispatchTensor {
    let y: Scalar = scalar.into();
    match (kind, function) {
        (Kind::Int, Binary::Add) => Dispatch::int_add_scalar(x, y),
        (Kind::Int, Binary::Sub) => Dispatch::int_sub_scalar(x, y),
        (Kind::Int, Binary::Mul) => Dispatch::int_mul_scalar(x, y),
        (Kind::Int, Binary::Div) => Dispatch::int_div_scalar(x, y),
        (Kind::Int, Binary::Rem) => Dispatch::int_remainder_scalar(x, y),
        (Kind::Int, Binary::Pow) => Dispatch::int_powi_scalar(x, y),
        (_, Binary::Add) => Dispatch::float_add_scalar(x, y),
        (_, Binary::Sub) => Dispatch::float_sub_scalar(x, y),
        (_, Binary::Mul) => Dispatch::float_mul_scalar(x, y),
        (_, Binary::Div) => Dispatch::float_div_scalar(x, y),
        (_, Binary::Rem) => Dispatch::float_remainder_scalar(x, y),
        (_, Binary::Pow) => Dispatch::float_powf_scalar(x, y),
        (_, Binary::ArcTan2) => unreachable!("Burn has no arc tangent with a scalar"),
    }
}

fn compare(
    function: Compare,
    x: DispatchTensor,
    y: DispatchTensor,
    kind: Kind,
    target: &Target,
) -> DispatchTensor {
    let out = target.bool;
    match (kind, function) {
        (Kind::Bool, Compare::Equal) => Dispatch::bool_equal(x, y),
        (Kind::Bool, _) => Dispatch::bool_not_equal(x, y),
        (Kind::Int, Compare::Equal) => Dispatch::int_equal(x, y, out),
        (Kind::Int, Compare::NotEqual) => Dispatch::int_not_equal(x, y, out),
        (Kind::Int, Compare::Greater) => Dispatch::int_greater(x, y, out),
        (Kind::Int, Compare::GreaterEqual) => Dispatch::int_greater_equal(x, y, out),
        (Kind::Int, Compare::Lower) => Dispatch::int_lower(x, y, out),
        (Kind::Int, Compare::LowerEqual) => Dispatch::int_lower_equal(x, y, out),
        (_, Compare::Equal) => Dispatch::float_equal(x, y, out),
        (_, Compare::NotEqual) => Dispatch::float_not_equal(x, y, out),
        (_, Compare::Greater) => Dispatch::float_greater(x, y, out),
        (_, Compare::GreaterEqual) => Dispatch::float_greater_equal(x, y, out),
        (_, Compare::Lower) => Dispatch::float_lower(x, y, out),
        (_, Compare::LowerEqual) => Dispatch::float_lower_equal(x, y, out),
    }
}

fn compare_scalar(
    function: Compare,
    x: DispatchTensor,
    scalar: ScalarIr,
    kind: Kind,
    target: &Target,
) -> DispatchTensor {
    let out = target.bool;
    let y: Scalar = scalar.into();
    match (kind, function) {
        (Kind::Bool, Compare::Equal) => Dispatch::bool_equal_elem(x, y),
        (Kind::Bool, _) => Dispatch::bool_not_equal_elem(x, y),
        (Kind::Int, Compare::Equal) => Dispatch::int_equal_elem(x, y, out),
        (Kind::Int, Compare::NotEqual) => Dispatch::int_not_equal_elem(x, y, out),
        (Kind::Int, Compare::Greater) => Dispatch::int_greater_elem(x, y, out),
        (Kind::Int, Compare::GreaterEqual) => Dispatch::int_greater_equal_elem(x, y, out),
        (Kind::Int, Compare::Lower) => Dispatch::int_lower_elem(x, y, out),
        (Kind::Int, Compare::LowerEqual) => Dispatch::int_lower_equal_elem(x, y, out),
        (_, Compare::Equal) => Dispatch::float_equal_elem(x, y, out),
        (_, Compare::NotEqual) => Dispatch::float_not_equal_elem(x, y, out),
        (_, Compare::Greater) => Dispatch::float_greater_elem(x, y, out),
        (_, Compare::GreaterEqual) => Dispatch::float_greater_equal_elem(x, y, out),
        (_, Compare::Lower) => Dispatch::float_lower_elem(x, y, out),
        (_, Compare::LowerEqual) => Dispatch::float_lower_equal_elem(x, y, out),
    }
}

/// Burn 0.22.1 does not cut what the stride leaves over from the gradient of a grouped kernel, and returns wrong numbers; in two
/// dimensions it does.
fn conv1d_weight_backward(
    x: DispatchTensor,
    weight: DispatchTensor,
    grad: DispatchTensor,
    o: &Conv1dOptionsIr,
) -> DispatchTensor {
    if o.groups == 1 {
        return Dispatch::conv1d_weight_backward(x, weight, grad, o.clone().into());
    }
    let shape = weight.shape();
    let plane = |tensor: DispatchTensor| {
        let shape = [&tensor.shape()[..], &[1]].concat();
        Dispatch::float_reshape(tensor, shape.into())
    };
    let options = Conv2dOptionsIr {
        stride: [o.stride[0], 1],
        padding: [o.padding[0], (0, 0)],
        dilation: [o.dilation[0], 1],
        groups: o.groups,
    };
    let (x, weight, grad) = (plane(x), plane(weight), plane(grad));
    let plane_grad = Dispatch::conv2d_weight_backward(x, weight, grad, options.into());
    Dispatch::float_reshape(plane_grad, shape)
}

fn cast(x: DispatchTensor, from: Kind, to: Kind, target: &Target) -> DispatchTensor {
    match (from, to) {
        (Kind::Float, Kind::Int) => Dispatch::float_into_int(x, target.int),
        (Kind::Int, Kind::Float) => Dispatch::int_into_float(x, target.float),
        (Kind::Bool, Kind::Float) => Dispatch::bool_into_float(x, target.float),
        (Kind::Bool, Kind::Int) => Dispatch::bool_into_int(x, target.int),
        (Kind::Int, Kind::Bool) => Dispatch::int_not_equal_elem(x, 0.into(), target.bool),
        (Kind::Float, Kind::Bool) => Dispatch::float_not_equal_elem(x, 0.0.into(), target.bool),
        _ => x,
    }
}

fn reduce(function: Reduce, x: DispatchTensor, kind: Kind, target: &Target) -> DispatchTensor {
    match (kind, function) {
        (Kind::Bool, Reduce::All) => Dispatch::bool_all(x),
        (Kind::Bool, _) => Dispatch::bool_any(x),
        (Kind::Int, Reduce::Sum) => Dispatch::int_sum(x),
        (Kind::Int, Reduce::Mean) => Dispatch::int_mean(x),
        (Kind::Int, Reduce::Prod) => Dispatch::int_prod(x),
        (Kind::Int, Reduce::Max) => Dispatch::int_max(x),
        (Kind::Int, Reduce::Min) => Dispatch::int_min(x),
        (Kind::Int, Reduce::Any) => Dispatch::int_any(x, target.bool),
        (Kind::Int, Reduce::All) => Dispatch::int_all(x, target.bool),
        (_, Reduce::Sum) => Dispatch::float_sum(x),
        (_, Reduce::Mean) => Dispatch::float_mean(x),
        (_, Reduce::Prod) => Dispatch::float_prod(x),
        (_, Reduce::Max) => Dispatch::float_max(x),
        (_, Reduce::Min) => Dispatch::float_min(x),
        (_, Reduce::Any) => Dispatch::float_any(x, target.bool),
        (_, Reduce::All) => Dispatch::float_all(x, target.bool),
        (_, Reduce::ArgMax | Reduce::ArgMin) => {
            unreachable!("positions are taken along a dimension")
        }
    }
}

fn reduce_dim(
    function: Reduce,
    x: DispatchTensor,
    dim: usize,
    kind: Kind,
    target: &Target,
) -> DispatchTensor {
    match (kind, function) {
        (Kind::Bool, Reduce::All) => Dispatch::bool_all_dim(x, dim),
        (Kind::Bool, _) => Dispatch::bool_any_dim(x, dim),
        (Kind::Int, Reduce::Sum) => Dispatch::int_sum_dim(x, dim),
        (Kind::Int, Reduce::Mean) => Dispatch::int_mean_dim(x, dim),
        (Kind::Int, Reduce::Prod) => Dispatch::int_prod_dim(x, dim),
        (Kind::Int, Reduce::Max) => Dispatch::int_max_dim(x, dim),
        (Kind::Int, Reduce::Min) => Dispatch::int_min_dim(x, dim),
        (Kind::Int, Reduce::ArgMax) => Dispatch::int_argmax(x, dim),
        (Kind::Int, Reduce::ArgMin) => Dispatch::int_argmin(x, dim),
        (Kind::Int, Reduce::Any) => Dispatch::int_any_dim(x, dim, target.bool),
        (Kind::Int, Reduce::All) => Dispatch::int_all_dim(x, dim, target.bool),
        (_, Reduce::Sum) => Dispatch::float_sum_dim(x, dim),
        (_, Reduce::Mean) => Dispatch::float_mean_dim(x, dim),
        (_, Reduce::Prod) => Dispatch::float_prod_dim(x, dim),
        (_, Reduce::Max) => Dispatch::float_max_dim(x, dim),
        (_, Reduce::Min) => Dispatch::float_min_dim(x, dim),
        (_, Reduce::ArgMax) => Dispatch::float_argmax(x, dim, target.int),
        (_, Reduce::ArgMin) => Dispatch::float_argmin(x, dim, target.int),
        (_, Reduce::Any) => Dispatch::float_any_dim(x, dim, target.bool),
        (_, Reduce::All) => Dispatch::float_all_dim(x, dim, target.bool),
    }
}

fn cumulative(function: Cumulative, x: DispatchTensor, dim: usize, kind: Kind) -> DispatchTensor {
    match (kind, function) {
        (Kind::Int, Cumulative::Sum) => Dispatch::int_cumsum(x, dim),
        (Kind::Int, Cumulative::Prod) => Dispatch::int_cumprod(x, dim),
        (Kind::Int, Cumulative::Max) => Dispatch::int_cummax(x, dim),
        (Kind::Int, Cumulative::Min) => Dispatch::int_cummin(x, dim),
        (_, Cumulative::Sum) => Dispatch::float_cumsum(x, dim),
        (_, Cumulative::Prod) => Dispatch::float_cumprod(x, dim),
        (_, Cumulative::Max) => Dispatch::float_cummax(x, dim),
        (_, Cumulative::Min) => Dispatch::float_cummin(x, dim),
    }
}

/// Layout and indexing operations, alike for each kind of element.
macro_rules! layout {
    ($name:ident, $reshape:ident, $expand:ident, $swap:ident, $permute:ident, $flip:ident, $slice:ident, $assign:ident,
     $repeat:ident, $unfold:ident, $gather:ident, $select:ident, $where:ident, $fill:ident, $rest:expr) => {
        fn $name(op: &Op, next: &mut dyn FnMut() -> DispatchTensor, out: &Value) -> DispatchTensor {
            match op {
                Op::Reshape => Dispatch::$reshape(next(), out.shape.clone()),
                Op::Expand => Dispatch::$expand(next(), out.shape.clone()),
                Op::SwapDims(a, b) => Dispatch::$swap(next(), *a, *b),
                Op::Permute(axes) => Dispatch::$permute(next(), axes),
                Op::Flip(axes) => Dispatch::$flip(next(), axes),
                Op::Slice(ranges) => Dispatch::$slice(next(), ranges),
                Op::SliceAssign(ranges) => {
                    let x = next();
                    Dispatch::$assign(x, ranges, next())
                }
                Op::RepeatDim { dim, times } => Dispatch::$repeat(next(), *dim, *times),
                Op::Unfold { dim, size, step } => Dispatch::$unfold(next(), *dim, *size, *step),
                Op::Gather { dim } => {
                    let x = next();
                    Dispatch::$gather(*dim, x, next())
                }
                Op::Select { dim } => {
                    let x = next();
                    Dispatch::$select(x, *dim, next())
                }
                Op::MaskWhere => {
                    let x = next();
                    let mask = next();
                    Dispatch::$where(x, mask, next())
                }
                Op::MaskFill(value) => {
                    let x = next();
                    Dispatch::$fill(x, next(), (*value).into())
                }
                other => {
                    let rest: fn(&Op, &mut dyn FnMut() -> DispatchTensor) -> DispatchTensor = $rest;
                    rest(other, next)
                }
            }
        }
    };
}

layout!(
    float_layout,
    float_reshape,
    float_expand,
    float_swap_dims,
    float_permute,
    float_flip,
    float_slice,
    float_slice_assign,
    float_repeat_dim,
    float_unfold,
    float_gather,
    float_select,
    float_mask_where,
    float_mask_fill,
    |op, next| match op {
        Op::Scatter { dim, update } => {
            let x = next();
            let indices = next();
            Dispatch::float_scatter(*dim, x, indices, next(), *update)
        }
        Op::SelectAssign { dim, update } => {
            let x = next();
            let indices = next();
            Dispatch::float_select_assign(x, *dim, indices, next(), *update)
        }
        Op::Pad { padding, mode } => Dispatch::float_pad(next(), padding, (*mode).into()),
        other => unreachable!("{} is handled before", other.name()),
    }
);

layout!(
    int_layout,
    int_reshape,
    int_expand,
    int_swap_dims,
    int_permute,
    int_flip,
    int_slice,
    int_slice_assign,
    int_repeat_dim,
    int_unfold,
    int_gather,
    int_select,
    int_mask_where,
    int_mask_fill,
    |op, next| match op {
        Op::Scatter { dim, update } => {
            let x = next();
            let indices = next();
            Dispatch::int_scatter(*dim, x, indices, next(), *update)
        }
        Op::SelectAssign { dim, update } => {
            let x = next();
            let indices = next();
            Dispatch::int_select_assign(x, *dim, indices, next(), *update)
        }
        Op::Pad { padding, mode } => Dispatch::int_pad(next(), padding, (*mode).into()),
        other => unreachable!("{} is handled before", other.name()),
    }
);

layout!(
    bool_layout,
    bool_reshape,
    bool_expand,
    bool_swap_dims,
    bool_permute,
    bool_flip,
    bool_slice,
    bool_slice_assign,
    bool_repeat_dim,
    bool_unfold,
    bool_gather,
    bool_select,
    bool_mask_where,
    bool_mask_fill,
    |op, _| unreachable!("{} of booleans is not in Burn's representation", op.name())
);

/// Burn's own pooling kernels.
fn pool(op: Pool, next: &mut dyn FnMut() -> DispatchTensor, target: &Target) -> Results {
    let x = next();
    let one = match op {
        Pool::Max1dWithIndices(w) => {
            let [(kernel, stride, padding, dilation)] = each(w);
            let ceil = w.ceil_mode;
            let pooled = Dispatch::max_pool1d_with_indices(
                x, kernel, stride, padding, dilation, ceil, target.int,
            );
            return Results::Two(pooled.output, pooled.indices);
        }
        Pool::Max2dWithIndices(w) => {
            let pooled = Dispatch::max_pool2d_with_indices(
                x,
                w.kernel,
                w.stride,
                w.padding,
                w.dilation,
                w.ceil_mode,
                target.int,
            );
            return Results::Two(pooled.output, pooled.indices);
        }
        Pool::Max1dBackward(w) => {
            let [(kernel, stride, padding, dilation)] = each(w);
            let (ceil, grad) = (w.ceil_mode, next());
            Dispatch::max_pool1d_with_indices_backward(
                x,
                kernel,
                stride,
                padding,
                dilation,
                ceil,
                grad,
                next(),
            )
            .x_grad
        }
        Pool::Max2dBackward(w) => {
            let grad = next();
            Dispatch::max_pool2d_with_indices_backward(
                x,
                w.kernel,
                w.stride,
                w.padding,
                w.dilation,
                w.ceil_mode,
                grad,
                next(),
            )
            .x_grad
        }
        Pool::Avg1dBackward(w) => {
            let [(kernel, stride, padding, _)] = each(w);
            let (counted, ceil) = (w.count_include_pad, w.ceil_mode);
            Dispatch::avg_pool1d_backward(x, next(), kernel, stride, padding, counted, ceil)
        }
        Pool::Avg2dBackward(w) => Dispatch::avg_pool2d_backward(
            x,
            next(),
            w.kernel,
            w.stride,
            w.padding,
            w.count_include_pad,
            w.ceil_mode,
        ),
        Pool::AdaptiveAvg1dBackward => Dispatch::adaptive_avg_pool1d_backward(x, next()),
        Pool::AdaptiveAvg2dBackward => Dispatch::adaptive_avg_pool2d_backward(x, next()),
        Pool::AdaptiveAvg3dBackward => Dispatch::adaptive_avg_pool3d_backward(x, next()),
    };
    Results::One(one)
}

/// Kernel, stride, padding and dilation of the one dimension.
fn each(w: Windows<1>) -> [(usize, usize, usize, usize); 1] {
    [(w.kernel[0], w.stride[0], w.padding[0], w.dilation[0])]
}
