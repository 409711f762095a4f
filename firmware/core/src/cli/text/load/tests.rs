use super::*;
use crate::cli::testing::tree;
use crate::cli::text::{braces, set_lines as print_set_lines};

fn load(text: &str) -> Result<Tree, Vec<String>> {
    read(&Tree::default(), text, Form::of(text))
        .map_err(|wrong| wrong.errors.iter().map(ToString::to_string).collect())
}

#[test]
fn braces_of_several_styles_mean_the_same() {
    let wanted = tree("set pool web forward nat\nset pool web server rs1 weight 2\nset pool web server rs2");
    for text in [
        "pool web {\n    forward nat\n    server rs1 {\n weight 2\n}\n server rs2 { }\n}\n",
        "# note\npool web {\n forward nat;\n server rs1 { weight 2; }\n server rs2;\n}\n",
        "pool web { forward nat ; server rs1 weight 2\nserver rs2 {} }",
        "pool web forward nat\npool web {\nserver rs1 weight 2\nserver rs2\n}",
    ] {
        assert_eq!(load(text), Ok(wanted.clone()), "{text}");
    }
}

#[test]
fn a_value_that_looks_like_a_sign_is_quoted_and_comes_back() {
    for value in ["{", "}", "{}", "a;", ";", "\"", "\"a\"", "\"a\";", "#x"] {
        let tree = tree(&format!("set check c http body {value}"));
        let text = braces(&tree, &[]).join("\n");
        assert_eq!(load(&text), Ok(tree), "{text}");
    }
}

#[test]
fn every_wrong_place_of_braces_is_told_and_what_is_inside_a_wrong_name_is_not() {
    let text = "pool web {\n    forwrd nat\n    server {\n        weight x\n    }\n    fall 0\n}\n}\npoll x {\n    a { b }\n}\n{\n}\n\
                pool web forward {\n}\nservice s {\n";
    let errors = load(text).unwrap_err();
    expect_test::expect![[r#"
        line 2, column 5: "forwrd" is not known here: did you mean "forward"?
        line 3, column 12: server needs a value: name of a real-server
        line 6, column 10: fall "0": must be a whole number, 1 to 255
        line 8, column 1: this "}" closes nothing
        line 9, column 1: "poll" is not known here: did you mean "pool"?
        line 12, column 1: nothing is named before this "{"
        line 14, column 10: "forward": this is a single value; change it with set
        line 16, column 1: what opens here is not closed: 1 "}" missing at the end"#]]
    .assert_eq(&errors.join("\n"));
}

#[test]
fn delete_lines_delete_and_one_that_finds_nothing_spoils_the_whole() {
    let before = tree("set pool web forward nat\nset pool old");
    let after = read(&before, "delete pool old\nset pool new\n", Form::Set).unwrap();
    assert_eq!(print_set_lines(&after), "set pool new\nset pool web\n");
    let wrong = read(&before, "set pool new\ndelete pool odl\n", Form::Set).unwrap_err();
    assert_eq!(wrong.errors[0].to_string(), "line 2, column 1: nothing to delete: it is not set");
}

#[test]
fn the_form_is_seen_at_the_first_word() {
    for (text, form) in [
        ("# c\n\nset a", Form::Set),
        ("delete pool x", Form::Set),
        ("# c\npool x {", Form::Braces),
        ("", Form::Set),
        ("# only a comment", Form::Set),
        ("settle", Form::Braces),
    ] {
        assert_eq!(Form::of(text), form, "{text}");
    }
}

#[test]
fn errors_beyond_the_bound_are_counted() {
    let wrong = read(&Tree::default(), &"set x\n".repeat(100), Form::Set).unwrap_err();
    assert_eq!((wrong.errors.len(), wrong.count()), (ERRORS_MAX, 100));
}
