//! What the named checks say to a server must be sound.

use super::Findings;
use crate::health::dialogue::{check_filter, check_pattern, takes_starttls, takes_tls};
use crate::health::{RAMP_STEPS, asked_by_stream, beside};
use crate::model::Millis;
use crate::model::check::{Certificate, Check, Compare, HttpProbe, LoadMonitor, LoadSource, Question, Tls};
use crate::model::choice::Chosen as _;
use crate::model::config::{CheckKind, Config, Forward, OnFailure, Pool};
use crate::model::text::Escaped;
use alloc::format;

pub(super) fn check(config: &Config, found: &mut Findings) {
    for (name, monitor) in &config.questions.load_monitors {
        load(&format!("load-monitor {name}"), monitor, found);
    }
    for (name, server) in &config.real_servers {
        let Some(monitor) = server.load_monitor.as_ref().and_then(|m| config.questions.load_monitors.get(m))
        else {
            continue;
        };
        if monitor.source == LoadSource::Rwhod && server.address.is_some_and(|a| a.is_ipv6()) {
            let text = "rwhod speaks IPv4 only: use another source for this server";
            found.error(format!("real-server {name} load-monitor"), text);
        }
    }
    for (name, check) in &config.questions.checks {
        question(&format!("check {name}"), check, found);
    }
    for (name, pool) in &config.pools {
        verdicts(&format!("pool {name}"), pool, found);
        if pool.watch.via_virtual {
            via_virtual(config, &format!("pool {name} check-virtual"), pool, found);
        }
        let Some(role) = &pool.watch.source else { continue };
        if config.interfaces.contains_key(role)
            && config.primary.addresses.get(role).is_none_or(|addresses| addresses.is_empty())
        {
            let text = format!("the node has no address there: set node primary interface {role} address");
            found.error(format!("pool {name} check-source {role}"), text);
        }
    }
}

/// What a load monitor needs, and what has no effect on it.
fn load(path: &str, monitor: &LoadMonitor, found: &mut Findings) {
    match (monitor.source, monitor.port) {
        (LoadSource::Agent, None) => {
            found.error(format!("{path} port"), format!("missing: set {path} port"));
        }
        (LoadSource::Rwhod, Some(_)) => {
            found.warning(format!("{path} port"), "rwhod has its own, 513: delete it");
        }
        (LoadSource::Agent | LoadSource::Rwhod | LoadSource::Rstatd | LoadSource::Http, _) => {}
    }
    for (word, set) in [("path", monitor.path.is_some()), ("header", monitor.header.is_some())] {
        if set && monitor.source != LoadSource::Http {
            let text = format!("has no effect on source {}: delete it", monitor.source.word());
            found.warning(format!("{path} {word}"), text);
        }
    }
    if monitor.path.as_ref().is_some_and(|page| !page.as_str().starts_with('/')) {
        found.error(format!("{path} path"), "must begin with /");
    }
    if monitor.silence < monitor.interval {
        let text =
            format!("is shorter than the interval of {}: every source would be silent", monitor.interval);
        found.error(format!("{path} silence {}", monitor.silence), text);
    } else if monitor.source == LoadSource::Rwhod && monitor.silence < Millis::from_secs(200) {
        let text = "rwhod speaks every three minutes: set silence to 10m or so";
        found.warning(format!("{path} silence {}", monitor.silence), text);
    }
}

/// A server is asked for a virtual address at its hardware address, so it must be beside us.
fn via_virtual(config: &Config, path: &str, pool: &Pool, found: &mut Findings) {
    if pool.forwards().all(|forward| forward != Forward::Direct) {
        found.error(
            path.into(),
            "is for direct routing only: servers behind NAT and tunnels are asked by their own address",
        );
    }
    let by_stream = |name| config.questions.checks.get(name).is_none_or(asked_by_stream);
    if let Some(name) = pool.watch.checks.iter().find(|name| !by_stream(name)) {
        let text = format!("check {name} does not ask over TCP, so it goes to the servers' own addresses");
        found.warning(path.into(), text);
    }
    if pool.check == CheckKind::None && pool.watch.checks.is_empty() {
        found.warning(path.into(), "has no effect with check none");
    }
    for node in core::iter::once(&config.primary).chain(&config.backup) {
        // An interface that is lent its address may be in any network.
        if config.interfaces.values().any(|interface| interface.dhcp) {
            continue;
        }
        let direct = pool.servers.iter().filter(|(_, member)| pool.forward_of(member) == Forward::Direct);
        let addressed = direct.filter_map(|(name, _)| Some((name, config.real_servers.get(name)?.address?)));
        if let Some((server, address)) = addressed.into_iter().find(|(_, a)| beside(node, *a).is_none()) {
            let text = format!(
                "server {server} ({address}) is in no network of the node: direct routing cannot reach it"
            );
            found.error(path.into(), text);
            break;
        }
    }
}

/// Settings of verdicts that cancel each other out.
fn verdicts(path: &str, pool: &Pool, found: &mut Findings) {
    let (watch, short) = (&pool.watch, &pool.shortage);
    if let Some(retry) = watch.fast_retry.filter(|retry| *retry >= pool.interval) {
        let text = format!("is not shorter than the interval of {}: shorten it, or delete it", pool.interval);
        found.error(format!("{path} fast-retry {retry}"), text);
    } else if watch.fast_retry.is_some() && pool.dead_time.is_none() && pool.fall <= 1 {
        let text = "has no effect with fall 1: the first failure decides";
        found.warning(format!("{path} fast-retry"), text);
    }
    if let (Some(standby), Some(dead)) = (watch.standby_interval, pool.dead_time)
        && standby >= dead
    {
        let text =
            format!("is not shorter than the dead time of {dead}: on a standby box one failure decides");
        found.warning(format!("{path} standby-interval {standby}"), text);
    }
    if short.remove_after.is_some() && pool.on_failure == OnFailure::Remove {
        let text = "has no effect with on-failure remove: delete one";
        found.warning(format!("{path} remove-after"), text);
    }
    if watch.failure_weight.is_some() && pool.on_failure != OnFailure::Weight {
        let text = "has no effect without on-failure weight: delete it";
        found.error(format!("{path} failure-weight"), text);
    }
    let falls_back = short.sorry_page.is_some() || short.sorry_server.is_some();
    if falls_back && pool.on_failure == OnFailure::Weight && short.quorum.is_none() {
        let text = "failed servers keep a weight, so nothing takes their place: set a quorum";
        found.warning(format!("{path} on-failure weight"), text);
    }
    if short.panic_threshold.is_some() && falls_back {
        let text = "a pool that keeps all its servers falls back to nothing: no sorry page or server then";
        found.warning(format!("{path} panic-threshold"), text);
    }
    let coarse = |weight: u32| weight > 0 && weight < RAMP_STEPS;
    if short.slow_start.is_some()
        && let Some((server, member)) = pool.servers.iter().find(|(_, member)| coarse(member.weight))
    {
        let text = format!(
            "weight {} of {server} has too few steps to grow in: multiply all weights of the pool by {RAMP_STEPS}",
            member.weight
        );
        found.warning(format!("{path} slow-start"), text);
    }
}

fn question(path: &str, check: &Check, found: &mut Findings) {
    if let Some(tls) = &check.tls {
        self::tls(path, tls, check, found);
    }
    for (number, step) in &check.steps {
        pattern(&format!("{path} step {number} expect"), step.expect.as_ref(), step.compare, found);
    }
    if let Some(http) = &check.http {
        self::http(&format!("{path} http"), http, found);
    }
    if let Some(udp) = &check.udp {
        pattern(&format!("{path} udp reply"), udp.reply.as_ref(), udp.compare, found);
    }
    if let Some(filter) = check.ldap.as_ref().and_then(|ldap| ldap.filter.as_ref())
        && !check_filter(&filter.bytes())
    {
        let text = "is not one comparison: write (attribute=value) or (attribute=*)";
        found.error(format!("{path} ldap filter"), text);
    }
    // Redis has a user without a name.
    let nameless = check.login.as_ref().is_some_and(|login| login.user.is_none());
    if nameless && check.question != Question::Redis {
        found.error(format!("{path} login user"), format!("missing: set {path} login user"));
    }
    let takes_login = match check.question {
        Question::Pop3
        | Question::Imap
        | Question::Ftp
        | Question::Nntp
        | Question::Ldap
        | Question::Radius
        | Question::Mysql
        | Question::Postgresql
        | Question::Redis => true,
        Question::Tcp
        | Question::SendExpect
        | Question::Http
        | Question::Smtp
        | Question::Dns
        | Question::Sip
        | Question::Ntp
        | Question::Udp
        | Question::Ping
        | Question::Up
        | Question::Down => false,
    };
    if check.login.is_some() && !takes_login {
        let text = format!("has no effect on question {}: delete it", check.question.word());
        found.warning(format!("{path} login"), text);
    }
}

fn tls(path: &str, tls: &Tls, check: &Check, found: &mut Findings) {
    let over_tcp = check.sip.as_ref().is_some_and(|sip| sip.tcp);
    if !takes_tls(check.question, over_tcp) {
        let more = if check.question == Question::Sip { ", unless sip tcp is on" } else { "" };
        let text = format!("question {} is not asked inside TLS{more}: delete it", check.question.word());
        found.error(format!("{path} tls"), text);
    }
    if tls.starttls && !takes_starttls(check.question) {
        let text = format!("has no effect on question {}: delete it", check.question.word());
        found.error(format!("{path} tls starttls"), text);
    }
    match (tls.certificate, &tls.fingerprint) {
        (Certificate::Any, Some(_)) => found.error(
            format!("{path} tls fingerprint"),
            "has no effect with certificate any: set certificate pin or ca, or delete it",
        ),
        (Certificate::Pin | Certificate::Ca, None) => {
            found.error(format!("{path} tls fingerprint"), format!("missing: set {path} tls fingerprint"));
        }
        (Certificate::Any, None) | (Certificate::Pin | Certificate::Ca, Some(_)) => {}
    }
}

fn pattern(path: &str, wanted: Option<&Escaped>, compare: Compare, found: &mut Findings) {
    if let Some(Err(why)) = wanted.map(|wanted| check_pattern(wanted, compare)) {
        found.error(path.into(), format!("is no regular expression: {why}"));
    }
}

fn http(path: &str, http: &HttpProbe, found: &mut Findings) {
    pattern(&format!("{path} body"), http.body.as_ref(), http.compare, found);
    for header in &http.headers {
        let bytes = header.bytes();
        let name = bytes.split(|b| *b == b':').next().unwrap_or_default();
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        let sound = name.len() < bytes.len()
            && !name.is_empty()
            && name.iter().all(token)
            && !bytes.iter().any(|b| matches!(b, b'\r' | b'\n' | 0));
        if !sound {
            found.error(format!("{path} header {}", header.as_str()), "write Name:value on one line");
        }
    }
    if http.path.as_ref().is_some_and(|page| !page.as_str().starts_with('/')) {
        found.error(format!("{path} path"), "must begin with /");
    }
}
