//! Core decides: nothing it is linked with can act.

use crate::Tree;
use std::collections::BTreeSet;
use std::process::Command;

/// Runtimes, system calls, randomness and clocks: what a crate that only decides has no use for.
const FORBIDDEN: [&str; 16] = [
    "tokio",
    "nix",
    "neli",
    "libc",
    "rustix",
    "mio",
    "socket2",
    "serialport",
    "rand",
    "rand_core",
    "getrandom",
    "fastrand",
    "time",
    "chrono",
    "log",
    "once_cell",
];

/// Everything that is linked into a crate, its own dependencies' dependencies included.
fn linked(package: &str) -> BTreeSet<String> {
    let tree = Tree::read().unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(&tree.root)
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--locked",
        ])
        .args(["--target", "x86_64-unknown-linux-musl", "--format", "{lib}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn core_is_linked_with_nothing_that_acts() {
    let linked = linked("director-core");
    assert!(linked.contains("director_core") && linked.contains("postcard"), "cargo tree said {linked:?}");
    let found: Vec<_> = FORBIDDEN.iter().filter(|name| linked.contains(**name)).collect();
    assert!(
        found.is_empty(),
        "director-core is linked with {found:?}; see cargo tree -p director-core -i NAME"
    );
}

#[test]
fn the_rule_would_see_a_runtime() {
    assert!(linked("director").contains("tokio"));
}

#[test]
fn the_compiler_proves_that_core_has_neither_std_nor_unsafe() {
    let tree = Tree::read().unwrap();
    let core = tree.text("firmware/core/src/lib.rs").unwrap();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(core.lines().any(|line| line == attribute), "{attribute} is missing, or has a condition");
    }
    for file in tree.rust(&["firmware/core/src"]) {
        // Tests may; a whole test module says so in its own line.
        let std = file.code().find(|(_, line)| line.contains("extern crate std"));
        let testing = file.text.contains("#[cfg(test)]\nextern crate std")
            || file.path.ends_with("/tests.rs")
            || file.path.contains("/tests/");
        assert!(std.is_none() || testing, "{}: std enters core", file.path);
    }
}

#[test]
fn host_tools_stay_out_of_the_firmware() {
    let linked = linked("director");
    for name in ["anyhow", "clap", "director_image", "director_qemu", "cpio", "mbrman", "zstd"] {
        assert!(!linked.contains(name), "the firmware is linked with {name}");
    }
}
