//! The tree as [`Config`], and back. Both directions go by the table's words; a word that the table lacks is an
//! error that the tests of this file find.

use super::schema::{CONFIG, Item, Kind, item};
use super::tree::{Branch, Node, Step, Tree, word_step};
use super::value::Value;
use crate::gather::Gather as _;
use crate::model::choice::Chosen;
use crate::model::codes::Codes;
use crate::model::config::{
    CheckKind, Cluster, Config, Forward, HttpCheck, Kernel, Node as NodeConfig, OnFailure, Pool, Protocol,
    Questions, Scheduler,
};
use crate::model::name::Text;
use crate::model::text::{Escaped, Mac, Secret};
use crate::model::{Cidr, Device, Hostname, Label, Millis, Name};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use section::Section;

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
bound_text!(Name, Hostname, Device, Label, Text, Escaped);

impl Bound for Codes {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { text.parse().ok() } else { None }
    }
    fn to_value(&self) -> Value {
        Value::Text(self.to_string().into())
    }
}

impl Bound for Mac {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { text.parse().ok() } else { None }
    }
    fn to_value(&self) -> Value {
        Value::Text(self.to_string().into())
    }
}

impl Bound for Secret {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Secret(secret) = value { Some(secret.clone()) } else { None }
    }
    fn to_value(&self) -> Value {
        Value::Secret(self.clone())
    }
}

impl<T: Chosen> Bound for T {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Word(word) = value { T::from_word(word) } else { None }
    }
    fn to_value(&self) -> Value {
        Value::Word(self.word())
    }
}

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
                    | Value::Ports(..) | Value::Text(_) | Value::Secret(_) | Value::Held(_) => None,
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
    OnFailure: Self::Quiesce => "quiesce" => Self::Quiesce, Self::Remove => "remove" => Self::Remove,
        Self::Weight => "weight" => Self::Weight;
    Protocol: Self::Tcp => "tcp" => Self::Tcp, Self::Udp => "udp" => Self::Udp,
        Self::Sctp => "sctp" => Self::Sctp;
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
        if let Value::Ports(first, last) = value { Some((*first, *last)) } else { None }
    }
    fn to_value(&self) -> Value {
        Value::Ports(self.0, self.1)
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

impl Read<'_> {
    fn section<T: Section>(self, word: &'static str) -> Result<T, BindError> {
        T::read(self.branch(word)?)
    }

    fn sections<K: Bound + Ord, V: Section>(self, word: &'static str) -> Result<BTreeMap<K, V>, BindError> {
        self.entries(word, V::read)
    }
}

fn convert<T: Bound>(word: &'static str, value: &Value) -> Result<T, BindError> {
    T::from_value(value).ok_or_else(|| BindError { word, value: value.to_string() })
}

/// The configuration that a tree means. Whether its parts fit together is for [`crate::model::validate`].
pub fn to_config(tree: &Tree) -> Result<Config, BindError> {
    let root = Read { items: CONFIG, branch: Some(tree.root()) };
    let node = root.branch("node")?;
    let (backup, sync) = (node.branch("backup")?, root.branch("sync-daemon")?);
    Ok(Config {
        system: Box::new(root.section("system")?),
        primary: read_node(node.branch("primary")?)?,
        backup: backup.branch.map(|_| read_node(backup)).transpose()?,
        interfaces: root.sections("interface")?,
        cluster: read_cluster(root.branch("cluster")?)?,
        sync_daemon: sync.branch.map(|_| Section::read(sync).map(Box::new)).transpose()?,
        floating: root.sections("floating")?,
        routes: root.sections("route")?,
        forwarding: root.section("forwarding")?,
        masquerade: root.sections("masquerade")?,
        kernel: Box::new(Kernel {
            sysctls: root.entries("sysctl", |r| r.maybe("value"))?,
            timeouts: root.section("timeouts")?,
            marks: root.sections("mark")?,
        }),
        questions: Box::new(Questions {
            load_monitors: root.sections("load-monitor")?,
            checks: root.sections("check")?,
        }),
        real_servers: root.sections("real-server")?,
        pools: root.entries("pool", read_pool)?,
        services: root.sections("service")?,
    })
}

fn read_cluster(r: Read<'_>) -> Result<Cluster, BindError> {
    let heartbeat = r.branch("heartbeat")?;
    Ok(Cluster {
        heartbeat_port: heartbeat.get("port")?,
        heartbeat_interval: heartbeat.get("interval")?,
        dead_time: heartbeat.get("dead-time")?,
        pairing: Box::new(Section::read(r)?),
    })
}

fn read_node(r: Read<'_>) -> Result<NodeConfig, BindError> {
    Ok(NodeConfig {
        hostname: r.maybe("hostname")?,
        priority: r.maybe("priority")?,
        addresses: r.entries("interface", |r| r.values("address"))?,
        macs: r
            .entries::<Name, Option<Mac>>("interface", |r| r.maybe("mac"))?
            .into_iter()
            .filter_map(|(role, mac)| Some((role, mac?)))
            .gather(),
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
        tunnel: r.section("tunnel")?,
        watch: Section::read(r)?,
        shortage: Section::read(r)?,
        servers: r.sections("server")?,
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

impl Write<'_> {
    fn section(&mut self, word: &'static str, section: &impl Section) {
        self.inside(word, |w| section.write(w));
    }

    fn sections<K: Bound, V: Section>(&mut self, word: &'static str, entries: &BTreeMap<K, V>) {
        self.entries(word, entries, |w, section| section.write(w));
    }
}

/// The tree of a configuration.
pub fn to_tree(config: &Config) -> Tree {
    let mut root = Branch::default();
    let mut w = Write { items: CONFIG, branch: &mut root, path: Vec::new() };
    w.section("system", &*config.system);
    w.inside("node", |w| {
        w.inside("primary", |w| write_node(w, &config.primary));
        if let Some(backup) = &config.backup {
            w.inside("backup", |w| write_node(w, backup));
        }
    });
    w.sections("interface", &config.interfaces);
    w.inside("cluster", |w| {
        w.inside("heartbeat", |w| {
            w.leaf("port", &config.cluster.heartbeat_port);
            w.leaf("interval", &config.cluster.heartbeat_interval);
            w.leaf("dead-time", &config.cluster.dead_time);
        });
        config.cluster.pairing.write(w);
    });
    if let Some(sync) = &config.sync_daemon {
        w.section("sync-daemon", &**sync);
    }
    w.sections("floating", &config.floating);
    w.sections("route", &config.routes);
    w.section("forwarding", &config.forwarding);
    w.sections("masquerade", &config.masquerade);
    w.entries("sysctl", &config.kernel.sysctls, |w, value| w.maybe("value", value.as_ref()));
    w.section("timeouts", &config.kernel.timeouts);
    w.sections("load-monitor", &config.questions.load_monitors);
    w.sections("check", &config.questions.checks);
    w.sections("mark", &config.kernel.marks);
    w.sections("real-server", &config.real_servers);
    w.entries("pool", &config.pools, write_pool);
    w.sections("service", &config.services);
    Tree::from_root(root)
}

fn write_node(w: &mut Write<'_>, node: &NodeConfig) {
    w.maybe("hostname", node.hostname.as_ref());
    w.maybe("priority", node.priority.as_ref());
    w.entries("interface", &node.addresses, |w, addresses| w.values("address", addresses));
    w.entries("interface", &node.macs, |w, mac| w.leaf("mac", mac));
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
    w.section("tunnel", &pool.tunnel);
    pool.watch.write(w);
    pool.shortage.write(w);
    w.sections("server", &pool.servers);
}

mod section;
#[cfg(test)]
mod tests;
