use crate::error::{CurvatureError, check_dimension};
use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::module::{Module, ParamId};
use burn::prelude::Tensor;
use burn::tensor::Shape;
use ravine_graph::{DispatchTensor, ModuleTensors, Parameter};
use std::ops::Range;

/// Where a parameter lies in the flat vector.
#[derive(Clone, Debug)]
pub struct LayoutEntry {
    /// Path in the module, such as `layers.0.weight`.
    pub name: String,
    /// Burn's identity of the parameter.
    pub id: ParamId,
    /// Shape of the parameter.
    pub shape: Shape,
    /// Its elements in the flat vector, row-major.
    pub range: Range<usize>,
}

/// The order of a module's trainable parameters in one flat vector: the module's own order, each row-major.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::prelude::*;
/// use ravine_curvature::ParameterLayout;
///
/// let layer = LinearConfig::new(3, 2).init(&Device::flex());
/// let layout = ParameterLayout::of(&layer)?;
/// assert_eq!(layout.dim(), 8);
/// assert_eq!(layout.range("bias"), Some(6..8));
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParameterLayout {
    entries: Vec<LayoutEntry>,
    dim: usize,
}

impl ParameterLayout {
    /// The layout of a module.
    ///
    /// # Errors
    ///
    /// [`ravine_graph::GraphError::NoParameters`] if nothing is trainable.
    pub fn of<M: Module>(module: &M) -> Result<Self, CurvatureError> {
        Ok(Self::new(&ModuleTensors::read(module)?.parameters))
    }

    pub(crate) fn new(parameters: &[Parameter]) -> Self {
        let mut dim = 0;
        let entries = parameters
            .iter()
            .map(|parameter| {
                let start = dim;
                dim += parameter.shape.num_elements();
                LayoutEntry {
                    name: parameter.name.clone(),
                    id: parameter.id,
                    shape: parameter.shape.clone(),
                    range: start..dim,
                }
            })
            .collect();
        Self { entries, dim }
    }

    /// Number of trainable parameters.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All parameters, in order.
    pub fn entries(&self) -> &[LayoutEntry] {
        &self.entries
    }

    /// The elements of a parameter, by its name.
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        self.entries
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.range.clone())
    }

    /// A parameter by its name.
    pub(crate) fn entry(&self, name: &str) -> Result<&LayoutEntry, CurvatureError> {
        let found = self.entries.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.entries.iter().map(|e| e.name.as_str()).collect();
            CurvatureError::UnknownParameter {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
    }

    /// Checks the dimension of a flat vector.
    pub(crate) fn check(
        &self,
        what: &'static str,
        vector: &Tensor<1>,
    ) -> Result<(), CurvatureError> {
        check_dimension(what, vector.dims()[0], self.dim)
    }

    /// A flat vector as one tensor a parameter.
    pub(crate) fn split(&self, vector: &Tensor<1>) -> Vec<DispatchTensor> {
        self.entries
            .iter()
            .map(|entry| {
                let part = match self.entries.len() {
                    1 => vector.clone(),
                    _ => vector.clone().slice([entry.range.clone()]),
                };
                Dispatch::float_reshape(part.into_dispatch(), entry.shape.clone())
            })
            .collect()
    }

    /// One tensor a parameter as a flat vector.
    pub(crate) fn join(&self, parts: impl IntoIterator<Item = DispatchTensor>) -> Tensor<1> {
        let flat: Vec<_> = parts
            .into_iter()
            .zip(&self.entries)
            .map(|(part, entry)| Dispatch::float_reshape(part, Shape::new([entry.range.len()])))
            .collect();
        let joined = match flat.len() {
            1 => flat.into_iter().next().expect("one part"),
            _ => Dispatch::float_cat(flat, 0),
        };
        Tensor::from_dispatch(joined)
    }

    /// The module with the numbers of a flat vector in its trainable parameters, cast to their dtype.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length.
    pub fn scatter<M: Module>(&self, theta: &Tensor<1>, module: M) -> Result<M, CurvatureError> {
        self.check("theta", theta)?;
        let values: Vec<_> = self
            .entries
            .iter()
            .map(|entry| entry.id)
            .zip(self.split(theta))
            .collect();
        Ok(ModuleTensors::write(module, &values))
    }

    /// The trainable parameters of a module as a flat vector, in the dtype of the first.
    ///
    /// # Errors
    ///
    /// [`ravine_graph::GraphError::NoParameters`] if nothing is trainable, [`CurvatureError::Dimension`] if the module has others.
    pub fn gather<M: Module>(&self, module: &M) -> Result<Tensor<1>, CurvatureError> {
        let tensors = ModuleTensors::read(module)?;
        let found = Self::new(&tensors.parameters).dim;
        check_dimension("the module", found, self.dim)?;
        Ok(self.join(tensors.values))
    }
}
