use super::*;

fn action(line: &str) -> Action {
    parse(OPERATIONAL, line, &[]).unwrap().unwrap().action
}

fn fault(table: &'static [Command], line: &str) -> (FaultKind, usize, String) {
    let fault = parse(table, line, &[]).unwrap_err();
    (fault.kind, fault.column, fault.message)
}

#[test]
fn a_unique_prefix_is_enough_and_an_exact_word_beats_longer_ones() {
    assert_eq!(action("sh ver"), Action::View(View::Version));
    assert_eq!(action("conf"), Action::Configure);
    let (kind, column, message) = fault(OPERATIONAL, "show serv");
    assert_eq!((kind, column), (FaultKind::Ambiguous, 5));
    assert_eq!(message, "\"serv\" can be servers or services: type more letters");
    // `check` is a word of its own and the start of `check-port`.
    let parsed = parse(CONFIGURE, "set pool web check http", &[]).unwrap().unwrap();
    assert_eq!(parsed.walk.unwrap().changes.len(), 1);
}

#[test]
fn filters_come_after_a_show_and_need_no_blanks() {
    let parsed = parse(OPERATIONAL, "show services web|match a b | count", &[]).unwrap().unwrap();
    assert_eq!(parsed.args, ["web"]);
    assert_eq!(parsed.pipes, [Pipe::Match("a b".to_string()), Pipe::Count]);
    let parsed = parse(CONFIGURE, "show pool web | set", &[]).unwrap().unwrap();
    assert_eq!((parsed.action, parsed.pipes.as_slice()), (Action::Candidate, &[Pipe::Set][..]));
    assert_eq!(parsed.walk.unwrap().path.len(), 2);
}

#[test]
fn wrong_lines_say_what_is_possible() {
    for (line, kind, column, message) in [
        ("show", FaultKind::Incomplete, 5, "more must follow: addresses, alarms"),
        ("shwo", FaultKind::NoMatch, 0, "did you mean \"show\"?"),
        ("show version now", FaultKind::NoMatch, 13, "too much"),
        ("show version | set", FaultKind::NoMatch, 15, "use count, json, match, more"),
        ("show version |", FaultKind::Incomplete, 15, "count, json, match, more or no-more"),
        ("show version | match", FaultKind::Incomplete, 21, "the text to look for"),
        ("show version | match | count", FaultKind::Incomplete, 21, "before this"),
        ("show version | count | json", FaultKind::BadValue, 23, "must be the first"),
        ("configure | json", FaultKind::NoMatch, 10, "after a complete show"),
        ("| json", FaultKind::NoMatch, 0, "after a complete show"),
        ("show log 0", FaultKind::BadValue, 9, "must be 1 to 5000"),
    ] {
        let got = fault(OPERATIONAL, line);
        assert_eq!((got.0, got.1), (kind, column), "{line}: {}", got.2);
        assert!(got.2.contains(message), "{line}: {}", got.2);
    }
    assert!(parse(OPERATIONAL, "  # nothing", &[]).unwrap().is_none());
}
