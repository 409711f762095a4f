//! The Buildroot tree, as far as it can be checked without Buildroot: that it restates what the quick build does, and shares
//! its board files instead of copying them.
#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "a file of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn text(name: &str) -> String {
    fs::read_to_string(tree().join(name)).unwrap()
}

/// `name = value` lines of the release profile.
fn profile() -> BTreeMap<String, String> {
    let cargo = text("Cargo.toml");
    let section = cargo.split("[profile.release]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let pair = |line: &str| {
        let (name, value) = line.split_once(" = ").unwrap();
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    section.lines().filter(|line| line.contains(" = ")).map(pair).collect()
}

#[test]
fn the_release_profile_is_restated_because_buildroot_overrides_it() {
    let recipe = text("buildroot-ext/package/director/director.mk");
    for (name, value) in profile() {
        let value = if (name.as_str(), value.as_str()) == ("strip", "true") { "symbols" } else { &value };
        let variable = name.replace('-', "_").to_uppercase();
        let line = format!("CARGO_PROFILE_RELEASE_{variable}=\"{value}\"");
        assert!(recipe.contains(&line), "director.mk does not say {line}");
    }
}

#[test]
fn version_and_rust_are_those_of_the_workspace() {
    let cargo = text("Cargo.toml");
    let version =
        cargo.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap();
    let recipe = text("buildroot-ext/package/director/director.mk");
    assert!(recipe.contains(&format!("DIRECTOR_VERSION = {version}\n")));
    assert!(cargo.contains("rust-version = \"1.88\""), "buildroot-ext/README.md names a tag with this Rust");
}

#[test]
fn board_files_are_shared_and_every_path_exists() {
    let root = tree().join("buildroot-ext");
    let mut folders = vec![root.clone()];
    let board: Vec<String> = fs::read_dir(tree().join("board/x86_64"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!board.contains(&name), "{name} is a copy of a board file");
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    for line in text("buildroot-ext/configs/director_x86_64_defconfig").lines() {
        let Some(path) = line.split("$(BR2_EXTERNAL_DIRECTOR_PATH)").nth(1) else { continue };
        let path = path.trim_end_matches('"');
        // Made by `make buildroot`.
        assert!(path.contains("/build/") || root.join(path.trim_start_matches('/')).exists(), "{path}");
    }
}

#[test]
fn there_is_no_shell_in_the_image_and_nothing_else_that_runs() {
    let config = text("buildroot-ext/configs/director_x86_64_defconfig");
    for line in ["BR2_INIT_NONE=y", "BR2_SYSTEM_BIN_SH_NONE=y", "# BR2_PACKAGE_BUSYBOX is not set"] {
        assert!(config.lines().any(|l| l == line), "{line} is missing");
    }
    let programs: Vec<&str> =
        config.lines().filter(|l| l.starts_with("BR2_PACKAGE_") && l.ends_with("=y")).collect();
    assert_eq!(programs, ["BR2_PACKAGE_DIRECTOR=y"]);
}

#[test]
fn the_kernel_has_a_checksum() {
    let config = text("buildroot-ext/configs/director_x86_64_defconfig");
    let version = config.split("KERNEL_CUSTOM_VERSION_VALUE=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(version.starts_with("6.1."), "the fragment is for 6.1");
    assert!(text("buildroot-ext/patches/linux/linux.hash").contains(&format!("linux-{version}.tar.xz")));
}

#[test]
fn scripts_are_sound() {
    let script = tree().join("buildroot-ext/scripts/post-image.sh");
    assert!(Command::new("sh").arg("-n").arg(script).status().unwrap().success());
}
