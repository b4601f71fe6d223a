//! The `data` member: from JSON text straight into the bytes of a tensor.

use bytes::Bytes;
use half::{bf16, f16};

use super::DataError;
use super::scan::{Scanner, Token};
use crate::{DType, Shape, Tensor, nibble};

/// Characters of a wrong value that an error repeats.
const QUOTED: usize = 40;

/// Reads the elements of a tensor from JSON that has already been found valid.
pub(crate) fn read(dtype: DType, shape: Shape, json: &str) -> Result<Tensor, DataError> {
    let Some(expected) = shape.elements() else { return Err(DataError::TooLarge { shape }) };
    // Every element takes at least two characters, so neither a claimed shape nor the text can ask for more than a
    // few times the memory that the text itself takes.
    let capacity = usize::try_from(expected).unwrap_or(usize::MAX).min(json.len() / 2 + 1);
    match dtype {
        DType::Bool => fixed(dtype, shape, json, capacity, boolean),
        DType::U8 => fixed(dtype, shape, json, capacity, |text| integer(text, u8::to_le_bytes)),
        DType::U16 => fixed(dtype, shape, json, capacity, |text| integer(text, u16::to_le_bytes)),
        DType::U32 => fixed(dtype, shape, json, capacity, |text| integer(text, u32::to_le_bytes)),
        DType::U64 => fixed(dtype, shape, json, capacity, |text| integer(text, u64::to_le_bytes)),
        DType::I8 => fixed(dtype, shape, json, capacity, |text| integer(text, i8::to_le_bytes)),
        DType::I16 => fixed(dtype, shape, json, capacity, |text| integer(text, i16::to_le_bytes)),
        DType::I32 => fixed(dtype, shape, json, capacity, |text| integer(text, i32::to_le_bytes)),
        DType::I64 => fixed(dtype, shape, json, capacity, |text| integer(text, i64::to_le_bytes)),
        DType::F16 => fixed(dtype, shape, json, capacity, |text| {
            let value = f16::from_f64(float(text, f64::NAN)?);
            in_range(value, value.is_infinite()).map(f16::to_le_bytes)
        }),
        DType::Bf16 => fixed(dtype, shape, json, capacity, |text| {
            let value = bf16::from_f64(float(text, f64::NAN)?);
            in_range(value, value.is_infinite()).map(bf16::to_le_bytes)
        }),
        DType::F32 => fixed(dtype, shape, json, capacity, |text| {
            let value = float(text, f32::NAN)?;
            in_range(value, value.is_infinite()).map(f32::to_le_bytes)
        }),
        DType::F64 => fixed(dtype, shape, json, capacity, |text| {
            let value = float(text, f64::NAN)?;
            in_range(value, value.is_infinite()).map(f64::to_le_bytes)
        }),
        DType::U4 => four_bit(dtype, shape, json, capacity, 0..=15),
        DType::I4 => four_bit(dtype, shape, json, capacity, -8..=7),
        DType::String => texts(shape, json),
    }
}

/// Why one scalar is refused.
enum Refusal {
    WrongKind,
    OutOfRange,
}

fn boolean(text: &str) -> Result<[u8; 1], Refusal> {
    match text {
        "true" => Ok([1]),
        "false" => Ok([0]),
        _ => Err(Refusal::WrongKind),
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>, const N: usize>(
    text: &str,
    bytes: impl Fn(T) -> [u8; N],
) -> Result<[u8; N], Refusal> {
    match text.parse::<T>() {
        Ok(value) => Ok(bytes(value)),
        // JSON knows a minus zero, which an unsigned type's own parser does not.
        Err(_) if text == "-0" => "0".parse::<T>().map(bytes).map_err(|_| Refusal::WrongKind),
        Err(_) if is_integer(text) => Err(Refusal::OutOfRange),
        Err(_) => Err(Refusal::WrongKind),
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn float<T: std::str::FromStr>(text: &str, nan: T) -> Result<T, Refusal> {
    // The standard parser rounds once and correctly, but it also reads words such as "inf", which JSON has not: what
    // stands here is valid JSON, so looking at the first character is enough.
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => text.parse().map_err(|_| Refusal::WrongKind),
        _ if text == "null" => Ok(nan),
        _ => Err(Refusal::WrongKind),
    }
}

fn in_range<T>(value: T, infinite: bool) -> Result<T, Refusal> {
    if infinite { Err(Refusal::OutOfRange) } else { Ok(value) }
}

fn fixed<const N: usize>(
    dtype: DType,
    shape: Shape,
    json: &str,
    capacity: usize,
    parse: impl Fn(&str) -> Result<[u8; N], Refusal>,
) -> Result<Tensor, DataError> {
    let mut bytes: Vec<u8> = Vec::with_capacity(capacity * N);
    scalars(dtype, &shape, json, |text, _| {
        bytes.extend_from_slice(&parse(text)?);
        Ok(())
    })?;
    finish(dtype, shape, bytes)
}

fn four_bit(
    dtype: DType,
    shape: Shape,
    json: &str,
    capacity: usize,
    range: std::ops::RangeInclusive<i8>,
) -> Result<Tensor, DataError> {
    let mut nibbles: Vec<u8> = Vec::with_capacity(capacity);
    scalars(dtype, &shape, json, |text, _| {
        let [value] = integer(text, i8::to_le_bytes)?;
        if !range.contains(&(value as i8)) {
            return Err(Refusal::OutOfRange);
        }
        nibbles.push(value & 0x0f);
        Ok(())
    })?;
    finish(dtype, shape, nibble::pack(nibbles.into_iter()))
}

fn texts(shape: Shape, json: &str) -> Result<Tensor, DataError> {
    let mut bytes = Vec::with_capacity(json.len());
    let mut too_long = None;
    scalars(DType::String, &shape, json, |text, index| {
        if !text.starts_with('"') {
            return Err(Refusal::WrongKind);
        }
        let text: std::borrow::Cow<'_, str> = match text[1..].strip_suffix('"') {
            Some(plain) if !plain.contains('\\') => plain.into(),
            _ => serde_json::from_str::<String>(text).map_err(|_| Refusal::WrongKind)?.into(),
        };
        if crate::text::push(&mut bytes, &text, index).is_err() {
            too_long = Some(index);
            return Err(Refusal::OutOfRange);
        }
        Ok(())
    })
    .map_err(|error| too_long.map_or(error, |index| DataError::TextTooLong { index }))?;
    finish(DType::String, shape, bytes)
}

fn finish(dtype: DType, shape: Shape, bytes: Vec<u8>) -> Result<Tensor, DataError> {
    // The elements were counted, so the only thing that can still be wrong is a length that does not fit.
    Tensor::new(dtype, shape.clone(), Bytes::from(bytes)).map_err(|_| DataError::TooLarge { shape })
}

/// Hands every scalar to `take`, in order, and checks that they are as many, and nested, as the shape says.
fn scalars<'a>(
    dtype: DType,
    shape: &Shape,
    json: &'a str,
    mut take: impl FnMut(&'a str, u64) -> Result<(), Refusal>,
) -> Result<(), DataError> {
    let expected = shape.elements().ok_or_else(|| DataError::TooLarge { shape: shape.clone() })?;
    let mut index = 0_u64;
    let mut nesting = Nesting::new(shape);
    for token in Scanner::new(json) {
        let fits = match token {
            Token::Open => nesting.open(),
            Token::Close => nesting.close(),
            Token::Object => return Err(refuse(dtype, index, "an object", &Refusal::WrongKind)),
            Token::Scalar(text) => {
                if index == expected {
                    let (shape, got) = (shape.clone(), expected.saturating_add(1));
                    return Err(DataError::WrongCount { shape, expected, got });
                }
                let fits = nesting.scalar()?;
                take(text, index).map_err(|refusal| refuse(dtype, index, text, &refusal))?;
                index += 1;
                fits
            }
        };
        if !fits {
            return Err(DataError::WrongNesting { shape: shape.clone(), index });
        }
    }
    if index == expected {
        Ok(())
    } else {
        Err(DataError::WrongCount { shape: shape.clone(), expected, got: index })
    }
}

fn refuse(dtype: DType, index: u64, text: &str, refusal: &Refusal) -> DataError {
    let mut value: String = text.chars().take(QUOTED).collect();
    if value.len() < text.len() {
        value.push('…');
    }
    match refusal {
        Refusal::WrongKind => DataError::WrongKind { index, value, dtype },
        Refusal::OutOfRange => DataError::OutOfRange { index, value, dtype },
    }
}

/// Follows the brackets: data is either one flat array, or nested exactly as the shape.
struct Nesting<'a> {
    dims: &'a [u64],
    /// How many members each array that is open has so far, outermost first.
    open: Vec<u64>,
    /// Whether an array was found within an array.
    nested: bool,
    /// Whether a scalar was found directly within the outermost array.
    flat: bool,
}

impl<'a> Nesting<'a> {
    fn new(shape: &'a Shape) -> Self {
        Self { dims: shape.dims(), open: Vec::new(), nested: false, flat: false }
    }

    fn open(&mut self) -> bool {
        if let Some(members) = self.open.last_mut() {
            *members += 1;
            self.nested = true;
        }
        self.open.push(0);
        !(self.nested && (self.flat || self.open.len() > self.dims.len()))
    }

    fn scalar(&mut self) -> Result<bool, DataError> {
        let depth = self.open.len();
        let Some(members) = self.open.last_mut() else { return Err(DataError::NotAnArray) };
        *members += 1;
        self.flat |= depth == 1;
        Ok(if self.nested { depth == self.dims.len() } else { depth == 1 })
    }

    fn close(&mut self) -> bool {
        let members = self.open.pop();
        !self.nested || members == self.dims.get(self.open.len()).copied()
    }
}
