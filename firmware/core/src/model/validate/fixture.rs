//! Configurations for tests.

use crate::model::config::{
    CheckKind, Config, Floating, HttpCheck, Interface, Masquerade, Member, Node, Pool,
};
use crate::model::config::{Protocol, RealServer, Scheduler, Service};
use crate::model::{Millis, Name};
use alloc::format;
use alloc::string::ToString;

/// A name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn node(hostname: &str, public: &str, private: &str) -> Node {
    let mut node = Node { hostname: Some(hostname.parse().unwrap()), ..Node::default() };
    for (role, address) in [("public", public), ("private", private)] {
        node.addresses.insert(name(role), [address.parse().unwrap()].into_iter().collect());
    }
    node
}

/// The five-node cluster of the design, section 4. Nothing to find.
pub(crate) fn five_node() -> Config {
    let mut c = Config {
        primary: node("lvs1", "1.2.3.2/24", "192.168.1.1/24"),
        backup: Some(node("lvs2", "1.2.3.3/24", "192.168.1.2/24")),
        ..Config::default()
    };
    for (role, device) in [("public", "eth0"), ("private", "eth1")] {
        let interface = Interface { device: Some(device.parse().unwrap()), ..Interface::default() };
        c.interfaces.insert(name(role), interface);
    }
    c.cluster.heartbeat_interval = Millis::from_secs(2);
    c.cluster.dead_time = Millis::from_secs(10);
    let floating = |address: &str, role: &str, label: &str| Floating {
        address: Some(address.parse().unwrap()),
        interface: Some(name(role)),
        label: Some(label.parse().unwrap()),
    };
    c.floating.insert(name("vs1"), floating("1.2.3.1/24", "public", "eth0:1"));
    c.floating.insert(name("nat-router"), floating("192.168.1.254/24", "private", "eth1:1"));
    c.forwarding.ipv4 = true;
    c.forwarding.defragment = true;
    let masquerade = Masquerade {
        source: Some("192.168.1.0/24".parse().unwrap()),
        out: Some(name("public")),
        address: None,
    };
    c.masquerade.insert(name("private"), masquerade);
    let mut pool = Pool {
        check: CheckKind::Http,
        http: Some(HttpCheck { path: "/".parse().unwrap(), host: None, status: Default::default() }),
        dead_time: Some(Millis::from_secs(10)),
        reentry: Millis::from_secs(180),
        ..Pool::default()
    };
    for (i, weight) in [(1_u8, 2000), (2, 1000), (3, 1000)] {
        let address = format!("192.168.1.{}", i + 2).parse().unwrap();
        c.real_servers
            .insert(name(&format!("rs{i}")), RealServer { address: Some(address), load_monitor: None });
        pool.servers.insert(name(&format!("rs{i}")), Member { weight, ..Member::default() });
    }
    c.pools.insert(name("web"), pool);
    let service = Service {
        addresses: [name("vs1")].into_iter().collect(),
        protocol: Protocol::Tcp,
        ports: [80].into_iter().collect(),
        scheduler: Scheduler::Wlc,
        persistence: None,
        special: Default::default(),
        pool: Some(name("web")),
    };
    c.services.insert(name("web"), service);
    c
}

/// As many services, each with a pool of as many servers: the five-node cluster, grown.
pub(crate) fn large(services: u16, servers: u16) -> Config {
    let mut c = five_node();
    let pool = c.pools.remove(&name("web")).unwrap();
    let service = c.services.remove(&name("web")).unwrap();
    c.real_servers.clear();
    for role in ["private", "public"] {
        // 192.168.0.0/16 holds the servers.
        let wide = if role == "private" { "192.168.1.1/16" } else { "1.2.3.2/24" };
        c.primary.addresses.insert(name(role), [wide.parse().unwrap()].into_iter().collect());
    }
    let peer = [("public", "1.2.3.3/24"), ("private", "192.168.1.2/16")];
    let backup = c.backup.as_mut().unwrap();
    for (role, address) in peer {
        backup.addresses.insert(name(role), [address.parse().unwrap()].into_iter().collect());
    }
    c.floating.get_mut(&name("nat-router")).unwrap().address = Some("192.168.1.254/16".parse().unwrap());
    c.masquerade.get_mut(&name("private")).unwrap().source = Some("192.168.0.0/16".parse().unwrap());
    for s in 0..services {
        let mut own = Pool { servers: Default::default(), ..pool.clone() };
        for r in 0..servers {
            let number = u32::from(s) * u32::from(servers) + u32::from(r);
            let server = name(&format!("rs{number}"));
            let address = format!("192.168.{}.{}", 2 + number / 200, 1 + number % 200);
            c.real_servers.insert(
                server.clone(),
                RealServer { address: Some(address.parse().unwrap()), load_monitor: None },
            );
            own.servers.insert(server, Member::default());
        }
        let id = name(&format!("web{s}"));
        c.pools.insert(id.clone(), own);
        let port = [10_000 + s].into_iter().collect();
        let pool = Some(name(&id.to_string()));
        c.services.insert(id, Service { ports: port, pool, ..service.clone() });
    }
    c
}
