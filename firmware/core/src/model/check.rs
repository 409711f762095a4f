//! Named checks and load monitors: what can be asked of a server beyond the check of its pool.
//!
//! Each protocol's details are a struct of their own; a check has those of its kind, or none and the defaults count.

use super::choice::choices;
use super::codes::Codes;
use super::limits;
use super::name::{Hostname, Text};
use super::text::{Escaped, Secret};
use super::time::Millis;
use alloc::collections::BTreeMap;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

choices! {
    /// What is asked.
    Question {
        #[default]
        Tcp "tcp" "Connect to the port",
        SendExpect "send-expect" "Say lines and compare what comes back",
        Http "http" "Ask for a page",
        Smtp "smtp" "Mail transfer or submission: greeting and EHLO",
        Pop3 "pop3" "Greeting, and a login if one is set",
        Imap "imap" "Greeting, and a login if one is set",
        Ftp "ftp" "Greeting, and a login if one is set",
        Nntp "nntp" "Greeting, and a login if one is set",
        Ldap "ldap" "Bind, and a search if a base is set",
        Dns "dns" "Resolve a name",
        Sip "sip" "OPTIONS",
        Radius "radius" "Access-Request",
        Mysql "mysql" "Handshake, and a login if one is set",
        Postgresql "postgresql" "Handshake, and a login if one is set",
        Redis "redis" "PING",
        Ntp "ntp" "Ask the time; stratum 1 to 15 is good",
        Udp "udp" "Send a payload; an ICMP error or a wrong reply is bad",
        Ping "ping" "ICMP echo",
        Up "up" "Always good",
        Down "down" "Always bad",
    }

    /// How an answer is compared.
    Compare {
        #[default]
        Contains "contains" "The text stands anywhere",
        Prefix "prefix" "The answer begins with the text",
        Glob "glob" "The whole answer, with * for anything",
        Regex "regex" "A regular expression matches",
    }

    /// What a certificate must be.
    Certificate {
        #[default]
        Any "any" "Not looked at",
        Pin "pin" "Has the pinned SHA-256 fingerprint",
        Ca "ca" "Signed by the authority with the fingerprint, which the server sends along",
    }

    /// HTTP method.
    Method {
        #[default]
        Get "get" "GET",
        Head "head" "HEAD",
        Post "post" "POST",
        Options "options" "OPTIONS",
    }

    /// Record type that is asked for.
    RecordType {
        #[default]
        A "a" "IPv4 address",
        Aaaa "aaaa" "IPv6 address",
        Cname "cname" "Alias",
        Mx "mx" "Mail exchanger",
        Ns "ns" "Name server",
        Soa "soa" "Start of authority",
        Txt "txt" "Text",
        Ptr "ptr" "Name of an address, which may be written as such",
        Srv "srv" "Service, compared as target:port",
    }

    /// How several checks are joined.
    Join {
        #[default]
        All "all" "Every one must be good",
        Any "any" "One good one is enough",
    }

    /// Where a load comes from.
    LoadSource {
        #[default]
        Agent "agent" "HAProxy agent-check",
        Rwhod "rwhod" "Broadcasts of rwhod",
        Rstatd "rstatd" "rstatd over RPC",
        Http "http" "A load, or with % a percentage, in a header or body",
    }
}

/// `check NAME`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Check {
    /// What is asked.
    pub question: Question,
    /// Port; absent: the server's.
    pub port: Option<u16>,
    /// Address; absent: the server's.
    pub address: Option<IpAddr>,
    /// Inside TLS.
    pub tls: Option<Tls>,
    /// `step N` of send-expect, in this order.
    pub steps: BTreeMap<u8, Dialogue>,
    /// Details of http.
    pub http: Option<HttpProbe>,
    /// Details of smtp.
    pub smtp: Option<Smtp>,
    /// Who logs in, for protocols that have a login.
    pub login: Option<Login>,
    /// Details of ldap.
    pub ldap: Option<Ldap>,
    /// Details of dns.
    pub dns: Option<Dns>,
    /// Details of sip.
    pub sip: Option<Sip>,
    /// Details of radius.
    pub radius: Option<Radius>,
    /// Details of mysql and postgresql.
    pub sql: Option<Sql>,
    /// Details of udp.
    pub udp: Option<Udp>,
    /// Details of ping.
    pub ping: Option<Ping>,
}

/// Details of a check inside TLS.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Tls {
    /// Server name that is asked for; absent: none.
    pub sni: Option<Hostname>,
    /// What the certificate must be.
    pub certificate: Certificate,
    /// SHA-256 fingerprint, 64 hexadecimal digits.
    pub fingerprint: Option<Text>,
    /// A certificate that ends sooner is a warning.
    pub expiry_warning: Millis,
    /// Begins in clear, and asks for TLS as the protocol has it.
    pub starttls: bool,
}

impl Default for Tls {
    fn default() -> Self {
        let certificate = Certificate::default();
        let expiry_warning = Millis::from_secs(14 * 86_400);
        Self { sni: None, certificate, fingerprint: None, expiry_warning, starttls: false }
    }
}

/// One step of a dialogue: send, then wait.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Dialogue {
    /// What is sent; absent: nothing.
    pub send: Option<Escaped>,
    /// What must come; absent: anything.
    pub expect: Option<Escaped>,
    /// How it is compared.
    pub compare: Compare,
}

/// Details of http.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Method.
    pub method: Method,
    /// Page, starts with `/`.
    pub path: Option<Text>,
    /// Host header; absent: the server's address.
    pub host: Option<Text>,
    /// More headers, each `Name:value`.
    pub headers: heapless::Vec<Escaped, { limits::CHECK_HEADERS }>,
    /// Good status codes.
    pub status: Codes,
    /// What the body must hold.
    pub body: Option<Escaped>,
    /// How it is compared.
    pub compare: Compare,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: Method::default(),
            path: None,
            host: None,
            headers: heapless::Vec::new(),
            status: Codes::default(),
            body: None,
            compare: Compare::default(),
        }
    }
}

/// Details of smtp.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Smtp {
    /// Name in EHLO; absent: the box's host name.
    pub helo: Option<Hostname>,
    /// Whether STARTTLS must be offered.
    pub starttls: bool,
}

/// Who logs in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Login {
    /// User.
    pub user: Option<Text>,
    /// Password.
    pub password: Option<Secret>,
}

/// Details of ldap; the login is the bind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Ldap {
    /// Base of a search; absent: only the bind.
    pub base: Option<Escaped>,
    /// Filter of the search.
    pub filter: Option<Escaped>,
}

/// Details of dns.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Dns {
    /// Name that is resolved; absent: the root.
    pub name: Option<Text>,
    /// Record type.
    pub record: RecordType,
    /// What must be among the answers; absent: any answer.
    pub answer: Option<Text>,
}

/// Details of sip.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Sip {
    /// Request URI; absent: the server's address.
    pub uri: Option<Text>,
    /// Over TCP instead of UDP.
    pub tcp: bool,
}

/// Details of radius; the login is the one that is asked for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Radius {
    /// Shared secret.
    pub secret: Option<Secret>,
    /// Whether a reject is good too: the server answers.
    pub reject_is_good: bool,
}

/// Details of mysql and postgresql.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Sql {
    /// Data base; absent: none is chosen.
    pub database: Option<Text>,
}

/// Details of udp.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Udp {
    /// What is sent.
    pub payload: Option<Escaped>,
    /// What must come back; absent: silence is good, an ICMP error is not.
    pub reply: Option<Escaped>,
    /// How it is compared.
    pub compare: Compare,
}

/// Details of ping.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Ping {
    /// Bytes of data.
    pub size: u16,
}

impl Default for Ping {
    fn default() -> Self {
        Self { size: 56 }
    }
}

/// `load-monitor NAME`: weights follow the load within bounds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LoadMonitor {
    /// Where the load comes from.
    pub source: LoadSource,
    /// Port; absent: the source's own.
    pub port: Option<u16>,
    /// Page of source http.
    pub path: Option<Text>,
    /// Header of source http; absent: the number is the body.
    pub header: Option<Text>,
    /// Time between two questions.
    pub interval: Millis,
    /// Hard end of one.
    pub timeout: Millis,
    /// Least weight, in percent of the configured one.
    pub least: u8,
    /// Greatest weight, in percent.
    pub greatest: u16,
    /// Largest change in one interval, in percent.
    pub step: u8,
    /// Silence after which the configured weight holds.
    pub silence: Millis,
}

impl Default for LoadMonitor {
    fn default() -> Self {
        Self {
            source: LoadSource::default(),
            port: None,
            path: None,
            header: None,
            interval: Millis::from_secs(10),
            timeout: Millis::from_secs(2),
            least: 10,
            greatest: 100,
            step: 25,
            silence: Millis::from_secs(60),
        }
    }
}
