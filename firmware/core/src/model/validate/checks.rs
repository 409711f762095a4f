//! What the named checks say to a server must be sound.

use super::Findings;
use crate::health::dialogue::{check_filter, check_pattern};
use crate::model::check::{Check, Compare, HttpProbe, Question};
use crate::model::choice::Chosen as _;
use crate::model::config::Config;
use crate::model::text::Escaped;
use alloc::format;

pub(super) fn check(config: &Config, found: &mut Findings) {
    for (name, check) in &config.questions.checks {
        question(&format!("check {name}"), check, found);
    }
    for (name, pool) in &config.pools {
        let Some(role) = &pool.watch.source else { continue };
        if config.interfaces.contains_key(role)
            && config.primary.addresses.get(role).is_none_or(|addresses| addresses.is_empty())
        {
            let text = format!("the node has no address there: set node primary interface {role} address");
            found.error(format!("pool {name} check-source {role}"), text);
        }
    }
}

fn question(path: &str, check: &Check, found: &mut Findings) {
    if check.tls.is_some() {
        found.error(format!("{path} tls"), "not in this firmware yet: delete it");
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
    let (first, last) = http.status;
    if !(100..=599).contains(&first) || !(100..=599).contains(&last) || first > last {
        found.error(format!("{path} status {first}-{last}"), "write two codes, 100 to 599, the lower first");
    }
    if http.path.as_ref().is_some_and(|page| !page.as_str().starts_with('/')) {
        found.error(format!("{path} path"), "must begin with /");
    }
}
