//! The lab `balancing`.

use anyhow::{Result, ensure};
use director_qemu::lab::Lab;
use std::time::Duration;

const COMMAND: Duration = Duration::from_secs(10);

/// Gives the servers of direct routing the virtual addresses.
///
/// # Errors
/// When a command on them fails.
pub fn quiet(lab: &Lab) -> Result<()> {
    for host in ["d1", "d2"] {
        // They take packets for the virtual addresses and never say so (arp_ignore, arp_announce of ip-sysctl).
        let quiet = "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore && echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce";
        let ended = lab.run(host, ["sh", "-c", quiet], COMMAND)?;
        ensure!(ended.status.success(), "{host}: {}", ended.stderr);
        lab.ip(host, "link set lo up\naddress add 1.2.3.7/32 dev lo\naddress add 1.2.3.8/32 dev lo\n")?;
    }
    Ok(())
}
