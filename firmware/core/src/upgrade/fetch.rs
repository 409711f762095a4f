//! The client's end of one download by HTTP, without I/O: what to connect to, what to ask, and the body of what comes.
//!
//! HTTP/1.0 is asked for, so no server sends chunks, and the body ends with the connection or its length. Redirects are
//! not followed: where a bundle comes from is what the operator typed.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// Largest head of an answer, in bytes. Chosen: twice what common servers send at most.
const HEAD_MAX: usize = 16 * 1024;
/// Most header fields of an answer.
const FIELDS_MAX: usize = 64;
/// Longest address that is taken, in bytes.
const URL_MAX: usize = 512;
/// Port of `http:` without one.
const PORT: u16 = 80;

/// Where a file lies: `http://ADDRESS[:PORT]/PATH`. A name is refused, because the box has no resolver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Url {
    server: SocketAddr,
    host: String,
    path: String,
}

impl core::str::FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").ok_or("it begins with http://")?;
        if text.len() > URL_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("it has at most 512 printable characters and no blanks");
        }
        let (host, path) = rest.split_at(rest.find('/').ok_or("a path must follow the address")?);
        let address = host.parse::<SocketAddr>().ok().or_else(|| {
            let ip = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            ip.parse().ok().map(|ip| SocketAddr::new(ip, PORT))
        });
        let server = address.ok_or("the server is named by its IP address: this box has no resolver")?;
        let path = path.split('#').next().unwrap_or("/").to_string();
        Ok(Self { server, host: host.to_string(), path })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

impl Url {
    /// What to connect to.
    #[must_use]
    pub const fn server(&self) -> SocketAddr {
        self.server
    }

    /// The bytes to send.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let agent = concat!("Director/", env!("CARGO_PKG_VERSION"));
        format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.path, self.host
        )
        .into_bytes()
    }
}

/// What comes back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The head, until it is whole.
    head: Vec<u8>,
    body: bool,
    /// Bytes of the body that must still come, when the server said how many.
    left: Option<u64>,
}

impl Answer {
    /// Takes bytes as they come; gives those of the body among them.
    ///
    /// # Errors
    /// With a sentence, when it is not the file.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        if self.body {
            return Ok(self.counted(bytes.to_vec()));
        }
        let room = HEAD_MAX.saturating_sub(self.head.len());
        let (taken, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(taken);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let end = match response.parse(&self.head) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) if rest.is_empty() => return Ok(Vec::new()),
            Ok(httparse::Status::Partial) => return Err("the server's header is too long".to_string()),
            Err(_) => return Err("the server does not speak HTTP".to_string()),
        };
        let code = response.code.unwrap_or(0);
        if code != 200 {
            let reason: String = response.reason.unwrap_or("").chars().take(60).collect();
            return Err(format!("the server answers {code} {reason}").trim_end().to_string());
        }
        for field in response.headers.iter() {
            if field.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("the server sends it in pieces although HTTP/1.0 was asked for".to_string());
            }
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = core::str::from_utf8(field.value).ok().and_then(|text| text.trim().parse().ok());
                self.left = Some(length.ok_or("the server's length is no number")?);
            }
        }
        let mut body = self.head.split_off(end.min(self.head.len()));
        body.extend_from_slice(rest);
        (self.body, self.head) = (true, Vec::new());
        Ok(self.counted(body))
    }

    /// What follows the length that the server gave is not part of the file.
    fn counted(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        if let Some(left) = &mut self.left {
            body.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left = left.saturating_sub(u64::try_from(body.len()).unwrap_or(u64::MAX));
        }
        body
    }

    /// Whether the server said how long it is, and all of it came.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.body && self.left == Some(0)
    }

    /// The connection ended.
    ///
    /// # Errors
    /// When that was too early. What came of a body is judged by its content, not here.
    pub fn end(&self) -> Result<(), String> {
        if self.body { Ok(()) } else { Err("the server closed the connection without an answer".to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_both_families_are_taken_and_names_are_not() {
        let url = |text: &str| text.parse::<Url>();
        let server = |text| url(text).map(|u| u.server().to_string());
        assert_eq!(server("http://192.168.1.3/d.upgrade").as_deref(), Ok("192.168.1.3:80"));
        assert_eq!(server("http://192.168.1.3:8080/a/b?c=d").as_deref(), Ok("192.168.1.3:8080"));
        assert_eq!(server("http://[fd00::3]/x").as_deref(), Ok("[fd00::3]:80"));
        assert_eq!(server("http://[fd00::3]:81/x").as_deref(), Ok("[fd00::3]:81"));
        assert!(url("http://files.example/x").unwrap_err().contains("resolver"));
        assert!(url("https://192.168.1.3/x").unwrap_err().contains("http://"));
        assert!(url("http://192.168.1.3").unwrap_err().contains("path"));
        assert!(url("http://192.168.1.3/a b").is_err());
        assert!(url(&format!("http://192.168.1.3/{}", "x".repeat(URL_MAX))).is_err());
    }

    #[test]
    fn the_request_names_host_and_path_and_asks_for_no_pieces() {
        let url: Url = "http://192.168.1.3:8080/d.upgrade#top".parse().unwrap();
        let request = String::from_utf8(url.request()).unwrap();
        assert!(request.starts_with("GET /d.upgrade HTTP/1.0\r\nHost: 192.168.1.3:8080\r\n"), "{request}");
        assert!(request.ends_with("\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn the_body_is_the_same_however_the_answer_is_cut(cuts in proptest::collection::vec(1..40_usize, 1..60)) {
            let whole = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz";
            let (mut answer, mut body, mut rest) = (Answer::default(), Vec::new(), &whole[..]);
            for cut in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(cut.min(rest.len()));
                prop_assert!(!answer.ended());
                body.extend(answer.feed(now).unwrap());
                rest = later;
            }
            prop_assert!(answer.ended() && answer.end().is_ok());
            prop_assert_eq!(body, b"abcdefghijklmnopqrstuvwxyz");
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _result = Answer::default().feed(&bytes);
        }
    }

    #[test]
    fn what_is_not_the_file_is_refused_with_the_servers_words() {
        let said = |text: &str| Answer::default().feed(text.as_bytes());
        assert_eq!(
            said("HTTP/1.1 404 Not Found\r\n\r\n"),
            Err("the server answers 404 Not Found".to_string())
        );
        assert!(said("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n").unwrap_err().contains("302"));
        assert!(
            said("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap_err().contains("pieces")
        );
        assert!(said("220 mail.example ESMTP\r\n").unwrap_err().contains("HTTP"));
        assert!(
            said(&format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_MAX)))
                .unwrap_err()
                .contains("too long")
        );
        assert!(Answer::default().end().is_err());
    }
}
