//! From a device's name on the command line to Burn's device, set up once for a dtype.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use burn::tensor::{Device, DeviceConfig, FloatDType};
use serde::{Deserialize, Serialize};

use crate::Dtype;

/// A device by name: `flex`, `ndarray`, `cuda`, `cuda:1` or `wgpu`.
///
/// `cuda` and `wgpu` can be named always and opened only in a build with the Cargo feature of that name, so that a
/// recorded `config.toml` can be read on any machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum DeviceChoice {
    /// Burn's processor backend.
    #[default]
    Flex,
    /// The older processor backend on the `ndarray` crate.
    Ndarray,
    /// A CUDA card.
    Cuda {
        /// Which card, from 0.
        index: usize,
    },
    /// The best card that WebGPU finds.
    Wgpu,
}

impl DeviceChoice {
    /// The device, with `dtype` as the default of every float tensor that is created on it from now on.
    ///
    /// # Errors
    ///
    /// When the build lacks the device's Cargo feature, when the device cannot compute in `dtype`, or when this
    /// process has already used the device with another default.
    pub fn open(self, dtype: Dtype) -> anyhow::Result<Device> {
        let mut device = self.locate()?;
        let wanted = match dtype {
            Dtype::F32 => FloatDType::F32,
            Dtype::F64 => FloatDType::F64,
        };
        let configured = device.configure(DeviceConfig::default().float_dtype(wanted));
        // Burn keeps one default per device and process. A second run in one process is fine as long as it agrees.
        if configured.is_err() && device.settings().float_dtype == wanted {
            return Ok(device);
        }
        configured.with_context(|| format!("--device {self} --dtype {dtype}"))?;
        Ok(device)
    }

    fn locate(self) -> anyhow::Result<Device> {
        match self {
            Self::Flex => Ok(Device::flex()),
            #[expect(deprecated, reason = "supported as long as the pinned Burn has it")]
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "cuda")]
            Self::Cuda { index } => Ok(Device::cuda(index)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda { .. } => bail!(missing_feature("cuda")),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => bail!(missing_feature("wgpu")),
        }
    }
}

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn missing_feature(feature: &str) -> String {
    format!(
        "this build has no device `{feature}`: build it with the Cargo feature `{feature}` \
         (cargo run --features {feature} ..)"
    )
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flex => formatter.pad("flex"),
            Self::Ndarray => formatter.pad("ndarray"),
            Self::Cuda { index: 0 } => formatter.pad("cuda"),
            Self::Cuda { index } => formatter.pad(&format!("cuda:{index}")),
            Self::Wgpu => formatter.pad("wgpu"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        ensure!(
            index.is_none() || name == "cuda",
            "device `{text}`: only `cuda` takes a number, as in `cuda:1`"
        );
        match name {
            "flex" => Ok(Self::Flex),
            "ndarray" => Ok(Self::Ndarray),
            "cuda" => Ok(Self::Cuda {
                index: index
                    .unwrap_or("0")
                    .parse()
                    .ok()
                    .with_context(|| format!("device `{text}`: want `cuda` or `cuda:1`"))?,
            }),
            "wgpu" => Ok(Self::Wgpu),
            _ => bail!("no device `{text}`: want flex, ndarray, cuda, cuda:<number> or wgpu"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Tensor};

    use super::*;

    #[test]
    fn names_parse_back() {
        for name in ["flex", "ndarray", "cuda", "cuda:1", "wgpu"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "flex:1", "cuda:x"] {
            assert!(name.parse::<DeviceChoice>().is_err(), "{name}");
        }
    }

    /// Defaults belong to the process: no other test of this binary may use `ndarray`.
    #[test]
    fn f64_is_the_default_of_every_tensor_from_then_on() {
        let device = DeviceChoice::Ndarray.open(Dtype::F64).unwrap();
        assert_eq!(Tensor::<1>::zeros([2], &device).dtype(), DType::F64);
        let autodiff = device.clone().autodiff();
        assert_eq!(Tensor::<1>::zeros([2], &autodiff).dtype(), DType::F64);

        DeviceChoice::Ndarray.open(Dtype::F64).unwrap();
        let other = DeviceChoice::Ndarray.open(Dtype::F32).unwrap_err();
        assert!(
            other.to_string().contains("--device ndarray --dtype f32"),
            "{other:#}"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_outside_the_build_names_its_feature() {
        let error = DeviceChoice::Cuda { index: 0 }
            .open(Dtype::F32)
            .unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error:#}");
    }
}
