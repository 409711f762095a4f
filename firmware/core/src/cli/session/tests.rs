// `expect_file!` names `std`.
extern crate std;

use super::super::testing::{FIVE_NODES, Terminal, status::status};
use super::*;
use crate::director::impact::{Impact, Lost};
use crate::director::protocol::Reply;
use crate::model::Config;
use crate::model::validate::{Finding, Severity};
use crate::overrides::Forced;
use crate::plan::Op;
use crate::plan::spec::{DestKey, DestSpec, ServiceKey};

use commits::recall;
use expect_test::expect_file;

mod connections;
mod field;
mod insight;
mod login;
mod text_io;
mod upgrade;
mod visit;

/// A console with a terminal in front and a scripted director behind.
struct Bench {
    session: Session,
    terminal: Terminal,
    config: Config,
    generation: u64,
    /// Requests whose replies are held back.
    held: Option<Vec<Request>>,
    refusal: Option<Reply>,
    impact: Impact,
    /// A check finds nothing to do in the kernel.
    nothing: bool,
    others: Vec<Output>,
    log: Vec<String>,
}

impl Bench {
    /// A console of a box without a name, before the director's first answer.
    fn unanswered() -> Self {
        let mut bench = Self::new();
        bench.session = Session::new(None);
        bench.terminal = Terminal::wrapping(80);
        bench.held = Some(Vec::new());
        let mut out = Vec::new();
        bench.session.start(&mut out);
        bench.run(out);
        bench
    }

    fn new() -> Self {
        let mut bench = Self {
            session: Session::new(Some("lvs1")),
            terminal: Terminal::wrapping(80),
            config: Config::default(),
            generation: 0,
            held: None,
            refusal: None,
            impact: Impact::default(),
            nothing: false,
            others: Vec::new(),
            log: Vec::new(),
        };
        let mut out = Vec::new();
        bench.session.start(&mut out);
        bench.run(out);
        bench
    }

    fn configured() -> Self {
        let mut bench = Self::new();
        bench.config = super::super::parse_set_lines(FIVE_NODES).unwrap();
        bench.generation = 1;
        bench
    }

    fn run(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Write(bytes) => self.terminal.write(&bytes),
                Output::Request(request) => match &mut self.held {
                    Some(held) => held.push(*request),
                    None => self.serve(*request),
                },
                Output::ShowLog { count, filter, .. } => {
                    let fits = |l: &&String| {
                        filter.as_ref().is_none_or(|f| l.to_lowercase().contains(&f.to_lowercase()))
                    };
                    let mut lines: Vec<String> = self.log.iter().filter(fits).cloned().collect();
                    lines.drain(..lines.len().saturating_sub(usize::try_from(count).unwrap()));
                    let mut out = Vec::new();
                    self.session.log_text(&lines, &mut out);
                    self.run(out);
                }
                Output::ShowConnections(filter) => {
                    let mut out = Vec::new();
                    self.session.connections(Ok(connections::listing(*filter)), &mut out);
                    self.run(out);
                }
                Output::Salt => {
                    let mut out = Vec::new();
                    self.session.salt(Some([5; 16]), &mut out);
                    self.run(out);
                }
                other @ (Output::DirectPower(_)
                | Output::RestartDirector
                | Output::ShowHardware
                | Output::Verify { .. }
                | Output::Hash(_)
                | Output::WrongPasswords(_)
                | Output::Logout) => self.others.push(other),
            }
        }
    }

    /// What the shell does after it has written.
    fn settle(&mut self) {
        while self.session.busy() {
            let mut out = Vec::new();
            self.session.input(&[], &mut out);
            self.run(out);
        }
    }

    fn serve(&mut self, request: Request) {
        let reply = match request {
            Request::Status | Request::BoxStatus => Reply::Status(status()),
            Request::Config => {
                Reply::Config { generation: Generation(self.generation), config: self.config.clone() }
            }
            Request::Check(_) => {
                let ops = if self.nothing { Vec::new() } else { ops() };
                Reply::Checked { findings: Vec::new(), ops, impact: self.impact.clone() }
            }
            Request::Ping(_) => self.refusal.take().unwrap_or(Reply::Pinged(Ok(1234))),
            Request::Commit { options, .. } if self.impact.asks() && !options.agreed => {
                Reply::Harmful { impact: self.impact.clone() }
            }
            Request::Commit { base, config, options: _ } => match self.refusal.take() {
                Some(refusal) => refusal,
                None => {
                    assert_eq!(base, Generation(self.generation));
                    self.generation += 1;
                    self.config = config;
                    let findings = Vec::new();
                    Reply::Committed { generation: Generation(self.generation), operations: 18, findings }
                }
            },
            Request::Cluster(_) => Reply::Done { text: "this box becomes standby: show cluster".to_string() },
            Request::Server(ask) if !ask.agreed => {
                let ends = if ask.forced == Forced::Disable { 3 } else { 0 };
                Reply::Emptied { services: Vec::from(["web".parse().unwrap()]), ends }
            }
            Request::Server(ask) => {
                Reply::Done { text: alloc::format!("server {}: {:?}", ask.server, ask.forced) }
            }
            Request::Checks => insight::checks(),
            Request::Why { service, server } => {
                insight::why(service.unwrap_or_else(|| "web".parse().unwrap()), server)
            }
            Request::Doctor { .. } => Reply::Doctor(alloc::boxed::Box::default()),
            Request::Confirm => Reply::Confirmed { generation: Generation(self.generation) },
            Request::Recall(what) => {
                Reply::Recalled { running: Generation(self.generation), result: recall(what) }
            }
            Request::Maintain(what) => match self.refusal.take() {
                Some(refusal) => refusal,
                None => Reply::Done { text: alloc::format!("{what:?}") },
            },
            Request::Upgrade(ask) => upgrade::serve(&ask),
            Request::Power(_) => Reply::Stopping,
        };
        let mut out = Vec::new();
        self.session.reply(reply, &mut out);
        self.run(out);
    }

    /// Answers the oldest request that is held.
    fn release(&mut self) {
        let request = self.held.as_mut().unwrap().remove(0);
        self.serve(request);
    }

    fn keys(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        self.session.input(bytes, &mut out);
        self.run(out);
        self.settle();
    }

    fn lose(&mut self) {
        let mut out = Vec::new();
        self.session.director_lost(&mut out);
        self.run(out);
    }

    fn back(&mut self) {
        let mut out = Vec::new();
        self.session.director_back(&mut out);
        self.run(out);
    }

    /// What came on the screen since a text was last seen on it.
    fn since(&self, mark: &str) -> String {
        let text = self.terminal.text();
        text.rsplit_once(mark).map(|(_, after)| after.to_string()).unwrap_or(text)
    }

    fn last_line(&self) -> String {
        self.terminal.row_of_cursor()
    }
}

fn ops() -> Vec<Op> {
    let service = ServiceKey::Address {
        protocol: crate::model::config::Protocol::Tcp,
        address: [1, 2, 3, 1].into(),
        port: 80,
    };
    let key = DestKey { address: [192, 168, 1, 3].into(), port: 80 };
    let spec = DestSpec { weight: 2000, ..DestSpec::default() };
    let add = Op::ServiceAdd {
        key: service,
        spec: crate::plan::ServiceSpec::new(crate::model::config::Scheduler::Wlc, None),
    };
    Vec::from([add, Op::DestAdd { service, key, spec }])
}

#[test]
fn the_five_node_cluster_is_configured_from_nothing() {
    let mut bench = Bench::new();
    bench.keys("show configuration\rconfigure\r");
    // Pasted in one go.
    bench.keys(FIVE_NODES);
    bench.keys("show service\rcompare\rcommit check\rcommit\rcompare\rcommit\r");
    bench.keys("set pool web server rs1 weight 500\rdelete pool web server rs3\rcompare\rcommit\rexit\r");
    bench.keys("show configuration | set\rshow configuration | match rs1\rshow configuration | count\r");
    bench.keys("exit\r");
    assert_eq!(bench.others, [Output::Logout]);
    assert_eq!(bench.generation, 2);
    expect_file!["../../../../../tests/golden/cli/five-nodes.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn bad_input_is_answered_with_the_place_and_the_fix() {
    let mut bench = Bench::configured();
    for line in [
        "shwo services",
        "set pool web",
        "show",
        "show serv",
        "show servers webb",
        "show services web extra",
        "show version | jsn",
        "show log 0",
        "reboot\rmaybe\rn",
        "configure",
        "set sevice web",
        "set service web prot 99999",
        "set service web port 99999",
        "set service web port",
        "set pool web interval 5",
        "set pool web interval 1ms",
        "set pool web forward natt",
        "set pool web server rs1 interval 2s",
        "set real-server rs1 address 1.2.3",
        "set route 10.1.1.1/8 via 1.2.3.4",
        "set service we:b port 80",
        "set service web address vs1 protocl tcp",
        "set",
        "delete",
        "delete service wbe",
        "delete service web port 443",
        "edit pool web fall",
        "show pool wbe",
        "commit chek",
        "set pool web http path relative",
        "set node primary interface public address 1.2.3.1/240",
        "configure",
        "exit now",
        "reboot",
    ] {
        bench.keys(&format!("{line}\r"));
    }
    expect_file!["../../../../../tests/golden/cli/bad-input.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn question_mark_and_tab_show_the_way() {
    let mut bench = Bench::configured();
    for keys in [
        "?",
        "sh\tse\t?\x15",
        "show services ?\tx\x15",
        "show servers web \t\t\x15",
        "show version ?| ?\x15",
        "show xyz?\x15",
        "conf\t\r",
        "?",
        "set pool ?web ?",
        "che\t\t\x15",
        "set pool web check ?\x15",
        "set pool web check-port ?\x15",
        "set service web pool \t\x15",
        "set service web address ?\x15",
        "set service new\t po\t\x15",
        "set pool web http path /a?b=c\r",
        "delete pool web http path \t\r",
        "delete pool web server \t?\x15",
        "edit po\tweb\r",
        "set ser\tr?\x15",
        "up\r",
        "set pool web server rs1 weight 5 ?\x15",
        "sohw ?\x15",
        "set system ?",
        "password ?\x15",
        "show servers\r",
        "exit\ry\r",
        "why server ?",
        "rs1 ?\x15",
        "why server web ?\x15",
        "server drain ?\x15",
        "server rs1 drain ?",
        "persistent ?\x15",
        "server rs1 weight 5 for 10m ?\x15",
        "server rs1 enable ?\x15",
        "help\r",
    ] {
        bench.keys(keys);
    }
    expect_file!["../../../../../tests/golden/cli/help.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn editing_a_part_changes_where_set_show_and_delete_work() {
    let mut bench = Bench::configured();
    bench.keys(
        "configure\redit pool web\rset interval 5s\rdelete server rs3\rshow\redit server rs1\rset weight 7\r",
    );
    bench.keys(
        "up\rcompare\rtop\rshow pool web server\rrun show version | match firmware\redit service web\r",
    );
    bench.keys("delete port 80\rshow | set\rexit\rdelete service web\rcompare\rdiscard\rcompare\rexit\r");
    expect_file!["../../../../../tests/golden/cli/edit.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn lines_typed_while_a_reply_is_awaited_run_afterwards_in_order() {
    let script = "configure\rset real-server a address 1.1.1.1\rcommit\rset real-server b address 1.1.1.2\rcommit\r\
                  exit\rshow configuration | set\r";
    let mut at_once = Bench::new();
    at_once.keys(script);
    let mut late = Bench::new();
    late.held = Some(Vec::new());
    late.keys(script);
    while !late.held.as_ref().unwrap().is_empty() {
        late.release();
    }
    assert_eq!(late.config.real_servers.len(), 2);
    assert_eq!(late.generation, 2);
    assert_eq!(late.terminal.text(), at_once.terminal.text());
}

#[test]
fn ten_thousand_pasted_lines_are_all_set() {
    let mut bench = Bench::new();
    let text: String = (0..10_000)
        .map(|i| format!("set real-server s{i} address 10.0.{}.{}\r\n", i / 256, i % 256))
        .collect();
    bench.keys("configure\r");
    for chunk in text.as_bytes().chunks(57) {
        bench.bytes(chunk);
    }
    bench.keys("commit\r");
    assert_eq!(bench.config.real_servers.len(), 10_000);
}

#[test]
fn a_late_answer_to_an_abandoned_question_is_ignored() {
    let mut bench = Bench::configured();
    bench.held = Some(Vec::new());
    bench.keys("show version\rtyped ahead\x03show ipvs\r");
    assert_eq!(bench.since("show version"), "\nNot waiting any longer.\nlvs1> show ipvs\n");
    bench.release();
    assert_eq!(bench.since("show ipvs"), "\n");
    bench.release();
    assert!(bench.since("show ipvs").starts_with("\nProt LocalAddress:Port"));
}

#[test]
fn a_status_that_overtakes_a_commit_is_not_taken_for_its_answer() {
    let mut bench = Bench::configured();
    bench.keys("configure\rset pool extra\r");
    bench.held = Some(Vec::new());
    bench.keys("commit\r\x03run show ipvs\r");
    let commit = bench.held.as_mut().unwrap().remove(0);
    bench.release();
    assert!(bench.since("run show ipvs").starts_with("\nProt LocalAddress:Port"));
    bench.serve(commit);
    assert!(bench.terminal.text().contains("Committed as generation 2"));
}

#[test]
fn a_burst_of_question_marks_is_answered_in_bounded_pieces() {
    let mut bench = Bench::configured();
    bench.keys("configure\rset ");
    let mut out = Vec::new();
    bench.session.input(&[b'?'; 10_000], &mut out);
    assert!(print::bytes(&out) < OUTPUT_BYTES + 4096);
    assert!(bench.session.busy());
    bench.session.input(b"\x03", &mut out);
    assert!(!bench.session.busy());
}

#[test]
fn an_abandoned_commit_still_moves_the_base_and_is_told_above_the_line_being_typed() {
    let mut bench = Bench::new();
    bench.keys("configure\rset pool a\r");
    bench.held = Some(Vec::new());
    bench.keys("commit\r\x03set pool b");
    bench.release();
    assert_eq!(
        bench.since("commit\n").lines().nth(1),
        Some("Committed as generation 1: 18 kernel operations.")
    );
    assert_eq!(bench.last_line(), "lvs1# set pool b");
    bench.held = None;
    bench.keys("\rcompare\rcommit\r");
    assert_eq!(bench.generation, 2);
}

#[test]
fn without_the_director_the_console_goes_on() {
    let mut bench = Bench::configured();
    bench.log.push(String::from("director: killed by signal 9\x1b[2J\u{e4}"));
    bench.keys("configure\rset pool extra\r");
    bench.held = Some(Vec::new());
    bench.keys("commit\r");
    bench.lose();
    bench.keys("commit\rrun show services\rrun show log | match KILLED\rcompare\r");
    bench.keys("exit\ry\rconfigure\rreboot\ry\r");
    assert_eq!(bench.others, [Output::DirectPower(Power::Reboot)]);
    bench.held = None;
    bench.back();
    bench.keys("configure\r");
    expect_file!["../../../../../tests/golden/cli/director-lost.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn a_candidate_survives_a_director_that_comes_back_with_another_generation() {
    let mut bench = Bench::configured();
    bench.keys("configure\rset pool extra\r");
    bench.lose();
    bench.generation = 7;
    bench.back();
    assert!(bench.terminal.text().contains("generation 7 now; the candidate is kept"));
    bench.keys("commit\r");
    assert_eq!(bench.generation, 8);
}

#[test]
fn an_uncommitted_candidate_is_not_lost_without_a_yes() {
    let mut bench = Bench::configured();
    bench.keys("configure\rset pool extra\rexit\r");
    assert_eq!(bench.last_line(), "Discard all changes and leave? [y/n] ");
    bench.keys("n\r");
    assert_eq!(bench.last_line(), "lvs1# ");
    bench.keys("exit\r\x03exit\rwhat\ry\r");
    assert_eq!(bench.last_line(), "lvs1> ");
    bench.keys("configure\rset pool extra\rdiscard\rexit\r");
    assert_eq!(bench.last_line(), "lvs1> ");
}

#[test]
fn a_refused_commit_keeps_the_candidate_and_prints_every_finding() {
    let mut bench = Bench::configured();
    let finding = |path: &str, message: &str| Finding {
        severity: Severity::Error,
        path: path.to_string(),
        message: message.to_string(),
    };
    let findings = Vec::from([finding("pool web", "first"), finding("pool web", "second")]);
    bench.refusal = Some(Reply::Refused { reason: "2 errors".to_string(), findings });
    bench.keys("configure\rset pool web interval 5s\rcommit\r");
    let shown = bench.since("commit\n");
    assert!(
        shown.contains("error: pool web: first\nerror: pool web: second\nRefused: 2 errors. The running"),
        "{shown}"
    );
    bench.keys("compare\r");
    assert_eq!(bench.since("compare\n"), "+ set pool web interval 5s\nlvs1#");
}

#[test]
fn a_reference_to_nothing_is_refused_with_its_path() {
    let mut bench = Bench::configured();
    let finding = Finding {
        severity: Severity::Error,
        path: "service web pool".to_string(),
        message: "there is no pool \"nope\"".to_string(),
    };
    bench.refusal = Some(Reply::Refused { reason: "1 error".to_string(), findings: Vec::from([finding]) });
    bench.keys("configure\rset service web pool nope\rcommit\r");
    let shown = bench.since("commit\n");
    assert!(shown.starts_with("error: service web pool"), "{shown}");
    assert!(shown.contains("Refused: 1 error. The running configuration is unchanged."), "{shown}");
    assert_eq!(bench.generation, 1);
}

#[test]
fn a_reboot_that_the_director_ignores_goes_to_init_the_second_time() {
    let mut bench = Bench::configured();
    bench.held = Some(Vec::new());
    bench.keys("reboot\ry\r\x03");
    assert!(bench.terminal.text().contains("Ask again to do it without the director."));
    assert_eq!(bench.others, []);
    bench.keys("poweroff\ry\r");
    assert_eq!(bench.others, [Output::DirectPower(Power::Off)]);
}

#[test]
fn what_the_flash_lost_is_said_before_the_first_prompt() {
    let mut bench = Bench::unanswered();
    bench.keys("show version\r");
    assert_eq!(bench.last_line(), "", "no prompt before the answer");
    let mut status = crate::cli::testing::status::status();
    status.notes =
        Vec::from([String::from("no usable configuration in flash: the factory configuration runs")]);
    let mut out = Vec::new();
    bench.session.reply(Reply::Status(status), &mut out);
    bench.run(out);
    let text = bench.terminal.text();
    let (note, prompt) =
        (text.find("! no usable configuration in flash").unwrap(), text.find("lvs1>").unwrap());
    assert!(note < prompt, "{text}");
}

#[test]
fn typed_ahead_input_beyond_the_bound_is_reported_and_never_run_in_part_unnoticed() {
    let mut bench = Bench::new();
    bench.held = Some(Vec::new());
    bench.keys("configure\r");
    bench.keys(&"# filler line\r".repeat(TYPED_AHEAD_BYTES / 14 + 2));
    assert_eq!(bench.session.room(), 0);
    bench.held = None;
    let mut out = Vec::new();
    // Two requests are open: the refresh of the start was answered before.
    bench.session.reply(Reply::Config { generation: Generation(0), config: Config::default() }, &mut out);
    bench.run(out);
    bench.settle();
    assert!(bench.terminal.text().contains("Input was lost"));
    assert_eq!(bench.session.room(), TYPED_AHEAD_BYTES);
}

#[test]
fn show_takes_json_everywhere() {
    let mut bench = Bench::configured();
    bench.log.push(String::from("a \"line\""));
    for command in [
        "show interfaces",
        "show addresses",
        "show services",
        "show servers",
        "show ipvs",
        "show version",
        "show alarms",
        "show configuration",
        "show log",
    ] {
        bench.terminal = Terminal::wrapping(4096);
        bench.keys(&format!("{command} | json\r"));
        let text = bench.since(" | json\n");
        let json = text.strip_suffix("\nlvs1>").unwrap();
        serde_json::from_str::<serde_json::Value>(json).unwrap_or_else(|e| panic!("{command}: {e}: {json}"));
    }
}

mod commits;
mod garbage;
