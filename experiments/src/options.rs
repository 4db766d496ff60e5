//! What every experiment can be told, whatever it measures.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{DeviceChoice, Seeds};

/// Seeds, device and precision of a run: the table `[run]` of its `config.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunOptions {
    /// The seeds that the measurements are repeated with.
    pub seeds: Seeds,
    /// The device that everything is computed on.
    pub device: DeviceChoice,
    /// The dtype of the model's parameters and data.
    pub dtype: Dtype,
    /// How Hessian-vector products are executed.
    pub hvp: Hvp,
    /// The dtype in which curvature is evaluated.
    pub curvature_dtype: CurvatureDtype,
}

/// The dtype of the model's parameters and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// 64-bit floats.
    F64,
}

/// How Hessian-vector products are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Hvp {
    /// The second backward pass is recorded once as a graph and evaluated for each vector.
    #[default]
    Recorded,
    /// The gradient's graph is replayed under automatic differentiation for each vector.
    Tape,
}

/// The dtype in which curvature is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum CurvatureDtype {
    /// The model's own.
    #[default]
    Model,
    /// 64-bit floats, whatever the model's dtype.
    F64,
}

macro_rules! display_as_on_the_command_line {
    ($($option:ty),*) => {$(
        impl fmt::Display for $option {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let shown = self.to_possible_value();
                formatter.pad(shown.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )*};
}

display_as_on_the_command_line!(Dtype, Hvp, CurvatureDtype);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_command_line_use_the_same_words() {
        let options = RunOptions {
            seeds: "0..5".parse().unwrap(),
            device: DeviceChoice::Ndarray,
            dtype: Dtype::F64,
            hvp: Hvp::Tape,
            curvature_dtype: CurvatureDtype::F64,
        };

        let text = toml::to_string(&options).unwrap();

        let expected = "seeds = \"0..5\"\ndevice = \"ndarray\"\ndtype = \"f64\"\nhvp = \"tape\"\n\
                        curvature_dtype = \"f64\"\n";
        assert_eq!(text, expected);
        assert_eq!(toml::from_str::<RunOptions>(&text).unwrap(), options);
        assert_eq!(options.dtype.to_string(), "f64");
        assert_eq!(CurvatureDtype::Model.to_string(), "model");
    }
}
