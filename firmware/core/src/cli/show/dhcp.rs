//! DHCP clients in words.

use crate::dhcp::{Lease, State};
use crate::model::{Device, Mono};
use alloc::format;
use alloc::string::{String, ToString as _};

/// One line for each DHCP client.
pub(super) fn line(now: Mono, device: &Device, state: State, lease: Option<&Lease>) -> String {
    let state = word(state);
    let Some(lease) = lease else { return format!("DHCP on {device}: {state}, no address") };
    let router = lease.router.map(|r| format!(", router {r}")).unwrap_or_default();
    let ends = match lease.expires {
        None => ", for ever".to_string(),
        Some(at) => format!(", {} s left", at.micros_since(now) / 1_000_000),
    };
    format!("DHCP on {device}: {state}, {} from {}{router}{ends}", lease.cidr(), lease.server)
}

pub(super) const fn word(state: State) -> &'static str {
    match state {
        State::Down => "no link",
        State::Searching => "searching",
        State::Asking => "asking",
        State::Verifying => "verifying",
        State::Bound => "bound",
        State::Renewing => "renewing",
        State::Rebinding => "rebinding",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn a_lease_is_told_with_its_end() {
        let device: Device = "eth0".parse().unwrap();
        let server = Ipv4Addr::new(202, 39, 145, 129);
        let end = Some(Mono::from_millis(600_000));
        let lease = Lease {
            address: Ipv4Addr::new(202, 39, 145, 156),
            prefix: 26,
            router: Some(server),
            server,
            renew: Mono::ZERO,
            rebind: Mono::ZERO,
            expires: end,
        };
        let now = Mono::from_millis(1000);
        assert_eq!(
            line(now, &device, State::Bound, Some(&lease)),
            "DHCP on eth0: bound, 202.39.145.156/26 from 202.39.145.129, router 202.39.145.129, 599 s left"
        );
        assert_eq!(line(now, &device, State::Searching, None), "DHCP on eth0: searching, no address");
    }
}
