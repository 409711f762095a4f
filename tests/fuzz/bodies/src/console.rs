//! A console with anything typed on it and a director that answers, or does not.

use crate::memory::Memory;
use director_core::cli::session::{OUTPUT_BYTES, TYPED_AHEAD_BYTES};
use director_core::cli::{Output, Session, parse_set_lines};
use director_core::director::impact::Impact;
use director_core::director::protocol::{Recall, Recalled, Reply, Request, SystemsNow};
use director_core::director::status::Status;
use director_core::director::upgrading::UpgradeAsk;
use director_core::model::Config;
use director_core::model::validate::{Severity, validate};
use director_core::store::{Commit, Generation, StoreError, usage};
use director_core::upgrade::systems::{Held, Systems};
use director_sim::world::World;
use std::collections::VecDeque;
use std::sync::LazyLock;

/// A running configuration with something of everything.
static RUNNING: LazyLock<Config> = LazyLock::new(|| {
    parse_set_lines(include_str!("../../../golden/cli/five-nodes.set")).expect("the golden configuration")
});

/// What a real director says of itself over the model kernel.
static STATUS: LazyLock<Status> = LazyLock::new(|| {
    let mut world = World::new().with_config(RUNNING.clone());
    world.start();
    world.ask(Request::Status);
    world.run_while_not(60_000, |world| !world.replies.is_empty()).expect("a status is answered");
    match world.replies.pop() {
        Some(Reply::Status(status)) => status,
        other => panic!("not a status: {other:?}"),
    }
});

/// Most bytes of one answer beyond [`OUTPUT_BYTES`]: what a single command may print. Chosen: every table of the
/// configuration above fits many times.
const ANSWER_BYTES: usize = 256 * 1024;
/// Bytes that are never part of UTF-8 stand for what happens beside typing.
const ANSWER: u8 = 0xF8;
const REFUSE: u8 = 0xF9;
const LOSE: u8 = 0xFA;
const BACK: u8 = 0xFB;
const LOG: u8 = 0xFC;
const NARROW: u8 = 0xFD;
const STRAY: u8 = 0xFE;

/// Typed bytes and events in any order: no panic, bounded output of printable text and known sequences, no request
/// for a configuration that is known to be wrong, and every kept byte is processed in the end.
pub fn fuzz_console(data: &[u8]) {
    let mut bench = Bench {
        session: Session::new(Some("lvs1")),
        config: RUNNING.clone(),
        generation: 1,
        requests: VecDeque::new(),
        over: false,
        salt_asked: false,
        hash_asked: false,
    };
    bench.turn(|session, out| session.start(out));
    for byte in data {
        match *byte {
            ANSWER => bench.answer(false),
            REFUSE => bench.answer(true),
            LOSE => {
                bench.requests.clear();
                bench.turn(|session, out| session.director_lost(out));
            }
            BACK => bench.turn(|session, out| session.director_back(out)),
            LOG => {
                let lines = ["[    1.000000] one".to_owned(), "[    2.000000] two".to_owned()];
                bench.turn(|session, out| session.log_text(&lines, out));
            }
            NARROW => bench.session.set_width(40),
            STRAY => bench.turn(|session, out| session.reply(Reply::Stopping, out)),
            typed => bench.turn(|session, out| session.input(&[typed], out)),
        }
        bench.settle();
    }
    while !bench.requests.is_empty() {
        bench.answer(false);
        bench.settle();
    }
    assert!(!bench.session.busy());
    // Nothing that is running needs an answer for ever: C-c gives up.
    bench.turn(|session, out| session.input(b"\x03", out));
    bench.settle();
    assert!(bench.over || !bench.session.waiting(), "C-c does not end the wait");
}

struct Bench {
    session: Session,
    config: Config,
    generation: u64,
    requests: VecDeque<Request>,
    over: bool,
    salt_asked: bool,
    hash_asked: bool,
}

impl Bench {
    fn turn(&mut self, act: impl FnOnce(&mut Session, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.session, &mut out);
        assert!(self.session.room() <= TYPED_AHEAD_BYTES);
        let (mut written, mut salts) = (0, 0);
        for output in out {
            match output {
                Output::Write(bytes) => {
                    written += bytes.len();
                    let strange =
                        bytes.iter().find(|b| b.is_ascii_control() && !b"\r\n\x07\x08\x1b".contains(b));
                    assert_eq!(strange, None, "a control byte for the terminal in {bytes:?}");
                }
                Output::Request(request) => self.requests.push_back(*request),
                Output::Logout => self.over = true,
                Output::Salt => salts += 1,
                Output::Hash(_) => self.hash_asked = true,
                Output::Verify { .. } | Output::WrongPasswords(_) => panic!("no password is set"),
                Output::ShowLog { .. }
                | Output::ShowHardware
                | Output::ShowConnections(_)
                | Output::DirectPower(_)
                | Output::RestartDirector => {}
            }
        }
        assert!(written <= OUTPUT_BYTES + ANSWER_BYTES, "{written} bytes at once");
        self.salt_asked |= salts > 0;
    }

    /// What the shell does after it has written; each turn takes at least one kept byte.
    fn settle(&mut self) {
        let mut turns = TYPED_AHEAD_BYTES;
        while self.session.busy() || self.salt_asked || self.hash_asked {
            if std::mem::take(&mut self.hash_asked) {
                // As above: hashing is slow.
                self.turn(|session, out| session.hashed(Err("not now".to_owned()), out));
            }
            if std::mem::take(&mut self.salt_asked) {
                // Without one nothing is derived, which is slow and is another target's.
                self.turn(|session, out| session.salt(None, out));
            }
            self.turn(|session, out| session.input(&[], out));
            turns = turns.checked_sub(1).expect("kept bytes are processed");
        }
    }

    fn answer(&mut self, refuse: bool) {
        let Some(request) = self.requests.pop_front() else { return };
        let reply = match request {
            Request::Status | Request::BoxStatus => Reply::Status(STATUS.clone()),
            Request::Config => {
                Reply::Config { generation: Generation(self.generation), config: self.config.clone() }
            }
            Request::Check(config) | Request::Commit { config, .. } if refuse => {
                sound(&config);
                Reply::Refused { reason: "no".to_owned(), findings: validate(&config) }
            }
            Request::Check(config) => {
                sound(&config);
                Reply::Checked { findings: validate(&config), ops: Vec::new(), impact: Impact::default() }
            }
            Request::Commit { config, options, .. } => {
                sound(&config);
                self.generation += 1;
                self.config = config;
                let generation = Generation(self.generation);
                let (operations, findings, back) = (3, Vec::new(), Generation(self.generation - 1));
                match options.confirm {
                    None => Reply::Committed { generation, operations, findings },
                    Some(window) => Reply::OnTrial { generation, operations, findings, window, back },
                }
            }
            Request::Confirm
            | Request::Server(_)
            | Request::Recall(_)
            | Request::Maintain(_)
            | Request::Upgrade(_)
            | Request::Power(_)
                if refuse =>
            {
                Reply::Refused { reason: "not now".to_owned(), findings: Vec::new() }
            }
            Request::Doctor { .. } => Reply::Doctor(Box::default()),
            Request::Checks => Reply::Checks { at: STATUS.at, checks: Vec::new(), loads: Vec::new() },
            Request::Why { server, .. } => {
                Reply::Refused { reason: format!("no service has {server}"), findings: Vec::new() }
            }
            Request::Ping(_) => Reply::Pinged(Ok(700)),
            Request::Confirm => Reply::Confirmed { generation: Generation(self.generation) },
            Request::Cluster(_) => Reply::Done { text: "cluster".to_owned() },
            Request::Server(ask) if !ask.agreed => Reply::Emptied { services: vec![ask.server], ends: 0 },
            Request::Upgrade(UpgradeAsk::Offer { .. }) => Reply::Have(0),
            Request::Upgrade(UpgradeAsk::Block { offset, bytes }) => {
                Reply::Have(offset.saturating_add(u64::try_from(bytes.len()).unwrap()))
            }
            Request::Upgrade(_) => Reply::Done { text: "upgrade".to_owned() },
            Request::Maintain(what) => Reply::Done { text: format!("{what:?}") },
            Request::Server(ask) => Reply::Done { text: format!("server {}", ask.server) },
            Request::Recall(what) => self.recalled(what),
            Request::Power(_) => Reply::Stopping,
        };
        self.turn(|session, out| session.reply(reply, out));
    }

    fn recalled(&self, what: Recall) -> Reply {
        let generation = Generation(self.generation);
        let commit = || Box::new(Commit { config: self.config.clone(), ..Commit::default() });
        let found = match what {
            Recall::List => Recalled::List(Vec::new(), None),
            Recall::Lineage => Recalled::Lineage(Vec::new()),
            Recall::Usage => Recalled::Usage(Box::new(usage::usage(&mut Memory::default()))),
            Recall::Systems => Recalled::Systems(
                Box::new(Systems {
                    slots: [Held::System("0.1.0".to_owned()), Held::Nothing],
                    environment: Err(StoreError::NoDevice),
                }),
                SystemsNow::default(),
            ),
            Recall::Rescue => Recalled::Rescue(commit()),
            Recall::Back(_) => Recalled::Commit { generation, commit: commit() },
        };
        Reply::Recalled { running: generation, result: Ok(found) }
    }
}

/// The console asks only for what it found nothing wrong with.
fn sound(config: &Config) {
    let wrong = validate(config).into_iter().find(|finding| finding.severity == Severity::Error);
    assert_eq!(wrong, None);
}
