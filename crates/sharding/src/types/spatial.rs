//! Shapes of convolutions and pooling windows.

use tensor::Dim;

use super::scope::At;
use super::shapes::fixed;

pub(crate) fn conv(at: &At<'_>) -> Option<Vec<Dim>> {
    let (dims, kernel) = (at.dims(0)?, at.dims(1)?);
    let rank = dims.len().checked_sub(2)?;
    let window: Vec<i64> = match at.ints("kernel_shape").filter(|sizes| !sizes.is_empty()) {
        Some(sizes) => sizes.to_vec(),
        None => kernel.get(2..)?.iter().map(size).collect::<Option<_>>()?,
    };
    let mut out = vec![dims[0].clone(), kernel.first()?.clone()];
    out.extend(windows(at, &dims[2..], &window, rank)?);
    Some(out)
}

pub(crate) fn pool(at: &At<'_>) -> Option<Vec<Dim>> {
    let dims = at.dims(0)?;
    let rank = dims.len().checked_sub(2)?;
    let window = at.ints("kernel_shape")?;
    let mut out = dims[..2].to_vec();
    out.extend(windows(at, &dims[2..], window, rank)?);
    Some(out)
}

fn size(dim: &Dim) -> Option<i64> {
    match dim {
        Dim::Fixed(size) => i64::try_from(*size).ok(),
        _ => None,
    }
}

/// How often a window fits: floor((size + padding − dilation · (window − 1) − 1) / stride) + 1, as ONNX's `Conv` says; a
/// pool may round up.
fn windows(at: &At<'_>, dims: &[Dim], window: &[i64], rank: usize) -> Option<Vec<Dim>> {
    if window.len() != rank {
        return None;
    }
    // In twice as many bits nothing that a file says can overflow.
    let each = |name: &str, place: usize, default: i64| {
        i128::from(at.ints(name).and_then(|values| values.get(place)).copied().unwrap_or(default))
    };
    let fixed = |size: i128| i64::try_from(size).map_or(Dim::Unknown, fixed);
    let same = at.text("auto_pad").is_some_and(|pad| pad.starts_with(b"SAME"));
    let valid = at.text("auto_pad").is_some_and(|pad| pad == b"VALID");
    let up = at.int("ceil_mode").unwrap_or(0) != 0;
    let fit = |(place, dim): (usize, &Dim)| {
        let stride = each("strides", place, 1).max(1);
        let reach = each("dilations", place, 1) * (i128::from(window[place]) - 1);
        let Some(size) = size(dim).map(i128::from) else {
            let pads = each("pads", place, 0) + each("pads", place + rank, 0);
            let keeps = stride == 1 && (same || pads == reach);
            return if keeps { dim.clone() } else { Dim::Unknown };
        };
        if same {
            return fixed(size.div_euclid(stride) + i128::from(size % stride != 0));
        }
        let pads = if valid { 0 } else { each("pads", place, 0) + each("pads", place + rank, 0) };
        let room = size + pads - reach - 1;
        // Whether a window that only partly fits counts depends on the padding; nothing is said rather than too much.
        if up && room % stride != 0 { Dim::Unknown } else { fixed(room.div_euclid(stride) + 1) }
    };
    Some(dims.iter().enumerate().map(fit).collect())
}
