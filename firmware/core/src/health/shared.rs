//! One copy for many owners.

use alloc::sync::Arc;
use core::ops::Deref;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An [`Arc`] that compares and is stored like what it holds.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// The first owner.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}
