//! The parameters of a module: their names, values, and their way onto the capture device and back.

use crate::capture::{TrackedTensor, plain, tracked_leaf};
use crate::error::GraphError;
use burn::backend::{DispatchTensor, TensorMetadata};
use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::prelude::{Bool, Device, Int, Tensor};
use burn::tensor::{DType, Shape};
use std::collections::{HashMap, HashSet};

/// A trainable parameter of a module.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its path in the module: `layers.0.weight`.
    pub name: String,
    /// Burn's identity of it.
    pub id: ParamId,
    /// Its shape.
    pub shape: Shape,
    /// Its dtype.
    pub dtype: DType,
}

/// Whether layers behave as in training or as in inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerBehaviour {
    /// Dropout is the identity, batch norm uses its running statistics.
    Evaluation,
    /// Dropout draws masks, batch norm uses the batch's statistics.
    Training,
}

/// What a module holds, read without changing it: trainable parameters, and floats that are not trained (frozen
/// parameters, running statistics).
#[derive(Clone, Debug, Default)]
pub struct ModuleTensors {
    /// Trainable parameters in the module's order; a parameter that stands at two places comes once.
    pub parameters: Vec<Parameter>,
    /// Their values, without autodiff.
    pub values: Vec<DispatchTensor>,
    /// Names of the floats that are not trained.
    pub fixed_names: Vec<String>,
    /// Their values.
    pub fixed: Vec<DispatchTensor>,
}

impl ModuleTensors {
    /// Reads a module.
    ///
    /// # Errors
    ///
    /// [`GraphError::NoParameters`] if nothing is trainable.
    pub fn read<M: Module>(module: &M) -> Result<Self, GraphError> {
        let mut reader = Reader {
            trainable: trainable_ids(module),
            seen: HashSet::new(),
            path: Vec::new(),
            tensors: Self::default(),
        };
        module.valid().visit(&mut reader);
        if reader.tensors.parameters.is_empty() {
            return Err(GraphError::NoParameters);
        }
        Ok(reader.tensors)
    }

    /// The module with other values in its trainable parameters.
    pub fn write<M: Module>(module: M, values: &[(ParamId, DispatchTensor)]) -> M {
        let values = values.iter().cloned().collect();
        module.map(&mut Writer { values })
    }
}

fn trainable_ids<M: Module>(module: &M) -> HashSet<ParamId> {
    #[derive(Default)]
    struct Trainable(HashSet<ParamId>);
    impl ModuleVisitor for Trainable {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                self.0.insert(param.id);
            }
        }
    }
    let mut visitor = Trainable::default();
    // `train` makes fresh state for batch norm, so that the caller's running statistics stay as they are
    module.valid().train().visit(&mut visitor);
    visitor.0
}

struct Reader {
    trainable: HashSet<ParamId>,
    seen: HashSet<ParamId>,
    path: Vec<String>,
    tensors: ModuleTensors,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.seen.insert(param.id) {
            return;
        }
        let name = match self.path.is_empty() {
            true => format!("parameter{}", self.tensors.parameters.len()),
            false => self.path.join("."),
        };
        let value = plain(param.val().into_dispatch());
        if !self.trainable.contains(&param.id) {
            self.tensors.fixed_names.push(name);
            self.tensors.fixed.push(value);
            return;
        }
        self.tensors.parameters.push(Parameter {
            name,
            id: param.id,
            shape: value.shape(),
            dtype: value.dtype(),
        });
        self.tensors.values.push(value);
    }
}

struct Writer {
    values: HashMap<ParamId, DispatchTensor>,
}

impl ModuleMapper for Writer {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.values.get(&param.id) else {
            return param;
        };
        let (id, old, mapper) = param.consume();
        let mut value = Tensor::<D>::from_dispatch(value.clone())
            .cast(old.dtype())
            .to_device(&old.device().without_autodiff());
        if old.is_autodiff() {
            value = Tensor::from_inner(value);
        }
        let value = match old.is_require_grad() {
            true => value.require_grad(),
            false => value,
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

/// A module on the capture device with its parameters tracked.
pub(crate) struct Tracked {
    pub(crate) parameters: Vec<TrackedTensor>,
    pub(crate) fixed: Vec<DispatchTensor>,
}

/// A copy of `module` whose trainable parameters are autodiff tensors of the capture device. The copy has state of its
/// own, so that nothing is written into the caller's module.
pub(crate) fn track<M: Module>(
    module: &M,
    tensors: &ModuleTensors,
    behaviour: LayerBehaviour,
    capture: &Device,
) -> (M, Tracked) {
    let mut tracker = Tracker {
        order: tensors
            .parameters
            .iter()
            .enumerate()
            .map(|(position, parameter)| (parameter.id, position))
            .collect(),
        leaves: HashMap::new(),
        others: HashMap::new(),
        fixed: Vec::new(),
        behaviour,
    };
    let copy = module.valid().to_device(capture).map(&mut tracker);
    let mut leaves: Vec<_> = tracker.leaves.into_values().collect();
    leaves.sort_by_key(|(position, _, _)| *position);
    let tracked = Tracked {
        parameters: leaves.into_iter().map(|(_, _, leaf)| leaf).collect(),
        fixed: tracker.fixed,
    };
    (copy, tracked)
}

struct Tracker {
    order: HashMap<ParamId, usize>,
    leaves: HashMap<ParamId, (usize, DispatchTensor, TrackedTensor)>,
    others: HashMap<ParamId, DispatchTensor>,
    fixed: Vec<DispatchTensor>,
    behaviour: LayerBehaviour,
}

impl ModuleMapper for Tracker {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(&position) = self.order.get(&id) else {
            let value = self.others.entry(id).or_insert_with(|| {
                let value = tensor.into_dispatch();
                self.fixed.push(value.clone());
                value
            });
            return Param::from_mapped_value(id, Tensor::from_dispatch(value.clone()), mapper);
        };
        let (_, tracked, _) = self.leaves.entry(id).or_insert_with(|| {
            let (tracked, leaf) = tracked_leaf(tensor.into_dispatch());
            (position, tracked, leaf)
        });
        Param::from_mapped_value(id, Tensor::from_dispatch(tracked.clone()), mapper)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        param
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        param
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        match self.behaviour {
            LayerBehaviour::Evaluation => flag,
            LayerBehaviour::Training => flag.train(),
        }
    }
}
