use burn::tensor::DType;

/// The rounding unit u of a float dtype: half the distance from 1 to the next number.
pub(crate) fn rounding_unit(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 0.5 * f64::EPSILON,
        DType::F16 => 2.0_f64.powi(-11),
        DType::BF16 => 2.0_f64.powi(-8),
        _ => 0.5 * f64::from(f32::EPSILON),
    }
}
