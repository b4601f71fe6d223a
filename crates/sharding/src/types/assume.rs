//! Sizes for dimensions that a model leaves open, so that bytes and work can be told as numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tensor::Dim;

use super::ValueType;

/// What open dimensions are taken to be when sizes are estimated. It decides nothing about what a part can run: the
/// parts keep the model's own dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumptions {
    /// Sizes by name of the dimension.
    pub sizes: BTreeMap<String, u64>,
    /// The size of every other dimension whose name does not contain `batch`; those are taken to be 1. Default 128.
    pub otherwise: u64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { sizes: BTreeMap::new(), otherwise: 128 }
    }
}

/// What is estimated is never more than this, so that it can be added up for all the nodes that a file can have: a
/// tensor of 2⁴⁰ elements or bytes is beyond every worker anyway.
const MOST: u64 = 1 << 40;

impl Assumptions {
    /// The size of one dimension.
    #[must_use]
    pub fn size(&self, dim: &Dim) -> u64 {
        match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(name) => match self.sizes.get(&**name) {
                Some(&size) => size,
                None if name.to_ascii_lowercase().contains("batch") => 1,
                None => self.otherwise,
            },
            Dim::Unknown => self.otherwise,
        }
    }

    /// Elements of a tensor; `None` where not even the number of its dimensions is known.
    pub(crate) fn elements(&self, ty: &ValueType) -> Option<u64> {
        let dims = ty.dims.as_ref()?;
        Some(self.product(dims).min(MOST))
    }

    /// The product of some dimensions.
    pub(crate) fn product(&self, dims: &[Dim]) -> u64 {
        // An empty tensor is empty, however large its other dimensions are.
        let sizes = dims.iter().map(|dim| self.size(dim));
        if sizes.clone().any(|size| size == 0) { 0 } else { sizes.fold(1, u64::saturating_mul) }
    }

    /// Bytes of a tensor; text counts 16 bytes an element.
    pub(crate) fn bytes(&self, ty: &ValueType) -> Option<u64> {
        let bits = ty.dtype.bits().map_or(128, u64::from);
        Some(self.elements(ty)?.saturating_mul(bits).div_ceil(8).min(MOST))
    }
}

#[cfg(test)]
mod tests {
    use tensor::DType;

    use super::*;

    #[test]
    fn open_dimensions_have_the_size_that_is_assumed() {
        let dims =
            vec![Dim::Symbol("batch_size".into()), Dim::Symbol("past".into()), Dim::Fixed(3), Dim::Unknown];
        let mut assumed = Assumptions { otherwise: 10, ..Assumptions::default() };
        let ty = ValueType::of(DType::I4, Some(dims));
        assert_eq!(assumed.elements(&ty), Some(300));
        assert_eq!(assumed.bytes(&ty), Some(150));
        assumed.sizes.insert("past".to_owned(), 5);
        assert_eq!(assumed.elements(&ty), Some(150));
        assert_eq!(assumed.bytes(&ValueType::any(DType::F32)), None);
        let absurd = |size| ValueType::of(DType::F32, Some(vec![Dim::Fixed(u64::MAX), Dim::Fixed(size)]));
        assert_eq!((assumed.elements(&absurd(9)), assumed.bytes(&absurd(9))), (Some(MOST), Some(MOST)));
        assert_eq!(assumed.bytes(&absurd(0)), Some(0));
    }
}
