extern crate std;

use super::*;
use expect_test::expect_file;

#[test]
fn the_reference_in_docs_is_the_table() {
    expect_file!["../../../../../docs/configuration.md"].assert_eq(&markdown());
}

#[test]
fn every_default_is_a_line_that_can_be_set_and_changes_nothing() {
    for line in defaults() {
        let line = line
            .replace("NETWORK", "10.0.0.0/8")
            .replace("NUMBER", "1")
            .replace("ADDRESS", "192.0.2.1")
            .replace("NAME", "x");
        let (_, errors) = crate::cli::text::parse_tree(&format!("set {line}"));
        assert_eq!(errors, Vec::new(), "{line}");
    }
    assert!(defaults().contains(&"pool NAME interval 2s".to_string()));
}

#[test]
fn every_row_of_the_reference_has_six_cells() {
    for line in markdown().lines().filter(|l| l.starts_with('|')) {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 7, "{line}");
    }
}
