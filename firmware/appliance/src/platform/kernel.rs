//! The kernel as the director sees it: observe, and apply operations.

use super::announce::Announcer;
use super::ipvs::{self, Ipvs};
#[cfg(test)]
use super::netlink::refuse;
use super::nft::Nft;
use super::rtnl::Rtnl;
use super::{netlink, sysctl};
use director_core::plan::{AddressKey, Observed, Op, OpError};
use std::io;

/// All sockets to the kernel. One owner, one operation at a time. Works in a kernel without IPVS: it then has no virtual
/// servers, and operations on them fail and say so.
#[derive(Debug)]
pub(crate) struct Kernel {
    rtnl: Rtnl,
    ipvs: Ipvs,
    nft: Nft,
    announcer: Announcer,
}

impl Kernel {
    /// Opens all sockets. Needs a tokio runtime with I/O and time.
    pub(crate) async fn open() -> Result<Self, OpError> {
        let failed = |what: &'static str| move |error: io::Error| netlink::from_io(what, &error);
        Ok(Self {
            rtnl: Rtnl::open().map_err(failed("rtnetlink"))?,
            ipvs: Ipvs::open().await?,
            nft: Nft::open().map_err(failed("nf_tables"))?,
            announcer: Announcer::open().map_err(failed("packet socket"))?,
        })
    }

    /// Dumps what we manage, and the sysctls of the given names. Other tasks get turns meanwhile; a cancelled call leaves
    /// nothing behind.
    pub(crate) async fn observe(&mut self, sysctls: &[String]) -> Result<Observed, OpError> {
        let mut observed = Observed { unix_s: super::clock::unix_s(), ..Observed::default() };
        self.rtnl.observe(&mut observed).await?;
        observed.ruleset = self.nft.observe().await?;
        observed.services = self.ipvs.observe().await?;
        observed.daemons = self.ipvs.daemons().await?;
        observed.timeouts = self.ipvs.timeouts().await?;
        let values = sysctls.iter().filter_map(|name| Some((name.clone(), sysctl::read(name)?)));
        observed.sysctls = values.collect();
        observed.memory_mib = memory_mib();
        Ok(observed)
    }

    /// Executes operations in order; one result for each. A failure does not stop those that follow. Neighbouring IPVS
    /// operations go to the kernel in batches.
    pub(crate) async fn apply(&mut self, ops: &[Op]) -> Vec<Result<(), OpError>> {
        let mut results = Vec::with_capacity(ops.len());
        for run in ops.chunk_by(|a, b| ipvs::concerns(a) && ipvs::concerns(b)) {
            if run.first().is_some_and(ipvs::concerns) {
                results.extend(self.ipvs.apply(run).await);
            } else {
                for op in run {
                    let result = match missing(op, ops, &results) {
                        Some(error) => Err(error),
                        None => self.apply_one(op).await,
                    };
                    results.push(result);
                }
            }
        }
        results
    }

    async fn apply_one(&mut self, op: &Op) -> Result<(), OpError> {
        match op {
            Op::SysctlSet { name, value } => sysctl::write(name, value),
            Op::LinkUp { device } => self.rtnl.set_up(device).await,
            Op::LinkMtu { device, mtu } => self.rtnl.set_mtu(device, *mtu).await,
            Op::VlanAdd { device, spec } => self.rtnl.add_vlan(device, spec).await,
            Op::VlanDelete { device } => self.rtnl.delete_vlan(device).await,
            Op::AddressAdd { key, spec } => self.rtnl.add_address(key, spec).await,
            Op::AddressRelabel { key, spec } => match self.rtnl.delete_address(key).await {
                Ok(()) => self.rtnl.add_address(key, spec).await,
                Err(error) => Err(error),
            },
            Op::AddressDelete { key } => self.rtnl.delete_address(key).await,
            Op::RouteSet { key, spec } => self.rtnl.set_route(key, spec).await,
            Op::RouteDelete { key } => self.rtnl.delete_route(key).await,
            Op::RulesetSet { ruleset } => self.nft.replace(ruleset).await,
            Op::Announce { key } => self.announce(key).await,
            Op::DaemonStart { .. }
            | Op::DaemonStop { .. }
            | Op::TimeoutsSet { .. }
            | Op::ServiceAdd { .. }
            | Op::ServiceEdit { .. }
            | Op::ServiceDelete { .. }
            | Op::DestAdd { .. }
            | Op::DestEdit { .. }
            | Op::DestDelete { .. } => {
                self.ipvs.apply(std::slice::from_ref(op)).await.pop().unwrap_or(Ok(()))
            }
        }
    }

    async fn announce(&mut self, key: &AddressKey) -> Result<(), OpError> {
        let link = self.rtnl.link(&key.device).await?;
        self.announcer.announce(&link, key.cidr.address())
    }
}

/// Memory that the kernel has, in MiB; 0 when it does not say (`/proc/meminfo`, whose first line is in KiB).
fn memory_mib() -> u32 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    // Part of it is the kernel's: a box of 64 MiB says a little less.
    total.map_or(0, |kib| kib / 1024)
}

/// The error of an operation that failed before and that `op` needs.
fn missing(op: &Op, ops: &[Op], results: &[Result<(), OpError>]) -> Option<OpError> {
    let failed =
        ops.iter().zip(results).filter_map(|(earlier, result)| Some((earlier, result.as_ref().err()?)));
    failed.filter(|(earlier, _)| op.needs(earlier)).map(|(_, error)| error.clone()).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use director_core::plan::AddressSpec;
    use director_core::plan::desired::Ruleset;

    #[test]
    fn nothing_is_announced_that_was_not_added_and_nothing_forwarded_without_rules() {
        let key = |cidr: &str| AddressKey { device: "eth0".parse().unwrap(), cidr: cidr.parse().unwrap() };
        let ops = [
            Op::RulesetSet { ruleset: Ruleset::default() },
            Op::AddressAdd { key: key("1.2.3.1/24"), spec: AddressSpec::default() },
            Op::AddressAdd { key: key("1.2.3.7/24"), spec: AddressSpec::default() },
        ];
        let error = refuse(nix::errno::Errno::EBUSY, "busy");
        let results = [Err(error.clone()), Err(error.clone()), Ok(())];
        let sysctl = |name: &str, value: &str| Op::SysctlSet { name: name.into(), value: value.into() };
        let stopped = |op: &Op| missing(op, &ops, &results) == Some(error.clone());
        assert!(stopped(&Op::Announce { key: key("1.2.3.1/24") }));
        assert!(!stopped(&Op::Announce { key: key("1.2.3.7/24") }));
        assert!(stopped(&sysctl("net.ipv4.ip_forward", "1")));
        assert!(stopped(&sysctl("net.ipv6.conf.all.forwarding", "1")));
        assert!(!stopped(&sysctl("net.ipv4.ip_forward", "0")));
        assert!(!stopped(&sysctl("net.ipv4.vs.conntrack", "0")));
    }
}
