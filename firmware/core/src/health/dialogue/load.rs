//! Sources of load that are asked: HAProxy agents, rstatd, numbers on web pages.

use super::super::http;
use super::super::load::{Reading, Said, Wish};
use super::super::words::quote;
use super::reader::Reader;
use super::{Machine, Step};
use crate::model::check::LoadMonitor;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Port of a web server.
pub(crate) const HTTP_PORT: u16 = 80;
/// Port of the port mapper (RFC 1833 section 2).
pub(crate) const PORTMAP_PORT: u16 = 111;
/// Longest line of an agent. Chosen: four times one with every word.
const LINE_BYTES_MAX: usize = 256;

/// HAProxy's agent-check: one line, then the agent closes.
#[derive(Debug, Default)]
pub(super) struct Agent {
    line: Vec<u8>,
    said: Option<Said>,
}

impl Agent {
    fn judge(&mut self, line: &[u8]) -> Result<(), String> {
        let said = core::str::from_utf8(line).ok().and_then(agent_line);
        self.said = said;
        said.map(|_| ()).ok_or_else(|| format!("not an agent's answer: {}", quote(line)))
    }
}

/// The words of an agent (HAProxy configuration manual, `agent-check`).
fn agent_line(line: &str) -> Option<Said> {
    let mut said = Said::default();
    for word in line.split([' ', '\t', ',', '\r']).filter(|word| !word.is_empty()) {
        if word.starts_with('#') {
            break;
        }
        let state = word.split('#').next().unwrap_or_default();
        match state {
            "up" | "ready" => said.wish = Some(Wish::Up),
            "drain" => said.wish = Some(Wish::Drain),
            "maint" | "down" | "fail" | "failed" | "stopped" => said.wish = Some(Wish::Down),
            _ => match (state.strip_prefix("maxconn:"), Reading::parse(state)) {
                (Some(most), _) => said.most = Some(most.parse().ok()?),
                (None, Some(reading @ Reading::Percent(_))) => said.reading = Some(reading),
                (None, _) => return None,
            },
        }
        // What follows is a reason in words.
        if word.contains('#') {
            break;
        }
    }
    (said != Said::default()).then_some(said)
}

impl Machine for Agent {
    fn open(&mut self) -> Step {
        Step::Wait
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.line.extend_from_slice(bytes);
        let end = self.line.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => {
                let line = self.line.get(..end).unwrap_or_default().to_vec();
                Step::Done(self.judge(&line))
            }
            None if self.line.len() > LINE_BYTES_MAX => {
                Step::Done(Err(format!("not an agent's answer: {}", quote(&self.line))))
            }
            None => Step::Wait,
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        let line = core::mem::take(&mut self.line);
        if line.is_empty() {
            return Err(String::from("connection closed without an answer"));
        }
        self.judge(&line)
    }

    fn said(&self) -> Option<Said> {
        self.said
    }
}

/// A number in a header or at the beginning of a body.
#[derive(Debug)]
pub(super) struct Page {
    request: Vec<u8>,
    header: Option<String>,
    answer: Vec<u8>,
    said: Option<Said>,
}

impl Page {
    pub(super) fn new(monitor: &LoadMonitor, target: SocketAddr) -> Self {
        let path = monitor.path.as_ref().map_or("/", |path| path.as_str());
        Self {
            request: http::page_request(target, path),
            header: monitor.header.as_ref().map(|header| header.as_str().into()),
            answer: Vec::new(),
            said: None,
        }
    }

    fn judge(&mut self, closed: bool) -> Option<Result<(), String>> {
        let text = match http::find(&self.answer, self.header.as_deref(), closed)? {
            Ok(text) => text,
            Err(words) => return Some(Err(words)),
        };
        let reading = Reading::parse(&String::from_utf8_lossy(&text));
        self.said = reading.map(|reading| Said { reading: Some(reading), ..Said::default() });
        Some(reading.map(|_| ()).ok_or_else(|| format!("no number: {}", quote(&text))))
    }
}

impl Machine for Page {
    fn open(&mut self) -> Step {
        Step::Send(core::mem::take(&mut self.request))
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.answer.extend_from_slice(bytes);
        self.judge(false).map_or(Step::Wait, Step::Done)
    }

    fn closed(&mut self) -> Result<(), String> {
        self.judge(true).unwrap_or_else(|| Err(String::from("connection closed inside the answer")))
    }

    fn said(&self) -> Option<Said> {
        self.said
    }
}

/// rstatd (`rpcsvc/rstat.x`), version 3, over UDP; found with the port mapper unless its port is set.
#[derive(Debug)]
pub(super) struct Rstat {
    id: u32,
    /// The port mapper was not asked yet, or has not answered.
    mapping: bool,
    /// Where it says that rstatd is.
    port: Option<u16>,
    said: Option<Said>,
}

mod rpc {
    pub(super) const PORTMAP: u32 = 100_000;
    pub(super) const GETPORT: u32 = 3;
    pub(super) const RSTAT: u32 = 100_001;
    pub(super) const RSTAT_VERSION: u32 = 3;
    pub(super) const STATS: u32 = 1;
    pub(super) const UDP: u32 = 17;
}

impl Rstat {
    pub(super) fn new(id: u64, mapping: bool) -> Self {
        // Consecutive runs differ, which is all that a datagram of an earlier one needs.
        let [a, b, c, d, ..] = id.to_le_bytes();
        Self { id: u32::from_le_bytes([a, b, c, d]), mapping, port: None, said: None }
    }

    /// A call without credentials (RFC 5531 section 9).
    fn call(&self, program: u32, version: u32, procedure: u32, arguments: &[u32]) -> Step {
        let head = [self.id, 0, 2, program, version, procedure, 0, 0, 0, 0];
        Step::Send(head.iter().chain(arguments).flat_map(|word| word.to_be_bytes()).collect())
    }

    fn stats(&self) -> Step {
        self.call(rpc::RSTAT, rpc::RSTAT_VERSION, rpc::STATS, &[])
    }
}

/// What an accepted reply holds; `None` for one to somebody else.
fn reply(id: u32, datagram: &[u8]) -> Option<Result<Reader<'_>, String>> {
    let mut reader = Reader(datagram);
    if reader.be32()? != id || reader.be32()? != 1 {
        return None;
    }
    if reader.be32()? != 0 {
        return Some(Err(String::from("the call was denied")));
    }
    reader.be32()?;
    let verifier = usize::try_from(reader.be32()?).ok()?;
    reader.take(verifier.checked_next_multiple_of(4)?)?;
    match reader.be32()? {
        0 => Some(Ok(reader)),
        1 => Some(Err(String::from("the program is not there"))),
        2 => Some(Err(String::from("the program does not speak this version"))),
        other => Some(Err(format!("the call failed ({other})"))),
    }
}

impl Machine for Rstat {
    fn open(&mut self) -> Step {
        if self.mapping {
            let wanted = [rpc::RSTAT, rpc::RSTAT_VERSION, rpc::UDP, 0];
            return self.call(rpc::PORTMAP, 2, rpc::GETPORT, &wanted);
        }
        self.stats()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        /// Words before the load averages in version 3.
        const BEFORE: usize = 18;
        let mut result = match reply(self.id, bytes) {
            // Not an answer to us.
            None => return Step::Wait,
            Some(Err(words)) => return Step::Done(Err(format!("rstatd: {words}"))),
            Some(Ok(result)) => result,
        };
        if self.mapping {
            let port = result.be32().and_then(|port| u16::try_from(port).ok());
            let Some(port) = port.filter(|port| *port > 0) else {
                return Step::Done(Err(String::from(
                    "rstatd does not run (the port mapper does not know it)",
                )));
            };
            self.mapping = false;
            self.port = Some(port);
            self.id = self.id.wrapping_add(0x8000_0000);
            return self.stats();
        }
        let load = result.take(BEFORE * 4).and_then(|_| result.be32());
        let Some(load) = load.filter(|load| *load < 256_000_000) else {
            return Step::Done(Err(String::from("a damaged answer of rstatd")));
        };
        // 256 is a load of 1.
        let thousandths = u32::try_from(u64::from(load).saturating_mul(1000) / 256).unwrap_or(u32::MAX);
        self.said = Some(Said { reading: Some(Reading::Average(thousandths)), ..Said::default() });
        Step::Done(Ok(()))
    }

    fn closed(&mut self) -> Result<(), String> {
        Err(String::from("no answer"))
    }

    fn elsewhere(&mut self) -> Option<u16> {
        self.port.take()
    }

    fn said(&self) -> Option<Said> {
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[u32]) -> Vec<u8> {
        list.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn agent(line: &str) -> Option<Said> {
        let mut agent = Agent::default();
        matches!(agent.feed(line.as_bytes()), Step::Done(Ok(()))).then(|| agent.said()).flatten()
    }

    #[test]
    fn an_agent_says_percent_state_and_limit_in_any_order() {
        let percent = |n| Some(Reading::Percent(n));
        assert_eq!(agent("75%\n"), Some(Said { reading: percent(75), ..Said::default() }));
        assert_eq!(
            agent("ready up, 50% maxconn:30\r\n"),
            Some(Said { reading: percent(50), wish: Some(Wish::Up), most: Some(30) })
        );
        assert_eq!(agent("drain\n").unwrap().wish, Some(Wish::Drain));
        assert_eq!(agent("down#disk full, call ops\n").unwrap().wish, Some(Wish::Down));
        for bad in ["\n", "HTTP/1.1 400\n", "75\n", "maxconn:x\n"] {
            assert_eq!(agent(bad), None, "{bad:?}");
        }
        let mut cut = Agent::default();
        assert_eq!(cut.feed(b"up"), Step::Wait);
        assert_eq!(cut.closed(), Ok(()));
        assert!(Agent::default().closed().is_err());
        assert!(matches!(Agent::default().feed(&[b'x'; 300]), Step::Done(Err(_))));
    }

    #[test]
    fn rstatd_is_found_by_the_port_mapper_and_asked_there() {
        let mut rstat = Rstat::new(7, true);
        let Step::Send(call) = rstat.open() else { panic!() };
        assert_eq!(call, words(&[7, 0, 2, 100_000, 2, 3, 0, 0, 0, 0, 100_001, 3, 17, 0]));
        assert_eq!(rstat.feed(&words(&[8, 1, 0, 0, 0, 0, 1234])), Step::Wait, "somebody else's");
        let Step::Send(call) = rstat.feed(&words(&[7, 1, 0, 0, 0, 0, 1234])) else { panic!() };
        assert_eq!(rstat.elsewhere(), Some(1234));
        assert_eq!(rstat.elsewhere(), None);
        let id = 0x8000_0007;
        assert_eq!(call, words(&[id, 0, 2, 100_001, 3, 1, 0, 0, 0, 0]));
        let mut answer = words(&[id, 1, 0, 0, 0, 0]);
        answer.extend(words(&[0; 18]));
        assert!(matches!(rstat.feed(&answer), Step::Done(Err(_))), "cut off");
        answer.extend(words(&[640, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(rstat.feed(&answer), Step::Done(Ok(())));
        assert_eq!(rstat.said().unwrap().reading, Some(Reading::Average(2500)));
    }

    #[test]
    fn answers_of_debians_rpcbind_and_rstatd_are_read() {
        // rpcbind, then rpc.rstatd 4.0.1-11+b1; the load was 12.44.
        let mut rstat = Rstat::new(7, true);
        rstat.open();
        rstat.feed(&words(&[7, 1, 0, 0, 0, 0, 0xfcdf]));
        assert_eq!(rstat.elsewhere(), Some(64_735));
        let answer = [
            0x8000_0007,
            1,
            0,
            0,
            0,
            0,
            0x6_a8b5,
            0xa_c4be,
            0x2_192c,
            0x6d19,
            0,
            0,
            0,
            0,
            0x1dc_e2d5,
            0x70b_4b54,
            0,
            0,
            0x57_b1e6,
            0,
            0,
            0,
            0,
            0xaa_db26,
            0xc70,
            0xe42,
            0xf85,
            0x6b0d_5b2d,
            0,
            0x6b0d_74c7,
            0,
            0xf_33ec,
            0,
        ];
        assert_eq!(rstat.feed(&words(&answer)), Step::Done(Ok(())));
        assert_eq!(rstat.said().unwrap().reading, Some(Reading::Average(12_437)));
    }

    #[test]
    fn rstatd_that_does_not_run_is_said() {
        let mut rstat = Rstat::new(7, true);
        rstat.open();
        let end = rstat.feed(&words(&[7, 1, 0, 0, 0, 0, 0]));
        assert!(matches!(&end, Step::Done(Err(why)) if why.contains("does not run")), "{end:?}");
        let mut rstat = Rstat::new(7, false);
        assert!(matches!(rstat.open(), Step::Send(call) if call.len() == 40));
        let end = rstat.feed(&words(&[7, 1, 0, 0, 0, 2, 3, 3]));
        assert!(matches!(&end, Step::Done(Err(why)) if why.contains("version")), "{end:?}");
    }

    #[test]
    fn a_page_has_its_number_in_a_header_or_in_its_body() {
        let target = "10.0.0.1:80".parse().unwrap();
        let page = |header: Option<&str>, answer: &[u8], closed: bool| {
            let header = header.map(|name| name.parse().unwrap());
            let mut page = Page::new(&LoadMonitor { header, ..LoadMonitor::default() }, target);
            assert!(matches!(page.open(), Step::Send(request) if request.starts_with(b"GET / HTTP/1.1\r\n")));
            match page.feed(answer) {
                Step::Wait if closed => page.closed().map(|()| page.said()),
                Step::Done(result) => result.map(|()| page.said()),
                other @ (Step::Wait | Step::Send(_) | Step::SendSecret(_)) => Err(format!("{other:?}")),
            }
        };
        let load = |n| Ok(Some(Said { reading: Some(Reading::Average(n)), ..Said::default() }));
        let answer = b"HTTP/1.1 200 OK\r\nX-Load: 1.5\r\nContent-Length: 4\r\n\r\n0.25";
        assert_eq!(page(Some("x-load"), answer, false), load(1500));
        assert_eq!(page(None, answer, false), load(250));
        assert_eq!(page(None, b"HTTP/1.1 200 OK\r\n\r\n3 2 1", true), load(3000));
        for (header, bad) in [
            (Some("x-other"), &answer[..]),
            (None, b"HTTP/1.1 503 No\r\n\r\n1"),
            (None, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            (None, b"SSH-2.0\r\n"),
            (None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"),
        ] {
            assert!(page(header, bad, true).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
