//! What can come next: `?` and Tab.

use super::*;

impl Session {
    /// Possibilities at the cursor: partial word, candidates, whether `?` is text here.
    pub(super) fn possible(&self) -> Result<(String, Vec<Possible>, bool), crate::cli::words::Fault> {
        let (edit, tree): (&[Step], Option<&Tree>) = match &self.candidate {
            Some(c) => (&c.edit, Some(&c.tree)),
            None => (&[], None),
        };
        let names = Names { tree, status: self.status.as_deref() };
        let line = self.editor.before_cursor();
        if let Some(candidates) = self.password_help(line, edit) {
            return Ok((String::new(), candidates, false));
        }
        let found = complete::complete(self.table(), line, edit, names)?;
        Ok((found.partial.to_string(), found.candidates, found.free_text))
    }

    pub(super) fn tab(&mut self, out: &mut Vec<Output>) {
        // Indented text is pasted with tabs.
        if self.question.is_some() || self.editor.before_cursor().trim().is_empty() {
            return;
        }
        let (partial, candidates) = match self.possible() {
            Ok((partial, candidates, _)) => (partial, candidates),
            Err(fault) => {
                self.show_above(out, |_, out| print::line(out, &fault.message));
                return;
            }
        };
        let literal: Vec<&Possible> = candidates.iter().filter(|c| c.literal).collect();
        let others = candidates.iter().any(|c| !c.literal);
        let common = complete::common_prefix(&literal);
        let added = common.strip_prefix(partial.as_str()).unwrap_or_default().to_string();
        let unique = literal.len() == 1 && !(others && partial.is_empty());
        if !unique && (added.is_empty() || others && partial.is_empty()) {
            if candidates.is_empty() {
                print::raw(out, b"\x07");
            } else if !self.choose_commit(&candidates, out) {
                self.show_above(out, |s, out| s.list(&candidates, out));
            }
            return;
        }
        let blank = if unique { " " } else { "" };
        let mut screen = Vec::new();
        self.editor.insert(&format!("{added}{blank}"), &mut screen);
        print::raw(out, &screen);
    }

    pub(super) fn help_here(&mut self, out: &mut Vec<Output>) {
        if let Some(question) = &self.question {
            let text = match (&self.setup, question) {
                (Some(dialogue), Question::Setup) => dialogue.explain(),
                (_, _) => question.choices().to_string(),
            };
            self.show_above(out, |s, out| s.say(out, &text));
            return;
        }
        match self.possible() {
            Ok((_, _, true)) => {
                let mut screen = Vec::new();
                self.editor.insert("?", &mut screen);
                print::raw(out, &screen);
            }
            Ok((partial, candidates, _)) if candidates.is_empty() => {
                let text = format!("nothing that starts with \"{partial}\" fits here");
                self.show_above(out, |s, out| s.say(out, &text));
            }
            Ok((_, candidates, _)) if self.choose_commit(&candidates, out) => {}
            Ok((_, candidates, _)) => self.show_above(out, |s, out| s.list(&candidates, out)),
            Err(fault) => self.show_above(out, |s, out| s.say(out, &fault.message)),
        }
    }

    /// Leaves the row, prints, and shows the unchanged line again below.
    pub(super) fn show_above(&mut self, out: &mut Vec<Output>, print: impl FnOnce(&Self, &mut Vec<Output>)) {
        self.leave_row(out);
        print(self, out);
        self.prompt(out);
    }

    pub(super) fn list(&self, candidates: &[Possible], out: &mut Vec<Output>) {
        let column = candidates.iter().map(|c| c.text.len()).max().unwrap_or(0);
        for c in candidates {
            let indent = column.saturating_add(4);
            let text = format!("  {:column$}  {}", c.text, c.help);
            // Wrapping collapses blanks, so only lines that need it are wrapped.
            if text.len() < self.width {
                print::line(out, &text);
            } else {
                let room = self.width.saturating_sub(1).saturating_sub(indent);
                for (i, part) in crate::cli::show::words::wrap(&c.help, room, 0).iter().enumerate() {
                    let head = if i == 0 { c.text.as_str() } else { "" };
                    print::line(out, &format!("  {head:column$}  {part}"));
                }
            }
        }
    }
}
