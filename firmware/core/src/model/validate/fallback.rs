//! What answers when a pool has no usable server.

use super::Findings;
use crate::model::config::{Config, Forward, Pool, Protocol};
use crate::model::{Name, limits};
use alloc::format;

/// Ports on which clients begin with a TLS handshake (RFC 9110 section 4.2.2 and its usual second).
const TLS_PORTS: [u16; 2] = [443, 8443];

pub(super) fn check(config: &Config, found: &mut Findings) {
    for (name, pool) in &config.pools {
        sorry_server(config, name, pool, found);
    }
    let mut pages = 0_usize;
    for (name, service) in &config.services {
        let Some(pool_name) = &service.pool else { continue };
        let Some(pool) = config.pools.get(pool_name) else { continue };
        if pool.shortage.sorry_page.is_none() {
            continue;
        }
        let path = || format!("service {name} pool {pool_name}");
        if service.special.mark.is_some() || service.protocol != Protocol::Tcp {
            let why = if service.special.mark.is_some() { "a mark" } else { "no TCP" };
            let text = format!("the sorry page is not shown here: the service has {why}");
            found.warning(path(), text);
            continue;
        }
        pages = pages.saturating_add(service.addresses.len().saturating_mul(service.ports.len()));
        if let Some(port) = service.ports.iter().find(|port| TLS_PORTS.contains(port)) {
            let text = format!("clients of port {port} expect TLS: they see an error, not the sorry page");
            found.warning(path(), text);
        }
    }
    if pages > limits::PAGES {
        let text = format!(
            "{pages} addresses and ports have a sorry page, at most {} are possible: delete some",
            limits::PAGES
        );
        found.error("pool".into(), text);
    }
}

fn sorry_server(config: &Config, name: &Name, pool: &Pool, found: &mut Findings) {
    let short = &pool.shortage;
    let Some(server) = &short.sorry_server else {
        if short.sorry_port.is_some() {
            let text = format!("has no effect: set pool {name} sorry-server, or delete it");
            found.warning(format!("pool {name} sorry-port"), text);
        }
        return;
    };
    if pool.servers.contains_key(server) {
        let text = "is in the pool itself: use another machine";
        found.error(format!("pool {name} sorry-server {server}"), text);
    }
    if let Some(port) = short.sorry_port {
        let path = format!("pool {name} sorry-port {port}");
        if port == 0 {
            found.error(path, "must be 1 to 65535");
        } else if pool.forward != Forward::Nat {
            found.error(path, "only forward nat can change the port: delete it");
        }
    }
    let Some(address) = config.real_servers.get(server).and_then(|s| s.address) else { return };
    let mut members = pool.servers.keys().filter_map(|member| config.real_servers.get(member)?.address);
    let other = members.find(|member| member.is_ipv4() != address.is_ipv4());
    if other.is_some() && pool.forward != Forward::Tunnel {
        let text = "is not of the address family of the pool's servers";
        found.error(format!("pool {name} sorry-server {server}"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{five_node, name};
    use super::super::validate;
    use crate::model::Config;
    use crate::model::config::{Forward, Protocol, RealServer};
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    fn after(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = five_node();
        change(&mut config);
        validate(&config).iter().map(ToString::to_string).collect()
    }

    fn with_server(config: &mut Config, server: &str) {
        let pool = config.pools.get_mut(&name("web")).unwrap();
        pool.shortage.sorry_server = Some(name(server));
        pool.shortage.sorry_port = Some(8080);
    }

    fn sorry(config: &mut Config) {
        let address = Some("192.168.1.9".parse().unwrap());
        config.real_servers.insert(name("sorry"), RealServer { address, load_monitor: None });
        with_server(config, "sorry");
    }

    #[test]
    fn a_sorry_server_with_a_port_of_its_own_is_fine_behind_nat() {
        assert_eq!(after(sorry), Vec::<String>::new());
    }

    #[test]
    fn a_sorry_port_needs_nat_and_a_server() {
        let found = after(|c| {
            sorry(c);
            c.pools.get_mut(&name("web")).unwrap().forward = Forward::Direct;
        });
        let text = "error: pool web sorry-port 8080: only forward nat can change the port: delete it";
        assert!(found.iter().any(|f| f == text), "{found:?}");
        let found = after(|c| c.pools.get_mut(&name("web")).unwrap().shortage.sorry_port = Some(8080));
        let text = "warning: pool web sorry-port: has no effect: set pool web sorry-server, or delete it";
        assert_eq!(found, [text]);
    }

    #[test]
    fn a_server_of_the_pool_cannot_stand_in_for_it() {
        let text = "error: pool web sorry-server rs1: is in the pool itself: use another machine";
        assert_eq!(after(|c| with_server(c, "rs1")), [text]);
    }

    #[test]
    fn a_page_is_announced_as_missing_where_clients_cannot_read_it() {
        let page = |c: &mut Config| {
            c.pools.get_mut(&name("web")).unwrap().shortage.sorry_page = Some("Sorry".parse().unwrap());
        };
        assert_eq!(after(page), Vec::<String>::new());
        let found = after(|c| {
            page(c);
            c.services.get_mut(&name("web")).unwrap().ports = [80, 443].into_iter().collect();
        });
        let text = "clients of port 443 expect TLS: they see an error, not the sorry page";
        assert_eq!(found, [alloc::format!("warning: service web pool web: {text}")]);
        let found = after(|c| {
            page(c);
            c.services.get_mut(&name("web")).unwrap().protocol = Protocol::Udp;
        });
        let text = "warning: service web pool web: the sorry page is not shown here: the service has no TCP";
        assert_eq!(found, [text]);
    }
}
