//! From bytes to keys.

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Key {
    /// Printable ASCII.
    Char(u8),
    /// Printable ASCII after C-v.
    Literal(u8),
    Tab,
    Enter,
    Interrupt,
    DeleteOrEnd,
    Delete,
    Backspace,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    KillToEnd,
    KillToStart,
    KillWord,
    KillWordRight,
    Yank,
    Redraw,
    /// C-r.
    Search,
    /// C-g.
    Cancel,
    /// Where the terminal's cursor is, as asked by ESC [ 6 n: row and column.
    Position(u16, u16),
}

/// Parameter bytes of a control sequence that are looked at. Longer ones are swallowed up to the bound, then dropped.
const SEQUENCE_BYTES: u8 = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC `[`: the first two numbers so far, whether a second began, and the bytes seen.
    Control { number: u16, second: u16, more: bool, seen: u8 },
    /// After ESC O.
    Single,
    /// After C-v.
    Quote,
}

/// The decoder.
#[derive(Debug, Default)]
pub(in crate::cli) struct Keys {
    state: State,
    /// The last byte was CR: an LF after it belongs to it.
    after_cr: bool,
}

impl Keys {
    pub(in crate::cli) fn feed(&mut self, byte: u8) -> Option<Key> {
        if byte == 0 {
            return None;
        }
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        if byte == b'\n' && after_cr {
            return None;
        }
        let state = core::mem::take(&mut self.state);
        // A control byte ends whatever sequence was open, and is then itself.
        if byte < b' ' || byte == 0x7f {
            return self.control(byte);
        }
        if byte >= 0x80 {
            return None;
        }
        match state {
            State::Ground => Some(Key::Char(byte)),
            State::Quote => Some(Key::Literal(byte)),
            State::Escape => self.escape(byte),
            State::Single => cursor_key(byte),
            State::Control { number, second, more, seen } => {
                self.sequence(byte, (number, second), more, seen)
            }
        }
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::DeleteOrEnd,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x07 => Key::Cancel,
            0x08 | 0x7f => Key::Backspace,
            0x09 => Key::Tab,
            0x0a | 0x0d => Key::Enter,
            0x0b => Key::KillToEnd,
            0x0c => Key::Redraw,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x12 => Key::Search,
            0x15 => Key::KillToStart,
            0x16 => {
                self.state = State::Quote;
                return None;
            }
            0x17 => Key::KillWord,
            0x19 => Key::Yank,
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            _ => return None,
        })
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Control { number: 0, second: 0, more: false, seen: 0 },
            b'O' => self.state = State::Single,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            b'd' => return Some(Key::KillWordRight),
            _ => {}
        }
        None
    }

    fn sequence(&mut self, byte: u8, numbers: (u16, u16), more: bool, seen: u8) -> Option<Key> {
        let (number, second) = numbers;
        match byte {
            b'@'..=b'~' => match (byte, number) {
                (b'~', 1 | 7) => Some(Key::Home),
                (b'~', 3) => Some(Key::Delete),
                (b'~', 4 | 8) => Some(Key::End),
                (b'~', _) => None,
                (b'R', 1..) if second > 0 => Some(Key::Position(number, second)),
                (_, _) => cursor_key(byte),
            },
            _ if seen >= SEQUENCE_BYTES => None,
            _ => {
                let digit = |n: u16| n.saturating_mul(10).saturating_add(u16::from(byte & 0x0f));
                let (number, second) = match byte {
                    b'0'..=b'9' if more => (number, digit(second)),
                    b'0'..=b'9' => (digit(number), second),
                    _ => (number, second),
                };
                let more = more || byte == b';';
                self.state = State::Control { number, second, more, seen: seen.saturating_add(1) };
                None
            }
        }
    }
}

fn cursor_key(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => return None,
    })
}
