//! What is in an image, for those who did not build it: sizes, versions and checksums of each file, and a list of all parts
//! with their licences (CycloneDX 1.5, JSON).

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Target of the program.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// A file beside the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub what: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

impl Entry {
    /// Of a file.
    pub fn of(path: &Path, what: &'static str) -> Result<Self> {
        let content = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = u64::try_from(content.len())?;
        Ok(Self { name, what, bytes, sha256: hex(&content) })
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The manifest. The same files give the same bytes: no time, no host.
pub fn manifest(version: &str, kernel: &str, board: &str, entries: &[Entry]) -> Result<String> {
    let files: Vec<Value> = entries
        .iter()
        .map(|entry| {
            json!({"name": entry.name, "what": entry.what, "bytes": entry.bytes, "sha256": entry.sha256})
        })
        .collect();
    let whole = json!({
        "name": "director", "version": version, "board": board, "kernel": kernel,
        "trusts": director_core::upgrade::trust::rules("0.0.0".parse().ok().context("a version")?)
            .key.iter().fold(String::new(), |mut text, byte| { write!(text, "{byte:02x}").ok(); text }),
        "development_key": director_core::upgrade::trust::published(),
        "files": files,
    });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

/// Checksums as `sha256sum --check` reads them.
pub fn checksums(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("{}  {}\n", entry.sha256, entry.name)).collect()
}

/// The version in a kernel image: `setup header` at 0x20e points to it (Linux `Documentation/x86/boot.rst`).
pub fn kernel_version(image: &[u8]) -> Result<String> {
    let bytes: [u8; 2] = image.get(0x20e..0x210).and_then(|b| b.try_into().ok()).context("a short kernel")?;
    let at = usize::from(u16::from_le_bytes(bytes)) + 0x200;
    let text = image.get(at..).context("a kernel without a version")?;
    let word: Vec<u8> = text.iter().copied().take_while(|b| b.is_ascii_graphic()).take(64).collect();
    ensure!(!word.is_empty(), "the kernel's version is empty");
    Ok(String::from_utf8_lossy(&word).into_owned())
}

/// Everything that is linked into the program, and the kernel, as CycloneDX. `tree` is the work tree, for `cargo metadata`.
pub fn parts(tree: &Path, version: &str, kernel: &str) -> Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ended = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", TARGET])
        .current_dir(tree)
        .output()
        .context("cargo metadata")?;
    ensure!(ended.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&ended.stderr));
    bill(&serde_json::from_slice(&ended.stdout).context("what cargo metadata says")?, version, kernel)
}

fn bill(metadata: &Value, version: &str, kernel: &str) -> Result<String> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let nodes = list(&metadata["resolve"], "nodes");
    let packages = list(metadata, "packages");
    let root = packages.iter().find(|p| p["name"] == "director").context("no package director")?;
    let mut linked = vec![root["id"].clone()];
    let mut next = 0;
    // Each package enters once, so this ends.
    while let Some(id) = linked.get(next).cloned() {
        next += 1;
        let node = nodes.iter().find(|node| node["id"] == id).context("an unknown package")?;
        for dependency in list(node, "deps") {
            let normal = list(&dependency, "dep_kinds").iter().any(|kind| kind["kind"].is_null());
            let Some(package) = dependency.get("pkg").filter(|_| normal) else { continue };
            if !linked.contains(package) {
                linked.push(package.clone());
            }
        }
    }
    let mut components: Vec<Value> = packages
        .iter()
        .filter(|package| linked.contains(&package["id"]) && package["id"] != root["id"])
        .map(|package| {
            let (name, version) = (&package["name"], &package["version"]);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            json!({
                "type": "library", "name": name, "version": version,
                "purl": format!("pkg:cargo/{}@{}", text(name), text(version)),
                "licenses": [{"expression": text(&package["license"]).replace('/', " OR ")}],
            })
        })
        .collect();
    components.sort_by_key(|c| c["purl"].to_string());
    components.push(json!({
        "type": "operating-system", "name": "linux", "version": kernel,
        "licenses": [{"expression": "GPL-2.0-only WITH Linux-syscall-note"}],
    }));
    components.push(json!({
        "type": "application", "name": "grub", "licenses": [{"expression": "GPL-3.0-or-later"}],
    }));
    let whole = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {
            "type": "firmware", "name": "director", "version": version,
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        }},
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parts_has_what_is_linked_and_nothing_of_the_host_tools() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = parts(tree, "1.2.3", "6.1.0").unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> =
            whole["components"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
        for name in ["director-core", "tokio", "linux", "grub"] {
            assert!(names.contains(&name), "{name} is missing: {names:?}");
        }
        for name in ["clap", "anyhow", "proptest", "director-image"] {
            assert!(!names.contains(&name), "{name} is no part of the firmware");
        }
        assert_eq!(parts(tree, "1.2.3", "6.1.0").unwrap(), text, "the same twice");
    }

    #[test]
    fn the_version_of_a_kernel_is_read_from_its_header() {
        let mut image = vec![0; 0x600];
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x500..0x50c].copy_from_slice(b"6.1.192 (a@b");
        assert_eq!(kernel_version(&image).unwrap(), "6.1.192");
        assert!(kernel_version(&image[..0x100]).is_err());
    }

    #[test]
    fn checksums_are_as_the_usual_tool_reads_them() {
        let entry = Entry { name: "a".into(), what: "x", bytes: 3, sha256: hex(b"abc") };
        assert_eq!(
            checksums(&[entry]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n"
        );
    }
}
