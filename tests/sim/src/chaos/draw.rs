//! What a seed draws: classes of faults, and configurations.

use super::rng::Rng;
use director_core::cli::parse_set_lines;
use director_core::model::config::{CheckKind, OnFailure, Scheduler};
use director_core::model::{Config, Name};

/// Which kinds of fault this seed has. Half of them are off, so that no class hides another.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Classes {
    /// Servers refuse, hang and flap.
    pub servers: bool,
    /// The kernel refuses operations.
    pub refuse: bool,
    /// Dumps fail.
    pub dumps: bool,
    /// Kernel and flash take long.
    pub slow: bool,
    /// Flash writes fail, written or not.
    pub flash: bool,
    /// Somebody changes the kernel.
    pub drift: bool,
    /// Notifications without a reason.
    pub storm: bool,
    /// The director is killed.
    pub kill: bool,
    /// The power goes.
    pub power: bool,
    /// Init asks for an orderly end.
    pub stop: bool,
    /// `/run` is lost or damaged with the process.
    pub forget: bool,
}

impl Classes {
    /// Draws them.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut on = || rng.chance(50);
        Self {
            servers: on(),
            refuse: on(),
            dumps: on(),
            slow: on(),
            flash: on(),
            drift: on(),
            storm: on(),
            kill: on(),
            power: on(),
            stop: on(),
            forget: on(),
        }
    }
}

/// The configuration that every run starts with.
pub fn base() -> Config {
    parse_set_lines(include_str!("base.set")).expect("the base configuration is valid")
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Changes one to three things. The result is valid, and says of `control` what it said before.
pub fn change(config: &mut Config, rng: &mut Rng) {
    for _ in 0..rng.between(1, 3) {
        change_one(config, rng);
    }
}

fn change_one(config: &mut Config, rng: &mut Rng) {
    let server = name(["rs1", "rs2", "rs3"][usize::try_from(rng.below(3)).unwrap()]);
    let web = config.pools.get_mut(&name("web")).expect("never deleted");
    match rng.below(12) {
        0 | 1 => {
            web.servers.entry(server).or_default().weight = u32::try_from(rng.between(1, 4000)).unwrap();
        }
        2 if web.servers.len() > 1 => {
            web.servers.remove(&server);
        }
        3 => web.on_failure = if rng.chance(50) { OnFailure::Quiesce } else { OnFailure::Remove },
        4 => web.check = if rng.chance(50) { CheckKind::Tcp } else { CheckKind::Http },
        5 => toggle_service(config, rng),
        6 => {
            let service = config.services.get_mut(&name("web")).expect("never deleted");
            service.scheduler = if rng.chance(50) { Scheduler::Rr } else { Scheduler::Wlc };
        }
        7 => {
            let mtu = if rng.chance(50) { None } else { Some(1400) };
            config.interfaces.get_mut(&name("private")).expect("never deleted").mtu = mtu;
        }
        8 => {
            let key = name("vs2");
            let used = config.services.values().any(|s| s.addresses.contains(&key));
            if config.floating.contains_key(&key) {
                if !used {
                    config.floating.remove(&key);
                }
            } else {
                let mut more = config.floating[&name("vs1")].clone();
                more.address = Some("1.2.3.7/24".parse().unwrap());
                more.label = None;
                config.floating.insert(key, more);
            }
        }
        9 => {
            let to = "10.9.0.0/16".parse().unwrap();
            if config.routes.remove(&to).is_none() {
                let mut route = config.routes.values().next().expect("one stays").clone();
                route.via = Some("192.168.1.77".parse().unwrap());
                config.routes.insert(to, route);
            }
        }
        10 => config.forwarding.defragment = rng.chance(50),
        _ => {
            let hostname = if rng.chance(50) { "lvs1" } else { "lvs-a" };
            config.primary.hostname = Some(hostname.parse().unwrap());
        }
    }
}

fn toggle_service(config: &mut Config, rng: &mut Rng) {
    let key = name("web2");
    if config.services.remove(&key).is_some() {
        return;
    }
    let mut service = config.services[&name("web")].clone();
    service.ports = [8080].into_iter().collect();
    if rng.chance(50) && config.floating.contains_key(&name("vs2")) {
        service.addresses = [name("vs2")].into_iter().collect();
    }
    config.services.insert(key, service);
}

/// Makes it one that must be refused.
pub fn spoil(config: &mut Config, rng: &mut Rng) {
    match rng.below(3) {
        0 => config.real_servers.get_mut(&name("rs2")).expect("never deleted").address = None,
        1 => {
            config.interfaces.get_mut(&name("public")).expect("never deleted").device =
                Some("eth7".parse().unwrap())
        }
        _ => config.services.get_mut(&name("web")).expect("never deleted").pool = Some(name("nobody")),
    }
}
