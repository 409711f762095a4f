//! Why a node is what it is.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Why the role is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// The box just started and listens.
    Started,
    /// The director was restarted and goes on.
    Resumed,
    /// The peer is there.
    PeerHeard,
    /// Nobody answered during the start hold.
    NobodyThere,
    /// The peer was silent for the dead time.
    PeerSilent {
        /// Milliseconds since its last proven frame.
        ms: u32,
    },
    /// A late peer answered none of the questions.
    PeerMute {
        /// Milliseconds since its last proven frame.
        ms: u32,
    },
    /// The peer is heard, but does not hear us, for longer than is waited.
    OneWay,
    /// The peer stopped in an orderly way.
    PeerLeft,
    /// The peer gave its role away.
    PeerYielded,
    /// Neither was active, and this node is the better one.
    Better,
    /// Neither was active, and the peer did not take it.
    PeerIdle,
    /// Both were active, and the peer is the better one.
    DuelLost,
    /// The peer could serve better than this node.
    PeerFitter,
    /// The peer has the higher priority and asked for it.
    PeerPreferred,
    /// This box stood still for so long that the peer may have taken over.
    Stalled {
        /// Milliseconds since its last heartbeat.
        ms: u32,
    },
    /// An operator said so here.
    Operator,
    /// An operator said so on the peer.
    OperatorThere,
    /// The box stops.
    Stopping,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "just started, listening for the peer",
            Self::Resumed => "the role of before goes on (a commit or a restart)",
            Self::PeerHeard => "the peer is there",
            Self::NobodyThere => "no peer was heard during the start hold",
            Self::PeerSilent { ms } => return write!(f, "no heartbeat for {ms} ms"),
            Self::PeerMute { ms } => {
                return write!(f, "no heartbeat for {ms} ms, and no answer to urgent questions");
            }
            Self::OneWay => "the peer is heard, but has not heard this box for too long: check the cables",
            Self::PeerLeft => "the peer stopped",
            Self::PeerYielded => "the peer handed over",
            Self::Better => "neither was active; this box is the better one",
            Self::PeerIdle => "neither was active; the peer did not take over",
            Self::DuelLost => "both were active; the peer is the better one",
            Self::PeerFitter => "the peer can serve better (links, witness, servers)",
            Self::PeerPreferred => "the peer has the higher priority and is ready",
            Self::Stalled { ms } => {
                return write!(f, "this box stood still for {ms} ms, and the peer may have taken over");
            }
            Self::Operator => "by command",
            Self::OperatorThere => "by command on the peer",
            Self::Stopping => "stopping",
        })
    }
}
