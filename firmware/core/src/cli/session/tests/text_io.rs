//! `load` and `export` as an operator sees them.

use super::*;

const SECRETS: &str =
    "set check a login user u\nset check a login password hunter2secret\nset pool old forward nat\n";

fn with_secrets() -> Bench {
    let mut bench = Bench::new();
    bench.config = super::super::super::parse_set_lines(SECRETS).unwrap();
    bench.generation = 1;
    bench
}

/// What the screen shows after keys, from here on.
fn said(bench: &mut Bench, keys: &str) -> String {
    let before = bench.terminal.text().len();
    bench.keys(keys);
    bench.terminal.text().get(before..).unwrap_or_default().to_string()
}

#[test]
fn braces_pasted_over_the_candidate_replace_it_and_keep_what_was_left_out() {
    let mut bench = with_secrets();
    bench.keys("configure\rload override\r");
    let text = said(&mut bench, "check a {\r    login {\r\tuser u\r    }\r}\rpool new { }\r.\r");
    assert!(text.contains("1 secret left out: this box keeps its own."), "{text}");
    assert!(text.contains("Loaded 6 lines"), "{text}");
    let text = said(&mut bench, "compare\r");
    assert!(text.contains("- set pool old") && text.contains("+ set pool new"), "{text}");
    assert!(!text.contains("password"), "{text}");
}

#[test]
fn one_wrong_line_of_a_paste_leaves_the_candidate_and_every_error_has_its_place() {
    let mut bench = with_secrets();
    bench.keys("configure\rload merge\r");
    let text = said(&mut bench, "set pool new\rset pool web fall 0\rset sevice s\r\x04");
    assert!(text.contains("line 2, column 19: fall \"0\""), "{text}");
    assert!(text.contains("line 3, column 5: \"sevice\""), "{text}");
    assert!(text.contains("Nothing was loaded: 2 errors. The candidate is as it was."), "{text}");
    assert!(said(&mut bench, "compare\r").contains("no changes"));
}

#[test]
fn each_line_is_acknowledged_and_can_be_corrected_before_enter() {
    let mut bench = with_secrets();
    bench.keys("configure\rload set\r");
    let text = said(&mut bench, "set pool neww\x7f\r");
    assert!(text.ends_with("set pool new\n|"), "{text:?}");
    // CR LF is one end of a line.
    let text = said(&mut bench, "garbage\x15set pool other\r\n.\r\n");
    assert!(text.contains("Loaded 2 lines"), "{text}");
    bench.keys("load set\rset pool third\r");
    assert!(said(&mut bench, "\x03").contains("Nothing was loaded."));
    let text = said(&mut bench, "compare\r");
    assert!(text.contains("pool new") && text.contains("pool other") && !text.contains("third"), "{text}");
}

#[test]
fn a_sealed_export_opens_with_its_passphrase_which_is_never_shown() {
    let mut bench = with_secrets();
    bench.keys("export passphrase\r");
    let text = said(&mut bench, "correct horse\rcorrect horse\r");
    assert!(text.contains("login password sealed:"), "{text}");
    let export: String = text
        .replace("\n", "")
        .split("set ")
        .filter(|line| line.starts_with("check") || line.starts_with("pool"))
        .map(|line| alloc::format!("set {}\r", line.split("lvs1>").next().unwrap().trim()))
        .collect();
    bench.config = Config::default();
    bench.keys("configure\rload override\r");
    bench.keys(&export);
    let text = said(&mut bench, ".\r");
    assert!(text.contains("Passphrase of its secrets"), "{text}");
    let text = said(&mut bench, "correct horse\r");
    assert!(text.contains("Loaded 3 lines"), "{text}");
    let tree = &bench.session.candidate.as_ref().unwrap().tree;
    assert_eq!(tree, &super::super::super::testing::tree(SECRETS));
    let screen = bench.terminal.text();
    assert!(!screen.contains("horse") && !screen.contains("hunter2"), "{screen}");
    bench.keys("\x1b[A\x1b[A\x1b[A");
    assert!(!bench.terminal.text().contains("horse"));
}

#[test]
fn a_passphrase_that_is_short_or_mistyped_exports_nothing() {
    let mut bench = with_secrets();
    bench.keys("export passphrase\r");
    assert!(said(&mut bench, "short\r").contains("At least 8 characters. Nothing was exported."));
    bench.keys("export braces passphrase\r");
    assert!(said(&mut bench, "correct horse\rcorrect hose\r").contains("The two differ."));
    let text = said(&mut bench, "export braces\r");
    assert!(text.contains("password ********") && text.contains("# Secrets are left out"), "{text}");
}

#[test]
fn confirm_works_in_both_modes_and_does_not_take_the_short_form_of_configure() {
    let mut bench = Bench::configured();
    bench.keys("confirm\r");
    assert!(bench.terminal.text().contains("onfirm"));
    bench.keys("conf\r");
    assert!(bench.terminal.row_of_cursor().starts_with("lvs1# "));
}

#[test]
fn the_words_of_server_are_completed_one_by_one() {
    let mut bench = Bench::configured();
    for (line, has) in [
        ("server ", "rs1"),
        ("server rs1 ", "drain"),
        ("server rs1 in ", "web"),
        ("server rs1 in web ", "weight"),
        ("server rs1 weight ", "<weight>"),
        ("server rs1 drain ", "for"),
        ("server rs1 drain for ", "<time>"),
    ] {
        let text = said(&mut bench, &alloc::format!("{line}?"));
        assert!(text.contains(has), "{line}: {text}");
        bench.keys("\x03");
    }
}
