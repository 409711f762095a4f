//! The largest configuration: 1,000 services of 10 servers each. Prints what one call of the director costs at most:
//! `cargo run --release -p director-sim --example size`.

use director_core::cli::{parse_set_lines, refused_values};
use director_core::director::protocol::{CommitOptions, Request, SessionId};
use director_core::director::{Director, Effect, Event, Start};
use director_core::health::ProbeOutcome;
use director_core::model::{Config, Mono};
use director_core::store::identity::Role;
use director_core::store::{Comment, Commit, Generation, blob};
use director_sim::kernel::ModelKernel;
use std::fmt::Write as _;
use std::time::Instant;

/// 250 floating addresses of 4 services; each service has a pool of 10 servers of its own.
fn largest() -> Config {
    let mut text = String::from(
        "set node primary interface public address 10.1.0.2/16\n\
         set node primary interface private address 10.2.0.1/16\n\
         set interface public device eth0\nset interface private device eth1\nset forwarding ipv4 on\n",
    );
    for service in 0..1000_u32 {
        let (vip, port) = (service / 4, 80 + service % 4);
        if service % 4 == 0 {
            writeln!(
                text,
                "set floating v{vip} address 10.1.{}.{}/16 interface public",
                1 + vip / 200,
                1 + vip % 200
            )
            .unwrap();
        }
        writeln!(text, "set pool p{service} forward nat\nset pool p{service} check tcp").unwrap();
        for server in 0..10 {
            let n = service * 10 + server;
            writeln!(text, "set real-server s{n} address 10.2.{}.{}", 1 + n / 200, 1 + n % 200).unwrap();
            writeln!(text, "set pool p{service} server s{n} weight 10").unwrap();
        }
        writeln!(text, "set service w{service} address v{vip} protocol tcp port {port}").unwrap();
        writeln!(text, "set service w{service} pool p{service}").unwrap();
    }
    parse_set_lines(&text).expect("valid")
}

/// Of each kind of call the costliest and all together, in microseconds, and how many there were.
#[derive(Default)]
struct Costs(std::collections::BTreeMap<&'static str, (u128, u128, u32)>);

struct Box_ {
    director: Director,
    kernel: ModelKernel,
    costs: Costs,
}

impl Costs {
    fn time<T>(&mut self, what: &'static str, call: impl FnOnce() -> T) -> T {
        #[expect(clippy::disallowed_methods, reason = "measures the call")]
        let begin = Instant::now();
        let result = call();
        let took = begin.elapsed().as_micros();
        let cost = self.0.entry(what).or_default();
        *cost = (cost.0.max(took), cost.1 + took, cost.2 + 1);
        result
    }
}

impl Box_ {
    fn handle(&mut self, what: &'static str, event: Event, now: Mono) -> Vec<Effect> {
        let mut out = Vec::new();
        let director = &mut self.director;
        self.costs.time(what, || director.handle(event, now, &mut out));
        out
    }

    /// Everything is answered at once.
    fn run(&mut self, effects: Vec<Effect>, now: Mono) {
        let mut waiting = effects;
        while !waiting.is_empty() {
            for effect in std::mem::take(&mut waiting) {
                let (what, event) = match effect {
                    Effect::Observe(sysctls) => {
                        for name in sysctls {
                            self.kernel.state.sysctls.entry(name).or_insert_with(|| "unset".to_string());
                        }
                        ("observed and planned", Event::Observed(Ok(Box::new(self.kernel.state.clone()))))
                    }
                    Effect::Apply { batch, ops } => {
                        let results =
                            ops.iter().map(|op| self.kernel.apply(op).map_err(|e| panic!("{e}"))).collect();
                        ("applied and compared", Event::Applied { batch, results })
                    }
                    Effect::Probe { id, .. } => (
                        "probed",
                        Event::Probed {
                            id,
                            outcome: ProbeOutcome {
                                result: Ok(()),
                                took_us: 100,
                                transcript: None,
                                learned: Default::default(),
                            },
                        },
                    ),
                    Effect::Save { generation, .. } => ("saved", Event::Saved { generation, result: Ok(()) }),
                    Effect::Mark { generation, .. } => {
                        ("marked", Event::Saved { generation, result: Ok(()) })
                    }
                    Effect::Reply { .. }
                    | Effect::Power(_)
                    | Effect::Checkpoint(_)
                    | Effect::Log { .. }
                    | Effect::Hostname(_)
                    | Effect::Beat(_)
                    | Effect::Fence(_)
                    | Effect::Listen(_)
                    | Effect::Tell(_)
                    | Effect::SendTable { .. }
                    | Effect::Access(_)
                    | Effect::Maintain { .. }
                    | Effect::Pages(_)
                    | Effect::Syslog(_)
                    | Effect::RwhoListen(_)
                    | Effect::Examine { .. }
                    | Effect::DhcpListen(_)
                    | Effect::DhcpSend { .. }
                    | Effect::Recall { .. }
                    | Effect::Keep(_)
                    | Effect::Prove(_)
                    | Effect::Upgrade(_)
                    | Effect::Order(_)
                    | Effect::Notify { .. }
                    | Effect::AskTime { .. }
                    | Effect::SetClock { .. }
                    | Effect::Stopped => continue,
                };
                waiting.extend(self.handle(what, event, now));
            }
        }
    }
}

/// What a starting director does with its configuration before its first turn.
fn read_back(config: &Config, costs: &mut Costs) -> Config {
    let comment = Comment::default();
    let payload = blob::encode(&Commit { at_unix_s: 0, comment, config: config.clone() });
    let read = costs.time("start: decode", || blob::decode(blob::SCHEMA, &payload)).expect("decodes");
    costs.time("start: refused values", || assert!(refused_values(&read.config).is_empty()));
    read.config
}

fn main() {
    let mut costs = Costs::default();
    let config = read_back(&largest(), &mut costs);
    let start = Start {
        identity: Role::Primary,
        boots: 1,
        version: "0".to_string(),
        config: config.clone(),
        generation: Generation(1),
        nonce: 1,
        newest: Generation(1),
        flash: true,
        source: String::new(),
        notes: Vec::new(),
        trial: None,
        running: None,
        kept: Vec::new(),
        checkpoint: None,
    };
    let mut now = Mono::from_millis(1000);
    let mut effects = Vec::new();
    let director = costs.time("start: first turn", || Director::start(start, now, &mut effects));
    let kernel = ModelKernel::with_devices(&["eth0", "eth1", "lo"]);
    let mut it = Box_ { director, kernel, costs };
    it.run(effects, now);
    let end = now.micros() + 9_000_000;
    for _ in 0..100_000 {
        let next = it.director.next_deadline().max(now);
        if next.micros() > end {
            break;
        }
        now = next;
        let effects = it.handle("deadline", Event::Deadline, now);
        it.run(effects, now);
    }
    let dests: usize = it.kernel.state.services.values().map(|s| s.dests.len()).sum();
    assert_eq!((it.kernel.state.services.len(), dests), (1000, 10_000));
    let ask = |request| Event::Request { session: SessionId(1), request: Box::new(request) };
    let effects = it.handle("status asked", ask(Request::Status), now);
    it.run(effects, now);
    let effects = it.handle("check", ask(Request::Check(config.clone())), now);
    it.run(effects, now);
    let effects = it.handle("config", ask(Request::Config), now);
    it.run(effects, now);
    let mut changed = config;
    changed.pools.values_mut().next().unwrap().servers.values_mut().next().unwrap().weight = 11;
    let effects = it.handle(
        "commit",
        ask(Request::Commit { base: Generation(1), config: changed, options: CommitOptions::default() }),
        now,
    );
    it.run(effects, now);
    for (what, (most, all, calls)) in &it.costs.0 {
        println!("{what:24} {most:8} us at most, {all:8} us in {calls} calls");
    }
}
