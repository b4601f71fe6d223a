//! Reads a model file without its weights.
//!
//! What comes out is the same message, in which every large initializer points to where its data lies in the file, as
//! if the file were one of external data beside itself. So everything behind this module knows one kind of large
//! weight only, and a model of many gigabytes takes the memory of its structure.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use onnx_graph::proto::{DataLocation, StringStringEntryProto, TensorProto};
use prost::Message as _;

use super::wire::{FIXED32, FIXED64, LENGTH, VARINT, put_bytes, put_key, put_varint, read_varint};

/// The location that means the model's own file. A model that says it of itself is refused.
pub(crate) const SELF: &str = "#self";

/// Weights up to this many bytes stay in memory: they are shapes, axes and scales that inference wants to see.
pub(crate) const INLINE: u64 = 1024;

/// How large the structure may become.
pub(crate) const MAX_STRUCTURE: u64 = 1 << 30;

/// Why skimming ended early.
#[derive(Debug)]
pub(crate) enum SkimError {
    /// The file cannot be read.
    Io(io::Error),
    /// The bytes are no protobuf message, or not all of one.
    Malformed,
    /// The structure has more than [`MAX_STRUCTURE`] bytes.
    TooLarge,
    /// A weight is said to lie in a file called [`SELF`].
    Reserved,
}

impl From<io::Error> for SkimError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Malformed,
            _ => Self::Io(error),
        }
    }
}

/// The encoded model without its large weights.
pub(crate) fn skim(file: &File) -> Result<Vec<u8>, SkimError> {
    let length = file.metadata().map_err(SkimError::Io)?.len();
    let mut skimmer = Skimmer { file: BufReader::with_capacity(64 << 10, file), at: 0 };
    skimmer.file.rewind().map_err(SkimError::Io)?;
    let mut out = Vec::new();
    while skimmer.at < length {
        let (field, wire_type) = skimmer.key()?;
        if (field, wire_type) == (7, LENGTH) {
            let end = skimmer.part(length)?;
            let graph = skimmer.graph(end)?;
            put_bytes(&mut out, field, &graph);
        } else {
            skimmer.copy(field, wire_type, length, &mut out)?;
        }
    }
    Ok(out)
}

struct Skimmer<'a> {
    file: BufReader<&'a File>,
    at: u64,
}

impl Skimmer<'_> {
    fn varint(&mut self) -> Result<u64, SkimError> {
        let (value, taken) = read_varint(&mut self.file)?;
        self.at += taken;
        Ok(value)
    }

    fn key(&mut self) -> Result<(u64, u64), SkimError> {
        let key = self.varint()?;
        if key >> 3 == 0 { Err(SkimError::Malformed) } else { Ok((key >> 3, key & 7)) }
    }

    /// Reads a length, and says where what has it ends.
    fn part(&mut self, within: u64) -> Result<u64, SkimError> {
        let length = self.varint()?;
        let end = self.at.checked_add(length).ok_or(SkimError::Malformed)?;
        if end > within { Err(SkimError::Malformed) } else { Ok(end) }
    }

    fn take(&mut self, length: u64, out: &mut Vec<u8>) -> Result<(), SkimError> {
        if out.len() as u64 + length > MAX_STRUCTURE {
            return Err(SkimError::TooLarge);
        }
        let got = (&mut self.file).take(length).read_to_end(out).map_err(SkimError::Io)?;
        self.at += got as u64;
        if (got as u64) < length { Err(SkimError::Malformed) } else { Ok(()) }
    }

    fn skip(&mut self, length: u64) -> Result<(), SkimError> {
        let step = i64::try_from(length).map_err(|_| SkimError::Malformed)?;
        self.file.seek_relative(step).map_err(SkimError::Io)?;
        self.at += length;
        Ok(())
    }

    /// Copies one field whose head was read.
    fn copy(&mut self, field: u64, wire_type: u64, within: u64, out: &mut Vec<u8>) -> Result<(), SkimError> {
        put_key(out, field, wire_type);
        let length = match wire_type {
            VARINT => {
                let value = self.varint()?;
                put_varint(out, value);
                return if self.at > within { Err(SkimError::Malformed) } else { Ok(()) };
            }
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH => {
                let length = self.part(within)? - self.at;
                put_varint(out, length);
                length
            }
            _ => return Err(SkimError::Malformed),
        };
        if self.at + length > within {
            return Err(SkimError::Malformed);
        }
        self.take(length, out)
    }

    fn graph(&mut self, end: u64) -> Result<Vec<u8>, SkimError> {
        let mut out = Vec::new();
        while self.at < end {
            let (field, wire_type) = self.key()?;
            if (field, wire_type) == (5, LENGTH) {
                let tensor_end = self.part(end)?;
                let tensor = self.tensor(tensor_end)?;
                put_bytes(&mut out, field, &tensor);
            } else {
                self.copy(field, wire_type, end, &mut out)?;
            }
            if out.len() as u64 > MAX_STRUCTURE {
                return Err(SkimError::TooLarge);
            }
        }
        if self.at == end { Ok(out) } else { Err(SkimError::Malformed) }
    }

    /// One initializer. Its payload is `raw_data`, or packed floats or doubles, which have the same bytes.
    fn tensor(&mut self, end: u64) -> Result<Vec<u8>, SkimError> {
        let mut out = Vec::new();
        // Where its data lies, as the file says it: fields 13 and 14.
        let (mut stated, mut is_external) = (Vec::new(), false);
        let mut payload = None;
        while self.at < end {
            let (field, wire_type) = self.key()?;
            match (field, wire_type) {
                (4 | 9 | 10, LENGTH) if payload.is_none() => {
                    let length = self.part(end)? - self.at;
                    if length > INLINE {
                        payload = Some((self.at, length));
                        self.skip(length)?;
                    } else {
                        put_key(&mut out, field, wire_type);
                        put_varint(&mut out, length);
                        self.take(length, &mut out)?;
                    }
                }
                (13, LENGTH) => {
                    let length = self.part(end)? - self.at;
                    let mut entry = Vec::new();
                    self.take(length, &mut entry)?;
                    spare_own_name(&entry)?;
                    put_bytes(&mut stated, field, &entry);
                }
                (14, VARINT) => {
                    let location = self.varint()?;
                    is_external = location == DataLocation::External as u64;
                    put_key(&mut stated, field, wire_type);
                    put_varint(&mut stated, location);
                }
                _ => self.copy(field, wire_type, end, &mut out)?,
            }
        }
        if self.at != end {
            return Err(SkimError::Malformed);
        }
        match payload {
            // Where it is said that the data is elsewhere, that counts, and what lies here is left over.
            Some((offset, length)) if !is_external => {
                out.extend(located(TensorProto::default(), SELF, offset, length).encode_to_vec());
            }
            _ => out.extend(stated),
        }
        Ok(out)
    }
}

/// Whether a location means the file called [`SELF`].
pub(crate) fn is_own_name(location: &str) -> bool {
    location.strip_prefix("./").unwrap_or(location) == SELF
}

fn spare_own_name(entry: &[u8]) -> Result<(), SkimError> {
    let entry = StringStringEntryProto::decode(entry).map_err(|_| SkimError::Malformed)?;
    if entry.key() == "location" && is_own_name(entry.value()) { Err(SkimError::Reserved) } else { Ok(()) }
}

/// The tensor with its data at that place, and with no other place left over.
pub(crate) fn located(tensor: TensorProto, location: &str, offset: u64, length: u64) -> TensorProto {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
    let external_data = vec![
        entry("location", location.to_owned()),
        entry("offset", offset.to_string()),
        entry("length", length.to_string()),
    ];
    TensorProto { external_data, data_location: Some(DataLocation::External as i32), ..tensor }
}
