//! The read model: what every `show` renders, as text or JSON. Neither configuration nor runtime state.

use super::pings::{Proof, WitnessStatus};
use crate::election::Fitness;
use crate::health::State as HealthState;
use crate::model::config::{CheckKind, Forward};
use crate::model::{Device, Hostname, Label, Millis, Mono, Name};
use crate::overrides::Forced;
use crate::plan::observed::{Link, Stats};
use crate::plan::{DaemonRole, DaemonSpec, DestKey, DestSpec, ServiceKey, ServiceSpec, TimeoutSpec};
use crate::store::Generation;
use crate::store::identity::Role;
use crate::upgrade::running::Running;
use crate::wire::heartbeat::{Counters, State as PeerState};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// A snapshot of everything shown.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// When it was taken.
    pub at: Mono,
    /// The box.
    pub system: SystemStatus,
    /// The pair; `None` without a heartbeat.
    pub cluster: Option<Box<ClusterStatus>>,
    /// Devices and their roles.
    pub interfaces: Vec<InterfaceStatus>,
    /// Addresses in the kernel, and wanted ones that are missing.
    pub addresses: Vec<AddressStatus>,
    /// Virtual servers, in order of name, address and port.
    pub services: Vec<ServiceStatus>,
    /// Real servers by pool, in order of name.
    pub servers: Vec<ServerStatus>,
    /// The kernel's IPVS table as it was seen last.
    pub ipvs: Vec<IpvsService>,
    /// Idle times of connections in the kernel.
    pub timeouts: Option<TimeoutSpec>,
    /// Sync daemons that run.
    pub daemons: Vec<(DaemonRole, DaemonSpec)>,
    /// Who tells the time.
    pub time: crate::sntp::Status,
    /// Seconds since 1970 of the box's clock when the kernel was looked at.
    pub unix_s: u64,
    /// What was wrong with the flash when the director started, until the next commit. Also among the alarms.
    pub notes: Vec<String>,
    /// What is wrong, most severe first; empty when all is well.
    pub alarms: Vec<String>,
}

/// The box itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SystemStatus {
    /// Which node of the pair this is.
    pub identity: Role,
    /// Whether it holds the floating addresses.
    pub active: bool,
    /// Its name.
    pub hostname: Option<Hostname>,
    /// Firmware version.
    pub version: String,
    /// The system slot it was started from; `None` without a boot loader of ours.
    pub slot: Option<SlotStatus>,
    /// Generation of the running configuration; 0 is the factory configuration.
    pub generation: Generation,
    /// What waits for its confirmation.
    pub trial: Option<TrialStatus>,
    /// Where the configuration came from, in words.
    pub source: String,
    /// When this director process started.
    pub started: Mono,
    /// Boots counted in flash.
    pub boots: u32,
    /// Kernel operations done since the process started.
    pub operations: u64,
    /// Kernel operations of the last plan that was not empty.
    pub last_plan: u32,
    /// How long the kernel worked on the last plan that ended.
    pub last_plan_took: Millis,
    /// How long the last dump of the kernel's tables took.
    pub last_dump_took: Millis,
    /// When the kernel's state was last compared with the desired one.
    pub reconciled: Option<Mono>,
}

/// The pair as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// What this node is.
    pub role: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Mono,
    /// The higher one is active when both can.
    pub priority: u8,
    /// Whether an operator set it aside.
    pub aside: bool,
    /// How well it could serve.
    pub fitness: Fitness,
    /// Id of the key that signs; `None`: heartbeats are not signed.
    pub signed: Option<u8>,
    /// The earliest moment after a last heartbeat at which the peer takes over.
    pub takeover_after: Millis,
    /// The peer's last word.
    pub peer: Option<PeerStatus>,
    /// Networks that carry heartbeats.
    pub paths: Vec<PathStatus>,
    /// How long after the last heartbeat init removes the addresses of a director that stands still.
    pub fence_after: Millis,
    /// Time-out of the hardware watchdog in seconds that is asked for while the addresses are held.
    pub watchdog: u32,
    /// Id of the key that is going out of use.
    pub old_key: Option<u8>,
    /// Hosts that tell whether our own link works.
    pub witnesses: Vec<WitnessStatus>,
    /// Floating addresses that are held, and whether it is proved that they arrive here.
    pub proofs: Vec<(IpAddr, Proof)>,
    /// Smoothed time from an urgent question to its answer.
    pub round_us: Option<u64>,
    /// Frames refused because they were old or repeated.
    pub old_frames: u64,
    /// How the configurations of both boxes stand, in words.
    pub configuration: String,
    /// Connections in the table of this box.
    pub connections: u32,
    /// Connections that the peer sent when this box joined it.
    pub table: Option<u32>,
}

/// What the peer said last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// What it is.
    pub state: PeerState,
    /// Whether it is heard now.
    pub alive: bool,
    /// How well it could serve, as a number.
    pub fitness: u8,
    /// Its priority.
    pub priority: u8,
    /// Whether it runs the same configuration.
    pub same_config: bool,
    /// Its firmware.
    pub firmware: String,
    /// Servers it finds usable.
    pub usable: u32,
    /// Connections in its table.
    pub connections: u32,
}

/// A network that carries heartbeats.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathStatus {
    /// Interface role, or the serial device.
    pub name: String,
    /// Where frames are sent; a serial line has no addresses.
    pub peer: Option<IpAddr>,
    /// When the peer last proved here that it hears us.
    pub proven: Option<Mono>,
    /// When it was last heard here at all.
    pub heard: Option<Mono>,
    /// Frames taken.
    pub frames: u64,
    /// Frames that came over another path and not over this one.
    pub missed: u64,
    /// Smoothed time from a frame of ours to the first that echoes it.
    pub round_us: Option<u64>,
    /// Frames by what became of them, when any was refused.
    pub refused: Option<Counters>,
}

/// The system slot that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SlotStatus {
    /// What the boot loader said.
    pub running: Running,
    /// Whether the boot loader was told that it works.
    pub proven: bool,
}

/// A commit on trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrialStatus {
    /// When it is taken back.
    pub deadline: Mono,
    /// What runs again then.
    pub back: Generation,
}

/// A device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Role, when it has one.
    pub role: Option<Name>,
    /// Kernel name.
    pub device: Device,
    /// As seen; `None` when the configured device does not exist.
    pub link: Option<Link>,
    /// What its DHCP client does and has.
    pub dhcp: Option<(crate::dhcp::State, Option<crate::dhcp::Lease>)>,
}

/// An address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressStatus {
    /// Device.
    pub device: Device,
    /// `address/prefix`.
    pub address: crate::model::Cidr,
    /// Label.
    pub label: Option<Label>,
    /// Name of the floating address; `None` when it belongs to the node.
    pub floating: Option<Name>,
    /// Whether the kernel has it.
    pub present: bool,
    /// Whether this node should have it now.
    pub wanted: bool,
}

/// A virtual server as configured, with what the kernel says of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Name of the service.
    pub name: Name,
    /// Address or mark.
    pub key: ServiceKey,
    /// Scheduler's kernel name.
    pub scheduler: String,
    /// Seconds of persistence.
    pub persistence_s: Option<u32>,
    /// Pool.
    pub pool: Name,
    /// Servers that take new connections.
    pub usable: u32,
    /// Servers configured.
    pub servers: u32,
    /// Established connections.
    pub active: u32,
    /// Other connections.
    pub inactive: u32,
    /// Counters; `None` while the kernel lacks the service.
    pub stats: Option<Stats>,
}

/// A real server in one pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Pool.
    pub pool: Name,
    /// Real server.
    pub name: Name,
    /// Its address.
    pub address: IpAddr,
    /// Forwarding method.
    pub forward: Forward,
    /// Check.
    pub check: CheckKind,
    /// Verdict.
    pub state: HealthState,
    /// What an operator did to it.
    pub forced: Forced,
    /// Since when.
    pub since: Mono,
    /// The rule and the last answer, in words: `connection refused, 3 of 3 failures`.
    pub reason: String,
    /// When its check last ended.
    pub checked: Option<Mono>,
    /// Microseconds the last good check took.
    pub took_us: Option<u32>,
    /// Configured weight.
    pub weight: u32,
    /// Weight in effect; `None`: not in the table.
    pub effective: Option<u32>,
    /// Established connections over all services of the pool.
    pub active: u32,
    /// Other connections.
    pub inactive: u32,
    /// Counters over all services of the pool.
    pub stats: Stats,
}

/// A virtual server of the kernel's table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IpvsService {
    /// Address or mark.
    pub key: ServiceKey,
    /// Settings.
    pub spec: ServiceSpec,
    /// Counters.
    pub stats: Stats,
    /// Real servers.
    pub dests: Vec<IpvsDest>,
}

/// A real server of the kernel's table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IpvsDest {
    /// Address and port.
    pub key: DestKey,
    /// Settings.
    pub spec: DestSpec,
    /// Established connections.
    pub active: u32,
    /// Other connections.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Counters.
    pub stats: Stats,
}
