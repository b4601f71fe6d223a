//! Encodes a part with its weights without ever holding them.
//!
//! A protobuf message may have its fields in any order, so everything but the initializers is encoded as usual, and the
//! initializers follow one by one. Only the length of the graph has to be known before.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use onnx_graph::proto::{GraphProto, ModelProto, TensorProto};
use prost::Message as _;

use super::{Draft, WriteError};
use crate::read::skim::located;
use crate::read::wire::{LENGTH, put_key, put_varint, varint_len};
use crate::read::{ModelFile, Place, bare};

/// Bytes that are copied at a time.
const BUFFER: usize = 1 << 20;

/// Where weights start in a file beside a model, so that it can be mapped with pages of any size: 64 KiB.
const ALIGN: u64 = 64 << 10;

/// Weights below this many bytes are not aligned, and stay in the model.
const SMALL: u64 = 1024;

/// The files that weights are copied from. Only the last one is open: a model can have more of them than a process may.
pub(crate) struct Sources<'m> {
    file: &'m ModelFile,
    open: Option<(PathBuf, File)>,
    buffer: Vec<u8>,
}

impl<'m> Sources<'m> {
    pub(crate) fn new(file: &'m ModelFile) -> Self {
        Self { file, open: None, buffer: vec![0; BUFFER] }
    }

    fn copy(&mut self, place: &Place, out: &mut Draft) -> Result<(), WriteError> {
        let failed = |source| WriteError::Weights { path: place.file.clone(), source };
        let file = match self.open.take().filter(|(path, _)| *path == place.file) {
            Some((_, file)) => file,
            None => File::open(&place.file).map_err(failed)?,
        };
        let (_, file) = self.open.insert((place.file.clone(), file));
        file.seek(SeekFrom::Start(place.offset)).map_err(failed)?;
        let mut left = place.length;
        while left > 0 {
            let step = left.min(BUFFER as u64) as usize;
            file.read_exact(&mut self.buffer[..step]).map_err(failed)?;
            out.put(&self.buffer[..step])?;
            left -= step as u64;
        }
        Ok(())
    }
}

/// One initializer as it will stand in the file: the fields before the payload, and where the payload comes from.
struct Staged {
    head: Vec<u8>,
    payload: Option<Place>,
}

impl Staged {
    /// The encoded length, without the field's own head.
    fn length(&self) -> u64 {
        let payload = self.payload.as_ref().map_or(0, |place| 1 + varint_len(place.length) + place.length);
        self.head.len() as u64 + payload
    }
}

/// Writes a model. With `data`, weights that are not small go to that file, under that name.
pub(crate) fn write_model(
    model: &ModelProto,
    sources: &mut Sources<'_>,
    out: &mut Draft,
    mut data: Option<(&str, &mut Draft)>,
) -> Result<(), WriteError> {
    let graph = model.graph.as_ref();
    let mut staged = Vec::new();
    for weight in graph.map_or(&[][..], |graph| &graph.initializer) {
        staged.push(match &mut data {
            Some((name, data)) => beside(weight, sources, name, data)?,
            None => within(weight, sources),
        });
    }
    let rest = graph.map(|graph| GraphProto { initializer: Vec::new(), ..without_weights(graph) });
    let rest = rest.map(|rest| rest.encode_to_vec()).unwrap_or_default();
    let weights: u64 = staged.iter().map(|staged| 1 + varint_len(staged.length()) + staged.length()).sum();
    let shell = ModelProto { graph: None, ..without_graph(model) };
    out.put(&shell.encode_to_vec())?;
    let mut head = Vec::new();
    put_key(&mut head, 7, LENGTH);
    put_varint(&mut head, rest.len() as u64 + weights);
    out.put(&head)?;
    out.put(&rest)?;
    for staged in staged {
        let mut head = Vec::new();
        put_key(&mut head, 5, LENGTH);
        put_varint(&mut head, staged.length());
        out.put(&head)?;
        out.put(&staged.head)?;
        if let Some(place) = &staged.payload {
            let mut head = Vec::new();
            put_key(&mut head, 9, LENGTH);
            put_varint(&mut head, place.length);
            out.put(&head)?;
            sources.copy(place, out)?;
        }
    }
    Ok(())
}

/// The model without its graph, which is written by hand. Cloning the graph only to drop it would cost its size.
fn without_graph(model: &ModelProto) -> ModelProto {
    ModelProto {
        ir_version: model.ir_version,
        producer_name: model.producer_name.clone(),
        producer_version: model.producer_version.clone(),
        domain: model.domain.clone(),
        model_version: model.model_version,
        doc_string: model.doc_string.clone(),
        graph: None,
        opset_import: model.opset_import.clone(),
        metadata_props: model.metadata_props.clone(),
        training_info: model.training_info.clone(),
        functions: model.functions.clone(),
        configuration: model.configuration.clone(),
    }
}

fn without_weights(graph: &GraphProto) -> GraphProto {
    GraphProto {
        node: graph.node.clone(),
        name: graph.name.clone(),
        initializer: Vec::new(),
        doc_string: graph.doc_string.clone(),
        input: graph.input.clone(),
        output: graph.output.clone(),
        value_info: graph.value_info.clone(),
        quantization_annotation: graph.quantization_annotation.clone(),
        sparse_initializer: graph.sparse_initializer.clone(),
        metadata_props: graph.metadata_props.clone(),
    }
}

/// A weight whose data is written into the model, as `raw_data`.
fn within(weight: &TensorProto, sources: &Sources<'_>) -> Staged {
    let payload = sources.file.place_of(weight);
    let head = match payload {
        None => weight.encode_to_vec(),
        Some(_) => bare(weight).encode_to_vec(),
    };
    Staged { head, payload }
}

/// A weight whose data is written into the file beside the model, unless it is small.
fn beside(
    weight: &TensorProto,
    sources: &mut Sources<'_>,
    name: &str,
    data: &mut Draft,
) -> Result<Staged, WriteError> {
    let Some(place) = sources.file.place_of(weight) else { return Ok(within(weight, sources)) };
    if place.length < SMALL {
        return Ok(within(weight, sources));
    }
    data.put(&vec![0; (data.at().next_multiple_of(ALIGN) - data.at()) as usize])?;
    let offset = data.at();
    sources.copy(&place, data)?;
    let head = located(bare(weight), name, offset, place.length).encode_to_vec();
    Ok(Staged { head, payload: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::wire::put_bytes;

    #[test]
    fn a_field_before_the_payload_may_stand_after_it() {
        let mut out = Vec::new();
        put_bytes(&mut out, 9, &[1, 2]);
        out.extend(TensorProto { name: Some("w".to_owned()), ..TensorProto::default() }.encode_to_vec());
        let read = TensorProto::decode(out.as_slice()).expect("it is one");
        assert_eq!((read.name(), read.raw_data.as_deref()), ("w", Some(&[1, 2][..])));
    }
}
