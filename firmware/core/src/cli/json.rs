//! A small JSON writer: indented by two, keys in the order written, strings escaped (RFC 8259 section 7).

use alloc::string::String;
use core::fmt::Write as _;

/// Writes one JSON document.
#[derive(Debug, Default)]
pub struct Json {
    out: String,
    depth: usize,
    /// Something stands before the next element on this level.
    comma: bool,
    /// A key was written; its value follows on the same line.
    keyed: bool,
}

impl Json {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text, one line per element, without a final newline.
    pub fn finish(self) -> String {
        self.out
    }

    fn start(&mut self) {
        if core::mem::take(&mut self.keyed) {
            return;
        }
        if self.comma {
            self.out.push(',');
        }
        if self.depth > 0 {
            self.newline();
        }
        self.comma = true;
    }

    fn newline(&mut self) {
        self.out.push('\n');
        (0..self.depth).for_each(|_| self.out.push_str("  "));
    }

    fn nest(&mut self, open: char, close: char, inside: impl FnOnce(&mut Self)) {
        self.start();
        self.out.push(open);
        self.depth = self.depth.saturating_add(1);
        self.comma = false;
        inside(self);
        self.depth = self.depth.saturating_sub(1);
        if self.comma {
            self.newline();
        }
        self.out.push(close);
        self.comma = true;
    }

    /// An object; `inside` writes keys and values.
    pub fn object(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nest('{', '}', inside);
    }

    /// An array; `inside` writes values.
    pub fn array(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nest('[', ']', inside);
    }

    /// A key; its value comes next.
    pub fn key(&mut self, key: &str) {
        self.start();
        self.escaped(key);
        self.out.push_str(": ");
        self.keyed = true;
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.start();
        self.escaped(text);
    }

    /// A number.
    pub fn number(&mut self, n: u64) {
        self.start();
        // Writing to a String cannot fail.
        _ = write!(self.out, "{n}");
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, b: bool) {
        self.start();
        self.out.push_str(if b { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.start();
        self.out.push_str("null");
    }

    /// A key with a string.
    pub fn text(&mut self, key: &str, value: impl core::fmt::Display) {
        self.key(key);
        self.string(&alloc::format!("{value}"));
    }

    /// A key with a string or `null`.
    pub fn maybe_text(&mut self, key: &str, value: Option<impl core::fmt::Display>) {
        self.key(key);
        match value {
            Some(value) => self.string(&alloc::format!("{value}")),
            None => self.null(),
        }
    }

    /// A key with a number.
    pub fn count(&mut self, key: &str, value: impl Into<u64>) {
        self.key(key);
        self.number(value.into());
    }

    /// A key with a number or `null`.
    pub fn maybe_count(&mut self, key: &str, value: Option<impl Into<u64>>) {
        self.key(key);
        match value {
            Some(value) => self.number(value.into()),
            None => self.null(),
        }
    }

    /// A key with `true` or `false`.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.boolean(value);
    }

    fn escaped(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                // The serial line carries ASCII; DEL and everything beyond is escaped too.
                ' '..='~' => self.out.push(c),
                c => {
                    let mut units = [0_u16; 2];
                    for unit in c.encode_utf16(&mut units) {
                        _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn nested_values_read_back() {
        let mut json = Json::new();
        json.object(|j| {
            j.key("list");
            j.array(|j| {
                j.number(1);
                j.object(|_| {});
                j.null();
            });
            j.flag("on", true);
            j.maybe_text("none", None::<&str>);
            j.count("n", u64::MAX);
        });
        let text = json.finish();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value.to_string(),
            r#"{"list":[1,{},null],"n":18446744073709551615,"none":null,"on":true}"#
        );
    }

    proptest! {
        #[test]
        fn any_text_survives(texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let mut json = Json::new();
            json.array(|j| texts.iter().for_each(|t| j.string(t)));
            let text = json.finish();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), texts);
        }
    }
}
