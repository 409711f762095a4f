//! What other processes ask of PID 1, one datagram each on `/run/init.sock`.
//!
//! The same can be said with signals, as sysvinit and busybox have it: SIGTERM reboots, SIGUSR2 (and SIGUSR1)
//! powers off. Control-Alt-Delete (SIGINT) is ignored: a stray keyboard must not reboot a director.

use crate::director::protocol::Power;

/// A request to PID 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Stop in order, then reboot or power off.
    Power(Power),
    /// End the director with SIGKILL and start it again at once. What it programmed stays in the kernel.
    RestartDirector,
}

/// Every request with its word.
const WORDS: [(&str, Ask); 3] = [
    ("reboot", Ask::Power(Power::Reboot)),
    ("poweroff", Ask::Power(Power::Off)),
    ("restart director", Ask::RestartDirector),
];

impl Ask {
    /// The word that is sent.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Power(Power::Reboot) => "reboot",
            Self::Power(Power::Off) => "poweroff",
            Self::RestartDirector => "restart director",
        }
    }

    /// From a received datagram; `None` for anything unknown.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        WORDS.iter().find(|(word, _)| word.as_bytes() == datagram).map(|(_, ask)| *ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::limits;

    #[test]
    fn every_request_is_understood_as_it_is_sent() {
        for (word, ask) in WORDS {
            assert_eq!(ask.word(), word);
            assert_eq!(Ask::parse(word.as_bytes()), Some(ask));
            assert!(word.len() <= limits::ASK_BYTES);
        }
    }

    #[test]
    fn anything_else_is_no_request() {
        for datagram in [&b""[..], b"reboot\n", b"Reboot", b"reboo", b"\xff\xff"] {
            assert_eq!(Ask::parse(datagram), None);
        }
    }
}
