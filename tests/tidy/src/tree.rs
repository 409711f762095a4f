//! The work tree as the rules see it: every text file, without what is built.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What is not source; `.git` is a file in a linked work tree.
const SKIPPED: [&str; 3] = [".git", "build", "target"];

/// One text file.
#[derive(Clone, Debug)]
pub struct Text {
    /// Path from the root, with slashes.
    pub path: String,
    /// Content.
    pub text: String,
}

impl Text {
    /// Numbered lines, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Numbered lines of Rust without their `//` comments. A `//` in a string ends the line too, which only makes
    /// a rule see less.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// Whether it lies below this folder.
    pub fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the name ends so.
    pub fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Absolute path of the root.
    pub root: PathBuf,
    /// Text files in the order of their paths.
    pub files: Vec<Text>,
}

impl Tree {
    /// Reads the tree that this crate is part of.
    pub fn read() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.ancestors().nth(2).context("this crate lies two folders below the root")?.to_owned();
        let mut files = Vec::new();
        collect(&root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root, files })
    }

    /// Rust source below one of these folders, this crate excepted: it names what it forbids.
    pub fn rust<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = &'a Text> {
        self.files
            .iter()
            .filter(|file| file.is("rs") && !file.is_below("tests/tidy"))
            .filter(|file| folders.iter().any(|folder| file.is_below(folder)))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Result<&str> {
        let found = self.files.iter().find(|file| file.path == path);
        found.map(|file| file.text.as_str()).with_context(|| format!("{path} is missing"))
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Text>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &path, files)?;
        } else if kind.is_file() {
            // What is not UTF-8 is not text: golden blobs, captures.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push(Text { path, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_code() {
        let file =
            Text { path: "a/b.rs".into(), text: "let a = 1; // sleep(\n/// sleep(\nsleep(1)\n".into() };
        let code: Vec<(usize, &str)> = file.code().collect();
        assert_eq!(code, [(1, "let a = 1; "), (2, ""), (3, "sleep(1)")]);
        assert!(file.is_below("a") && !file.is_below("a/b"));
    }

    #[test]
    fn the_tree_is_read_from_its_root() {
        let tree = Tree::read().unwrap();
        assert!(tree.text("Cargo.toml").unwrap().contains("[workspace]"));
        assert!(tree.text("tests/tidy/src/tree.rs").is_ok());
        assert!(tree.text("no such file").is_err());
    }
}
