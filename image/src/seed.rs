//! What a new data partition holds: the identity of the box and, when given, a configuration, so that a box comes up
//! configured.

use crate::disk::Window;
use anyhow::{Result, bail};
use director_core::store::identity::Role;

/// The content of a data partition.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Which node of the pair.
    pub role: Role,
    /// `set` lines; none means the factory configuration.
    pub config: Option<String>,
}

/// Writes the regions.
pub fn plant(seed: &Seed, data: Window<'_>) -> Result<()> {
    bail!(
        "writing an identity ({}) or a configuration into the {} bytes of a data partition needs director_core::store",
        seed.role,
        data.length()
    )
}
