//! Combinations of protocol, scheduler and check that the kernel accepts and that do something else than expected.

use super::Findings;
use crate::model::Name;
use crate::model::config::{CheckKind, Config, Protocol, Scheduler, Service};
use alloc::format;

pub(super) fn check_service(config: &Config, name: &Name, service: &Service, found: &mut Findings) {
    scheduler(name, service, found);
    let Some((pool_name, pool)) = service.pool.as_ref().and_then(|p| config.pools.get_key_value(p)) else {
        return;
    };
    let asked = match pool.check {
        CheckKind::Tcp => Some("tcp"),
        CheckKind::Http => Some("http"),
        CheckKind::None => None,
    };
    if let Some(asked) = asked.filter(|_| service.protocol == Protocol::Sctp && pool.check_port.is_none()) {
        let text = format!(
            "check {asked} would ask the SCTP port by TCP, and take every server out: set pool {pool_name} check \
             none, or check-port"
        );
        found.error(format!("service {name} protocol sctp"), text);
    }
    if service.special.one_packet && service.persistence.is_some() {
        let text = "packets of one client all go to one server, because of the persistence: delete one";
        found.warning(format!("service {name} one-packet"), text);
    }
}

/// Schedulers that look at the destination see one: the virtual address.
fn scheduler(name: &Name, service: &Service, found: &mut Findings) {
    let what = match service.scheduler {
        Scheduler::Lblc | Scheduler::Lblcr => {
            "picks by the destination, which is always the virtual address: one server gets everything until it has \
             twice its weight in connections"
        }
        Scheduler::Dh => {
            "picks by the destination, which is always the virtual address: one server gets everything"
        }
        Scheduler::Rr
        | Scheduler::Wrr
        | Scheduler::Lc
        | Scheduler::Wlc
        | Scheduler::Sh
        | Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Fo
        | Scheduler::Ovf
        | Scheduler::Mh
        | Scheduler::Twos => return,
    };
    let path = format!("service {name} scheduler {}", service.scheduler.kernel_name());
    found.warning(path, format!("{what}: use wlc, or sh to keep clients with their server"));
}
