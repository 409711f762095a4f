//! What lies where.

use crate::Tree;

/// The rooms, and the tool files beside them. Nothing else is at the root.
const TOP: [&str; 22] = [
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "board",
    "build",
    "buildroot-ext",
    "clippy.toml",
    "docs",
    "firmware",
    "image",
    "qemu",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "tests",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

/// The folders of tests.
const TESTS: [&str; 6] = ["bench", "fuzz", "golden", "sim", "tidy", "vm"];

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_top_level_has_the_rooms_and_tool_files_and_nothing_else() {
    let tree = Tree::read().unwrap();
    let other: Vec<String> =
        names(&tree.root).into_iter().filter(|name| !TOP.contains(&name.as_str())).collect();
    assert!(other.is_empty(), "not part of the layout in ARCHITECTURE.md: {other:?}");
}

#[test]
fn tests_lie_in_the_folder_of_their_layer() {
    let tree = Tree::read().unwrap();
    let mut other = names(&tree.root.join("tests"));
    other.retain(|name| !TESTS.contains(&name.as_str()));
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn every_room_is_explained() {
    let tree = Tree::read().unwrap();
    let architecture = tree.text("ARCHITECTURE.md").unwrap();
    for room in names(&tree.root) {
        if tree.root.join(&room).is_dir() && !room.starts_with('.') {
            assert!(
                architecture.contains(&format!("{room}/")),
                "ARCHITECTURE.md does not say what {room}/ is for"
            );
        }
    }
}

#[test]
fn every_crate_says_what_it_is_for() {
    let tree = Tree::read().unwrap();
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs"))
    {
        assert!(file.text.starts_with("//! "), "{} does not begin with its purpose", file.path);
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let tree = Tree::read().unwrap();
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let inherits = file.text.contains("[lints]\nworkspace = true");
        // A crate that is nothing but tests lists its own, because clippy's exceptions for tests do not see it as one;
        // the fuzz crate needs another toolchain and lies outside the workspace.
        let tests = file.is_below("tests") && file.text.contains("[lints.clippy]");
        assert!(inherits || tests || file.is_below("tests/fuzz"), "{}", file.path);
    }
}
