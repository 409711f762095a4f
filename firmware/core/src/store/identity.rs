//! Which box this is: the one thing that is not the same on both nodes, kept in a record of its own.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Which node of the pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Role {
    /// `node primary`.
    #[default]
    Primary,
    /// `node backup`.
    Backup,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        })
    }
}
