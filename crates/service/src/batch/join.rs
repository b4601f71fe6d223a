//! Several requests' tensors as one, and the results of one as several.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tensor::{DType, Dim, NamedTensor, Shape, Signature, Tensor};

/// How the tensors of a model go together: along their first dimension, which all inputs and outputs share.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    signature: Signature,
    /// The inputs that may be lengthened, with the value to fill with.
    pad: BTreeMap<Arc<str>, f64>,
}

/// What requests must have in common to go together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Likeness(Vec<(Arc<str>, DType, Vec<Option<u64>>)>);

/// A batch's tensors, and the sizes to which symbolic dimensions were lengthened.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) inputs: Vec<NamedTensor>,
    pub(super) padded: BTreeMap<Arc<str>, u64>,
}

impl Layout {
    /// How the model's tensors go together.
    ///
    /// # Errors
    /// Why they do not.
    pub(super) fn of(signature: &Signature, pad: &BTreeMap<String, f64>) -> Result<Self, String> {
        let mut batch: Option<&Arc<str>> = None;
        for spec in signature.inputs.iter().chain(&signature.outputs) {
            let first = spec.dims.as_ref().and_then(|dims| dims.first());
            let Some(Dim::Symbol(symbol)) = first else {
                return Err(format!("the first dimension of {spec} is no symbol that stands for the batch"));
            };
            if batch.is_some_and(|batch| batch != symbol) {
                return Err(format!(
                    "the first dimension of {spec} is not the one that the others begin with"
                ));
            }
            if matches!(spec.dtype, DType::I4 | DType::U4) {
                return Err(format!("{spec} has elements of four bits"));
            }
            let again = |dim: &Dim| matches!(dim, Dim::Symbol(other) if other == symbol);
            if spec.dims.iter().flatten().skip(1).any(again) {
                return Err(format!("{spec} has the batch in another dimension too"));
            }
            batch = Some(symbol);
        }
        if signature.outputs.is_empty() || signature.inputs.is_empty() {
            return Err("it has no inputs or no outputs".to_owned());
        }
        let mut filled = BTreeMap::new();
        for (name, &value) in pad {
            let Some(spec) = signature.input(name) else {
                return Err(format!("there is no input {name:?} to pad"));
            };
            if spec.dtype == DType::String {
                return Err(format!("{spec} holds text, which cannot be padded"));
            }
            filled.insert(Arc::clone(&spec.name), value);
        }
        if !filled.is_empty() {
            // What is cut off again must be known by name.
            let unknown = |dim: &Dim| matches!(dim, Dim::Unknown);
            let unclear = signature.outputs.iter().find(|spec| spec.dims.iter().flatten().any(unknown));
            if let Some(spec) = unclear {
                return Err(format!(
                    "{spec} has a dimension without a name, so padding could not be cut off"
                ));
            }
        }
        Ok(Self { signature: signature.clone(), pad: filled })
    }

    /// What a request must have in common with others, and its rows; `None` where it has none.
    pub(super) fn likeness(&self, inputs: &[NamedTensor]) -> Option<(Likeness, u64)> {
        let mut rows = None;
        let mut all = Vec::with_capacity(inputs.len());
        for input in inputs {
            let dims = input.tensor.shape().dims();
            let first = *dims.first()?;
            if first == 0 || *rows.get_or_insert(first) != first {
                return None;
            }
            let spec = self.signature.input(&input.name)?;
            let declared = spec.dims.as_ref()?;
            let free = self.pad.contains_key(&input.name);
            let rest = dims.iter().zip(declared).skip(1).map(|(&size, dim)| match dim {
                Dim::Symbol(_) if free => None,
                _ => Some(size),
            });
            all.push((Arc::clone(&input.name), input.tensor.dtype(), rest.collect()));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Some((Likeness(all), rows?))
    }

    /// One request out of several that are alike, at least one.
    ///
    /// It has `rows` rows: where the members have fewer, the first row of the first one is repeated behind them.
    pub(super) fn join(&self, members: &[&[NamedTensor]], rows: u64) -> Result<Joined, String> {
        let Some(first) = members.first() else { return Err("a batch without members".to_owned()) };
        let longest = self.longest(members);
        let mut inputs = Vec::with_capacity(first.len());
        for input in *first {
            let same = |member: &&[NamedTensor]| {
                member.iter().find(|other| other.name == input.name).map(|found| found.tensor.clone())
            };
            let parts: Option<Vec<Tensor>> = members.iter().map(same).collect();
            let parts = parts.ok_or_else(|| format!("a member without {}", input.name))?;
            let fill = self.pad.get(&input.name).copied();
            let target = self.target(input, &longest, fill);
            let tensor = concat(&parts, &target, fill.unwrap_or(0.0), rows)?;
            inputs.push(NamedTensor::new(Arc::clone(&input.name), tensor));
        }
        Ok(Joined { inputs, padded: longest })
    }

    /// The largest size of each symbolic dimension that differs among the members.
    fn longest(&self, members: &[&[NamedTensor]]) -> BTreeMap<Arc<str>, u64> {
        let mut sizes: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
        for input in members.iter().flat_map(|member| member.iter()) {
            if !self.pad.contains_key(&input.name) {
                continue;
            }
            for (symbol, size) in self.symbols(input) {
                let entry = sizes.entry(symbol).or_insert((size, size));
                *entry = (entry.0.min(size), entry.1.max(size));
            }
        }
        sizes
            .into_iter()
            .filter(|(_, (least, most))| least != most)
            .map(|(symbol, (_, most))| (symbol, most))
            .collect()
    }

    /// The sizes that an input gives to symbols, without the batch.
    fn symbols<'a>(&'a self, input: &'a NamedTensor) -> impl Iterator<Item = (Arc<str>, u64)> + 'a {
        let declared = self.signature.input(&input.name).and_then(|spec| spec.dims.as_ref());
        let pairs =
            declared.into_iter().flat_map(|dims| dims.iter().zip(input.tensor.shape().dims())).skip(1);
        pairs.filter_map(|(dim, &size)| match dim {
            Dim::Symbol(symbol) => Some((Arc::clone(symbol), size)),
            _ => None,
        })
    }

    /// The dimensions behind the first that an input gets.
    fn target(&self, input: &NamedTensor, longest: &BTreeMap<Arc<str>, u64>, fill: Option<f64>) -> Vec<u64> {
        let own = input.tensor.shape().dims();
        let declared = self.signature.input(&input.name).and_then(|spec| spec.dims.as_ref());
        let sized = |(at, &size): (usize, &u64)| {
            let dim = declared.and_then(|dims| dims.get(at));
            match (dim, fill) {
                (Some(Dim::Symbol(symbol)), Some(_)) => longest.get(symbol).copied().unwrap_or(size),
                _ => size,
            }
        };
        own.iter().enumerate().skip(1).map(sized).collect()
    }

    /// The outputs of each member, out of those of `whole` rows: its rows, and of what was padded its own part.
    pub(super) fn split(
        &self,
        outputs: &[NamedTensor],
        members: &[(&[NamedTensor], u64)],
        padded: &BTreeMap<Arc<str>, u64>,
        whole: u64,
    ) -> Result<Vec<Vec<NamedTensor>>, String> {
        let mut out: Vec<Vec<NamedTensor>> =
            members.iter().map(|_| Vec::with_capacity(outputs.len())).collect();
        for output in outputs {
            let tensor = &output.tensor;
            if tensor.shape().dims().first() != Some(&whole) {
                return Err(format!(
                    "output {} has shape {}, and the batch {whole} rows",
                    output.name,
                    tensor.shape()
                ));
            }
            let declared = self.signature.output(&output.name).and_then(|spec| spec.dims.as_ref());
            let parts = rows_of(tensor, members.iter().map(|(_, rows)| *rows))?;
            for ((part, (inputs, _)), out) in parts.into_iter().zip(members).zip(&mut out) {
                let own: BTreeMap<Arc<str>, u64> = inputs
                    .iter()
                    .filter(|input| self.pad.contains_key(&input.name))
                    .flat_map(|input| self.symbols(input))
                    .collect();
                let mut wanted = part.shape().dims().to_vec();
                for (size, dim) in wanted.iter_mut().zip(declared.into_iter().flatten()).skip(1) {
                    if let Dim::Symbol(symbol) = dim
                        && padded.contains_key(symbol)
                        && let Some(own) = own.get(symbol)
                    {
                        *size = (*size).min(*own);
                    }
                }
                let part = if wanted == part.shape().dims() { part } else { cut(&part, &wanted)? };
                out.push(NamedTensor::new(Arc::clone(&output.name), part));
            }
        }
        Ok(out)
    }
}

/// Tensors one behind the other along the first dimension, each lengthened to `rest` behind it, and then the first row again
/// until there are `rows`.
fn concat(parts: &[Tensor], rest: &[u64], fill: f64, rows: u64) -> Result<Tensor, String> {
    let [first, ..] = parts else { return Err("nothing to join".to_owned()) };
    let own: u64 = parts.iter().map(|part| part.shape().dims().first().copied().unwrap_or(0)).sum();
    let rows = rows.max(own);
    let shape: Vec<u64> = std::iter::once(rows).chain(rest.iter().copied()).collect();
    if let [only] = parts
        && only.shape().dims() == shape
    {
        return Ok(only.clone());
    }
    let dtype = first.dtype();
    let mut data = BytesMut::new();
    for part in parts {
        let own = part.shape().dims();
        if own.get(1..) == Some(rest) {
            data.extend_from_slice(part.data());
        } else {
            let target: Vec<u64> = own.iter().take(1).chain(rest).copied().collect();
            resize(part, &target, &element(dtype, fill)?, &mut data)?;
        }
    }
    if rows > own {
        let elements: u64 = rest.iter().product();
        let row = data[..row_length(dtype, &data, 0, elements)?].to_vec();
        (own..rows).for_each(|_| data.extend_from_slice(&row));
    }
    Tensor::new(dtype, Shape::from(shape), data.freeze()).map_err(|error| error.to_string())
}

/// The part of a tensor that is left when each dimension is cut to `target`.
fn cut(tensor: &Tensor, target: &[u64]) -> Result<Tensor, String> {
    let mut data = BytesMut::new();
    let dtype = tensor.dtype();
    resize(tensor, target, &element(dtype, 0.0)?, &mut data)?;
    Tensor::new(dtype, Shape::from(target.to_vec()), data.freeze()).map_err(|error| error.to_string())
}

/// Writes a tensor with other sizes: what is there of it is copied, what is not is filled.
fn resize(tensor: &Tensor, target: &[u64], fill: &[u8], out: &mut BytesMut) -> Result<(), String> {
    let size = |dims: &[u64]| dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<_>, _>>();
    let wide = |_| "a tensor that is too large".to_owned();
    let (from, to) = (size(tensor.shape().dims()).map_err(wide)?, size(target).map_err(wide)?);
    if from.len() != to.len() || fill.is_empty() {
        return Err("a tensor of another rank".to_owned());
    }
    // Elements below one step of each dimension of the source.
    let mut strides = vec![fill.len(); from.len()];
    for at in (0..from.len().saturating_sub(1)).rev() {
        strides[at] = strides[at + 1] * from[at + 1];
    }
    copy(tensor.data(), &from, &to, &strides, fill, out);
    Ok(())
}

fn copy(data: &[u8], from: &[usize], to: &[usize], strides: &[usize], fill: &[u8], out: &mut BytesMut) {
    let ([have, from @ ..], [want, to @ ..], [stride, strides @ ..]) = (from, to, strides) else {
        return out.extend_from_slice(data);
    };
    let below: usize = to.iter().product();
    for step in 0..*want {
        if step >= *have {
            (0..below).for_each(|_| out.extend_from_slice(fill));
        } else if let Some(part) = data.get(step * stride..(step + 1) * stride) {
            copy(part, from, to, strides, fill, out);
        }
    }
}

/// The bytes of one element.
fn element(dtype: DType, value: f64) -> Result<Vec<u8>, String> {
    let text = match dtype {
        DType::Bool => (value != 0.0).to_string(),
        dtype if dtype.is_float() => format!("{value:?}"),
        _ => value.to_string(),
    };
    // As a request would have it, so that the rules of what fits which type are one.
    let datatype = dtype.oip_name();
    let json = format!(
        r#"{{"inputs": [{{"name": "x", "shape": [1], "datatype": "{datatype}", "data": [{text}]}}]}}"#
    );
    let limits = tensor::oip::Limits::default();
    let read = tensor::oip::InferRequest::from_json(json.as_bytes(), &limits);
    let read = read.map_err(|_| format!("{value} is no value of {}", dtype.oip_name()))?;
    read.inputs.first().map(|input| input.tensor.data().to_vec()).ok_or_else(|| "no element".to_owned())
}

/// A tensor's rows, in pieces of so many; shared with it, not copied.
fn rows_of(tensor: &Tensor, pieces: impl Iterator<Item = u64>) -> Result<Vec<Tensor>, String> {
    let dims = tensor.shape().dims();
    let each: u64 = dims.iter().skip(1).product();
    let mut at = 0;
    let mut out = Vec::new();
    for rows in pieces {
        let length = row_length(tensor.dtype(), tensor.data(), at, rows * each)?;
        if at + length > tensor.data().len() {
            return Err("a tensor that is shorter than its shape".to_owned());
        }
        let data: Bytes = tensor.data().slice(at..at + length);
        let shape: Vec<u64> = std::iter::once(rows).chain(dims.iter().skip(1).copied()).collect();
        out.push(Tensor::new(tensor.dtype(), Shape::from(shape), data).map_err(|error| error.to_string())?);
        at += length;
    }
    Ok(out)
}

/// Bytes of so many elements from `at` on.
fn row_length(dtype: DType, data: &[u8], at: usize, elements: u64) -> Result<usize, String> {
    if dtype == DType::String {
        return text_length(data, at, elements);
    }
    let length = dtype.byte_len(elements).and_then(|bytes| usize::try_from(bytes).ok());
    length.ok_or_else(|| "a tensor that is too large".to_owned())
}

/// Bytes of so many texts from `at` on.
fn text_length(data: &[u8], at: usize, texts: u64) -> Result<usize, String> {
    let mut end = at;
    for _ in 0..texts {
        let length = data.get(end..end + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        end += 4 + length.ok_or_else(|| "text that is cut short".to_owned())? as usize;
    }
    Ok(end - at)
}

#[cfg(test)]
mod tests {
    use tensor::TensorSpec;

    use super::*;

    fn spec(name: &str, dtype: DType, dims: &[&str]) -> TensorSpec {
        let dim = |text: &&str| text.parse().map_or_else(|_| Dim::Symbol((*text).into()), Dim::Fixed);
        TensorSpec { name: name.into(), dtype, dims: Some(dims.iter().map(dim).collect()), optional: false }
    }

    fn signature() -> Signature {
        Signature {
            inputs: vec![
                spec("ids", DType::I64, &["batch", "length"]),
                spec("scale", DType::F32, &["batch", "1"]),
            ],
            outputs: vec![
                spec("hidden", DType::F32, &["batch", "length", "2"]),
                spec("pooled", DType::F32, &["batch", "2"]),
            ],
        }
    }

    fn ids(rows: &[&[i64]]) -> NamedTensor {
        let flat: Vec<i64> = rows.iter().flat_map(|row| row.iter().copied()).collect();
        NamedTensor::new(
            "ids",
            Tensor::from_slice([rows.len() as u64, rows[0].len() as u64], &flat).expect("ids"),
        )
    }

    fn scale(values: &[f32]) -> NamedTensor {
        NamedTensor::new("scale", Tensor::from_slice([values.len() as u64, 1], values).expect("scale"))
    }

    #[test]
    fn requests_of_different_length_are_padded_and_cut_again() {
        let layout = Layout::of(&signature(), &[("ids".to_owned(), 9.0)].into()).expect("it goes together");
        let (one, two) = ([ids(&[&[1, 2, 3]]), scale(&[0.5])], [scale(&[1.5, 2.5]), ids(&[&[4], &[5]])]);
        let (a, b) = (layout.likeness(&one).expect("rows"), layout.likeness(&two).expect("rows"));
        assert_eq!((&a.0, a.1, b.1), (&b.0, 1, 2));
        let joined = layout.join(&[&one, &two], 3).expect("they are alike");
        assert_eq!(joined.inputs[0].tensor.to_vec::<i64>().expect("ids"), [1, 2, 3, 4, 9, 9, 5, 9, 9]);
        assert_eq!(joined.inputs[1].tensor.to_vec::<f32>().expect("scale"), [0.5, 1.5, 2.5]);
        assert_eq!(joined.padded, [("length".into(), 3)].into());
        let hidden: Vec<f32> = (0..18_u8).map(f32::from).collect();
        let outputs = [
            NamedTensor::new("hidden", Tensor::from_slice([3, 3, 2], &hidden).expect("hidden")),
            NamedTensor::new("pooled", Tensor::from_slice([3, 2], &hidden[..6]).expect("pooled")),
        ];
        let split = layout.split(&outputs, &[(&one, 1), (&two, 2)], &joined.padded, 3).expect("as declared");
        assert_eq!(split[0][0].tensor.to_vec::<f32>().expect("hidden"), hidden[..6]);
        assert_eq!(split[1][0].tensor.shape().dims(), [2, 1, 2]);
        assert_eq!(split[1][0].tensor.to_vec::<f32>().expect("hidden"), [6.0, 7.0, 12.0, 13.0]);
        assert_eq!(split[1][1].tensor.to_vec::<f32>().expect("pooled"), [2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn a_batch_is_filled_up_with_its_first_row() {
        let layout = Layout::of(&signature(), &BTreeMap::new()).expect("it goes together");
        let one = [ids(&[&[1, 2]]), scale(&[0.5])];
        let joined = layout.join(&[&one, &one], 4).expect("they are alike");
        assert_eq!(joined.inputs[0].tensor.to_vec::<i64>().expect("ids"), [1, 2, 1, 2, 1, 2, 1, 2]);
        let pooled =
            Tensor::from_slice([4, 2], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).expect("pooled");
        let split =
            layout.split(&[NamedTensor::new("pooled", pooled)], &[(&one, 1), (&one, 1)], &joined.padded, 4);
        let split = split.expect("as declared");
        assert_eq!(split.len(), 2);
        assert_eq!(split[1][0].tensor.to_vec::<f32>().expect("pooled"), [3.0, 4.0]);
    }

    #[test]
    fn without_padding_only_the_same_shape_is_alike() {
        let layout = Layout::of(&signature(), &BTreeMap::new()).expect("it goes together");
        let short = layout.likeness(&[ids(&[&[1]]), scale(&[1.0])]).expect("rows");
        let long = layout.likeness(&[ids(&[&[1, 2]]), scale(&[1.0])]).expect("rows");
        assert_ne!(short.0, long.0);
        assert_eq!(layout.likeness(&[ids(&[&[1], &[2]]), scale(&[1.0])]), None, "rows that differ");
    }

    #[test]
    fn text_is_split_by_its_lengths() {
        let text = Tensor::from_strings([3, 1], &["a", "", "longer"]).expect("texts");
        let parts = rows_of(&text, [1, 2].into_iter()).expect("its rows");
        assert_eq!(parts[0].strings().expect("text"), ["a"]);
        assert_eq!(parts[1].strings().expect("text"), ["", "longer"]);
    }

    #[test]
    fn models_that_do_not_go_together_say_why() {
        let two = Signature {
            inputs: vec![spec("a", DType::F32, &["text", "2"]), spec("b", DType::F32, &["image", "2"])],
            outputs: vec![spec("c", DType::F32, &["text", "image"])],
        };
        assert!(Layout::of(&two, &BTreeMap::new()).expect_err("two batches").contains("not the one"));
        let fixed = Signature {
            inputs: vec![spec("a", DType::F32, &["1", "2"])],
            outputs: vec![spec("c", DType::F32, &["1"])],
        };
        assert!(Layout::of(&fixed, &BTreeMap::new()).expect_err("no batch").contains("no symbol"));
    }
}
