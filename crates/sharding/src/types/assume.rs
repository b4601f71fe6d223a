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
        Some(dims.iter().fold(1_u64, |product, dim| product.saturating_mul(self.size(dim))))
    }

    /// Bytes of a tensor; text counts 16 bytes an element.
    pub(crate) fn bytes(&self, ty: &ValueType) -> Option<u64> {
        let bits = ty.dtype.bits().map_or(128, u64::from);
        Some(self.elements(ty)?.saturating_mul(bits).div_ceil(8))
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
    }
}
