//! `ping ADDRESS [count N]`: one echo after the other, until all were sent or C-c.

use super::{Job, Output, Session, print};
use crate::director::protocol::Request;
use crate::model::{Millis, Mono};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Echoes without a number.
const COUNT: u16 = 5;
/// Most echoes of one command. Chosen: longer than anybody watches, and it ends by itself.
pub(crate) const COUNT_MAX: u16 = 1000;
/// Pause between two.
const PAUSE: Millis = Millis::from_secs(1);

/// A run.
#[derive(Debug)]
pub(super) struct Ping {
    address: IpAddr,
    left: u16,
    /// When the next one is sent; `None` while an answer is awaited.
    next: Option<Mono>,
    sent: u16,
    /// Microseconds of each answer.
    took_us: Vec<u32>,
}

impl Session {
    pub(super) fn begin_ping(&mut self, words: &[String], out: &mut Vec<Output>) {
        match parse(words) {
            Err(why) => self.say(out, &why),
            Ok((address, left)) => {
                self.ping = Some(Box::new(Ping { address, left, next: None, sent: 0, took_us: Vec::new() }));
                self.send_ping(out);
            }
        }
    }

    fn send_ping(&mut self, out: &mut Vec<Output>) {
        let Some(ping) = &mut self.ping else { return };
        ping.next = None;
        ping.sent = ping.sent.saturating_add(1);
        let address = ping.address;
        let before = self.pending.len();
        self.ask(Job::Ping, Request::Ping(address), out);
        if self.pending.len() == before {
            self.ping = None;
        }
    }

    pub(super) fn pinged(&mut self, took: Result<u32, String>, out: &mut Vec<Output>) {
        let now = self.clock.now();
        let Some(ping) = &mut self.ping else { return };
        ping.left = ping.left.saturating_sub(1);
        let text = match took {
            Ok(us) => {
                ping.took_us.push(us);
                format!("answer from {} in {}", ping.address, ms(us))
            }
            Err(why) => format!("no answer from {}: {why}", ping.address),
        };
        ping.next = (ping.left > 0).then(|| now.after(PAUSE));
        let over = ping.next.is_none();
        self.say(out, &text);
        if over {
            self.end_ping(out);
        }
    }

    pub(super) fn ping_tick(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.ping.as_ref().and_then(|ping| ping.next).is_some_and(|at| at <= now) {
            self.send_ping(out);
        }
    }

    pub(super) fn ping_deadline(&self) -> Option<Mono> {
        self.ping.as_ref()?.next
    }

    /// Says what came of it. False: there was none.
    pub(super) fn end_ping(&mut self, out: &mut Vec<Output>) -> bool {
        let Some(ping) = self.ping.take() else { return false };
        let came = match (ping.took_us.iter().min(), ping.took_us.iter().max()) {
            (Some(least), Some(most)) if least == most => {
                format!("{} answered, in {}", ping.took_us.len(), ms(*least))
            }
            (Some(least), Some(most)) => {
                format!("{} answered, in {} to {}", ping.took_us.len(), ms(*least), ms(*most))
            }
            _ => "none answered".to_string(),
        };
        print::line(out, &format!("{} sent, {came}.", ping.sent));
        true
    }
}

fn ms(us: u32) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

fn parse(words: &[String]) -> Result<(IpAddr, u16), String> {
    const USAGE: &str = "write: ping ADDRESS, then perhaps: count N";
    let (address, count) = match words {
        [address] => (address, None),
        [address, word, count] if "count".starts_with(word.as_str()) => (address, Some(count)),
        _ => return Err(USAGE.to_string()),
    };
    let address = address
        .parse()
        .map_err(|_| format!("\"{address}\" is not an IP address, and this box looks no names up."))?;
    let count = match count {
        None => COUNT,
        Some(count) => {
            let count = count.parse::<u16>().ok().filter(|n| (1..=COUNT_MAX).contains(n));
            count.ok_or_else(|| format!("count: must be 1 to {COUNT_MAX}"))?
        }
    };
    Ok((address, count))
}
