//! What alerts mean (RFC 8446 section 6).

use alloc::format;
use alloc::string::String;

/// The server ends in an orderly way.
pub(crate) const CLOSE_NOTIFY: u8 = 0;

/// Words for an alert of the server.
pub(crate) fn words(code: u8) -> String {
    let name = match code {
        10 => "unexpected message",
        20 => "bad record mac",
        22 => "record overflow",
        40 => {
            "handshake failure: it has no version, cipher or key exchange in common with us, or wants a server name"
        }
        42..=46 => "it does not accept our certificate, and we have none",
        47 => "illegal parameter",
        48 => "unknown authority",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version: it speaks neither TLS 1.2 nor 1.3",
        71 => "insufficient security",
        80 => "internal error",
        90 => "cancelled",
        109 => "missing extension",
        112 => "it does not serve this server name",
        116 => "it wants a client certificate",
        120 => "no application protocol",
        _ => return format!("the server sent TLS alert {code}"),
    };
    format!("the server sent TLS alert {code}, {name}")
}
