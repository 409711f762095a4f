//! Documents say only what is there.

use crate::{Text, Tree};
use std::collections::BTreeSet;

/// Units of measured numbers.
const UNITS: [&str; 9] = ["ms", "s", "MiB", "KiB", "MB", "kB", "bytes", "req/s", "Gbit/s"];

fn documents(tree: &Tree) -> impl Iterator<Item = &Text> {
    tree.files.iter().filter(|file| file.is("md"))
}

/// Targets of the Makefile, and those that `make help` lists.
fn targets(tree: &Tree) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut all, mut listed) = (BTreeSet::new(), BTreeSet::new());
    for line in tree.text("Makefile").unwrap().lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        if !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            && !rest.starts_with('=')
        {
            all.insert(name);
            if rest.contains("## ") {
                listed.insert(name);
            }
        }
    }
    (all, listed)
}

/// The words after `make` in code spans and code blocks: `make lab SCENARIO=x` gives `lab`.
fn named_targets(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let spans: Vec<&str> =
            if in_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for span in spans {
            let mut words = span.trim_start_matches("$ ").split_whitespace();
            if words.next() == Some("make") {
                names.extend(
                    words.find(|word| !word.contains('=') && !word.starts_with('-')).map(str::to_owned),
                );
            }
        }
    }
    names
}

/// Headings with what is below them, and the heading's line.
fn sections(text: &str) -> Vec<(usize, String)> {
    let mut sections = vec![(1, String::new())];
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with('#') {
            sections.push((number, String::new()));
        }
        if let Some((_, body)) = sections.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    sections
}

/// Whether a table row holds a number of a measurement: digits beside a unit, or a cell that is a number.
fn measures(line: &str) -> bool {
    if !line.trim_start().starts_with('|') {
        return false;
    }
    line.split('|').any(|cell| {
        let words: Vec<&str> = cell.split_whitespace().collect();
        let number =
            |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok();
        matches!(words.as_slice(), [one] if number(one))
            || words.windows(2).any(|pair| number(pair[0]) && UNITS.contains(&pair[1]))
    })
}

#[test]
fn make_targets_are_read_from_spans_and_blocks() {
    let text =
        "Run `make lab SCENARIO=x`, or make no mistake.\n```\n$ make -s test\nmake CASE=a vm\n```\n`make`";
    assert_eq!(named_targets(text), ["lab", "test", "vm"]);
}

#[test]
fn measured_numbers_are_told_from_others() {
    assert!(measures("| boot | 1.2 s |") && measures("| kernel | 5379072 | 5.13 |"));
    assert!(!measures("| p1 | 0xEF | slot A |") && !measures("It took 1.2 s."));
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let tree = Tree::read().unwrap();
    let (all, _) = targets(&tree);
    assert!(all.contains("run") && all.contains("test"));
    for file in documents(&tree) {
        for name in named_targets(&file.text) {
            assert!(all.contains(name.as_str()), "{} names `make {name}`, which does not exist", file.path);
        }
    }
}

#[test]
fn help_lists_every_target_that_people_call() {
    let tree = Tree::read().unwrap();
    let (_, listed) = targets(&tree);
    for name in ["run", "test", "lint", "unit", "vm", "image", "lab", "docs", "clean", "setup", "help"] {
        assert!(listed.contains(name), "make help does not list {name}");
    }
}

#[test]
fn every_measured_number_names_the_command_that_measures_it() {
    let tree = Tree::read().unwrap();
    for file in documents(&tree).filter(|file| file.is_below("docs")) {
        for (line, section) in sections(&file.text) {
            let named = section.lines().any(|l| l.starts_with("Measured with") && l.contains('`'));
            assert!(
                named || !section.lines().any(measures),
                "{}:{line}: numbers without a line \"Measured with `command`\"",
                file.path
            );
        }
    }
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let tree = Tree::read().unwrap();
    for file in documents(&tree) {
        let folder = tree.root.join(&file.path);
        for link in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://");
            let target = folder.parent().map(|folder| folder.join(path));
            assert!(elsewhere || target.is_some_and(|t| t.exists()), "{} links to {link}", file.path);
        }
    }
}
