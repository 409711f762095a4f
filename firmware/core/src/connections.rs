//! The kernel's table of connections as `/proc/net/ip_vs_conn` prints it (`ip_vs_conn.c`, `ip_vs_conn_seq_show`): reading a
//! line, and choosing lines. The table may have a million of them, so that no more are kept than are shown.

use crate::model::Cidr;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most connections that are shown at once. Chosen: ten seconds at 115200 baud.
pub const SHOWN_MAX: usize = 1000;
/// Connections that are shown when nobody says how many.
pub const SHOWN: usize = 100;

/// One connection, or a template that keeps a client with its server (then the client's port is 0).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// `TCP`, `UDP`, `SCTP`; `IP` for a template of a mark, which stands in place of the virtual address.
    pub protocol: String,
    /// Who asked.
    pub client: SocketAddr,
    /// What was asked.
    pub virtual_server: SocketAddr,
    /// Who answers.
    pub server: SocketAddr,
    /// The kernel's word, such as `ESTABLISHED`.
    pub state: String,
    /// Seconds until it is forgotten if nothing comes.
    pub expires_s: u64,
    /// Name and data of the persistence engine.
    pub engine: Option<(String, String)>,
}

/// Addresses are 8 hexadecimal digits or eight groups of them.
fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let bits = (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok())??;
    Some(IpAddr::V4(Ipv4Addr::from_bits(bits)))
}

impl Connection {
    /// Reads a line; nothing for the heading and for what is no connection.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let protocol = words.next()?.to_owned();
        let mut place = || {
            let (address, port) = (address(words.next()?)?, words.next()?);
            Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
        };
        let (client, virtual_server, server) = (place()?, place()?, place()?);
        let (state, expires_s) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let engine = words.next().map(|name| (name.to_owned(), words.collect::<Vec<_>>().join(" ")));
        Some(Self { protocol, client, virtual_server, server, state, expires_s, engine })
    }

    /// As `ipvsadm -Lnc` prints it.
    #[must_use]
    pub fn line(&self) -> String {
        let expires = format!("{:02}:{:02}", self.expires_s / 60, self.expires_s % 60);
        let mut line = format!(
            "{:<3} {expires:<6} {:<11} {:<18} {:<18} ",
            self.protocol,
            self.state,
            self.client.to_string(),
            self.virtual_server.to_string()
        );
        match &self.engine {
            None => line.push_str(&self.server.to_string()),
            Some((name, data)) => {
                line.push_str(&format!("{:<16} {name:<18} {data}", self.server.to_string()));
            }
        }
        line
    }
}

/// Where connections of a service go to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// As the kernel prints it.
    pub protocol: &'static str,
    /// Virtual address.
    pub address: IpAddr,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// Which connections are shown. Without any condition: all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// One of these.
    pub places: Option<Vec<Place>>,
    /// This server.
    pub server: Option<IpAddr>,
    /// Clients of this network.
    pub client: Option<Cidr>,
    /// This state, in capitals.
    pub state: Option<String>,
    /// The line has this text, in capitals or not.
    pub text: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    fn fits(&self, c: &Connection) -> bool {
        let to = c.virtual_server;
        let of_place = |p: &Place| {
            p.protocol == c.protocol && p.address == to.ip() && (p.first..=p.last).contains(&to.port())
        };
        self.places.as_ref().is_none_or(|places| places.iter().any(of_place))
            && self.server.is_none_or(|server| server == c.server.ip())
            && self.client.is_none_or(|network| network.contains(c.client.ip()))
            && self.state.as_ref().is_none_or(|state| *state == c.state)
            && self.text.as_ref().is_none_or(|text| c.line().to_ascii_lowercase().contains(text))
    }
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// The first that fit, in the kernel's order.
    pub shown: Vec<Connection>,
    /// How many fit.
    pub fitting: u64,
    /// How many there are.
    pub all: u64,
}

/// Takes the table line by line.
#[derive(Clone, Debug)]
pub struct Gather {
    filter: Filter,
    listing: Listing,
}

impl Gather {
    /// Begins.
    #[must_use]
    pub fn new(mut filter: Filter) -> Self {
        if let Some(text) = &mut filter.text {
            text.make_ascii_lowercase();
        }
        Self { filter, listing: Listing::default() }
    }

    /// The next line.
    pub fn feed(&mut self, line: &str) {
        let Some(connection) = Connection::parse(line) else { return };
        self.listing.all = self.listing.all.saturating_add(1);
        if self.filter.fits(&connection) {
            self.listing.fitting = self.listing.fitting.saturating_add(1);
            if self.listing.shown.len() < self.filter.limit.min(SHOWN_MAX) {
                self.listing.shown.push(connection);
            }
        }
    }

    /// The end of the table.
    #[must_use]
    pub fn end(self) -> Listing {
        self.listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As a kernel prints it.
    const TABLE: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 01020364 9C40 01020301 0050 C0A80103 0050 ESTABLISHED     898
TCP 01020364 9C41 01020301 0050 C0A80104 0050 FIN_WAIT         67
TCP 01020364 0000 01020301 0050 C0A80104 0050 NONE            299
IP  01020365 0000 00000007 0000 C0A80105 0000 NONE            948
UDP 01020364 13C4 01020301 13C4 C0A80103 13C4 UDP             299 sip 1-2@1.2.3.100
TCP 20010db8:0000:0000:0000:0000:0000:0000:0064 9C40 x
TCP 2001:0db8:0000:0000:0000:0000:0000:0064 9C40 2001:0db8:0000:0000:0000:0000:0000:0001 0050 fd00:0000:0000:0000:0000:0000:0000:0003 0050 SYN_RECV          7
";

    fn listed(filter: Filter) -> Listing {
        let mut gather = Gather::new(filter);
        TABLE.lines().for_each(|line| gather.feed(line));
        gather.end()
    }

    fn all() -> Filter {
        Filter { limit: SHOWN, ..Filter::default() }
    }

    #[test]
    fn the_kernels_lines_are_shown_as_ipvsadm_does() {
        let lines: Vec<String> = listed(all()).shown.iter().map(Connection::line).collect();
        assert_eq!(
            lines,
            [
                "TCP 14:58  ESTABLISHED 1.2.3.100:40000    1.2.3.1:80         192.168.1.3:80",
                "TCP 01:07  FIN_WAIT    1.2.3.100:40001    1.2.3.1:80         192.168.1.4:80",
                "TCP 04:59  NONE        1.2.3.100:0        1.2.3.1:80         192.168.1.4:80",
                "IP  15:48  NONE        1.2.3.101:0        0.0.0.7:0          192.168.1.5:0",
                "UDP 04:59  UDP         1.2.3.100:5060     1.2.3.1:5060       192.168.1.3:5060 sip                1-2@1.2.3.100",
                "TCP 00:07  SYN_RECV    [2001:db8::64]:40000 [2001:db8::1]:80   [fd00::3]:80",
            ]
        );
    }

    #[test]
    fn every_condition_must_hold_and_no_more_than_the_limit_are_kept() {
        let web = || {
            let address = [1, 2, 3, 1].into();
            Some(Vec::from([Place { protocol: "TCP", address, first: 80, last: 80 }]))
        };
        let ports = |listing: Listing| listing.shown.iter().map(|c| c.client.port()).collect::<Vec<_>>();
        for (filter, expected) in [
            (Filter { places: web(), ..all() }, &[40_000, 40_001, 0][..]),
            (Filter { server: Some([192, 168, 1, 3].into()), ..all() }, &[40_000, 5060]),
            (Filter { client: "1.2.3.101/32".parse().ok(), ..all() }, &[0]),
            (Filter { client: "2001:db8::/32".parse().ok(), ..all() }, &[40_000]),
            (Filter { state: Some("FIN_WAIT".into()), ..all() }, &[40_001]),
            (Filter { text: Some("Fin_Wait".into()), ..all() }, &[40_001]),
            (Filter { places: web(), server: Some([192, 168, 1, 4].into()), ..all() }, &[40_001, 0]),
        ] {
            assert_eq!(ports(listed(filter.clone())), expected, "{filter:?}");
        }
        let two = listed(Filter { limit: 2, ..all() });
        assert_eq!((two.shown.len(), two.fitting, two.all), (2, 6, 6));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in "[ -~]{0,120}", words in "(TCP )?[0-9A-F: ]{0,90}") {
            let _first: Option<Connection> = Connection::parse(&line);
            let _second: Option<Connection> = Connection::parse(&words);
        }
    }
}
