//! Columns.

use super::words::wrap;
use alloc::string::String;
use alloc::vec::Vec;

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table: headings, rows, and for each row a remark that stands at its end where there is room.
#[derive(Debug)]
pub(super) struct Table {
    heads: &'static [(&'static str, Align)],
    remark: &'static str,
    rows: Vec<(Vec<String>, String)>,
}

/// Room that a remark needs to stand at the end of its row.
const REMARK_COLUMNS: usize = 24;
const GAP: usize = 2;
const REMARK_INDENT: usize = 4;

impl Table {
    pub(super) fn new(heads: &'static [(&'static str, Align)], remark: &'static str) -> Self {
        Self { heads, remark, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>, remark: String) {
        self.rows.push((cells.into_iter().collect(), remark));
    }

    pub(super) fn lines(&self, width: usize) -> Vec<String> {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| head.len()).collect();
        for (cells, _) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let used: usize = widths.iter().map(|w| w.saturating_add(GAP)).sum();
        let room = width.saturating_sub(1).saturating_sub(used);
        let longest = self.rows.iter().map(|(_, remark)| remark.chars().count()).max().unwrap_or(0);
        let beside = longest <= room || room >= REMARK_COLUMNS && longest <= room.saturating_mul(2);
        let mut out = Vec::new();
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| String::from(*head)).collect();
        let mut head = self.line(&widths, &heads);
        if beside && longest > 0 {
            pad(&mut head, used);
            head.push_str(self.remark);
        }
        out.push(String::from(head.trim_end()));
        for (cells, remark) in &self.rows {
            let mut line = self.line(&widths, cells);
            if remark.is_empty() {
                out.push(String::from(line.trim_end()));
            } else if beside {
                pad(&mut line, used);
                for (i, part) in wrap(remark, room, 0).iter().enumerate() {
                    if i > 0 {
                        line = " ".repeat(used);
                    }
                    out.push(alloc::format!("{line}{part}"));
                }
            } else {
                out.push(String::from(line.trim_end()));
                let indented = alloc::format!("{:REMARK_INDENT$}{remark}", "");
                out.extend(wrap(&indented, width.saturating_sub(1), REMARK_INDENT));
            }
        }
        out
    }

    fn line(&self, widths: &[usize], cells: &[String]) -> String {
        let mut line = String::new();
        for (i, ((width, cell), (_, align))) in widths.iter().zip(cells).zip(self.heads).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.push_str(&alloc::format!("{cell:<width$}")),
                Align::Right => line.push_str(&alloc::format!("{cell:>width$}")),
            }
        }
        line
    }
}

fn pad(line: &mut String, to: usize) {
    let missing = to.saturating_sub(line.chars().count());
    line.push_str(&" ".repeat(missing));
}

/// `name: value` lines with the values under each other; long values are wrapped.
pub(super) fn facts(facts: &[(&str, String)], width: usize) -> Vec<String> {
    let column = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0).saturating_add(GAP);
    facts
        .iter()
        .flat_map(|(name, value)| {
            let mut lines = wrap(value, width.saturating_sub(1).saturating_sub(column), 0);
            for (i, line) in lines.iter_mut().enumerate() {
                let name = if i == 0 { *name } else { "" };
                *line = String::from(alloc::format!("{name:<column$}{line}").trim_end());
            }
            lines
        })
        .collect()
}
