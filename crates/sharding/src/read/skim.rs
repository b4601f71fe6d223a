//! Reads a model file without its weights.
//!
//! What comes out is the same message, in which every large initializer points to where its data lies in the file, as
//! if the file were one of external data beside itself. So everything behind this module knows one kind of large
//! weight only, and a model of many gigabytes takes the memory of its structure.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use super::wire::{FIXED32, FIXED64, LENGTH, VARINT, put_bytes, put_key, put_varint, read_varint};

/// The location that means the model's own file. No file beside a model can have it: `#` ends a path in a URL.
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
        if end - self.at <= INLINE {
            self.take(end - self.at, &mut out)?;
            return Ok(out);
        }
        let mut payload = None;
        while self.at < end {
            let (field, wire_type) = self.key()?;
            if matches!(field, 4 | 9 | 10) && wire_type == LENGTH && payload.is_none() {
                let length = self.part(end)? - self.at;
                if length > INLINE {
                    payload = Some((self.at, length));
                    self.skip(length)?;
                } else {
                    put_key(&mut out, field, wire_type);
                    put_varint(&mut out, length);
                    self.take(length, &mut out)?;
                }
            } else {
                self.copy(field, wire_type, end, &mut out)?;
            }
        }
        if self.at != end {
            return Err(SkimError::Malformed);
        }
        if let Some((offset, length)) = payload {
            put_location(&mut out, SELF, offset, length);
        }
        Ok(out)
    }
}

/// Appends the fields of a tensor that say where its data lies.
pub(crate) fn put_location(out: &mut Vec<u8>, location: &str, offset: u64, length: u64) {
    let offset = offset.to_string();
    let length = length.to_string();
    for (key, value) in [("location", location), ("offset", &offset), ("length", &length)] {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, value.as_bytes());
        put_bytes(out, 13, &entry);
    }
    put_key(out, 14, VARINT);
    put_varint(out, 1);
}
