//! Takes in what is external elsewhere than among the weights of the main graph.
//!
//! Weights of the main graph are copied one by one when a part is written. Constants in bodies, attributes, functions and
//! sparse weights are parts of the structure: a part has them with their data, wherever it is put.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use onnx_graph::proto::{
    AttributeProto, DataLocation, GraphProto, ModelProto, SparseTensorProto, TensorProto,
};

use super::skim::{MAX_STRUCTURE, is_own_name};
use super::{ModelFile, ReadError};

/// Reads such constants into the model. Says whether there were any.
pub(crate) fn inline(file: &ModelFile, model: &mut ModelProto, structure: u64) -> Result<bool, ReadError> {
    let mut taken = Taken { file, structure, any: false };
    if let Some(graph) = &mut model.graph {
        taken.sparse(&mut graph.sparse_initializer)?;
        graph.node.iter_mut().try_for_each(|node| taken.attributes(&mut node.attribute))?;
    }
    for function in &mut model.functions {
        function.node.iter_mut().try_for_each(|node| taken.attributes(&mut node.attribute))?;
        taken.attributes(&mut function.attribute_proto)?;
    }
    Ok(taken.any)
}

struct Taken<'f> {
    file: &'f ModelFile,
    /// Bytes of the structure so far.
    structure: u64,
    any: bool,
}

impl Taken<'_> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), ReadError> {
        graph.initializer.iter_mut().try_for_each(|tensor| self.tensor(tensor))?;
        self.sparse(&mut graph.sparse_initializer)?;
        graph.node.iter_mut().try_for_each(|node| self.attributes(&mut node.attribute))
    }

    fn attributes(&mut self, attributes: &mut [AttributeProto]) -> Result<(), ReadError> {
        for attribute in attributes {
            let tensors = attribute.t.as_deref_mut().into_iter().chain(&mut attribute.tensors);
            tensors.into_iter().try_for_each(|tensor| self.tensor(tensor))?;
            if let Some(sparse) = attribute.sparse_tensor.as_deref_mut() {
                self.sparse(std::slice::from_mut(sparse))?;
            }
            self.sparse(&mut attribute.sparse_tensors)?;
            let graphs = attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs);
            graphs.into_iter().try_for_each(|graph| self.graph(graph))?;
        }
        Ok(())
    }

    fn sparse(&mut self, sparse: &mut [SparseTensorProto]) -> Result<(), ReadError> {
        let tensors =
            sparse.iter_mut().flat_map(|sparse| sparse.values.iter_mut().chain(&mut sparse.indices));
        tensors.into_iter().try_for_each(|tensor| self.tensor(tensor))
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), ReadError> {
        let path = || self.file.path.clone();
        let locations = tensor.external_data.iter().filter(|entry| entry.key() == "location");
        if locations.map(|entry| entry.value()).any(is_own_name) {
            return Err(ReadError::ReservedLocation { path: path() });
        }
        let Some(place) = self.file.place_of(tensor) else { return Ok(()) };
        self.structure = self.structure.saturating_add(place.length);
        if self.structure > MAX_STRUCTURE {
            return Err(ReadError::TooLarge { path: path(), limit: MAX_STRUCTURE });
        }
        let failed = |path: PathBuf| move |source| ReadError::Io { path, source };
        let mut data = vec![0; place.length as usize];
        let mut from = File::open(&place.file).map_err(failed(place.file.clone()))?;
        from.seek(SeekFrom::Start(place.offset)).map_err(failed(place.file.clone()))?;
        from.read_exact(&mut data).map_err(failed(place.file.clone()))?;
        // Among the fields of data only one may be filled.
        *tensor = TensorProto {
            raw_data: Some(data.into()),
            external_data: Vec::new(),
            data_location: Some(DataLocation::Default as i32),
            ..super::bare(tensor)
        };
        self.any = true;
        Ok(())
    }
}
