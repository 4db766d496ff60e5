//! A flat θ as a Burn module with the ranks, names and order of the user's parameters.

use std::ops::Range;

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::Shape;
use ravine_curvature::ParameterLayout;

use crate::OptimError;

/// Names, shapes and identities of the parameters: kept from step to step, since Burn finds its state by the identity.
#[derive(Clone, Debug)]
pub(super) struct Blueprint {
    slots: Vec<Slot>,
    dim: usize,
}

/// Where a parameter lies in θ.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) shape: Shape,
    range: Range<usize>,
    id: ParamId,
}

impl Slot {
    fn of(&self, flat: &Tensor<1>) -> Tensor<1> {
        flat.clone().slice(self.range.clone())
    }
}

impl Blueprint {
    pub(super) fn new(layout: &ParameterLayout) -> Result<Self, OptimError> {
        let mut slots = Vec::new();
        for entry in layout.entries() {
            let rank = entry.shape.num_dims();
            if !(1..=8).contains(&rank) {
                return Err(OptimError::Rank {
                    name: entry.name.clone(),
                    rank,
                });
            }
            slots.push(Slot {
                name: entry.name.clone(),
                shape: entry.shape.clone(),
                range: entry.range.clone(),
                id: entry.id,
            });
        }
        Ok(Self {
            dim: layout.dim(),
            slots,
        })
    }

    /// The identities under which Burn keeps its state.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.id.val()).collect()
    }

    /// The same parameters under the identities of an earlier process.
    pub(super) fn with_ids(mut self, ids: &[u64]) -> Result<Self, OptimError> {
        if ids.len() != self.slots.len() {
            return Err(crate::state::broken(
                "an optimiser of Burn",
                &format!(
                    "it was made for {} parameters, the model has {}",
                    ids.len(),
                    self.slots.len()
                ),
            ));
        }
        for (slot, &id) in self.slots.iter_mut().zip(ids) {
            slot.id = ParamId::from(id);
        }
        Ok(self)
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// θ as a module.
    pub(super) fn module(&self, theta: &Tensor<1>) -> Parameters {
        let theta = theta.clone().inner();
        let parameters = self.slots.iter().map(|slot| Named {
            name: slot.name.clone(),
            parameter: Ranked::new(slot.id, slot.of(&theta), slot.shape.clone()),
        });
        Parameters {
            parameters: parameters.collect(),
        }
    }

    /// The gradients of the parameters that are chosen; Burn leaves the others as they are.
    pub(super) fn gradients(
        &self,
        gradient: &Tensor<1>,
        chosen: impl Fn(usize) -> bool,
    ) -> GradientsParams {
        let gradient = gradient.clone().inner();
        let mut gradients = GradientsParams::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if chosen(index) {
                register(&mut gradients, slot, slot.of(&gradient));
            }
        }
        gradients
    }
}

macro_rules! ranks {
    ($($variant:ident $rank:literal),+) => {
        /// A parameter in its own rank.
        #[derive(Clone, Debug)]
        enum Ranked {
            $($variant(Param<Tensor<$rank>>),)+
        }

        impl Ranked {
            /// A parameter with the values of `flat`, on the autodiff device that Burn's optimisers expect their parameters on;
            /// ranks other than 1 to 8 were refused by the blueprint.
            fn new(id: ParamId, flat: Tensor<1>, shape: Shape) -> Self {
                match shape.num_dims() {
                    $($rank => Self::$variant(Param::initialized(id, Tensor::from_inner(flat.reshape::<$rank, _>(shape)))),)+
                    _ => unreachable!("ranks are checked by the blueprint"),
                }
            }

            fn flat(&self) -> Tensor<1> {
                match self {
                    $(Self::$variant(parameter) => {
                        let value = parameter.val().inner();
                        let len = value.shape().num_elements();
                        value.reshape([len])
                    })+
                }
            }
        }

        fn register(gradients: &mut GradientsParams, slot: &Slot, flat: Tensor<1>) {
            let shape = slot.shape.clone();
            match shape.num_dims() {
                $($rank => gradients.register(slot.id, flat.reshape::<$rank, _>(shape)),)+
                _ => unreachable!("ranks are checked by the blueprint"),
            }
        }

        impl Module for Ranked {
            fn collect_devices(&self, devices: Devices) -> Devices {
                match self { $(Self::$variant(parameter) => parameter.collect_devices(devices),)+ }
            }
            fn fork(self, device: &Device) -> Self {
                match self { $(Self::$variant(parameter) => Self::$variant(parameter.fork(device)),)+ }
            }
            fn to_device(self, device: &Device) -> Self {
                match self { $(Self::$variant(parameter) => Self::$variant(parameter.to_device(device)),)+ }
            }
            fn train(self) -> Self {
                match self { $(Self::$variant(parameter) => Self::$variant(parameter.train()),)+ }
            }
            fn valid(&self) -> Self {
                match self { $(Self::$variant(parameter) => Self::$variant(parameter.valid()),)+ }
            }
            fn materialize(self) -> Self {
                match self { $(Self::$variant(parameter) => Self::$variant(parameter.materialize()),)+ }
            }
            fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
                match self { $(Self::$variant(parameter) => parameter.visit(visitor),)+ }
            }
            fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
                match self { $(Self::$variant(parameter) => Self::$variant(Module::map(parameter, mapper)),)+ }
            }
        }
    };
}

ranks!(One 1, Two 2, Three 3, Four 4, Five 5, Six 6, Seven 7, Eight 8);

/// A parameter under its path in the user's model.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    parameter: Ranked,
}

/// All parameters, in the order of θ.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    parameters: Vec<Named>,
}

impl Parameters {
    /// The values of all parameters in one vector.
    pub(super) fn flat(&self) -> Tensor<1> {
        let parts = self.parameters.iter().map(|named| named.parameter.flat());
        Tensor::cat(parts.collect(), 0)
    }

    fn each(self, mut function: impl FnMut(Ranked) -> Ranked) -> Self {
        let parameters = self.parameters.into_iter().map(|named| Named {
            parameter: function(named.parameter),
            name: named.name,
        });
        Self {
            parameters: parameters.collect(),
        }
    }
}

/// Written by hand, since the derive would name the parameters by their place in a list.
impl Module for Parameters {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.parameters.iter().fold(devices, |devices, named| {
            named.parameter.collect_devices(devices)
        })
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|parameter| parameter.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|parameter| parameter.to_device(device))
    }

    fn train(self) -> Self {
        self.each(Module::train)
    }

    fn valid(&self) -> Self {
        self.clone().each(|parameter| parameter.valid())
    }

    fn materialize(self) -> Self {
        self.each(Module::materialize)
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for named in &self.parameters {
            visitor.enter_module(&named.name, "Parameter");
            named.parameter.visit(visitor);
            visitor.exit_module(&named.name, "Parameter");
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let parameters = self.parameters.into_iter().map(|named| {
            mapper.enter_module(&named.name, "Parameter");
            let parameter = named.parameter.map(mapper);
            mapper.exit_module(&named.name, "Parameter");
            Named {
                parameter,
                name: named.name,
            }
        });
        Self {
            parameters: parameters.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::{ToVec, logistic};

    #[test]
    fn theta_survives_the_way_through_the_module() {
        let problem = logistic();
        let blueprint = Blueprint::new(problem.layout()).unwrap();
        assert_eq!(blueprint.dim(), 3);
        let names: Vec<_> = blueprint.slots().iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["weight", "bias"]);
        let module = blueprint.module(problem.theta());
        assert_eq!(module.num_params(), 3);
        assert_eq!(
            module.flat().to_vec_f32(),
            problem.theta().clone().to_vec_f32()
        );
    }
}
