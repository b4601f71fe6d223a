//! The dimensions of a tensor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The dimensions of a tensor, outermost first. No dimensions means one element; a dimension of 0 means none.
///
/// Cloning shares the dimensions. In JSON a shape is an array of numbers.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Arc<[u64]>);

impl Shape {
    /// Takes the dimensions, outermost first.
    #[must_use]
    pub fn new(dims: &[u64]) -> Self {
        Self(dims.into())
    }

    /// The shape of a single element: no dimensions.
    #[must_use]
    pub fn scalar() -> Self {
        Self::new(&[])
    }

    /// The dimensions, outermost first.
    #[must_use]
    pub fn dims(&self) -> &[u64] {
        &self.0
    }

    /// How many dimensions there are.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements there are; `None` where the product is above `u64::MAX`. One dimension of 0 makes it 0,
    /// however large the others are.
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        if self.0.contains(&0) {
            return Some(0);
        }
        self.0.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim))
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[")?;
        for (index, dim) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl From<&[u64]> for Shape {
    fn from(dims: &[u64]) -> Self {
        Self::new(dims)
    }
}

impl From<Vec<u64>> for Shape {
    fn from(dims: Vec<u64>) -> Self {
        Self(dims.into())
    }
}

impl<const N: usize> From<[u64; N]> for Shape {
    fn from(dims: [u64; N]) -> Self {
        Self::new(&dims)
    }
}

impl From<&Self> for Shape {
    fn from(shape: &Self) -> Self {
        shape.clone()
    }
}
