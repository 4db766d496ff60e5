//! The operations of a recorded graph: few, simple, without ids.

use burn::tensor::IndexingUpdateOp;
use burn::tensor::{Distribution, Slice};
use burn_ir::{
    Conv1dOptionsIr, Conv2dOptionsIr, Conv3dOptionsIr, ConvTranspose1dOptionsIr,
    ConvTranspose2dOptionsIr, ConvTranspose3dOptionsIr, PadModeIr, ScalarIr,
};

/// What the elements of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Floating point, in the dtype of the evaluation.
    Float,
    /// Integer.
    Int,
    /// Boolean.
    Bool,
}

/// Elementwise functions of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Recip,
    Abs,
    Sign,
    Exp,
    Log,
    Log1p,
    Sqrt,
    Erf,
    Sin,
    Cos,
    Tan,
    Sinh,
    Cosh,
    Tanh,
    ArcSin,
    ArcCos,
    ArcTan,
    ArcSinh,
    ArcCosh,
    ArcTanh,
    Round,
    Floor,
    Ceil,
    Trunc,
    Relu,
    Sigmoid,
    LogSigmoid,
}

/// Elementwise functions of two values, broadcast against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Pow,
    ArcTan2,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Lower,
    LowerEqual,
}

/// Logic of two boolean values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Logic {
    And,
    Or,
    Xor,
}

/// Reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Reduce {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    ArgMax,
    ArgMin,
    Any,
    All,
}

/// Running reductions along a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Cumulative {
    Sum,
    Prod,
    Max,
    Min,
}

/// Sliding windows of a pooling in `N` dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Windows<const N: usize> {
    pub kernel: [usize; N],
    pub stride: [usize; N],
    pub padding: [usize; N],
    pub dilation: [usize; N],
    pub ceil_mode: bool,
    pub count_include_pad: bool,
}

/// Burn's own pooling kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Pool {
    Max1dWithIndices(Windows<1>),
    Max2dWithIndices(Windows<2>),
    Max1dBackward(Windows<1>),
    Max2dBackward(Windows<2>),
    Avg1dBackward(Windows<1>),
    Avg2dBackward(Windows<2>),
    AdaptiveAvg1dBackward,
    AdaptiveAvg2dBackward,
    AdaptiveAvg3dBackward,
}

/// One operation. Shapes and kinds of its results stand in the graph's table of values.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Op {
    // creation
    Full(ScalarIr),
    Random(Distribution),
    // layout
    Reshape,
    Expand,
    SwapDims(usize, usize),
    Permute(Vec<usize>),
    Flip(Vec<usize>),
    Slice(Vec<Slice>),
    SliceAssign(Vec<Slice>),
    RepeatDim {
        dim: usize,
        times: usize,
    },
    Cat {
        dim: usize,
    },
    Pad {
        padding: Vec<(usize, usize)>,
        mode: PadModeIr,
    },
    Unfold {
        dim: usize,
        size: usize,
        step: usize,
    },
    // indexing
    Gather {
        dim: usize,
    },
    Scatter {
        dim: usize,
        update: IndexingUpdateOp,
    },
    Select {
        dim: usize,
    },
    SelectAssign {
        dim: usize,
        update: IndexingUpdateOp,
    },
    MaskWhere,
    MaskFill(ScalarIr),
    // elementwise
    Unary(Unary),
    Binary(Binary),
    BinaryScalar(Binary, ScalarIr),
    Compare(Compare),
    CompareScalar(Compare, ScalarIr),
    Logic(Logic),
    Not,
    IsNan,
    IsInf,
    /// Between kinds; the identity between floats, since one dtype serves all floats of an evaluation.
    Cast,
    /// The value, as a constant for every derivative.
    Detach,
    // reductions
    Reduce(Reduce),
    ReduceDim(Reduce, usize),
    MaxDimWithIndices(usize),
    MinDimWithIndices(usize),
    Cumulative(Cumulative, usize),
    SortWithIndices {
        dim: usize,
        descending: bool,
    },
    // products
    Matmul,
    Conv1d(Conv1dOptionsIr),
    Conv2d(Conv2dOptionsIr),
    Conv3d(Conv3dOptionsIr),
    Conv1dXBackward(Conv1dOptionsIr),
    Conv2dXBackward(Conv2dOptionsIr),
    Conv3dXBackward(Conv3dOptionsIr),
    Conv1dWeightBackward(Conv1dOptionsIr),
    Conv2dWeightBackward(Conv2dOptionsIr),
    Conv3dWeightBackward(Conv3dOptionsIr),
    ConvTranspose1d(ConvTranspose1dOptionsIr),
    ConvTranspose2d(ConvTranspose2dOptionsIr),
    ConvTranspose3d(ConvTranspose3dOptionsIr),
    ConvTranspose1dWeightBackward(ConvTranspose1dOptionsIr),
    ConvTranspose2dWeightBackward(ConvTranspose2dOptionsIr),
    ConvTranspose3dWeightBackward(ConvTranspose3dOptionsIr),
    /// A pooling operation or its backward as Burn has it: evaluated, never differentiated.
    Pool(Pool),
}

impl Op {
    /// A short name for reports and errors: `matmul`, `binary(add)`.
    pub fn name(&self) -> String {
        let text = match self {
            Op::Unary(function) => return format!("{function:?}").to_lowercase(),
            Op::Binary(function) => return format!("{function:?}").to_lowercase(),
            Op::BinaryScalar(function, _) => return format!("{function:?}_scalar").to_lowercase(),
            Op::Reduce(function) => return format!("{function:?}").to_lowercase(),
            Op::ReduceDim(function, _) => return format!("{function:?}_dim").to_lowercase(),
            Op::Cumulative(function, _) => return format!("cum{function:?}").to_lowercase(),
            Op::Compare(function) | Op::CompareScalar(function, _) => {
                return format!("{function:?}").to_lowercase();
            }
            Op::Logic(function) => return format!("{function:?}").to_lowercase(),
            Op::Pool(pool) => format!("Pool{pool:?}"),
            other => format!("{other:?}"),
        };
        snake_case(text.split(['(', ' ', '{']).next().unwrap_or(&text))
    }
}

/// `Conv2dXBackward` as `conv2d_x_backward`.
pub(crate) fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (position, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && position > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_readable() {
        assert_eq!(Op::Matmul.name(), "matmul");
        assert_eq!(Op::Unary(Unary::Tanh).name(), "tanh");
        assert_eq!(
            Op::BinaryScalar(Binary::Mul, ScalarIr::Float(2.0)).name(),
            "mul_scalar"
        );
        assert_eq!(Op::ReduceDim(Reduce::Sum, 1).name(), "sum_dim");
        assert_eq!(Op::SwapDims(0, 1).name(), "swap_dims");
        assert_eq!(Op::Gather { dim: 1 }.name(), "gather");
    }
}
