//! The tree as [`Config`], and back. Both directions go by the table's words; a word that the table lacks is an
//! error that the tests of this file find.

use super::schema::{CONFIG, Item, Kind, item};
use super::tree::{Branch, Node, Step, Tree, word_step};
use super::value::Value;
use crate::model::config::{
    CheckKind, Cluster, Config, Floating, Forward, Forwarding, HttpCheck, Interface, Masquerade, Member,
    Node as NodeConfig, OnFailure, Pool, Protocol, RealServer, Route, Scheduler, Service,
};
use crate::model::name::Text;
use crate::model::{Cidr, Device, Hostname, Label, Millis, Name};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// A tree that the configuration's types cannot hold. The table prevents it; it is an error all the same, and never
/// a lost value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindError {
    /// Word of the value.
    pub word: &'static str,
    /// The value, empty when it is missing.
    pub value: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            return write!(f, "{}: no value", self.word);
        }
        write!(f, "{}: the configuration cannot hold {:?}", self.word, self.value)
    }
}

/// A type of the configuration that a tree's value can become, and that can become one.
trait Bound: Sized {
    fn from_value(value: &Value) -> Option<Self>;
    fn to_value(&self) -> Value;
}

macro_rules! bound_text {
    ($($type:ty),*) => {$(
        impl Bound for $type {
            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Text(text) = value { text.parse().ok() } else { None }
            }
            fn to_value(&self) -> Value {
                Value::Text(self.as_str().into())
            }
        }
    )*};
}
bound_text!(Name, Hostname, Device, Label, Text);

macro_rules! bound_number {
    ($($type:ty),*) => {$(
        impl Bound for $type {
            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Number(n) = value { Self::try_from(*n).ok() } else { None }
            }
            fn to_value(&self) -> Value {
                Value::Number(u32::from(*self))
            }
        }
    )*};
}
bound_number!(u8, u16, u32);

macro_rules! bound_plain {
    ($($type:ty => $variant:ident),*) => {$(
        impl Bound for $type {
            fn from_value(value: &Value) -> Option<Self> {
                if let Value::$variant(v) = value { Some(*v) } else { None }
            }
            fn to_value(&self) -> Value {
                Value::$variant(*self)
            }
        }
    )*};
}
bound_plain!(Millis => Span, Cidr => Cidr, IpAddr => Ip);

macro_rules! bound_word {
    ($($type:ty: $($variant:pat => $word:literal => $make:expr),+;)*) => {$(
        impl Bound for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $(Value::Word($word) => Some($make),)+
                    Value::Word(_) | Value::Number(_) | Value::Span(_) | Value::Cidr(_) | Value::Ip(_)
                    | Value::Codes(..) | Value::Text(_) => None,
                }
            }
            fn to_value(&self) -> Value {
                Value::Word(match self {
                    $($variant => $word,)+
                })
            }
        }
    )*};
}
bound_word! {
    bool: true => "on" => true, false => "off" => false;
    Forward: Self::Nat => "nat" => Self::Nat, Self::Direct => "direct" => Self::Direct,
        Self::Tunnel => "tunnel" => Self::Tunnel;
    CheckKind: Self::Tcp => "tcp" => Self::Tcp, Self::Http => "http" => Self::Http,
        Self::None => "none" => Self::None;
    OnFailure: Self::Quiesce => "quiesce" => Self::Quiesce, Self::Remove => "remove" => Self::Remove;
    Protocol: Self::Tcp => "tcp" => Self::Tcp, Self::Udp => "udp" => Self::Udp;
}

impl Bound for Scheduler {
    fn from_value(value: &Value) -> Option<Self> {
        let Value::Word(word) = value else { return None };
        Self::ALL.iter().find(|(_, name)| name == word).map(|(s, _)| *s)
    }
    fn to_value(&self) -> Value {
        Value::Word(self.kernel_name())
    }
}

impl Bound for (u16, u16) {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Codes(first, last) = value { Some((*first, *last)) } else { None }
    }
    fn to_value(&self) -> Value {
        Value::Codes(self.0, self.1)
    }
}

/// Reads one level of the tree; an absent branch reads as empty.
#[derive(Clone, Copy)]
struct Read<'a> {
    items: &'static [Item],
    branch: Option<&'a Branch>,
}

impl<'a> Read<'a> {
    fn find(self, word: &'static str) -> Result<(&'static Item, Option<&'a Node>), BindError> {
        let missing = || BindError { word, value: String::new() };
        let (index, item) = item(self.items, word).ok_or_else(missing)?;
        let index = u8::try_from(index).map_err(|_| missing())?;
        Ok((item, self.branch.and_then(|b| b.get(index))))
    }

    /// The value of a leaf without default.
    fn maybe<T: Bound>(self, word: &'static str) -> Result<Option<T>, BindError> {
        match self.find(word)? {
            (_, Some(Node::Leaf(value))) => convert(word, value).map(Some),
            (_, Some(Node::Branch(_) | Node::List(_) | Node::Values(_)) | None) => Ok(None),
        }
    }

    /// The value of a leaf with default.
    fn get<T: Bound>(self, word: &'static str) -> Result<T, BindError> {
        if let Some(value) = self.maybe(word)? {
            return Ok(value);
        }
        let (item, _) = self.find(word)?;
        let default = match &item.kind {
            Kind::Leaf { value, default: Some(text) } => value.parse(text).ok(),
            Kind::Leaf { .. } | Kind::Branch { .. } | Kind::List { .. } | Kind::Values { .. } => None,
        };
        let value = default.ok_or(BindError { word, value: String::new() })?;
        convert(word, &value)
    }

    fn values<T: Bound, const N: usize>(self, word: &'static str) -> Result<heapless::Vec<T, N>, BindError> {
        let mut out = heapless::Vec::new();
        if let (_, Some(Node::Values(values))) = self.find(word)? {
            for value in values {
                let full = || BindError { word, value: value.to_string() };
                out.push(convert(word, value)?).map_err(|_| full())?;
            }
        }
        Ok(out)
    }

    fn branch(self, word: &'static str) -> Result<Self, BindError> {
        let (item, node) = self.find(word)?;
        let branch = if let Some(Node::Branch(branch)) = node { Some(branch) } else { None };
        Ok(Self { items: item.items(), branch })
    }

    fn entries<K: Bound + Ord, V>(
        self,
        word: &'static str,
        read: impl Fn(Self) -> Result<V, BindError>,
    ) -> Result<BTreeMap<K, V>, BindError> {
        let (item, node) = self.find(word)?;
        let mut out = BTreeMap::new();
        if let Some(Node::List(entries)) = node {
            for (key, branch) in entries {
                out.insert(convert(word, key)?, read(Self { items: item.items(), branch: Some(branch) })?);
            }
        }
        Ok(out)
    }
}

fn convert<T: Bound>(word: &'static str, value: &Value) -> Result<T, BindError> {
    T::from_value(value).ok_or_else(|| BindError { word, value: value.to_string() })
}

/// The configuration that a tree means. Whether its parts fit together is for [`crate::model::validate`].
pub fn to_config(tree: &Tree) -> Result<Config, BindError> {
    let root = Read { items: CONFIG, branch: Some(tree.root()) };
    let (node, heartbeat) = (root.branch("node")?, root.branch("cluster")?.branch("heartbeat")?);
    let (backup, forwarding) = (node.branch("backup")?, root.branch("forwarding")?);
    Ok(Config {
        primary: read_node(node.branch("primary")?)?,
        backup: backup.branch.map(|_| read_node(backup)).transpose()?,
        interfaces: root
            .entries("interface", |r| Ok(Interface { device: r.maybe("device")?, mtu: r.maybe("mtu")? }))?,
        cluster: Cluster {
            heartbeat_port: heartbeat.get("port")?,
            heartbeat_interval: heartbeat.get("interval")?,
            dead_time: heartbeat.get("dead-time")?,
        },
        floating: root.entries("floating", |r| {
            Ok(Floating {
                address: r.maybe("address")?,
                interface: r.maybe("interface")?,
                label: r.maybe("label")?,
            })
        })?,
        routes: root.entries("route", |r| Ok(Route { via: r.maybe("via")?, metric: r.get("metric")? }))?,
        forwarding: Forwarding {
            ipv4: forwarding.get("ipv4")?,
            ipv6: forwarding.get("ipv6")?,
            defragment: forwarding.get("defragment")?,
        },
        masquerade: root
            .entries("masquerade", |r| Ok(Masquerade { source: r.maybe("source")?, out: r.maybe("out")? }))?,
        real_servers: root.entries("real-server", |r| Ok(RealServer { address: r.maybe("address")? }))?,
        pools: root.entries("pool", read_pool)?,
        services: root.entries("service", |r| {
            Ok(Service {
                addresses: r.values("address")?,
                protocol: r.get("protocol")?,
                ports: r.values("port")?,
                scheduler: r.get("scheduler")?,
                persistence: r.maybe("persistence")?,
                pool: r.maybe("pool")?,
            })
        })?,
    })
}

fn read_node(r: Read<'_>) -> Result<NodeConfig, BindError> {
    Ok(NodeConfig {
        hostname: r.maybe("hostname")?,
        addresses: r.entries("interface", |r| r.values("address"))?,
    })
}

fn read_pool(r: Read<'_>) -> Result<Pool, BindError> {
    let http = r.branch("http")?;
    let details = || -> Result<HttpCheck, BindError> {
        Ok(HttpCheck { path: http.get("path")?, host: http.maybe("host")?, status: http.get("status")? })
    };
    Ok(Pool {
        forward: r.get("forward")?,
        check: r.get("check")?,
        check_port: r.maybe("check-port")?,
        http: http.branch.map(|_| details()).transpose()?,
        interval: r.get("interval")?,
        timeout: r.get("timeout")?,
        rise: r.get("rise")?,
        fall: r.get("fall")?,
        dead_time: r.maybe("dead-time")?,
        reentry: r.get("reentry")?,
        on_failure: r.get("on-failure")?,
        servers: r.entries("server", |r| Ok(Member { weight: r.get("weight")?, port: r.maybe("port")? }))?,
    })
}

/// Writes one level of the tree.
struct Write<'a> {
    items: &'static [Item],
    branch: &'a mut Branch,
    path: Vec<Step>,
}

impl Write<'_> {
    fn put(&mut self, path: Vec<Step>, value: Option<Value>) {
        // A configuration holds no more than the table allows, so nothing is refused here; the identity test
        // `a_configuration_survives_the_tree` would find a word that the table lacks.
        let refused = self.branch.put(self.items, &path, value);
        debug_assert_eq!(refused, Ok(()));
    }

    fn step(&self, items: &'static [Item], word: &'static str) -> Vec<Step> {
        let mut path = self.path.clone();
        path.extend(word_step(items, word).map(|(step, _)| step));
        path
    }

    fn level(&self) -> &'static [Item] {
        let mut items = self.items;
        for step in &self.path {
            if let Step::Word(index) = step {
                items = super::tree::item_at(items, *index).map(Item::items).unwrap_or_default();
            }
        }
        items
    }

    fn leaf(&mut self, word: &'static str, value: &impl Bound) {
        let path = self.step(self.level(), word);
        self.put(path, Some(value.to_value()));
    }

    fn maybe(&mut self, word: &'static str, value: Option<&impl Bound>) {
        if let Some(value) = value {
            self.leaf(word, value);
        }
    }

    fn values(&mut self, word: &'static str, values: &[impl Bound]) {
        values.iter().for_each(|value| self.leaf(word, value));
    }

    /// Goes into a branch, which is made even when nothing is written in it if the table says that it matters.
    fn inside(&mut self, word: &'static str, write: impl FnOnce(&mut Write<'_>)) {
        let path = self.step(self.level(), word);
        self.put(path.clone(), None);
        write(&mut Write { items: self.items, branch: self.branch, path });
    }

    fn entries<K: Bound, V>(
        &mut self,
        word: &'static str,
        entries: &BTreeMap<K, V>,
        write: impl Fn(&mut Write<'_>, &V),
    ) {
        for (key, entry) in entries {
            let mut path = self.step(self.level(), word);
            path.push(Step::Key(key.to_value()));
            self.put(path.clone(), None);
            write(&mut Write { items: self.items, branch: self.branch, path }, entry);
        }
    }
}

/// The tree of a configuration.
pub fn to_tree(config: &Config) -> Tree {
    let mut root = Branch::default();
    let mut w = Write { items: CONFIG, branch: &mut root, path: Vec::new() };
    w.inside("node", |w| {
        w.inside("primary", |w| write_node(w, &config.primary));
        if let Some(backup) = &config.backup {
            w.inside("backup", |w| write_node(w, backup));
        }
    });
    w.entries("interface", &config.interfaces, |w, i| {
        w.maybe("device", i.device.as_ref());
        w.maybe("mtu", i.mtu.as_ref());
    });
    w.inside("cluster", |w| {
        w.inside("heartbeat", |w| {
            w.leaf("port", &config.cluster.heartbeat_port);
            w.leaf("interval", &config.cluster.heartbeat_interval);
            w.leaf("dead-time", &config.cluster.dead_time);
        });
    });
    w.entries("floating", &config.floating, |w, f| {
        w.maybe("address", f.address.as_ref());
        w.maybe("interface", f.interface.as_ref());
        w.maybe("label", f.label.as_ref());
    });
    w.entries("route", &config.routes, |w, r| {
        w.maybe("via", r.via.as_ref());
        w.leaf("metric", &r.metric);
    });
    w.inside("forwarding", |w| {
        w.leaf("ipv4", &config.forwarding.ipv4);
        w.leaf("ipv6", &config.forwarding.ipv6);
        w.leaf("defragment", &config.forwarding.defragment);
    });
    w.entries("masquerade", &config.masquerade, |w, m| {
        w.maybe("source", m.source.as_ref());
        w.maybe("out", m.out.as_ref());
    });
    w.entries("real-server", &config.real_servers, |w, r| w.maybe("address", r.address.as_ref()));
    w.entries("pool", &config.pools, write_pool);
    w.entries("service", &config.services, |w, s| {
        w.values("address", &s.addresses);
        w.leaf("protocol", &s.protocol);
        w.values("port", &s.ports);
        w.leaf("scheduler", &s.scheduler);
        w.maybe("persistence", s.persistence.as_ref());
        w.maybe("pool", s.pool.as_ref());
    });
    Tree::from_root(root)
}

fn write_node(w: &mut Write<'_>, node: &NodeConfig) {
    w.maybe("hostname", node.hostname.as_ref());
    w.entries("interface", &node.addresses, |w, addresses| w.values("address", addresses));
}

fn write_pool(w: &mut Write<'_>, pool: &Pool) {
    w.leaf("forward", &pool.forward);
    w.leaf("check", &pool.check);
    w.maybe("check-port", pool.check_port.as_ref());
    if let Some(http) = &pool.http {
        w.inside("http", |w| {
            w.leaf("path", &http.path);
            w.maybe("host", http.host.as_ref());
            w.leaf("status", &http.status);
        });
    }
    w.leaf("interval", &pool.interval);
    w.leaf("timeout", &pool.timeout);
    w.leaf("rise", &pool.rise);
    w.leaf("fall", &pool.fall);
    w.maybe("dead-time", pool.dead_time.as_ref());
    w.leaf("reentry", &pool.reentry);
    w.leaf("on-failure", &pool.on_failure);
    w.entries("server", &pool.servers, |w, m| {
        w.leaf("weight", &m.weight);
        w.maybe("port", m.port.as_ref());
    });
}

#[cfg(test)]
mod tests;
