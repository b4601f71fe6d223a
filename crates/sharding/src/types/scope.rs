//! What is known about names within one graph and those around it.

use std::collections::{HashMap, HashSet};

use onnx_graph::proto::{
    DataLocation, DimensionValue, GraphProto, NodeProto, TensorProto, TypeValue, ValueInfoProto,
};
use tensor::{DType, Dim};

use super::ValueType;

/// Types and small integer constants by name.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) types: HashMap<String, ValueType>,
    ints: HashMap<String, Vec<i64>>,
    /// What is computed from shapes: sizes of which some are known by name only.
    sizes: HashMap<String, Vec<Dim>>,
    /// What lists hold.
    sequences: HashMap<String, ValueType>,
    outer: Option<&'a Self>,
}

impl<'a> Scope<'a> {
    pub(crate) fn within(outer: &'a Self) -> Self {
        Self { outer: Some(outer), ..Self::default() }
    }

    pub(crate) fn ty(&self, name: &str) -> Option<&ValueType> {
        self.types.get(name).or_else(|| self.outer.and_then(|outer| outer.ty(name)))
    }

    /// The integers of a constant, where they are at hand.
    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        let own = self.ints.get(name).map(Vec::as_slice);
        own.or_else(|| self.outer.and_then(|outer| outer.ints(name)))
    }

    /// Takes in what a graph states: its inputs, outputs, weights and the types of values within.
    pub(crate) fn declare(&mut self, graph: &GraphProto) {
        let boundary = graph.input.iter().chain(&graph.output);
        let named: HashSet<Dim> =
            boundary.clone().filter_map(stated).filter_map(|ty| ty.dims).flatten().collect();
        let within = graph.value_info.iter();
        for info in boundary.chain(within) {
            if let Some(mut ty) = stated(info) {
                // Names that shape inference invented for values within say no more than that a size is open.
                for dim in ty.dims.iter_mut().flatten().filter(|dim| matches!(dim, Dim::Symbol(_))) {
                    if !named.contains(dim) {
                        *dim = Dim::Unknown;
                    }
                }
                // An input of a body may be typed by what is handed to it, which says more.
                self.types.entry(info.name().to_owned()).or_insert(ty);
            }
        }
        for weight in &graph.initializer {
            self.constant(weight.name(), weight);
        }
        for sparse in &graph.sparse_initializer {
            if let Some(values) = &sparse.values
                && let Some(dtype) = DType::from_onnx_code(values.data_type())
            {
                self.types.insert(values.name().to_owned(), ValueType::of(dtype, Some(fixed(&sparse.dims))));
            }
        }
    }

    /// Takes in a constant.
    pub(crate) fn constant(&mut self, name: &str, tensor: &TensorProto) {
        let Some(dtype) = DType::from_onnx_code(tensor.data_type()) else { return };
        self.types.insert(name.to_owned(), ValueType::of(dtype, Some(fixed(&tensor.dims))));
        if let Some(ints) = ints_of(tensor, dtype) {
            self.ints.insert(name.to_owned(), ints);
        }
    }

    pub(crate) fn set_ints(&mut self, name: &str, ints: Vec<i64>) {
        self.ints.insert(name.to_owned(), ints);
    }

    /// The sizes that a value of integers stands for, as far as they are known; `None` where not even their number is.
    pub(crate) fn sizes(&self, name: &str) -> Option<Vec<Dim>> {
        if let Some(ints) = self.ints(name) {
            return Some(
                ints.iter().map(|&int| u64::try_from(int).map_or(Dim::Unknown, Dim::Fixed)).collect(),
            );
        }
        if let Some(sizes) = self.sizes.get(name) {
            return Some(sizes.clone());
        }
        match self.ty(name)?.dims.as_deref()? {
            [Dim::Fixed(count)] if *count <= 16 => Some(vec![Dim::Unknown; *count as usize]),
            _ => None,
        }
    }

    pub(crate) fn sequence(&self, name: &str) -> Option<&ValueType> {
        self.sequences.get(name).or_else(|| self.outer.and_then(|outer| outer.sequence(name)))
    }

    pub(crate) fn set_sequence(&mut self, name: &str, held: ValueType) {
        self.sequences.insert(name.to_owned(), held);
    }

    pub(crate) fn set_sizes(&mut self, name: &str, sizes: Vec<Dim>) {
        self.sizes.insert(name.to_owned(), sizes);
    }

    pub(crate) fn set(&mut self, name: &str, ty: ValueType) {
        match self.types.get_mut(name) {
            // What the file states is kept, but what it leaves open is filled in.
            Some(known) if known.dtype != ty.dtype => {}
            Some(known) => match (&mut known.dims, ty.dims) {
                (None, dims) => known.dims = dims,
                (Some(known), Some(dims)) if known.len() == dims.len() => {
                    let open = known.iter_mut().zip(dims).filter(|(known, _)| **known == Dim::Unknown);
                    open.for_each(|(known, dim)| *known = dim);
                }
                _ => {}
            },
            None => _ = self.types.insert(name.to_owned(), ty),
        }
    }
}

fn fixed(dims: &[i64]) -> Vec<Dim> {
    dims.iter().map(|&dim| u64::try_from(dim).map_or(Dim::Unknown, Dim::Fixed)).collect()
}

/// The integers of a constant that is held in memory.
fn ints_of(tensor: &TensorProto, dtype: DType) -> Option<Vec<i64>> {
    if tensor.data_location() == DataLocation::External {
        return None;
    }
    let raw = tensor.raw_data.as_deref();
    match (dtype, raw) {
        (DType::I64, None) => Some(tensor.int64_data.clone()),
        (DType::I64, Some(raw)) => {
            let (words, _) = raw.as_chunks::<8>();
            Some(words.iter().map(|word| i64::from_le_bytes(*word)).collect())
        }
        (DType::I32, None) => Some(tensor.int32_data.iter().map(|&int| i64::from(int)).collect()),
        (DType::I32, Some(raw)) => {
            let (words, _) = raw.as_chunks::<4>();
            Some(words.iter().map(|word| i64::from(i32::from_le_bytes(*word))).collect())
        }
        _ => None,
    }
}

/// The type that the file states for a value, if that is a tensor of an element type that can be sent.
pub(crate) fn stated(info: &ValueInfoProto) -> Option<ValueType> {
    let Some(TypeValue::TensorType(tensor)) = info.r#type.as_ref()?.value.as_ref() else { return None };
    let dtype = DType::from_onnx_code(tensor.elem_type())?;
    let dims = tensor.shape.as_ref().map(|shape| {
        let dims = shape.dim.iter().map(|dim| match &dim.value {
            Some(DimensionValue::DimValue(size)) => u64::try_from(*size).map_or(Dim::Unknown, Dim::Fixed),
            Some(DimensionValue::DimParam(name)) if !name.is_empty() => Dim::Symbol(name.as_str().into()),
            _ => Dim::Unknown,
        });
        dims.collect()
    });
    Some(ValueType::of(dtype, dims))
}

/// One node's view of the scope.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) node: &'a NodeProto,
    pub(crate) scope: &'a Scope<'a>,
}

impl<'a> At<'a> {
    pub(crate) fn input(&self, at: usize) -> Option<&'a ValueType> {
        self.scope.ty(self.node.input.get(at)?)
    }

    pub(crate) fn dims(&self, at: usize) -> Option<&'a [Dim]> {
        self.input(at)?.dims.as_deref()
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.node.input.get(at).is_some_and(|name| !name.is_empty())
    }

    /// The integers of an input that is constant.
    pub(crate) fn constant(&self, at: usize) -> Option<&'a [i64]> {
        self.scope.ints(self.node.input.get(at)?)
    }

    /// The sizes that an input stands for.
    pub(crate) fn sizes(&self, at: usize) -> Option<Vec<Dim>> {
        self.scope.sizes(self.node.input.get(at)?)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.node.attribute.iter().find(|attribute| attribute.name() == name)?.i
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.node.attribute.iter().find(|attribute| attribute.name() == name).map(|found| &*found.ints)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.node.attribute.iter().find(|attribute| attribute.name() == name)?.s.as_deref()
    }

    /// The integers of an attribute, or in newer opsets of an input.
    pub(crate) fn axes(&self, attribute: &str, input: usize) -> Option<&'a [i64]> {
        self.ints(attribute).or_else(|| self.constant(input))
    }
}
