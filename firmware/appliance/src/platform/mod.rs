//! The kernel's side: everything that is a system call.

pub(crate) mod announce;
pub(crate) mod background;
pub(crate) mod changes;
pub(crate) mod clock;
pub(crate) mod confine;
pub(crate) mod dhcp;
pub(crate) mod doctor;
pub(crate) mod fence;
pub(crate) mod flash;
pub(crate) mod heartbeat;
pub(crate) mod ipvs;
pub(crate) mod kernel;
pub(crate) mod kmsg;
pub(crate) mod loopback;
pub(crate) mod neighbour;
pub(crate) mod netlink;
pub(crate) mod nft;
pub(crate) mod password;
pub(crate) mod peer;
pub(crate) mod priority;
pub(crate) mod probe;
pub(crate) mod random;
pub(crate) mod rtnl;
pub(crate) mod selfcheck;
pub(crate) mod sysctl;
pub(crate) mod table;
pub(crate) mod tap;
pub(crate) mod tty;
pub(crate) mod uevent;
pub(crate) mod upgrade;
pub(crate) mod watchdog;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
