//! `load` and `export`: configuration pasted into the console and printed by it, and the passphrases for that.
//!
//! ```text
//! load ---lines, "."---> read --sealed secrets--> passphrase --> candidate
//! export --> tree --sealed--> passphrase, again --> salt --> text
//! ```
//! `load` answers each line with [`ACKNOWLEDGE`], so that a terminal program on a line without flow control can wait for it before
//! it sends the next one. No passphrase is echoed, kept in the history or sent anywhere.

use super::super::editor::LINE_BYTES;
use super::super::seal::{Opener, PASSPHRASE_MAX, PASSPHRASE_MIN, SALT_BYTES, Sealer};
use super::super::show::words::plural;
use super::super::text::load::{Form, Wrong, read};
use super::super::text::secrets::{self, any_sealed, settle};
use super::super::transfer::TEXT_MAX;
use super::super::tree::Tree;
use super::super::{bind, text};
use super::{Job, Output, Session, print};
use crate::director::protocol::Request;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What the console says when it has taken a line of `load`.
const ACKNOWLEDGE: &[u8] = b"| ";
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const KILL: u8 = 0x15;

/// How a pasted text meets the candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    /// `set` and `delete` lines, onto it.
    Set,
    /// Braces, onto it.
    Braces,
    /// Either, onto it.
    Merge,
    /// Either, in its place.
    Override,
}

/// A text as it is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Export {
    pub(crate) form: Form,
    pub(crate) sealed: bool,
}

/// What is typed now instead of a command.
#[derive(Debug)]
pub(super) enum Taking {
    Text {
        how: Load,
        text: String,
        line: String,
        /// A line or the whole was longer than fits: where.
        too_long: Option<usize>,
        /// The byte before was CR, so LF belongs to it.
        after_cr: bool,
    },
    Passphrase {
        typed: String,
        purpose: Purpose,
    },
    /// The shell is asked for random bytes.
    Salt {
        tree: Box<Tree>,
        form: Form,
        passphrase: String,
    },
}

/// What a passphrase is for.
#[derive(Debug)]
pub(super) enum Purpose {
    Open {
        tree: Box<Tree>,
        how: Load,
        lines: usize,
    },
    Seal {
        tree: Box<Tree>,
        form: Form,
        /// The one that was typed first.
        first: Option<String>,
    },
}

impl Taking {
    fn prompt(&self) -> Vec<u8> {
        match self {
            Self::Text { line, .. } => [ACKNOWLEDGE, line.as_bytes()].concat(),
            Self::Passphrase { purpose: Purpose::Open { .. }, .. } => {
                b"Passphrase of its secrets (Enter keeps this box's own): ".to_vec()
            }
            Self::Passphrase { purpose: Purpose::Seal { first: None, .. }, .. } => {
                b"Passphrase to seal secrets with: ".to_vec()
            }
            Self::Passphrase { .. } => b"The same again: ".to_vec(),
            Self::Salt { .. } => Vec::new(),
        }
    }
}

impl Session {
    /// Shows what is being typed; says whether it is something else than a command.
    pub(super) fn taking_prompt(&self, out: &mut Vec<Output>) -> bool {
        let Some(taking) = &self.taking else { return false };
        print::raw(out, &taking.prompt());
        true
    }

    pub(super) fn begin_load(&mut self, how: Load, out: &mut Vec<Output>) {
        self.say(
            out,
            "Paste the text, written from the top of the configuration. A line with only a dot, or C-d, ends it; C-c gives up.",
        );
        let (text, line) = (String::new(), String::new());
        self.taking = Some(Taking::Text { how, text, line, too_long: None, after_cr: false });
    }

    /// A byte while something else than a command is typed.
    pub(super) fn taking_byte(&mut self, byte: u8, out: &mut Vec<Output>) {
        let Some(taking) = self.taking.take() else { return };
        match (byte, taking) {
            (INTERRUPT, taking) => {
                print::line(out, "");
                print::line(
                    out,
                    if matches!(taking, Taking::Text { .. }) || is_open(&taking) {
                        "Nothing was loaded."
                    } else {
                        "Nothing was exported."
                    },
                );
                self.prompt(out);
            }
            (byte, taking @ Taking::Text { .. }) => self.text_byte(byte, taking, out),
            (byte, Taking::Passphrase { typed, purpose }) => {
                self.passphrase_byte(byte, typed, purpose, out);
            }
            (_, taking @ Taking::Salt { .. }) => self.taking = Some(taking),
        }
    }

    fn text_byte(&mut self, byte: u8, taking: Taking, out: &mut Vec<Output>) {
        let Taking::Text { how, mut text, mut line, mut too_long, after_cr } = taking else { return };
        let mut ended = byte == END && line.is_empty();
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => {
                print::line(out, "");
                if line == "." {
                    ended = true;
                } else if text.len().saturating_add(line.len()) < TEXT_MAX {
                    text.push_str(&line);
                    text.push('\n');
                } else {
                    too_long = too_long.or(Some(text.lines().count()));
                }
                line.clear();
                if !ended {
                    print::raw(out, ACKNOWLEDGE);
                }
            }
            0x08 | 0x7f if line.pop().is_some() => print::raw(out, b"\x08 \x08"),
            KILL => {
                print::raw(out, &b"\x08 \x08".repeat(line.len()));
                line.clear();
            }
            b'\t' | b' '..=b'~' if line.len() >= LINE_BYTES => {
                too_long = too_long.or(Some(text.lines().count()));
            }
            b'\t' => {
                line.push(' ');
                print::raw(out, b" ");
            }
            b' '..=b'~' => {
                line.push(char::from(byte));
                print::raw(out, &[byte]);
            }
            _ => {}
        }
        if ended {
            if byte == END {
                print::line(out, "");
            }
            self.text_ended(how, &text, too_long, out);
            if !self.over {
                self.prompt(out);
            }
        } else {
            let after_cr = byte == b'\r';
            self.taking = Some(Taking::Text { how, text, line, too_long, after_cr });
        }
    }

    fn text_ended(&mut self, how: Load, text: &str, too_long: Option<usize>, out: &mut Vec<Output>) {
        if text.trim().is_empty() {
            return print::line(out, "Nothing was loaded: there was no text.");
        }
        let result = match too_long {
            Some(line) => {
                let mut wrong = Wrong::default();
                wrong.add(
                    line,
                    0,
                    format!("too long: {LINE_BYTES} characters a line and {TEXT_MAX} in all fit"),
                );
                Err(wrong)
            }
            None => self.read_text(how, text),
        };
        match result {
            Err(wrong) => self.wrong(&wrong, out),
            Ok(tree) if any_sealed(&tree) => {
                let purpose = Purpose::Open { tree: Box::new(tree), how, lines: text.lines().count() };
                self.taking = Some(Taking::Passphrase { typed: String::new(), purpose });
            }
            Ok(tree) => self.take_tree(tree, how, text.lines().count(), None, out),
        }
    }

    fn read_text(&self, how: Load, text: &str) -> Result<Tree, Wrong> {
        let form = match how {
            Load::Set => Form::Set,
            Load::Braces => Form::Braces,
            Load::Merge | Load::Override => Form::of(text),
        };
        let present = self.candidate.as_ref().map(|c| c.tree.clone()).unwrap_or_default();
        let onto = if how == Load::Override { Tree::default() } else { present };
        read(&onto, text, form)
    }

    fn wrong(&self, wrong: &Wrong, out: &mut Vec<Output>) {
        wrong.errors.iter().for_each(|error| self.say(out, &error.to_string()));
        if wrong.more > 0 {
            print::line(out, &format!("and {} more", wrong.more));
        }
        let count = plural(wrong.count(), "error");
        print::line(out, &format!("Nothing was loaded: {count}. The candidate is as it was."));
    }

    fn take_tree(
        &mut self,
        mut tree: Tree,
        how: Load,
        lines: usize,
        opener: Option<Opener>,
        out: &mut Vec<Output>,
    ) {
        let Some(mut candidate) = self.candidate.take() else { return };
        let settled = settle(&mut tree, &candidate.tree, how == Load::Override, opener)
            .and_then(|settled| bind::to_config(&tree).map(|_| settled).map_err(|e| e.to_string()));
        match settled {
            Err(why) => {
                self.say(out, &why);
                print::line(out, "Nothing was loaded. The candidate is as it was.");
            }
            Ok(settled) => {
                candidate.tree = tree;
                candidate.edit.clear();
                secrets::said(&settled).iter().for_each(|line| self.say(out, line));
                let lines = plural(lines, "line");
                self.say(
                    out,
                    &format!("Loaded {lines} into the candidate. \"compare\" shows the changes, \"commit\" makes them run."),
                );
            }
        }
        self.candidate = Some(candidate);
    }

    pub(super) fn export(&mut self, export: Export, out: &mut Vec<Output>) {
        match &self.candidate {
            Some(candidate) => {
                let tree = candidate.tree.clone();
                self.export_tree(tree, export, out);
            }
            None => self.ask(Job::Export(export), Request::Config, out),
        }
    }

    /// Prints a tree, or asks for the passphrase first.
    pub(super) fn export_tree(&mut self, tree: Tree, export: Export, out: &mut Vec<Output>) {
        let secrets = secrets::count(&tree);
        if export.sealed && secrets > 0 {
            let purpose = Purpose::Seal { tree: Box::new(tree), form: export.form, first: None };
            self.taking = Some(Taking::Passphrase { typed: String::new(), purpose });
            return;
        }
        print_text(&tree, export.form, secrets, false, out);
    }

    fn passphrase_byte(&mut self, byte: u8, mut typed: String, purpose: Purpose, out: &mut Vec<Output>) {
        match byte {
            b'\r' | b'\n' => {
                print::line(out, "");
                self.passphrase(typed, purpose, out);
                if !self.waiting() {
                    self.prompt(out);
                }
                return;
            }
            0x08 | 0x7f => _ = typed.pop(),
            KILL => typed.clear(),
            b' '..=b'~' if typed.len() < PASSPHRASE_MAX => typed.push(char::from(byte)),
            _ => {}
        }
        self.taking = Some(Taking::Passphrase { typed, purpose });
    }

    fn passphrase(&mut self, typed: String, purpose: Purpose, out: &mut Vec<Output>) {
        match purpose {
            Purpose::Open { tree, how, lines } => {
                let opener = (!typed.is_empty()).then(|| Opener::new(typed));
                self.take_tree(*tree, how, lines, opener, out);
            }
            Purpose::Seal { first: None, .. } if typed.len() < PASSPHRASE_MIN => {
                print::line(out, &format!("At least {PASSPHRASE_MIN} characters. Nothing was exported."));
            }
            Purpose::Seal { tree, form, first: None } => {
                let purpose = Purpose::Seal { tree, form, first: Some(typed) };
                self.taking = Some(Taking::Passphrase { typed: String::new(), purpose });
            }
            Purpose::Seal { first: Some(first), .. } if first != typed => {
                print::line(out, "The two differ. Nothing was exported.");
            }
            Purpose::Seal { tree, form, first: Some(passphrase) } => {
                self.taking = Some(Taking::Salt { tree, form, passphrase });
                out.push(Output::Salt);
            }
        }
    }

    /// Fresh random bytes, for [`Output::Salt`]; `None`: there are none to be had.
    pub fn salt(&mut self, salt: Option<[u8; SALT_BYTES]>, out: &mut Vec<Output>) {
        let Some(Taking::Salt { tree, form, passphrase }) = self.taking.take() else { return };
        let sealed = salt
            .and_then(|salt| Sealer::new(&passphrase, salt))
            .and_then(|mut sealer| secrets::seal(&tree, &mut sealer));
        match sealed {
            Some(sealed) => print_text(&sealed, form, secrets::count(&sealed), true, out),
            None => print::line(
                out,
                "The box has no random bytes or no memory to seal with. Nothing was exported.",
            ),
        }
        self.prompt(out);
    }
}

fn is_open(taking: &Taking) -> bool {
    matches!(taking, Taking::Passphrase { purpose: Purpose::Open { .. }, .. })
}

fn print_text(tree: &Tree, form: Form, secrets: usize, sealed: bool, out: &mut Vec<Output>) {
    if let Some(heading) = secrets::heading(secrets, sealed) {
        print::line(out, &heading);
    }
    match form {
        Form::Set => text::set_lines(tree).lines().for_each(|line| print::line(out, line)),
        Form::Braces => text::braces(tree, &[]).iter().for_each(|line| print::line(out, line)),
    }
}
