//! What never appears in source.

use crate::{Text, Tree};

/// Lines that a file may have. Above it nobody reads a file as one thing.
const LINES_MAX: usize = 600;

/// Lines from which a file is named in the output of the test.
const LINES_MANY: usize = 400;

/// All source of ours.
const ALL: [&str; 4] = ["firmware", "image", "qemu", "tests"];

fn places<'a>(files: impl Iterator<Item = &'a Text>, bad: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.code().filter(|(_, line)| bad(line)) {
            found.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    found
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}\n{}", found.join("\n"));
}

/// Whether `word` stands alone in `line`.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|s| s.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|s| s.chars().next());
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

#[test]
fn words_are_found_only_where_they_stand_alone() {
    assert!(has_word("FLUSH = 17,", "17") && has_word("17", "17"));
    assert!(!has_word("0x17, 170, a17", "17"));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let tree = Tree::read().unwrap();
    let mut long = Vec::new();
    for file in tree.rust(&ALL) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            long.push(format!("{}: {lines} lines", file.path));
        } else if lines > LINES_MANY {
            eprintln!("{}: {lines} lines; consider splitting it", file.path);
        }
    }
    none("files of more than 600 lines", &long);
}

#[test]
fn ipvs_is_never_flushed() {
    let tree = Tree::read().unwrap();
    // IPVS_CMD_FLUSH is command 17 of include/uapi/linux/ip_vs.h. Writers are flushed, tables never.
    let found = places(tree.rust(&["firmware"]), |line| {
        let line = line.to_ascii_lowercase();
        let flush = line.contains("flush") && !line.contains(".flush()") && !line.contains("fn flush(");
        let named = flush
            && (line.contains("cmd")
                || line.contains("ipvs")
                || line.contains("ip_vs")
                || line.contains("= 17"));
        let numbered = line.contains("cmd") && has_word(&line, "17");
        named || numbered
    });
    none("a flush deletes every connection's service", &found);
    let in_ipvs = tree.rust(&["firmware"]).filter(|file| file.path.contains("ipvs"));
    none(
        "a flush in the code that programs IPVS",
        &places(in_ipvs, |line| line.to_ascii_lowercase().contains("flush")),
    );
}

#[test]
fn nothing_is_left_for_later() {
    let tree = Tree::read().unwrap();
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| !file.is_below("tests/tidy") && file.path != "Cargo.lock") {
        for (number, line) in file.lines() {
            let word = ["TODO", "FIXME", "XXX", "HACK"].iter().any(|word| has_word(line, word));
            let call = file.is("rs")
                && ["dbg!(", "todo!(", "unimplemented!("].iter().any(|call| line.contains(call));
            if word || call {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("do it, or file an issue", &found);
}

#[test]
fn tests_and_firmware_wait_for_events_not_for_time() {
    let tree = Tree::read().unwrap();
    let found = places(tree.rust(&["firmware", "qemu", "tests"]), |line| {
        line.contains("sleep(") && !line.contains("fn ") && !line.contains("no_sleep(")
    });
    none("a sleep is too short on a slow machine and too long on a fast one", &found);
}

#[test]
fn no_path_of_a_build_machine_is_in_the_tree() {
    let tree = Tree::read().unwrap();
    let paths = [concat!("/wo", "rk/"), concat!("/tmp/", "wt"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut found = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines().filter(|(_, line)| paths.iter().any(|path| line.contains(path))) {
            found.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    none("a path that only one machine has", &found);
}

#[test]
fn lints_are_silenced_with_a_reason_and_never_by_allow() {
    let tree = Tree::read().unwrap();
    let found = places(tree.rust(&ALL), |line| line.contains("#[allow(") || line.contains("#![allow("));
    none("use #[expect(lint, reason = \"...\")]", &found);
}

#[test]
fn unsafe_code_lies_in_the_platform_only() {
    let tree = Tree::read().unwrap();
    let firmware = tree.rust(&["firmware"]).filter(|file| !file.is_below("firmware/appliance/src/platform"));
    none("unsafe outside the platform", &places(firmware, |line| has_word(line, "unsafe")));
}
