//! Graphs made ready to run, on a device of Burn or natively on the processor.

use crate::batch::{rows, stacked};
use crate::device::DeviceProgram;
use crate::error::{GraphError, panic_message};
use crate::evaluate::{Target, kind_of};
use crate::graph::{Graph, Value};
use crate::native::{NativeProgram, Number, Produced};
use crate::op::Kind;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::prelude::{Bool, Device, Int, Tensor};
use burn::tensor::{FloatDType, Shape, TensorData};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What runs a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// The operations of the device, one after the other: every device, the GPU included.
    Device,
    /// Ravine's own kernels on this machine's processor: fused, with reused buffers and threads where they help.
    ///
    /// Integers are numbers of the evaluation's dtype: exact up to 2²⁴ in f32 and 2⁵³ in f64. Larger ones that are handed in are
    /// refused; those that a graph computes or holds as constants must stay below.
    Native,
}

impl Execution {
    /// The faster of the two for a device: native for Flex, whose tensors live in this machine's memory; else the device itself.
    pub fn best_for(device: &Device) -> Self {
        // the device's text is the only word on its backend that Burn gives without that backend's Cargo feature
        match format!("{device:?}").starts_with("Device<Flex") {
            true => Self::Native,
            false => Self::Device,
        }
    }
}

/// A value as the execution holds it: cheap to clone.
#[derive(Clone, Debug)]
pub struct Array {
    value: Value,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Device(DispatchTensor),
    F32(Arc<Numbers<f32>>),
    F64(Arc<Numbers<f64>>),
}

/// Numbers of a native execution.
#[derive(Clone, Debug)]
enum Numbers<T> {
    Owned(Vec<T>),
    /// Some of the numbers of another.
    Part(Arc<Numbers<T>>, Range<usize>),
    /// The memory of a tensor that nobody changes while it is held.
    #[cfg(feature = "flex")]
    Flex(FlexTensor),
}

#[cfg(feature = "flex")]
type FlexTensor = burn::backend::tensor::FloatTensor<burn::backend::Flex>;

impl<T: Number> Numbers<T> {
    fn owned(numbers: Vec<T>) -> Arc<Self> {
        Arc::new(Self::Owned(numbers))
    }

    fn as_slice(&self) -> &[T] {
        match self {
            Self::Owned(numbers) => numbers,
            Self::Part(whole, range) => &whole.as_slice()[range.clone()],
            #[cfg(feature = "flex")]
            Self::Flex(tensor) => {
                let start = tensor.layout().start_offset();
                &tensor.storage::<T>()[start..start + tensor.layout().num_elements()]
            }
        }
    }

    /// The memory of a Flex tensor without gaps in the same dtype; none for any other tensor.
    #[cfg(feature = "flex")]
    fn in_place(tensor: &Tensor<1>) -> Option<Self> {
        let flex = tensor
            .clone()
            .try_into_primitive::<burn::backend::Flex>()
            .ok()?;
        (flex.is_contiguous() && flex.dtype() == T::dtype()).then_some(Self::Flex(flex))
    }

    #[cfg(not(feature = "flex"))]
    fn in_place(_: &Tensor<1>) -> Option<Self> {
        None
    }
}

impl Array {
    /// A tensor in the form that the execution works on.
    ///
    /// # Errors
    ///
    /// [`GraphError::Integer`] for an integer that the dtype of a native execution cannot hold.
    pub fn bring(
        tensor: DispatchTensor,
        float: FloatDType,
        execution: Execution,
    ) -> Result<Self, GraphError> {
        let value = Value {
            kind: kind_of(tensor.dtype()),
            shape: tensor.shape(),
        };
        let data = match (execution, float) {
            (Execution::Native, FloatDType::F32) => Data::F32(Arc::new(read(tensor)?)),
            (Execution::Native, FloatDType::F64) => Data::F64(Arc::new(read(tensor)?)),
            _ => Data::Device(tensor),
        };
        Ok(Self { value, data })
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.value.shape
    }

    /// What its elements are.
    pub fn kind(&self) -> Kind {
        self.value.kind
    }

    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        match &self.data {
            Data::Device(tensor) => tensor.shape().num_elements() * tensor.dtype().size(),
            Data::F32(numbers) => size_of_val(numbers.as_slice()),
            Data::F64(numbers) => size_of_val(numbers.as_slice()),
        }
    }

    /// Some entries of the first dimension.
    pub fn rows(&self, range: Range<usize>) -> Self {
        let mut value = self.value.clone();
        let width: usize = value.shape[1..].iter().product();
        value.shape[0] = range.len();
        let elements = range.start * width..range.end * width;
        let data = match &self.data {
            Data::F32(numbers) => Data::F32(Arc::new(Numbers::Part(numbers.clone(), elements))),
            Data::F64(numbers) => Data::F64(Arc::new(Numbers::Part(numbers.clone(), elements))),
            Data::Device(tensor) => Data::Device(rows(tensor.clone(), value.kind, range)),
        };
        Self { value, data }
    }

    /// The same numbers with a dimension of length one more.
    pub fn with_dimension(self, dim: usize) -> Self {
        let mut dims = self.value.shape.to_vec();
        dims.insert(dim, 1);
        self.reshaped(dims.into())
    }

    /// The same numbers with one dimension.
    pub fn as_vector(self) -> Self {
        let count = self.value.shape.num_elements();
        self.reshaped(Shape::new([count]))
    }

    fn reshaped(self, shape: Shape) -> Self {
        let kind = self.value.kind;
        let data = match self.data {
            Data::Device(tensor) => Data::Device(match kind {
                Kind::Float => Dispatch::float_reshape(tensor, shape.clone()),
                Kind::Int => Dispatch::int_reshape(tensor, shape.clone()),
                Kind::Bool => Dispatch::bool_reshape(tensor, shape.clone()),
            }),
            numbers => numbers,
        };
        Self {
            value: Value { kind, shape },
            data,
        }
    }

    /// Arrays one after the other along the first dimension.
    ///
    /// # Panics
    ///
    /// Panics without parts.
    pub fn stacked(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let mut value = parts.first().expect("at least one part").value.clone();
        value.shape[0] = parts.iter().map(|part| part.value.shape[0]).sum();
        let (mut f32s, mut f64s, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
        let elements = value.shape.num_elements();
        for part in parts {
            match part.data {
                Data::F32(numbers) => {
                    f32s.reserve_exact(elements - f32s.len());
                    f32s.extend_from_slice(numbers.as_slice());
                }
                Data::F64(numbers) => {
                    f64s.reserve_exact(elements - f64s.len());
                    f64s.extend_from_slice(numbers.as_slice());
                }
                Data::Device(tensor) => tensors.push(tensor),
            }
        }
        let data = match (tensors.is_empty(), f32s.is_empty()) {
            (false, _) => Data::Device(stacked(tensors, value.kind)),
            (true, false) => Data::F32(Numbers::owned(f32s)),
            (true, true) => Data::F64(Numbers::owned(f64s)),
        };
        Self { value, data }
    }

    /// As a tensor of the target's device and dtypes.
    pub fn into_tensor(self, target: &Target) -> DispatchTensor {
        match self.data {
            Data::Device(tensor) => tensor,
            Data::F32(numbers) => into_tensor(numbers, &self.value, target),
            Data::F64(numbers) => into_tensor(numbers, &self.value, target),
        }
    }

    /// The first number, such as the loss.
    pub fn first(&self) -> f64 {
        let number = match &self.data {
            Data::F32(numbers) => numbers.as_slice().first().copied().map(f64::from),
            Data::F64(numbers) => numbers.as_slice().first().copied(),
            Data::Device(tensor) => {
                let tensor = Tensor::<1>::from_dispatch(tensor.clone());
                tensor.into_data().iter::<f64>().next()
            }
        };
        number.unwrap_or(f64::NAN)
    }
}

fn into_tensor<T: Number>(
    numbers: Arc<Numbers<T>>,
    value: &Value,
    target: &Target,
) -> DispatchTensor {
    let shape = value.shape.clone();
    let each = |numbers: &Numbers<T>| numbers.as_slice().to_vec();
    match value.kind {
        Kind::Float => {
            let numbers = match Arc::try_unwrap(numbers) {
                Ok(Numbers::Owned(numbers)) => numbers,
                Ok(shared) => each(&shared),
                Err(shared) => each(&shared),
            };
            let data = TensorData::new(numbers, shape);
            Dispatch::float_from_data(data, target.device.as_dispatch())
        }
        Kind::Int => {
            let whole: Vec<i64> = numbers.as_slice().iter().map(|x| x.wide() as i64).collect();
            target.constant(&TensorData::new(whole, shape))
        }
        Kind::Bool => {
            let truths: Vec<bool> = numbers.as_slice().iter().map(|x| x.wide() != 0.0).collect();
            target.constant(&TensorData::new(truths, shape))
        }
    }
}

/// A graph made ready for a device and a dtype.
#[derive(Debug)]
pub struct Executable {
    graph: Graph,
    target: Target,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Device(DeviceProgram),
    F32(NativeProgram<f32>),
    F64(NativeProgram<f64>),
}

impl Executable {
    /// Prepares `graph`; what depends on constants only is computed now.
    ///
    /// # Errors
    ///
    /// [`GraphError::Evaluation`] if a constant part cannot be computed.
    pub fn new(graph: Graph, target: Target, execution: Execution) -> Result<Self, GraphError> {
        let machine = match (execution, target.float) {
            (Execution::Native, FloatDType::F32) => {
                Machine::F32(caught(&target, || NativeProgram::new(&graph, &target))?)
            }
            (Execution::Native, FloatDType::F64) => {
                Machine::F64(caught(&target, || NativeProgram::new(&graph, &target))?)
            }
            // half precision has no native kernels
            _ => Machine::Device(DeviceProgram::new(graph.clone(), target.clone())?),
        };
        Ok(Self {
            graph,
            target,
            machine,
        })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Device and dtypes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Native steps and buffers, for a reader; none on a device.
    pub fn native_counts(&self) -> Option<NativeCounts> {
        match &self.machine {
            Machine::Device(_) => None,
            Machine::F32(program) => Some(program.counts()),
            Machine::F64(program) => Some(program.counts()),
        }
    }

    /// All outputs, on as many threads as help.
    ///
    /// # Errors
    ///
    /// [`GraphError::Shape`] for an input of another shape, [`GraphError::Integer`] for an integer that is too large,
    /// [`GraphError::Evaluation`] if an operation fails.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, GraphError> {
        self.run_on(inputs, rayon::current_num_threads())
    }

    /// All outputs, on up to `threads` threads where the execution is native.
    ///
    /// # Errors
    ///
    /// As [`run`](Executable::run).
    pub fn run_on(&self, inputs: &[Array], threads: usize) -> Result<Vec<Array>, GraphError> {
        self.check(inputs)?;
        match &self.machine {
            Machine::Device(program) => {
                let tensors = inputs.iter().map(|array| match &array.data {
                    Data::Device(tensor) => tensor.clone(),
                    _ => array.clone().into_tensor(&self.target),
                });
                let outputs = program.call(tensors)?;
                let described = self.graph.outputs.iter().map(|&id| &self.graph.values[id]);
                Ok(outputs
                    .into_iter()
                    .zip(described)
                    .map(|(tensor, value)| Array {
                        value: value.clone(),
                        data: Data::Device(tensor),
                    })
                    .collect())
            }
            Machine::F32(program) => {
                let numbers = |array: &Array| match &array.data {
                    Data::F32(numbers) => Ok(numbers.clone()),
                    _ => read(array.clone().into_tensor(&self.target)).map(Arc::new),
                };
                self.native(program, inputs, threads, numbers, Data::F32)
            }
            Machine::F64(program) => {
                let numbers = |array: &Array| match &array.data {
                    Data::F64(numbers) => Ok(numbers.clone()),
                    _ => read(array.clone().into_tensor(&self.target)).map(Arc::new),
                };
                self.native(program, inputs, threads, numbers, Data::F64)
            }
        }
    }

    fn native<T: Number>(
        &self,
        program: &NativeProgram<T>,
        inputs: &[Array],
        threads: usize,
        numbers: impl Fn(&Array) -> Result<Arc<Numbers<T>>, GraphError>,
        data: impl Fn(Arc<Numbers<T>>) -> Data,
    ) -> Result<Vec<Array>, GraphError> {
        let held = inputs.iter().map(numbers).collect::<Result<Vec<_>, _>>()?;
        let slices: Vec<&[T]> = held.iter().map(|numbers| numbers.as_slice()).collect();
        let outputs = caught(&self.target, || program.run(&slices, threads))?;
        let described = self.graph.outputs.iter().map(|&id| &self.graph.values[id]);
        Ok(outputs
            .into_iter()
            .zip(described)
            .map(|(output, value)| Array {
                value: value.clone(),
                data: data(match output {
                    Produced::Input(position) => held[position].clone(),
                    Produced::New(numbers) => Numbers::owned(numbers),
                }),
            })
            .collect())
    }

    fn check(&self, inputs: &[Array]) -> Result<(), GraphError> {
        debug_assert_eq!(inputs.len(), self.graph.inputs.len());
        for (position, (&id, array)) in self.graph.inputs.iter().zip(inputs).enumerate() {
            let expected = &self.graph.values[id].shape;
            if array.shape() != expected {
                return Err(GraphError::Shape {
                    what: format!("input {position} of the recorded graph"),
                    expected: expected.to_vec(),
                    found: array.shape().to_vec(),
                });
            }
        }
        Ok(())
    }
}

/// What a native program does, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeCounts {
    /// Fused elementwise passes.
    pub kernels: usize,
    /// Matrix products, sums of them as one.
    pub products: usize,
    /// Reductions, indexing, assignments.
    pub others: usize,
    /// Operations without a native form, done by the device.
    pub on_device: usize,
    /// Elements of all buffers together.
    pub buffer_elements: usize,
    /// Multiply-adds of products, and loops times elements of elementwise passes: a rough measure of the time.
    pub work: usize,
}

/// A panic as an error.
fn caught<R>(target: &Target, run: impl FnOnce() -> R) -> Result<R, GraphError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| GraphError::Evaluation {
        operation: "a compiled graph".to_string(),
        device: format!("the processor, for {:?}", target.device),
        message: panic_message(payload),
    })
}

fn read<T: Number>(tensor: DispatchTensor) -> Result<Numbers<T>, GraphError> {
    let numbers = match kind_of(tensor.dtype()) {
        Kind::Float => {
            let tensor = Tensor::<1>::from_dispatch(tensor);
            if let Some(numbers) = Numbers::in_place(&tensor) {
                return Ok(numbers);
            }
            // the same dtype as a rule: memory is moved, not converted
            let data = tensor.into_data().convert::<T>();
            data.try_into_vec::<T>().expect("the data was converted")
        }
        Kind::Bool => {
            let data = Tensor::<1, Bool>::from_dispatch(tensor).into_data();
            crate::native::numbers(&data)
        }
        Kind::Int => {
            let data = Tensor::<1, Int>::from_dispatch(tensor).into_data();
            // before they are rounded
            let large = data
                .iter::<i64>()
                .find(|x| x.unsigned_abs() > T::LARGEST_INTEGER as u64);
            if let Some(x) = large {
                return Err(GraphError::Integer {
                    value: x as f64,
                    limit: T::LARGEST_INTEGER,
                });
            }
            crate::native::numbers(&data)
        }
    };
    Ok(Numbers::Owned(numbers))
}
