//! Values of the configuration: their types as the table names them, and how they are written and read.

use super::words::{Found, Worded, either, find, suggestion};
use crate::model::codes::Codes;
use crate::model::text::{Escaped, Mac, REDACTED, Secret};
use crate::model::{Cidr, Device, Hostname, Label, Millis, Name, name::Text};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// How a sealed secret begins.
pub(crate) const SEALED: &str = "sealed:";

/// A checked value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    /// A number.
    Number(u32),
    /// A span of time.
    Span(Millis),
    /// An address with prefix length.
    Cidr(Cidr),
    /// An address.
    Ip(IpAddr),
    /// First and last port.
    Ports(u16, u16),
    /// One of a fixed set of words.
    Word(&'static str),
    /// A name or other text.
    Text(Box<str>),
    /// What is never shown.
    Secret(Secret),
    /// What stands for a secret in a text: sealed, or left out. Never part of a configuration.
    Held(Box<str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Span(s) => write!(f, "{s}"),
            Self::Cidr(c) => write!(f, "{c}"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Ports(first, last) if first == last => write!(f, "{first}"),
            Self::Ports(first, last) => write!(f, "{first}-{last}"),
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Secret(secret) => write!(f, "{secret}"),
            Self::Held(text) => f.write_str(text),
        }
    }
}

pub use crate::model::choice::Choice;

impl Worded for Choice {
    fn word(&self) -> &'static str {
        self.word
    }
    fn help(&self) -> &'static str {
        self.help
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A new name.
    Name,
    /// The name of an entry of a top-level list, such as `pool`.
    Refer(&'static str),
    /// Host name.
    Hostname,
    /// Kernel device.
    Device,
    /// Address label.
    Label,
    /// Free text without blanks.
    Text,
    /// Path of a request, starts with `/`.
    Target,
    /// IPv4 or IPv6 address.
    Ip,
    /// Address of a host with the prefix length of its network.
    Cidr,
    /// Network: host bits are zero.
    Network,
    /// Whole number.
    Number {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
    /// Span of time, in milliseconds.
    Span {
        /// Shortest.
        min: u32,
        /// Longest.
        max: u32,
        /// It is a multiple of this.
        step: u32,
    },
    /// One word of these.
    Choice(&'static [Choice]),
    /// HTTP status codes and ranges of them.
    Codes,
    /// One port, or first and last.
    Ports,
    /// Hardware address.
    Mac,
    /// Text with escapes.
    Escaped,
    /// What is never shown.
    Secret,
    /// argon2id hash of a password, never shown either.
    Hash,
    /// SHA-256 fingerprint.
    Fingerprint,
}

impl Type {
    /// What stands for a secret, where a secret belongs.
    pub(crate) fn held(&self, text: &str) -> Option<Value> {
        let stands = text == REDACTED || text.starts_with(SEALED);
        (matches!(self, Self::Secret | Self::Hash) && stands).then(|| Value::Held(text.into()))
    }

    /// Reads a value; the error says what is allowed.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Name | Self::Refer(_) => plain::<Name>(text),
            Self::Hostname => plain::<Hostname>(text),
            Self::Device => plain::<Device>(text),
            Self::Label => plain::<Label>(text),
            Self::Text => plain::<Text>(text),
            Self::Target if !text.starts_with('/') => {
                Err("a path starts with /, for example /index.html".to_string())
            }
            Self::Target => plain::<Text>(text),
            Self::Ip => text.parse().map(Value::Ip).map_err(|_| ip_hint(text)),
            Self::Cidr => {
                text.parse().map(Value::Cidr).map_err(|e: crate::model::net::CidrError| e.to_string())
            }
            Self::Network => network(text),
            Self::Number { min, max } => number(text, *min, *max),
            Self::Span { min, max, step } => span(text, *min, *max, *step),
            Self::Choice(choices) => choice(choices, text),
            Self::Codes => text.parse().map(|codes: Codes| Value::Text(codes.to_string().into())),
            Self::Ports => ports(text),
            Self::Mac => text
                .parse::<Mac>()
                .map(|mac| Value::Text(mac.to_string().into()))
                .map_err(ToString::to_string),
            Self::Escaped => plain::<Escaped>(text),
            Self::Secret if text.starts_with(SEALED) => {
                Err("is sealed: load asks for its passphrase, set cannot".to_string())
            }
            Self::Secret | Self::Hash => {
                if matches!(self, Self::Hash) {
                    crate::login::Hash::parse(text)?;
                }
                text.parse().map(Value::Secret).map_err(|e: crate::model::name::NameError| e.to_string())
            }
            Self::Fingerprint => fingerprint(text),
        }
    }

    /// What kind of value it is, in the reference.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Name | Self::Refer(_) => "name",
            Self::Hostname => "host name",
            Self::Device => "device",
            Self::Label => "label",
            Self::Text => "text",
            Self::Target => "path",
            Self::Ip => "address",
            Self::Cidr => "address with prefix length",
            Self::Network => "network",
            Self::Number { .. } => "number",
            Self::Span { .. } => "time",
            Self::Choice(_) => "word",
            Self::Codes => "codes",
            Self::Ports => "ports",
            Self::Mac => "hardware address",
            Self::Escaped => "text with escapes",
            Self::Secret | Self::Hash => "secret",
            Self::Fingerprint => "fingerprint",
        }
    }

    /// How a value is announced by `?`: `<port>` style, without its range.
    pub fn placeholder(&self) -> &'static str {
        match self {
            Self::Name | Self::Refer(_) => "<name>",
            Self::Hostname => "<host-name>",
            Self::Device => "<device>",
            Self::Label => "<label>",
            Self::Text => "<text>",
            Self::Target => "</path>",
            Self::Ip => "<address>",
            Self::Cidr => "<address/prefix>",
            Self::Network => "<network/prefix>",
            Self::Number { .. } => "<number>",
            Self::Span { .. } => "<time>",
            Self::Choice(_) => "<word>",
            Self::Codes => "<code-code>",
            Self::Ports => "<port-port>",
            Self::Mac => "<mac>",
            Self::Escaped => "<text>",
            Self::Secret => "<secret>",
            Self::Hash => "<hash>",
            Self::Fingerprint => "<sha256>",
        }
    }

    /// What is allowed, in words: `1 to 65535`.
    pub fn allowed(&self) -> String {
        match self {
            Self::Name => "letters, digits, '.', '_' and '-'".to_string(),
            Self::Refer(list) => format!("name of a {list}"),
            Self::Hostname => "letters, digits, '.' and '-'".to_string(),
            Self::Device => "device, for example eth0".to_string(),
            Self::Label => "for example eth0:1".to_string(),
            Self::Text => "text without blanks".to_string(),
            Self::Target => "for example /index.html".to_string(),
            Self::Ip => "for example 192.168.1.3 or 2001:db8::3".to_string(),
            Self::Cidr => "for example 192.168.1.1/24".to_string(),
            Self::Network => "for example 192.168.1.0/24".to_string(),
            Self::Number { min, max } => format!("{min} to {max}"),
            Self::Span { min, max, .. } => {
                format!("{} to {}, for example 10s", Millis::new(*min), Millis::new(*max))
            }
            Self::Choice(choices) => either(&choices.iter().map(|c| c.word).collect::<Vec<_>>()),
            Self::Codes => "100 to 599, for example 200-299 or 200-299,401".to_string(),
            Self::Ports => "1 to 65535, one or two such as 30000-31000".to_string(),
            Self::Mac => "for example 52:54:00:12:34:56".to_string(),
            Self::Escaped => "text; \\s \\r \\n \\t \\xHH \\\\ stand for characters".to_string(),
            Self::Secret => "printable characters without blanks; never shown".to_string(),
            Self::Hash => "argon2id hash in PHC form; never shown".to_string(),
            Self::Fingerprint => "64 hexadecimal digits".to_string(),
        }
    }
}

fn plain<T: FromStr<Err = crate::model::name::NameError>>(text: &str) -> Result<Value, String> {
    match text.parse::<T>() {
        Ok(_) => Ok(Value::Text(text.into())),
        Err(e) => Err(e.to_string()),
    }
}

const EXAMPLES: &str = " for example 192.168.1.3 or 2001:db8::3";

fn ip_hint(text: &str) -> String {
    if text.parse::<Cidr>().is_ok() {
        return "an address without prefix length goes here".to_string();
    }
    if text.contains([',', ';']) || text.contains(char::is_whitespace) {
        return "one address at a time; write".to_string() + EXAMPLES;
    }
    "not an IP address; write".to_string() + EXAMPLES
}

fn network(text: &str) -> Result<Value, String> {
    let cidr: Cidr = text.parse().map_err(|e: crate::model::net::CidrError| e.to_string())?;
    if cidr.network() != cidr {
        return Err(format!("has host bits set; the network is {}", cidr.network()));
    }
    Ok(Value::Cidr(cidr))
}

fn number(text: &str, min: u32, max: u32) -> Result<Value, String> {
    // Only digits: `parse` would take a sign, and two ways to write one value make two diffs.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = if digits { text.parse::<u32>().ok() } else { None };
    match value {
        Some(n) if n >= min && n <= max => Ok(Value::Number(n)),
        Some(_) | None => Err(format!("must be a whole number, {min} to {max}")),
    }
}

fn span(text: &str, min: u32, max: u32, step: u32) -> Result<Value, String> {
    let value: Millis = text.parse().map_err(|e: crate::model::time::SpanError| e.to_string())?;
    if value.get() < min || value.get() > max {
        return Err(format!("must be {} to {}", Millis::new(min), Millis::new(max)));
    }
    if step > 1 && !value.get().is_multiple_of(step) {
        return Err(format!("must be a multiple of {}", Millis::new(step)));
    }
    Ok(Value::Span(value))
}

fn choice(choices: &'static [Choice], text: &str) -> Result<Value, String> {
    match find(choices, text) {
        Found::One(_, found) => Ok(Value::Word(found.word)),
        Found::None => {
            let all: Vec<&str> = choices.iter().map(|c| c.word).collect();
            Err(format!("not known here: {}", suggestion(text, &all)))
        }
        Found::Many(words) => Err(format!("can be {}: type more letters", either(&words))),
    }
}

fn ports(text: &str) -> Result<Value, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |t: &str| match number(t, 1, 65_535) {
        Ok(Value::Number(n)) => u16::try_from(n).ok(),
        Ok(_) | Err(_) => None,
    };
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Value::Ports(first, last)),
        (_, _) => Err("must be a port from 1 to 65535, or two such as 30000-31000".to_string()),
    }
}

fn fingerprint(text: &str) -> Result<Value, String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("must be the 64 hexadecimal digits of a SHA-256 fingerprint".to_string());
    }
    Ok(Value::Text(digits.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Type = Type::Number { min: 1, max: 65_535 };

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        for text in ["0", "65536", "-1", "+80", "8o", "", "99999999999"] {
            assert_eq!(PORT.parse(text), Err("must be a whole number, 1 to 65535".to_string()), "{text}");
        }
        let whole = Type::Span { min: 1000, max: 60_000, step: 1000 };
        assert_eq!(whole.parse("1500ms"), Err("must be a multiple of 1s".to_string()));
        assert_eq!(whole.parse("2m"), Err("must be 1s to 1m".to_string()));
        assert!(whole.parse("10").unwrap_err().contains("needs a unit"));
    }

    #[test]
    fn codes_and_networks_say_what_they_want() {
        assert_eq!(Type::Codes.parse("200-299,401"), Ok(Value::Text("200-299,401".into())));
        assert!(Type::Codes.parse("299-200").is_err());
        assert!(Type::Codes.parse("99").is_err());
        assert_eq!(
            Type::Network.parse("192.168.1.7/24"),
            Err("has host bits set; the network is 192.168.1.0/24".to_string())
        );
    }
}
