use super::*;
use crate::cli::testing::Terminal;
use alloc::string::{String, ToString};
use proptest::prelude::*;

struct Bench {
    editor: Editor,
    terminal: Terminal,
    lines: Vec<String>,
}

impl Bench {
    fn new(width: usize) -> Self {
        let mut bench = Self { editor: Editor::new(), terminal: Terminal::new(width), lines: Vec::new() };
        bench.editor.set_width(width);
        bench.prompt();
        bench
    }

    fn prompt(&mut self) {
        let mut out = Vec::new();
        self.editor.show("> ", &mut out);
        self.terminal.write(&out);
    }

    fn keys(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let mut out = Vec::new();
            let event = self.editor.feed(*byte, &mut out);
            let ended = match event {
                Some(Event::Line(line)) => {
                    self.editor.remember(&line);
                    self.lines.push(line.to_string());
                    true
                }
                Some(Event::TooLong) => {
                    self.lines.push("too long".to_string());
                    true
                }
                Some(Event::Interrupt | Event::End) => true,
                Some(Event::Complete | Event::Help | Event::Size { .. }) | None => false,
            };
            if ended {
                self.editor.leave(&mut out);
            }
            self.terminal.wraps = ended;
            self.terminal.write(&out);
            self.terminal.wraps = false;
            if ended {
                self.prompt();
            }
        }
    }

    /// The row of the cursor, with `|` where it stands.
    fn row(&self) -> String {
        let mut row = self.terminal.row_of_cursor();
        row.insert(self.terminal.column, '|');
        row
    }
}

fn after(keys: &[u8]) -> String {
    let mut bench = Bench::new(80);
    bench.keys(keys);
    bench.row()
}

#[test]
fn keys_do_on_the_screen_what_emacs_does() {
    let table: &[(&[u8], &str)] = &[
        (b"show", "> show|"),
        (b"show\x01x", "> x|show"),
        (b"show\x02\x02\x04", "> sh|w"),
        (b"show\x01\x06\x06\x05!", "> show!|"),
        (b"show\x08\x7f", "> sh|"),
        (b"show pools\x17", "> show |"),
        (b"show pools  \x17\x17", "> |"),
        (b"show pools\x02\x02\x0b", "> show poo|"),
        (b"show pools\x02\x02\x15", "> |ls"),
        (b"show pools\x17\x01\x19 ", "> pools |show "),
        (b"ab\x1b[D\x1b[DX\x1b[CY", "> XaY|b"),
        (b"ab\x1b[HX\x1b[FY", "> XabY|"),
        (b"ab\x1bOHX\x1bOFY", "> XabY|"),
        (b"ab\x1b[1~X\x1b[4~Y\x1b[D\x1b[3~", "> Xab|"),
        (b"a b c\x1bb\x1bb\x1bd", "> a | c"),
        (b"a b c\x01\x1bfX", "> aX| b c"),
        (b"a\x16?b", "> a?b|"),
        (b"one\r\x10", "> one|"),
        (b"one\rtwo\r\x10\x10", "> one|"),
        (b"one\rtwo\r\x1b[A\x1b[A\x1b[B", "> two|"),
        (b"one\rdraft\x10\x0e", "> draft|"),
        (b"one\rone\r\x10\x10\x10", "> one|"),
        (b"gone\x03new", "> new|"),
        (b"kept\x0c", "> kept|"),
    ];
    for (keys, row) in table {
        assert_eq!(after(keys), *row, "{}", keys.escape_ascii());
    }
}

#[test]
fn cr_lf_and_crlf_end_a_line_once() {
    let mut bench = Bench::new(80);
    bench.keys(b"a\rb\nc\r\nd\r\0\ne\n\r");
    assert_eq!(bench.lines, ["a", "b", "c", "d", "e", ""]);
}

#[test]
fn garbage_never_swallows_an_enter_or_a_later_line() {
    for garbage in [
        &b"\x1b"[..],
        b"\x1b[",
        b"\x1b[12;",
        b"\x1bO",
        b"\xff\xc3\x80\x9b",
        b"\0\0\0",
        b"\x16",
        b"\x1b\x1b[\x1b",
    ] {
        let mut bench = Bench::new(80);
        bench.keys(garbage);
        bench.keys(b"\rok\r");
        assert_eq!(bench.lines, ["", "ok"], "{}", garbage.escape_ascii());
    }
    let mut bench = Bench::new(80);
    bench.keys(b"\x1b[");
    bench.keys(&[b'1'; 100]);
    bench.keys(b"\rok\r");
    assert_eq!(bench.lines[1], "ok");
}

#[test]
fn a_long_line_scrolls_sideways_and_never_touches_the_last_column() {
    let mut bench = Bench::new(20);
    bench.keys(b"abcdefghijklmnopqrstuvwxyz");
    assert_eq!(bench.row(), "> <stuvwxyz|");
    bench.keys(b"\x01");
    assert_eq!(bench.row(), "> |abcdefghijklmnop>");
    assert!(bench.terminal.rows() == 1);
    bench.keys(b"\x05\r");
    assert_eq!(bench.terminal.text(), "> abcdefghijklmnopqr\nstuvwxyz\n>");
    assert_eq!(bench.lines, ["abcdefghijklmnopqrstuvwxyz"]);
}

#[test]
fn a_line_beyond_the_bound_is_refused_whole() {
    let mut bench = Bench::new(80);
    bench.keys(&[b'x'; LINE_BYTES + 1]);
    bench.keys(b"\rok\r");
    bench.keys(&[b'x'; LINE_BYTES]);
    bench.keys(b"\r");
    assert_eq!(bench.lines[..2], ["too long", "ok"]);
    assert_eq!(bench.lines[2].len(), LINE_BYTES);
}

#[test]
fn typing_at_the_end_sends_one_byte_for_each() {
    let mut editor = Editor::new();
    let mut out = Vec::new();
    editor.show("> ", &mut out);
    out.clear();
    b"show services".iter().for_each(|b| _ = editor.feed(*b, &mut out));
    assert_eq!(out, b"show services");
}

#[test]
fn the_history_keeps_the_newest_lines() {
    let mut bench = Bench::new(80);
    for i in 0..HISTORY + 3 {
        bench.keys(format!("line {i}\r").as_bytes());
    }
    bench.keys(&[0x10; HISTORY + 10]);
    assert_eq!(bench.row(), "> line 3|");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_screen_always_shows_the_line_whatever_was_typed(
        keys in proptest::collection::vec(prop_oneof![any::<u8>(), 0x20_u8..0x7f, 1_u8..0x1c], 0..300),
        width in 20_usize..90,
    ) {
        let mut bench = Bench::new(width);
        bench.keys(&keys);
        bench.keys(b"\x1b[0m");
        if !bench.row().starts_with("> ") {
            bench.keys(b"\x07");
        }
        let text = bench.editor.line().to_string();
        let row = bench.terminal.row_of_cursor();
        let shown = row.strip_prefix("> ").unwrap();
        if text.len() < width - 3 {
            prop_assert_eq!(shown.trim_end(), text.trim_end());
            prop_assert_eq!(bench.terminal.column, 2 + bench.editor.cursor);
        } else {
            let inner = shown.trim_start_matches('<').trim_end_matches('>').trim();
            prop_assert!(text.contains(inner), "{:?} in {:?}", inner, text);
        }
        prop_assert!(bench.terminal.column < width);
    }
}

#[test]
fn a_search_goes_back_through_the_history_and_leaves_a_line_to_edit() {
    let mut bench = Bench::new(60);
    bench.keys(b"show services\rshow servers web\rset pool web\r");
    bench.keys(b"ab\x12sho");
    assert_eq!(bench.row(), "(search sho) show servers web|");
    bench.keys(b"\x12");
    assert_eq!(bench.row(), "(search sho) show services|");
    // Nothing older: it stays.
    bench.keys(b"\x12");
    assert_eq!(bench.row(), "(search sho) show services|");
    bench.keys(b"\x7f\x7f\x7fpool");
    assert_eq!(bench.row(), "(search pool) set pool web|");
    bench.keys(b"\x07");
    assert_eq!(bench.row(), "> ab|");
    bench.keys(b"\x12vers\x01X");
    assert_eq!(bench.row(), "> X|show servers web");
    bench.keys(b"\x12ices\r");
    assert_eq!(bench.lines.last().unwrap(), "show services");
}
