//! The questions, their order, their defaults and what counts as an answer.

use super::{Port, Setup};
use crate::cli::value::Type;
use crate::cli::words::{either, quoted};
use crate::model::{Cidr, limits};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Hostname,
    Public,
    PublicAddress,
    Gateway,
    Forward,
    Private,
    PrivateAddress,
    NatRouter,
    Virtual,
    Service,
    Check,
    /// Number from 1.
    Server(usize),
}

/// Answer of the gateway question for none.
pub(super) const NONE: &str = "none";
/// Answer that ends the list of servers, as it is kept.
const END: &str = "end";

impl Step {
    /// The question after this one, given its answer and whether the answers go through the box.
    pub(super) fn next(self, answer: &str, nat: bool) -> Option<Self> {
        Some(match self {
            Self::Hostname => Self::Public,
            Self::Public => Self::PublicAddress,
            Self::PublicAddress => Self::Gateway,
            Self::Gateway => Self::Forward,
            Self::Forward if nat => Self::Private,
            Self::Forward => Self::Virtual,
            Self::Private => Self::PrivateAddress,
            Self::PrivateAddress => Self::NatRouter,
            Self::NatRouter => Self::Virtual,
            Self::Virtual => Self::Service,
            Self::Service => Self::Check,
            Self::Check => Self::Server(1),
            Self::Server(_) if answer == END => return None,
            Self::Server(n) => Self::Server(n.saturating_add(1)),
        })
    }

    pub(super) fn title(self) -> String {
        match self {
            Self::Hostname => "Host name",
            Self::Public => "Device to the clients",
            Self::PublicAddress => "Its address/prefix",
            Self::Gateway => "Gateway",
            Self::Forward => "Forward by nat or direct",
            Self::Private => "Device to the servers",
            Self::PrivateAddress => "Its address/prefix",
            Self::NatRouter => "Servers' gateway",
            Self::Virtual => "Virtual address",
            Self::Service => "Protocol and port",
            Self::Check => "Check",
            Self::Server(n) => return format!("Server {n}"),
        }
        .to_string()
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Hostname => "The name of this box, shown in the prompt: letters, digits, '.' and '-'.",
            Self::Public => "The network device on the side of the clients, one of the list above.",
            Self::PublicAddress => {
                "The box's own address on the clients' side with its prefix length, for example 192.0.2.2/24. \
                 Not the address that clients will use; that one is asked later."
            }
            Self::Gateway => {
                "The router to all other networks, for example 192.0.2.254, or none when all clients are on this \
                 network."
            }
            Self::Forward => {
                "nat: answers come back through this box; the servers are on a second device and need nothing but \
                 a default route. direct: the servers are on the clients' side and answer for themselves; faster, \
                 but each must have the virtual address on its loopback device."
            }
            Self::Private => {
                "The network device on the side of the real servers, another one than the clients'."
            }
            Self::PrivateAddress => {
                "The box's own address on the servers' side with its prefix length, for example 192.168.1.1/24."
            }
            Self::NatRouter => {
                "The address that the real servers have as their default route. It moves to the other box when \
                 this one fails, so it is not the address of the box itself."
            }
            Self::Virtual => "The address that clients connect to, in the network of the clients' side.",
            Self::Service => "What clients use: tcp or udp and a port, for example tcp 80.",
            Self::Check => {
                "What tells a good server from a bad one. http: ask for the page /; tcp: connect to the port; \
                 none: every server is always used."
            }
            Self::Server(_) => {
                "The address of a real server and, if it should get more or less than its equal share, a weight \
                 (default 1), for example 192.168.1.3 2. Enter alone ends the list."
            }
        }
    }
}

impl Setup {
    pub(super) fn natural_default(&self, step: Step) -> Option<String> {
        match step {
            Step::Hostname => Some("lvs1".to_string()),
            Step::Public => self.ports.first().map(|port| port.device.clone()),
            Step::Private => {
                let public = self.answer(Step::Public);
                self.ports.iter().map(|port| &port.device).find(|d| Some(d.as_str()) != public).cloned()
            }
            Step::Gateway => Some(NONE.to_string()),
            Step::Forward => Some(if self.ports.len() > 1 { "nat" } else { "direct" }.to_string()),
            Step::NatRouter => {
                self.cidr(Step::PrivateAddress).and_then(last_host).filter(|text| self.fits(step, text))
            }
            Step::Service => Some("tcp 80".to_string()),
            Step::Check => Some(
                match self.service() {
                    ("udp", _) => NONE,
                    (_, "80") => "http",
                    (_, _) => "tcp",
                }
                .to_string(),
            ),
            Step::Server(n) if n > 1 => Some(END.to_string()),
            Step::PublicAddress | Step::PrivateAddress | Step::Virtual | Step::Server(_) => None,
        }
    }

    /// The answer as it is kept, or why it is none.
    pub(super) fn canonical(&self, step: Step, text: &str) -> Result<String, String> {
        match step {
            Step::Hostname => parsed(Type::Hostname, text),
            Step::Public => self.port(text, None),
            Step::Private => self.port(text, self.answer(Step::Public)),
            Step::PublicAddress | Step::PrivateAddress => parsed(Type::Cidr, text),
            Step::Gateway if text.eq_ignore_ascii_case(NONE) => Ok(NONE.to_string()),
            Step::Gateway => parsed(Type::Ip, text),
            Step::Forward => self.forward(text),
            Step::NatRouter => self.floating(Step::PrivateAddress, text),
            Step::Virtual => self.floating(Step::PublicAddress, text),
            Step::Service => service(text),
            Step::Check => self.check(text),
            Step::Server(n) if text == END && n > 1 => Ok(END.to_string()),
            Step::Server(_) => self.server(text),
        }
    }

    fn port(&self, text: &str, other: Option<&str>) -> Result<String, String> {
        if Some(text) == other {
            return Err(format!("{text} is the device to the clients; the servers need another one."));
        }
        let free = |port: &&Port| Some(port.device.as_str()) != other;
        let names: Vec<&str> = self.ports.iter().filter(free).map(|port| port.device.as_str()).collect();
        if names.contains(&text) {
            return Ok(text.to_string());
        }
        Err(format!("{} is no device of this box: use {}.", quoted(text), either(&names)))
    }

    fn forward(&self, text: &str) -> Result<String, String> {
        let lower = text.to_ascii_lowercase();
        let word = ["nat", "direct"].into_iter().find(|word| word.starts_with(&lower));
        match word {
            Some("nat") if self.ports.len() < 2 => {
                Err("nat needs a second network device, and this box has one: use direct, or put a card in."
                    .to_string())
            }
            Some(word) => Ok(word.to_string()),
            None => Err(format!("{} is not known here: use nat or direct.", quoted(text))),
        }
    }

    fn check(&self, text: &str) -> Result<String, String> {
        let lower = text.to_ascii_lowercase();
        let udp = self.service().0 == "udp";
        match ["http", "tcp", NONE].into_iter().find(|word| word.starts_with(&lower)) {
            Some("http") if udp => {
                Err("http does not ask a UDP service: use none, or tcp if the port answers it too."
                    .to_string())
            }
            Some(word) => Ok(word.to_string()),
            None => Err(format!("{} is not known here: use http, tcp or none.", quoted(text))),
        }
    }

    /// An address that moves with the active box: its prefix length is that of its network unless it is given.
    fn floating(&self, near: Step, text: &str) -> Result<String, String> {
        let Some(network) = self.cidr(near) else { return Err("its network is not known".to_string()) };
        let cidr = if text.contains('/') {
            text.parse::<Cidr>().map_err(|e| format!("{e}."))?
        } else {
            let address = ip(text)?;
            Cidr::new(address, network.prefix()).unwrap_or(Cidr::host(address))
        };
        if cidr.address() == network.address() {
            return Err(format!(
                "{} is the box's own address: use another one of {}.",
                cidr.address(),
                network.network()
            ));
        }
        if !network.contains(cidr.address()) {
            return Err(format!(
                "{} is not in {}, the network of that side: use an address of it.",
                cidr.address(),
                network.network()
            ));
        }
        Ok(cidr.to_string())
    }

    fn server(&self, text: &str) -> Result<String, String> {
        let mut words = text.split_ascii_whitespace().filter(|word| *word != "weight");
        let address = ip(words.next().unwrap_or_default())?;
        let weight = words.next().unwrap_or("1");
        if let Some(more) = words.next() {
            return Err(format!("{} is too much: type an address and perhaps a weight.", quoted(more)));
        }
        let weight = Type::Number { min: 0, max: limits::WEIGHT_MAX }
            .parse(weight)
            .map_err(|why| format!("weight {}: {why}.", quoted(weight)))?;
        let nat = self.answer(Step::Forward) == Some("nat");
        let network = self.cidr(if nat { Step::PrivateAddress } else { Step::PublicAddress });
        if let Some(network) = network
            && !network.contains(address)
        {
            let why = if nat { "or answers would not come back" } else { "or packets would not get there" };
            return Err(format!("{address} is not in {}: it must be, {why}.", network.network()));
        }
        Ok(format!("{address} {weight}"))
    }

    /// The answer of an address question.
    pub(super) fn cidr(&self, step: Step) -> Option<Cidr> {
        self.answer(step)?.parse().ok()
    }

    /// Protocol and port.
    pub(super) fn service(&self) -> (&str, &str) {
        self.answer(Step::Service).and_then(|text| text.split_once(' ')).unwrap_or(("tcp", "80"))
    }
}

fn parsed(kind: Type, text: &str) -> Result<String, String> {
    kind.parse(text).map(|value| value.to_string()).map_err(|why| format!("{}: {why}.", quoted(text)))
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        Type::Ip.parse(text).err().map_or_else(String::new, |why| format!("{}: {why}.", quoted(text)))
    })
}

fn service(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower.split([' ', '/', '\t']).filter(|word| !word.is_empty()).collect();
    let (protocol, port) = match words.as_slice() {
        [port] => ("tcp", *port),
        [protocol @ ("tcp" | "udp"), port] | [port, protocol @ ("tcp" | "udp")] => (*protocol, *port),
        _ => return Err(format!("{} is not understood: type for example tcp 80.", quoted(text))),
    };
    let port = Type::Number { min: 1, max: 65_535 }
        .parse(port)
        .map_err(|why| format!("port {}: {why}, for example tcp 80.", quoted(port)))?;
    Ok(format!("{protocol} {port}"))
}

/// The last address of a network that a host can have; for IPv6 nothing is customary.
fn last_host(cidr: Cidr) -> Option<String> {
    let last = u32::from(cidr.broadcast()?).checked_sub(1)?;
    Some(Ipv4Addr::from(last).to_string())
}
