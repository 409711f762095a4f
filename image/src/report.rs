//! Sizes against the budget.

use anyhow::{Result, bail};
use std::fmt::Write;

const MIB: u64 = 1 << 20;

/// Bytes that the binary may have (design, numbers to reach).
pub const BINARY_MAX: u64 = 3 * MIB;

/// Bytes that kernel and initramfs may have together (design, numbers to reach).
pub const SYSTEM_MAX: u64 = 7 * MIB;

/// Bytes of what is flashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// The static program, stripped.
    pub binary: u64,
    /// The initramfs as it is stored.
    pub initramfs: u64,
    /// bzImage.
    pub kernel: u64,
}

impl Sizes {
    /// A Markdown table, as it goes into `docs/`.
    pub fn table(&self) -> String {
        let Self { binary, initramfs, kernel } = *self;
        let rows = [
            ("binary `/init`", binary, Some(BINARY_MAX)),
            ("initramfs", initramfs, None),
            ("kernel", kernel, None),
            ("kernel + initramfs", kernel + initramfs, Some(SYSTEM_MAX)),
        ];
        let mut text = String::from("| part | bytes | MiB | budget MiB |\n| --- | ---: | ---: | ---: |\n");
        for (name, bytes, budget) in rows {
            let budget = budget.map(|b| (b / MIB).to_string()).unwrap_or_default();
            writeln!(text, "| {name} | {bytes} | {} | {budget} |", mib(bytes)).ok();
        }
        text
    }

    /// An error that names everything over its budget.
    pub fn check(&self) -> Result<()> {
        let parts = [
            ("the binary", self.binary, BINARY_MAX),
            ("kernel and initramfs", self.kernel + self.initramfs, SYSTEM_MAX),
        ];
        let over: Vec<String> = parts
            .iter()
            .filter(|(_, bytes, max)| bytes > max)
            .map(|(name, bytes, max)| format!("{name}: {} MiB of {} MiB", mib(*bytes), mib(*max)))
            .collect();
        if !over.is_empty() {
            bail!("over the size budget: {}", over.join("; "));
        }
        Ok(())
    }
}

/// Two decimals, rounded up: nothing looks smaller than it is.
fn mib(bytes: u64) -> String {
    let hundredths = (bytes * 100).div_ceil(MIB);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_budget_is_within_it_and_a_byte_more_is_not() {
        let full = Sizes { binary: BINARY_MAX, initramfs: MIB, kernel: SYSTEM_MAX - MIB };
        assert!(full.check().is_ok());
        let over = Sizes { binary: BINARY_MAX + 1, kernel: SYSTEM_MAX, ..full };
        assert_eq!(
            over.check().unwrap_err().to_string(),
            "over the size budget: the binary: 3.01 MiB of 3.00 MiB; kernel and initramfs: 8.00 MiB of 7.00 MiB"
        );
    }

    #[test]
    fn the_table_shows_sums_and_budgets() {
        let sizes = Sizes { binary: 1_500_000, initramfs: 600_000, kernel: 5_379_072 };
        assert_eq!(sizes.table().lines().last(), Some("| kernel + initramfs | 5979072 | 5.71 | 7 |"));
    }
}
