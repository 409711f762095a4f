//! Real DHCP servers: Debian's dnsmasq, in a namespace.

use crate::hub::Hub;
use crate::process::{Process, Program};
use crate::scenario::Lends;
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DNSMASQ: &str = "/usr/sbin/dnsmasq";
const READY: Duration = Duration::from_secs(10);

/// Starts the server of a host and waits until it listens. It writes its leases into `folder`.
///
/// # Errors
/// When it does not start.
pub fn start(node: &str, lends: Lends, folder: &Path, hub: &Arc<Hub>) -> Result<Process> {
    let Lends { address, router, seconds } = lends;
    let range = format!("--dhcp-range={address},{address},{seconds}");
    let router = format!("--dhcp-option=option:router,{router}");
    // So long after its beginning a lease is renewed: dnsmasq lends for two minutes at least, of which nobody waits for half.
    let renewal = "--dhcp-option=option:T1,15";
    let leases = format!("--dhcp-leasefile={}", folder.join("leases").display());
    let argv = [
        DNSMASQ,
        // In the foreground, as whom it was started: in the lab's user namespace there is no other group to become.
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-hosts",
        "--no-resolv",
        "--no-ping",
        "--port=0",
        "--pid-file=",
        "--interface=eth0",
        "--bind-interfaces",
        "--dhcp-authoritative",
        "--log-dhcp",
        &range,
        &router,
        renewal,
        &leases,
    ];
    let server = Program::new(node, argv).netns(node).spawn(hub)?;
    hub.until(&format!("the DHCP server of {node}"), READY, || {
        let said = server.stderr();
        if said.contains("DHCP, IP range") { Ok(()) } else { Err(said) }
    })?;
    Ok(server)
}
