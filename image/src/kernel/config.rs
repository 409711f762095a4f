//! Whether a kernel configuration is what was asked for. `olddefconfig` drops a symbol whose dependency is missing
//! without a word (TMPFS, VIRTIO_NET and RETPOLINE were lost that way once), so each one is looked up afterwards.

use crate::say::say;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fmt;

/// Symbol to value; what is `not set` has the value `n`.
pub type Symbols = BTreeMap<String, String>;

/// A symbol that came out otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// `CONFIG_IP_VS`.
    pub symbol: String,
    /// What the fragment says.
    pub wanted: String,
    /// What `.config` says; none when the symbol is not there at all.
    pub got: Option<String>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let got = self
            .got
            .as_deref()
            .unwrap_or("nothing: a dependency is missing, or this kernel has no such symbol");
        write!(f, "{}: wanted {}, got {got}", self.symbol, self.wanted)
    }
}

/// Reads a fragment or a `.config`. A symbol that is given twice with different values is an error, because the later
/// line would win silently.
pub fn parse(text: &str) -> Result<Symbols> {
    let mut symbols = Symbols::new();
    for (number, line) in text.lines().enumerate() {
        let Some((symbol, value)) = parse_line(line.trim()) else {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            bail!("line {}: neither CONFIG_NAME=value, nor a comment: {line}", number + 1);
        };
        match symbols.insert(symbol.to_owned(), value.to_owned()) {
            Some(before) if before != value => {
                bail!("line {}: {symbol} is {value} here and {before} above", number + 1)
            }
            Some(_) | None => {}
        }
    }
    Ok(symbols)
}

fn parse_line(line: &str) -> Option<(&str, &str)> {
    if let Some(symbol) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
        return symbol.starts_with("CONFIG_").then_some((symbol, "n"));
    }
    let (symbol, value) = line.split_once('=')?;
    symbol.starts_with("CONFIG_").then_some((symbol, value))
}

/// Every symbol of `wanted` that `got` does not have with that value, in the order of names.
pub fn lost(wanted: &Symbols, got: &Symbols) -> Vec<Lost> {
    wanted
        .iter()
        .filter(|&(symbol, value)| got.get(symbol).map_or("n", String::as_str) != value)
        .map(|(symbol, value)| Lost {
            symbol: symbol.clone(),
            wanted: value.clone(),
            got: got.get(symbol).cloned(),
        })
        .collect()
}

/// An error that names every symbol that a configuration lost.
pub fn compare(wanted: &Symbols, config: &str) -> Result<()> {
    let lost = lost(wanted, &parse(config).context("the kernel's configuration")?);
    if !lost.is_empty() {
        for symbol in &lost {
            say(format!("  {symbol}"));
        }
        bail!("{} of {} kernel symbols did not survive olddefconfig", lost.len(), wanted.len());
    }
    say(format!("kernel: all {} symbols of the fragment are in the configuration", wanted.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_survived_is_not_listed() {
        let wanted = parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"-x\"\nCONFIG_D=16\n").unwrap();
        let got = parse("# made by hand\nCONFIG_A=y\nCONFIG_C=\"-x\"\nCONFIG_D=16\nCONFIG_E=y\n").unwrap();
        assert_eq!(lost(&wanted, &got), []);
    }

    #[test]
    fn every_lost_symbol_is_listed_with_what_came_instead() {
        let wanted = parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=16\nCONFIG_D=y\n").unwrap();
        let got = parse("CONFIG_B=y\nCONFIG_C=12\n# CONFIG_D is not set\n").unwrap();
        let lines: Vec<String> = lost(&wanted, &got).iter().map(Lost::to_string).collect();
        assert_eq!(
            lines,
            [
                "CONFIG_A: wanted y, got nothing: a dependency is missing, or this kernel has no such symbol",
                "CONFIG_B: wanted n, got y",
                "CONFIG_C: wanted 16, got 12",
                "CONFIG_D: wanted y, got n",
            ]
        );
    }

    #[test]
    fn contradictions_and_typing_errors_in_a_fragment_are_refused() {
        assert!(parse("CONFIG_A=y\nCONFIG_A=y\n").is_ok());
        assert_eq!(
            parse("CONFIG_A=y\n# CONFIG_A is not set\n").unwrap_err().to_string(),
            "line 2: CONFIG_A is n here and y above"
        );
        assert!(parse("CONFIG_A\n").unwrap_err().to_string().starts_with("line 1: neither"));
    }

    #[test]
    fn the_board_asks_for_what_the_product_cannot_be_without() {
        let fragment = parse(include_str!("../../../board/x86_64/kernel.fragment")).unwrap();
        for symbol in
            ["IP_VS", "IP_VS_IPV6", "NF_TABLES", "NFT_MASQ", "RD_ZSTD", "DEVTMPFS", "SERIAL_8250_CONSOLE"]
        {
            assert_eq!(fragment.get(&format!("CONFIG_{symbol}")).map(String::as_str), Some("y"), "{symbol}");
        }
        for symbol in ["MODULES", "KEXEC", "DEVMEM", "MAGIC_SYSRQ"] {
            assert_eq!(fragment.get(&format!("CONFIG_{symbol}")).map(String::as_str), Some("n"), "{symbol}");
        }
    }
}
