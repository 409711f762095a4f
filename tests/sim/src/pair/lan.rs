//! The wires between the boxes, and what everybody on them believes.

use director_core::director::cluster::HeartbeatPath;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Networks.
pub const PATHS: [&str; 2] = ["eth0", "eth1"];
/// Frames kept for an attacker.
const RECORDED_MAX: usize = 256;

/// A frame that somebody recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it was sent.
    pub at: u64,
    /// To which node.
    pub to: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// State of the wires.
#[derive(Debug, Default)]
pub struct Lan {
    /// Pulled cables, by node and network.
    pub pulled: [[bool; 2]; 2],
    /// Ways cut for heartbeats, by sender and network.
    pub cut: [[bool; 2]; 2],
    /// Percent lost now.
    pub loss: u64,
    /// The gateway is away.
    pub no_gateway: bool,
    /// Who announced an address last.
    pub belief: BTreeMap<IpAddr, usize>,
    /// What an attacker has.
    pub recorded: Vec<Recorded>,
    /// Frames sent.
    pub sent: u64,
}

impl Lan {
    /// Number of a path's network.
    pub fn network(path: &HeartbeatPath) -> usize {
        Self::number(path.device.as_str())
    }

    /// Number of a device's network.
    pub fn number(device: &str) -> usize {
        PATHS.iter().position(|name| *name == device).expect("both have the same two")
    }

    /// Whether heartbeats get from a node to the other over a network.
    pub fn passes(&self, from: usize, network: usize) -> bool {
        !self.pulled[0][network] && !self.pulled[1][network] && !self.cut[from][network]
    }

    /// Whether they hear each other over any network.
    pub fn connected(&self) -> bool {
        let both = |network: &usize| self.passes(0, *network) && self.passes(1, *network);
        [0, 1].iter().any(both)
    }

    /// Remembers a frame; the oldest are not forgotten all at once, so that some are from before a reboot.
    pub fn record(&mut self, frame: Recorded, place: usize) {
        if self.recorded.len() < RECORDED_MAX {
            self.recorded.push(frame);
        } else {
            self.recorded[place % RECORDED_MAX] = frame;
        }
    }

    /// All wires as they should be.
    pub fn heal(&mut self) {
        self.pulled = [[false; 2]; 2];
        self.cut = [[false; 2]; 2];
        self.loss = 0;
        self.no_gateway = false;
    }
}
