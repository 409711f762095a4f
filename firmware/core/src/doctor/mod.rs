//! `doctor`: finds what operators get wrong on their servers, and says how to put it right.
//!
//! ```text
//! plan(configuration, node, role) ──> looks ──> shell: asks the segments ──> what was seen ──> judge ──> findings
//! ```
//!
//! [`plan`] decides whom to ask what, [`judge`] what the answers mean; both are pure. The shell asks with packet sockets and
//! pings, at most [`ABREAST_MAX`] looks at a time and for [`TIME`] in all, on no path that traffic takes.
//!
//! | finding | how it is found |
//! | --- | --- |
//! | gateway | a server behind NAT answers an address of its own network, and not one outside it |
//! | answers-arp | a server of direct routing says by ARP that it has the virtual address |
//! | no-address | a server of direct routing answers for its own address, and not for the virtual one |
//! | not-listening | the same, and it refuses the connection for the virtual one |
//! | duplicate | another machine says that it has an address of ours or of a server |
//! | mtu | packets as large as our device sends do not get through, smaller ones do |
//! | subnet | a server is in none of our networks |

mod judge;
mod plan;

pub use judge::judge;
pub use plan::{Box, plan};

use crate::model::{Millis, Name};
use crate::wire::Mac;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// Looks of one examination, at most. Chosen: 500 servers of direct routing; a larger site names a service.
pub const LOOKS_MAX: usize = 2048;
/// Looks under way at a time. Chosen: a small part of what the checks may have under way.
pub const ABREAST_MAX: usize = 32;
/// How long an examination takes at most; looks that found no time are counted. Chosen: who waits longer presses a key.
pub const TIME: Millis = Millis::from_secs(60);
/// How long claims of an address are listened for. Chosen: the question is asked three times in it.
pub const CLAIMS_TIME: Millis = Millis::new(1000);
/// How long a handshake may take. Chosen: the first packet is sent three times in it.
pub const HANDSHAKE_TIME: Millis = Millis::new(1500);
/// Smallest packet whose arrival says that pings are answered at all.
pub const SMALL_BYTES: u16 = 576;

/// One look at the network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Look {
    /// Who says that he has `address`, on the segment of our address `own`.
    Claims {
        /// Address of ours on that segment.
        own: IpAddr,
        /// What is asked for.
        address: IpAddr,
    },
    /// A TCP handshake at the hardware address of `at`.
    Handshake {
        /// Address of ours on its segment.
        own: IpAddr,
        /// Whose hardware address.
        at: IpAddr,
        /// Source of the packets.
        source: IpAddr,
        /// Their destination.
        target: SocketAddr,
    },
    /// How large a packet may be that must not be fragmented.
    Size {
        /// To whom.
        target: IpAddr,
        /// Bytes that our device sends, with the IP header.
        most: u16,
    },
}

/// What a look saw.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Seen {
    /// Hardware addresses that claimed the address, each once.
    Claims(Vec<Mac>),
    /// The connection was there.
    Connected,
    /// It was refused.
    Refused,
    /// Nothing came.
    Silent,
    /// Nobody answers for the address whose hardware address was wanted.
    Absent,
    /// The largest packet that was answered; `None`: not even a small one.
    Fits(Option<u16>),
    /// It could not be done, and why.
    Failed(String),
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A server behind NAT answers by another way.
    Gateway,
    /// A server of direct routing answers ARP for the virtual address.
    AnswersArp,
    /// A server of direct routing lacks the virtual address.
    NoAddress,
    /// It has the address, and nothing listens there.
    NotListening,
    /// Two machines have one address.
    Duplicate,
    /// Packets of full size do not get through.
    Mtu,
    /// A server is in none of our networks.
    Subnet,
}

impl Kind {
    /// Its name in `| json`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::AnswersArp => "answers-arp",
            Self::NoAddress => "no-address",
            Self::NotListening => "not-listening",
            Self::Duplicate => "duplicate",
            Self::Mtu => "mtu",
            Self::Subnet => "subnet",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing that is wrong, and how to put it right.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// On which server.
    pub server: Option<Name>,
    /// The address it is about.
    pub address: Option<IpAddr>,
    /// The machine that was caught.
    pub mac: Option<Mac>,
    /// What was seen, in words.
    pub text: String,
    /// What to do.
    pub fix: String,
}

/// The outcome of an examination.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
    /// Looks taken.
    pub looks: u32,
}

/// A server that is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Patient {
    name: Name,
    address: IpAddr,
    port: u16,
    /// Our address in its network.
    own: IpAddr,
}

impl Patient {
    /// The look that tells whether it answers at all.
    fn alive(&self) -> Look {
        let target = SocketAddr::new(self.address, self.port);
        Look::Handshake { own: self.own, at: self.address, source: self.own, target }
    }

    fn claims(&self) -> Look {
        Look::Claims { own: self.own, address: self.address }
    }
}

/// What an answer is for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Case {
    /// NAT: asked from outside its network; its gateway should be this address of ours.
    Gateway { patient: Patient, outside: Look, gateway: IpAddr },
    /// Direct routing: asked for a virtual address.
    Virtual { patient: Patient, look: Look, address: IpAddr },
    /// The only one that may have the server's address.
    Own(Patient),
    /// An address of ours, or of the pair; whether another box of the pair may have it, and what it has for certain.
    Ours { look: Look, address: IpAddr, peer: Option<Look>, peer_may: bool },
    /// Packets of full size; `over` is what a tunnel adds.
    Size { name: Name, look: Look, most: u16, over: u16 },
}

/// An examination that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// What the shell is to do, in this order; its answers come in the same.
    pub looks: Vec<Look>,
    cases: Vec<Case>,
    report: Report,
    /// Hardware addresses of this box.
    own: Vec<Mac>,
}

#[cfg(test)]
mod tests;
