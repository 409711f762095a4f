//! Values that are more than a name: hardware addresses, text with escapes, secrets.

use super::limits;
use super::name::NameError;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Hardware address of a network device, such as `52:54:00:12:34:56`. Never a group address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The bytes as they stand in a frame.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "not a hardware address; write for example 52:54:00:12:34:56";
        let mut octets = [0_u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *octet = part.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or(FORM)?;
        }
        match (parts.next(), octets) {
            (Some(_), _) => Err(FORM),
            (None, [0, 0, 0, 0, 0, 0]) => Err("the address of no device"),
            (None, [first, ..]) if first & 1 == 1 => Err("a group address; a device has an individual one"),
            (None, octets) => Ok(Self(octets)),
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes to send or to expect, as typed: printable ASCII without blanks, where `\s` is a blank, `\r \n \t \0` are the
/// usual characters, `\xHH` is any byte and `\\` a backslash. 1 to 255 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Escaped(Box<str>);

impl Escaped {
    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes that it means.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        // What does not decode was refused by `from_str`, and no other way leads here.
        unescape(&self.0).unwrap_or_default()
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    let hex = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b's' => b' ',
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => (hex(bytes.next())? << 4) | hex(bytes.next())?,
            _ => return None,
        });
    }
    Some(out)
}

impl FromStr for Escaped {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const ALLOWED: &str = "printable characters; \\s for a blank";
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(found) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(NameError::BadCharacter { found, allowed: ALLOWED });
        }
        if text.len() > limits::TEXT_BYTES {
            return Err(NameError::TooLong { max: limits::TEXT_BYTES });
        }
        if unescape(text).is_none() {
            let allowed = "after a backslash one of s r n t 0 \\ or x and two hexadecimal digits";
            return Err(NameError::BadCharacter { found: '\\', allowed });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Escaped {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = heapless::String::<{ limits::TEXT_BYTES }>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What stands for a secret wherever configuration is shown.
pub const REDACTED: &str = "********";

/// A password or its hash. It is in flash and in the frames between our own processes, and never shown: `Debug` and
/// `Display` are [`REDACTED`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(Box<str>);

impl Secret {
    /// The text, for the one place that uses it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.bytes().all(|b| b == b'*') {
            let allowed = "the secret itself (asterisks are shown in its place)";
            return Err(NameError::BadCharacter { found: '*', allowed });
        }
        if text.chars().any(|c| !c.is_ascii_graphic()) {
            // The character may be part of the secret: it is not repeated.
            return Err(NameError::BadCharacter {
                found: '?',
                allowed: "printable characters without blanks",
            });
        }
        if text.len() > limits::TEXT_BYTES {
            return Err(NameError::TooLong { max: limits::TEXT_BYTES });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = heapless::String::<{ limits::TEXT_BYTES }>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn escapes_become_bytes_and_bad_ones_are_refused() {
        let text: Escaped = r"GET\s/\r\n\x00\xfF\\".parse().unwrap();
        assert_eq!(text.bytes(), b"GET /\r\n\x00\xff\\");
        for bad in [r"\q", r"\x1", r"\", "a b", ""] {
            assert!(bad.parse::<Escaped>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_shows_itself_nowhere_but_in_reveal() {
        let secret: Secret = "hunter2".parse().unwrap();
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "******** ******** Some(********)");
        assert_eq!(secret.reveal(), "hunter2");
        assert!(REDACTED.parse::<Secret>().is_err());
    }

    #[test]
    fn a_hardware_address_is_one_devices_and_prints_in_one_form() {
        let mac: Mac = "52:54:00:AB:cd:01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:01");
        for bad in
            ["52:54:00:ab:cd", "52:54:00:ab:cd:01:02", "5254.00ab.cd01", "01:00:5e:00:00:01", "0:0:0:0:0:0"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
