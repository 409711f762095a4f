//! Slot records.

use serde::{Deserialize, Serialize};

/// Whether a record may be booted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SlotState {
    /// Written, not yet confirmed: never booted from.
    Tentative,
    /// Committed.
    Good,
}
