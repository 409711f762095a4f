//! Files that are whole or not there: written beside their place and renamed into it.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes read at a time when a file is hashed.
const CHUNK: usize = 1 << 20;

/// A name beside `path` that no other process uses.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

/// Puts `bytes` at `path`, creating its folder. A reader sees the old file or the new one, never a part.
/// An equal file is left alone, so that what depends on its time stamp is not rebuilt; true when it was written.
pub fn install(path: &Path, bytes: &[u8]) -> Result<bool> {
    match fs::read(path) {
        Ok(old) if old == bytes => return Ok(false),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let new = beside(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&new)))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(true)
}

/// SHA-256 in lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, in lower-case hex.
pub fn digest_file(path: &Path) -> Result<String> {
    let at = || format!("read {}", path.display());
    let mut file = File::open(path).with_context(at)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk).with_context(at)?;
        match chunk.get(..read) {
            Some([]) | None => return Ok(hex(&hash.finalize())),
            Some(bytes) => hash.update(bytes),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_file_is_not_written_again() {
        let folder = crate::testing::Folder::new();
        let path = folder.join("deep/er/file");
        assert!(install(&path, b"one").unwrap());
        assert!(!install(&path, b"one").unwrap());
        assert!(install(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_and_its_bytes_have_the_same_digest() {
        let folder = crate::testing::Folder::new();
        let path = folder.join("file");
        let bytes = vec![7; CHUNK + 1];
        install(&path, &bytes).unwrap();
        assert_eq!(digest_file(&path).unwrap(), digest(&bytes));
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
