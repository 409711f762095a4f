//! The dialogue, the pager, and what time does to a session.

use super::*;

/// A box that was never configured, and the answers to the dialogue.
fn set_up(answers: &str) -> Bench {
    let mut bench = Bench::new();
    bench.keys("setup\r");
    bench.keys(answers);
    bench
}

const NAT_ANSWERS: &str = "lvs1\r\r1.2.3.2\r1.2.3.2/24\r?\r\r\r192.168.1.1/24\r\r1.2.3.1\r\r\r\
                           192.168.1.3 2000\r192.168.1.4 1000\r192.168.7.5\r192.168.1.5 1000\r\r";

#[test]
fn the_dialogue_sets_up_nat_and_says_what_to_do_next() {
    let mut bench = set_up(NAT_ANSWERS);
    bench.keys("y\rshow configuration | count\r");
    assert_eq!(bench.generation, 1);
    expect_file!["../../../../../../tests/golden/cli/setup-nat.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn the_dialogue_sets_up_direct_routing() {
    let mut bench = set_up("\reth0\r10.0.0.2/24\r<\r10.0.0.3/24\r10.0.0.254\rdirect\r10.0.0.1\r443\r\r");
    bench.keys("10.0.0.11\r10.0.0.12\r\rmaybe\r?y\r");
    assert_eq!(bench.generation, 1);
    expect_file!["../../../../../../tests/golden/cli/setup-direct.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn leaving_the_dialogue_changes_nothing_and_keeps_the_answers() {
    let mut bench = set_up("box7\reth1\r\x03");
    assert_eq!((bench.generation, bench.last_line().trim_end()), (0, "lvs1>"));
    bench.keys("setup\r");
    assert_eq!(bench.last_line(), "Host name [box7]: ");
    bench.keys("\x04");
    assert_eq!(bench.last_line().trim_end(), "lvs1>");
}

#[test]
fn the_lines_of_the_dialogue_can_be_edited_before_the_commit() {
    let mut bench = set_up(NAT_ANSWERS);
    bench.keys("edit\rset pool web interval 5s\rcommit\r");
    assert_eq!(bench.generation, 1);
    assert_eq!(bench.config.pools.values().next().unwrap().interval, crate::model::Millis::from_secs(5));
}

#[test]
fn a_refused_set_up_is_a_candidate() {
    let mut bench = set_up(NAT_ANSWERS);
    bench.refusal = Some(Reply::Refused { reason: String::from("flash write failed"), findings: Vec::new() });
    bench.keys("y\r");
    assert!(bench.terminal.text().contains("Refused: flash write failed."));
    assert_eq!(bench.last_line().trim_end(), "lvs1#");
}

#[test]
fn setting_up_a_configured_box_shows_what_would_go() {
    let mut bench = Bench::configured();
    bench.keys("setup\r");
    bench.keys(NAT_ANSWERS);
    let text = bench.terminal.text();
    assert!(text.contains("replaces all of it"));
    assert!(text.contains("- set node backup hostname lvs2"), "{text}");
    bench.keys("n\r");
    assert_eq!(bench.generation, 1);
}

/// A terminal of ten rows that said so.
fn interactive() -> Bench {
    let mut bench = Bench::configured();
    let mut out = Vec::new();
    bench.session.probe(&mut out);
    bench.bytes(b"\x1b[10;80R");
    bench
}

#[test]
fn long_output_stops_after_each_screen_of_a_terminal_that_told_its_size() {
    let mut bench = interactive();
    bench.keys("show configuration\r");
    assert_eq!(bench.last_line(), "--more-- (Space, Enter, q) ");
    let before = bench.terminal.rows();
    bench.keys(" ");
    assert_eq!(bench.terminal.rows() - before, 9);
    bench.keys("\r");
    assert_eq!(bench.terminal.rows() - before, 10);
    bench.keys("x");
    assert_eq!(bench.last_line(), "--more-- (Space, Enter, q) ");
    bench.keys("q");
    assert_eq!(bench.last_line().trim_end(), "lvs1>");
    bench.keys("show configuration | no-more\rshow configuration | match rs1\r");
    assert_eq!(bench.last_line().trim_end(), "lvs1>");
}

#[test]
fn every_line_of_paged_output_is_shown_once() {
    let mut plain = Bench::configured();
    plain.keys("configure\rshow | no-more\r");
    let mut paged = interactive();
    paged.keys("configure\rshow\r");
    while paged.last_line().starts_with("--more--") {
        paged.keys(" ");
    }
    let shown = |bench: &Bench, mark: &str| bench.since(mark).lines().map(str::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&paged, "# show\n"), shown(&plain, "no-more\n"));
}

#[test]
fn what_is_pasted_is_commands_and_never_an_answer_to_the_pager() {
    let mut bench = interactive();
    bench.keys("show configuration\rshow version\rq");
    assert_eq!(bench.last_line(), "lvs1> q");
    assert!(!bench.terminal.text().contains("--more--"));
}

#[test]
fn a_terminal_that_told_nothing_is_never_stopped_unless_asked() {
    let mut bench = Bench::configured();
    bench.keys("show configuration\r");
    assert_eq!(bench.last_line().trim_end(), "lvs1>");
    bench.keys("show configuration | more\r");
    assert_eq!(bench.last_line(), "--more-- (Space, Enter, q) ");
    bench.keys("\x03terminal length 10\rshow configuration\r");
    // Both lines came in one go; alone it stops.
    bench.keys("show configuration\r");
    assert_eq!(bench.last_line(), "--more-- (Space, Enter, q) ");
    bench.keys("q");
    bench.keys("terminal length 0\r");
    bench.keys("show configuration\r");
    assert_eq!(bench.last_line().trim_end(), "lvs1>");
}

#[test]
fn the_answer_of_the_terminal_disturbs_nothing_that_is_typed() {
    let mut bench = Bench::new();
    let mut out = Vec::new();
    bench.session.probe(&mut out);
    bench.bytes(b"show ver\x1b[50;132Rsion | match firm");
    assert_eq!(bench.last_line(), "lvs1> show version | match firm");
    // Nobody asked for this one.
    bench.bytes(b"\x1b[5;60R");
    assert_eq!(bench.session.width, 132);
}

fn tick(bench: &mut Bench, seconds: u64) {
    let mut out = Vec::new();
    bench.session.tick(crate::model::Mono::from_millis(seconds * 1000), &mut out);
    bench.run(out);
}

#[test]
fn a_session_without_input_ends_and_its_candidate_is_kept() {
    let mut bench = Bench::configured();
    tick(&mut bench, 100);
    bench.keys("configure\rset pool web fall 7\r");
    tick(&mut bench, 100 + 13 * 60);
    assert!(!bench.terminal.text().contains("No input"));
    tick(&mut bench, 100 + 14 * 60);
    assert!(bench.terminal.text().contains("in one minute this session ends"));
    bench.keys("s");
    tick(&mut bench, 100 + 15 * 60);
    assert_eq!(bench.others, []);
    assert_eq!(bench.session.deadline(), Some(crate::model::Mono::from_millis((100 + 28 * 60) * 1000)));
    tick(&mut bench, 100 + 29 * 60);
    assert!(bench.terminal.text().contains("Uncommitted changes are kept"));
    assert_eq!(bench.others, [Output::Logout]);
}

#[test]
fn a_session_that_nobody_used_or_that_may_stay_does_not_end() {
    let mut bench = Bench::configured();
    tick(&mut bench, 1);
    tick(&mut bench, 100_000);
    assert_eq!((bench.session.deadline(), bench.others.len()), (None, 0));
    bench.keys("terminal idle 0\r");
    tick(&mut bench, 200_000);
    assert_eq!((bench.session.deadline(), bench.others.len()), (None, 0));
}

#[test]
fn the_first_prompt_waits_for_the_director_but_not_for_long() {
    let mut bench = Bench::new();
    bench.terminal = Terminal::wrapping(80);
    bench.session = Session::new(None);
    bench.held = Some(Vec::new());
    let mut out = Vec::new();
    bench.session.tick(crate::model::Mono::from_millis(1000), &mut out);
    bench.session.start(&mut out);
    bench.run(out);
    assert!(!bench.last_line().contains('>'));
    bench.keys("show vers");
    tick(&mut bench, 3);
    assert_eq!(bench.last_line(), "director> show vers");
    // The late answer still brings the name.
    bench.release();
    assert_eq!(bench.last_line(), "lvs1> show vers");
}

#[test]
fn a_box_with_the_factory_configuration_offers_the_dialogue() {
    let mut bench = Bench::new();
    bench.session = Session::new(None);
    bench.held = Some(Vec::new());
    let mut out = Vec::new();
    bench.session.start(&mut out);
    let mut factory = status();
    factory.system.generation = Generation(0);
    bench.session.reply(Reply::Status(factory), &mut out);
    bench.run(out);
    assert!(bench.terminal.text().contains("Type setup to be asked a dozen questions."));
    assert!(bench.last_line().ends_with("> "));
}
