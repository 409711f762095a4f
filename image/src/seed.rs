//! What a new data partition holds: the identity of the box and a configuration, so that a box comes up configured.

use crate::disk::Window;
use anyhow::{Result, bail};
use director_core::store::identity::Role;

/// The content of a data partition.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Which node of the pair; none leaves the box without an identity record.
    pub role: Option<Role>,
    /// `set` lines; none means the factory configuration.
    pub config: Option<String>,
}

/// Writes the regions.
pub fn plant(seed: &Seed, data: Window<'_>) -> Result<()> {
    if seed.role.is_some() || seed.config.is_some() {
        bail!(
            "this version cannot write an identity or a configuration into the {} bytes of data",
            data.length()
        );
    }
    Ok(())
}
