//! What checking costs: the real director and the real sockets against servers on loopback, one core for each side.
//!
//! `make bench ONLY=checks` runs this in a network namespace of its own and reads its lines `figure NAME VALUE UNIT`. The
//! kernel's state is a picture that every operation succeeds on; everything else is what runs on the box.

use super::{Prober, clock};
use director_core::director::{Director, Effect, Event, Start};
use director_core::model::config::{
    CheckKind, Config, Floating, Interface, Member, Node, Pool, RealServer, Scheduler, Service,
};
use director_core::model::{Millis, Mono, Name};
use director_core::plan::{Observed, Op};
use director_core::store::Generation;
use director_core::store::identity::Role;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Says what this process is to be; without it the test does nothing.
const ROLE: &str = "DIRECTOR_BENCH";
/// Where everybody is asked.
const PORT: u16 = 8080;
/// Servers of one pool.
const POOL: u32 = 100;
/// Servers that die, one after the other, on ports of their own.
const MORTAL: u16 = 20;
const FIRST_MORTAL: u16 = 9000;
const INTERVAL: Millis = Millis::from_secs(1);
const TIMEOUT: Millis = Millis::from_secs(1);
/// First starts are spread over an interval, and the first runs make what later ones use again.
const WARM_UP: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(10);

fn name(text: String) -> Name {
    text.parse().unwrap()
}

/// `count` servers in pools of a hundred, each asked once a second.
fn config(count: u32, check: CheckKind, mortal: bool) -> Config {
    let mut config = Config { primary: Node::default(), ..Config::default() };
    let (v, public) = (name("v".into()), name("public".into()));
    let device = Some("eth0".parse().unwrap());
    config.interfaces.insert(public.clone(), Interface { device, ..Interface::default() });
    let address = Some("192.0.2.1/24".parse().unwrap());
    config.floating.insert(v.clone(), Floating { address, interface: Some(public), label: None });
    let mut pool = |number: u32, port: u16, servers: Vec<(u32, u16)>| {
        let mut pool = Pool { check, interval: INTERVAL, timeout: TIMEOUT, fall: 1, ..Pool::default() };
        for (server, at) in servers {
            let [_, a, b, c] = (server + 1).to_be_bytes();
            let id = name(format!("s{server}"));
            let address = Some(Ipv4Addr::new(127, 1 + a, b, c).into());
            config.real_servers.insert(id.clone(), RealServer { address, ..RealServer::default() });
            pool.servers.insert(id, Member { port: Some(at), ..Member::default() });
        }
        let id = name(format!("p{number}"));
        let service = Service { pool: Some(id.clone()), scheduler: Scheduler::Wlc, ..Service::default() };
        let (ports, addresses) = ([port].into_iter().collect(), [v.clone()].into_iter().collect());
        config.services.insert(id.clone(), Service { ports, addresses, ..service });
        config.pools.insert(id, pool);
    };
    for number in 0..count.div_ceil(POOL) {
        let last = count.min((number + 1) * POOL);
        pool(
            number,
            1 + u16::try_from(number).unwrap(),
            (number * POOL..last).map(|server| (server, PORT)).collect(),
        );
    }
    if mortal {
        let servers = (0..MORTAL).map(|n| (count + u32::from(n), FIRST_MORTAL + n)).collect();
        pool(count, 7000, servers);
    }
    config
}

/// The main loop of `director/mod.rs`, with this kernel.
struct World {
    director: Director,
    effects: Vec<Effect>,
    answers: VecDeque<Event>,
    observed: Observed,
    prober: Prober,
    results: mpsc::Receiver<(super::ProbeId, super::ProbeOutcome)>,
    /// When each server was last asked.
    asked: BTreeMap<SocketAddr, Mono>,
    /// Distances of two questions from the interval, in microseconds.
    jitter: Vec<u64>,
    ended: u64,
    failed: u64,
    counting: bool,
    /// Mortal servers that the kernel was told to spare.
    down: Vec<u16>,
}

impl World {
    fn new(config: Config) -> Self {
        let (send, results) = mpsc::channel(1024);
        let start = Start {
            identity: Role::Primary,
            boots: 1,
            version: "bench".into(),
            config,
            generation: Generation(1),
            nonce: 1,
            newest: Generation(1),
            flash: false,
            source: "bench".into(),
            notes: Vec::new(),
            checkpoint: None,
            running: None,
            kept: Vec::new(),
            trial: None,
        };
        let mut effects = Vec::new();
        let director = Director::start(start, clock::now(), &mut effects);
        Self {
            director,
            effects,
            answers: VecDeque::new(),
            observed: Observed::default(),
            prober: Prober::new(send, 1),
            results,
            asked: BTreeMap::new(),
            jitter: Vec::new(),
            ended: 0,
            failed: 0,
            counting: false,
            down: Vec::new(),
        }
    }

    fn execute(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Probe { id, spec, deadline } => {
                    let now = clock::now();
                    let before = self.asked.insert(spec.target, now);
                    if let Some(before) = before.filter(|_| self.counting) {
                        self.jitter.push(now.micros_since(before).abs_diff(u64::from(INTERVAL.get()) * 1000));
                    }
                    self.prober.start(id, *spec, deadline);
                }
                Effect::Observe(_) => {
                    self.answers.push_back(Event::Observed(Ok(Box::new(self.observed.clone()))));
                }
                Effect::Apply { batch, ops } => {
                    for op in &ops {
                        self.observed.assume(op);
                        if let Op::DestEdit { key, spec, .. } = op
                            && key.port >= FIRST_MORTAL
                            && spec.weight == 0
                        {
                            self.down.push(key.port);
                        }
                    }
                    let results = ops.iter().map(|_| Ok(())).collect();
                    self.answers.push_back(Event::Applied { batch, results });
                }
                _ => {}
            }
        }
    }

    async fn turn(&mut self, end: Instant) -> bool {
        self.execute();
        let now = clock::now();
        if let Some(answer) = self.answers.pop_front() {
            self.director.handle(answer, now, &mut self.effects);
            return true;
        }
        let wait = self.director.next_deadline().micros_since(now);
        let until = end.min(Instant::now() + Duration::from_micros(wait));
        match timeout_at(until, self.results.recv()).await {
            Ok(result) => {
                self.probed(result.unwrap());
                if self.director.next_deadline() <= clock::now() {
                    self.director.handle(Event::Deadline, clock::now(), &mut self.effects);
                }
                for _ in 0..64 {
                    let Ok(result) = self.results.try_recv() else { break };
                    self.probed(result);
                }
            }
            Err(_) if Instant::now() >= end => return false,
            Err(_) => self.director.handle(Event::Deadline, clock::now(), &mut self.effects),
        }
        true
    }

    fn probed(&mut self, (id, outcome): (super::ProbeId, super::ProbeOutcome)) {
        if self.counting {
            self.ended += 1;
            self.failed += u64::from(outcome.result.is_err());
        }
        self.director.handle(Event::Probed { id, outcome }, clock::now(), &mut self.effects);
    }

    async fn run(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while self.turn(end).await {}
    }
}

/// Microseconds that this thread has run.
fn cpu_us() -> u64 {
    let spent = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    u64::try_from(spent.tv_sec() * 1_000_000 + spent.tv_nsec() / 1000).unwrap()
}

/// Resident KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.3} {unit}");
}

fn percentile(sorted: &[u64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100] as f64
}

async fn measure(what: &str, count: u32, check: CheckKind) {
    let before = resident();
    let mut world = World::new(config(count, check, false));
    world.run(WARM_UP).await;
    world.counting = true;
    let (cpu, began) = (cpu_us(), Instant::now());
    world.run(SPAN).await;
    let (cpu, took) = (cpu_us() - cpu, began.elapsed().as_secs_f64());
    let ended = world.ended as f64;
    world.jitter.sort_unstable();
    figure(&format!("{what}.{count}.rate"), ended / took, "1/s");
    figure(&format!("{what}.{count}.failed"), world.failed as f64, "checks");
    figure(&format!("{what}.{count}.core"), cpu as f64 / took / 10_000.0, "%");
    figure(&format!("{what}.{count}.cost"), cpu as f64 / ended, "us");
    figure(&format!("{what}.{count}.jitter-p50"), percentile(&world.jitter, 50) / 1000.0, "ms");
    figure(&format!("{what}.{count}.jitter-p99"), percentile(&world.jitter, 99) / 1000.0, "ms");
    figure(&format!("{what}.{count}.resident"), resident().saturating_sub(before) as f64 / 1024.0, "MiB");
}

/// From the death of a server to the operation that takes it out, with everybody else being asked too.
async fn detection(count: u32, servers: &mut Child) {
    let mut world = World::new(config(count, CheckKind::Tcp, true));
    world.run(WARM_UP).await;
    let mut delays = Vec::new();
    let mut phase = 0_u64;
    for number in 0..MORTAL {
        // Deaths at all phases of the interval.
        phase = phase * 6_364_136_223_846_793_005 % 999_983 + 271_829;
        world.run(Duration::from_micros(phase % 1_000_000)).await;
        world.down.clear();
        let died = clock::now();
        writeln!(servers.stdin.as_mut().unwrap(), "{}", FIRST_MORTAL + number).unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while world.down.is_empty() && world.turn(end).await {}
        world.execute();
        assert_eq!(world.down, [FIRST_MORTAL + number], "who died");
        delays.push(clock::now().micros_since(died));
    }
    delays.sort_unstable();
    figure("detection.p50", percentile(&delays, 50) / 1000.0, "ms");
    figure("detection.max", percentile(&delays, 100) / 1000.0, "ms");
}

/// Accepts and closes, for ever; ends a port whose number comes on standard input.
fn serve() {
    let listen = |port| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        let taken = listener.try_clone().unwrap();
        std::thread::spawn(move || while taken.accept().is_ok() {});
        listener
    };
    let mut listeners: BTreeMap<u16, TcpListener> =
        (FIRST_MORTAL..FIRST_MORTAL + MORTAL).chain([PORT]).map(|port| (port, listen(port))).collect();
    println!("ready");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let dead = listeners.remove(&line.parse().unwrap());
        // Ends the accept of the thread too.
        nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&dead.unwrap()),
            nix::sys::socket::Shutdown::Both,
        )
        .unwrap();
    }
}

/// This test again, on the other core, as the servers.
fn servers() -> Child {
    let mut child = Command::new("taskset")
        .args(["-c", "1"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "platform::probe::bench_tests::cost", "--ignored", "--nocapture"])
        .env(ROLE, "servers")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "the servers ended");
    }
    child
}

#[test]
#[ignore = "a measurement: make bench ONLY=checks"]
fn cost() {
    let role = std::env::var(ROLE).unwrap_or_default();
    if role == "servers" {
        return serve();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if role == "tcp" {
            let mut servers = servers();
            for count in [1000, 5000, 10_000] {
                measure("tcp", count, CheckKind::Tcp).await;
            }
            detection(5000, &mut servers).await;
            drop(servers.kill());
            drop(servers.wait());
        } else if role == "http" {
            // The caller has started a web server.
            for count in [500, 1000, 2000] {
                measure("http", count, CheckKind::Http).await;
            }
        }
    });
}
