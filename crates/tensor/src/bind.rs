//! Whether given tensors fit a model's inputs, and which sizes they give to its symbolic dimensions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::nearest::nearest;
use crate::{DType, Dim, NamedTensor, Shape, Signature, TensorSpec};

/// The sizes that one request's inputs give to a model's symbolic dimensions, sorted by symbol.
pub type Bindings = BTreeMap<Arc<str>, u64>;

/// Inputs that a model cannot take. Each message says what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A required input was not given.
    #[error("input {name:?} is missing: give {spec}")]
    Missing {
        /// The name of the input.
        name: Arc<str>,
        /// The input as the model declares it.
        spec: Box<TensorSpec>,
    },
    /// An input of a name that the model does not know was given.
    #[error("the model has no input {name:?}: {}", advice(nearest))]
    Unexpected {
        /// The name that was given.
        name: Arc<str>,
        /// Names of the model's inputs, most alike first; empty if it has none.
        nearest: Vec<Arc<str>>,
    },
    /// The same input was given twice.
    #[error("input {name:?} was given twice: give it once")]
    Duplicate {
        /// The name of the input.
        name: Arc<str>,
    },
    /// The elements are of another type.
    #[error("input {name:?} takes {expected} elements, but {got} were given: convert them first")]
    WrongDtype {
        /// The name of the input.
        name: Arc<str>,
        /// What the model takes.
        expected: DType,
        /// What was given.
        got: DType,
    },
    /// There are more or fewer dimensions.
    #[error("input {spec} takes {expected} dimensions, but shape {got} has {}: reshape it", got.rank())]
    WrongRank {
        /// The name of the input.
        name: Arc<str>,
        /// The input as the model declares it.
        spec: Box<TensorSpec>,
        /// How many dimensions the model takes.
        expected: usize,
        /// The shape that was given.
        got: Shape,
    },
    /// A fixed dimension has another size.
    #[error(
        "input {name:?} takes {expected} in dimension {dim}, but shape {shape} has {got}: reshape, pad or cut it"
    )]
    WrongShape {
        /// The name of the input.
        name: Arc<str>,
        /// Which dimension, counted from 0.
        dim: usize,
        /// The size that the model takes.
        expected: u64,
        /// The size that was given.
        got: u64,
        /// The whole shape that was given.
        shape: Shape,
    },
    /// A symbolic dimension has two sizes.
    #[error(
        "dimension {symbol:?} is {first} in {first_at} but {second} in {second_at}: give both the same size"
    )]
    SymbolConflict {
        /// The name of the dimension.
        symbol: Arc<str>,
        /// The size seen first.
        first: u64,
        /// Where it was seen.
        first_at: DimAt,
        /// The size seen later.
        second: u64,
        /// Where it was seen.
        second_at: DimAt,
    },
}

/// One dimension of one input; it prints as `input_ids[1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DimAt {
    /// The name of the input.
    pub input: Arc<str>,
    /// Which dimension, counted from 0.
    pub dim: usize,
}

impl std::fmt::Display for DimAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.input, self.dim)
    }
}

fn advice(nearest: &[Arc<str>]) -> String {
    match nearest {
        [] => "it takes none".to_owned(),
        [only] => format!("did you mean {only:?}?"),
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("{name:?}")).collect();
            format!("the nearest are {}", names.join(", "))
        }
    }
}

impl Signature {
    /// Checks the tensors against the inputs and returns the sizes of the symbolic dimensions.
    ///
    /// Tensors are matched by name, in any order; an optional input may be absent.
    ///
    /// # Errors
    /// The first thing that does not fit: names that are unexpected or given twice first, in the order given, then
    /// the rest in the model's order.
    pub fn bind(&self, inputs: &[NamedTensor]) -> Result<Bindings, InputError> {
        self.bind_without(inputs, |_| false)
    }

    /// The same where some inputs are not given, because whoever computes has them already. They count as unknown, and
    /// what only they would tell of the dimensions stays open.
    ///
    /// # Errors
    /// Like [`bind`](Self::bind).
    pub fn bind_without(
        &self,
        inputs: &[NamedTensor],
        absent: impl Fn(&str) -> bool,
    ) -> Result<Bindings, InputError> {
        let mut given = HashMap::with_capacity(inputs.len());
        for input in inputs {
            if self.input(&input.name).is_none_or(|spec| absent(&spec.name)) {
                let expected = self.inputs.iter().filter(|spec| !absent(&spec.name));
                let nearest = nearest(&input.name, expected.map(|spec| &spec.name));
                return Err(InputError::Unexpected { name: Arc::clone(&input.name), nearest });
            }
            if given.insert(&*input.name, &input.tensor).is_some() {
                return Err(InputError::Duplicate { name: Arc::clone(&input.name) });
            }
        }
        let mut seen = BTreeMap::new();
        for spec in &self.inputs {
            let Some(tensor) = given.get(&*spec.name) else {
                if spec.optional || absent(&spec.name) {
                    continue;
                }
                let (name, spec) = (Arc::clone(&spec.name), Box::new(spec.clone()));
                return Err(InputError::Missing { name, spec });
            };
            if tensor.dtype() != spec.dtype {
                let (expected, got) = (spec.dtype, tensor.dtype());
                return Err(InputError::WrongDtype { name: Arc::clone(&spec.name), expected, got });
            }
            bind_shape(spec, tensor.shape(), &mut seen)?;
        }
        Ok(seen.into_iter().map(|(symbol, (size, _))| (symbol, size)).collect())
    }
}

fn bind_shape(
    spec: &TensorSpec,
    shape: &Shape,
    seen: &mut BTreeMap<Arc<str>, (u64, DimAt)>,
) -> Result<(), InputError> {
    let Some(dims) = &spec.dims else { return Ok(()) };
    let name = Arc::clone(&spec.name);
    if dims.len() != shape.rank() {
        let (spec, got) = (Box::new(spec.clone()), shape.clone());
        return Err(InputError::WrongRank { name, spec, expected: dims.len(), got });
    }
    for (dim, (declared, &got)) in dims.iter().zip(shape.dims()).enumerate() {
        match declared {
            Dim::Fixed(expected) if *expected != got => {
                return Err(InputError::WrongShape {
                    name,
                    dim,
                    expected: *expected,
                    got,
                    shape: shape.clone(),
                });
            }
            Dim::Symbol(symbol) => {
                let at = DimAt { input: Arc::clone(&name), dim };
                let (first, first_at) = seen.entry(Arc::clone(symbol)).or_insert_with(|| (got, at.clone()));
                if *first != got {
                    return Err(InputError::SymbolConflict {
                        symbol: Arc::clone(symbol),
                        first: *first,
                        first_at: first_at.clone(),
                        second: got,
                        second_at: at,
                    });
                }
            }
            Dim::Fixed(_) | Dim::Unknown => {}
        }
    }
    Ok(())
}
