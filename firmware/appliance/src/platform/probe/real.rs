//! Real servers on loopback, and what may lie between them and who asks.
//!
//! Each test runs again as the first process of a PID namespace, so that everything it started ends with it, however it ends.
//! A server is asked healthy, through a line that spoils what it says, while it hangs, and when it is gone. What it answers in
//! the middle is the real thing; only the line lies.

use super::tests::{GENEROUS, listen, named, probe};
use super::*;
use director_core::health::ProbeKind;
use director_core::model::check::{Check, Login, Question, Tls};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::net::{TcpListener, UdpSocket};

/// Says that this process is the first one of its PID namespace.
const INSIDE: &str = "DIRECTOR_REAL";

/// Runs the test of this name again in a PID namespace, and `body` there.
pub(super) fn contained(test: &str, body: impl Future<Output = ()>) {
    apart(test, &[], body);
}

/// The same in more namespaces: options of `unshare`.
pub(super) fn apart(test: &str, more: &[&str], body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body);
    }
    let mut again = Command::new("unshare");
    if !root() {
        again.args(["--user", "--map-current-user"]);
    }
    again
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(more)
        .arg(std::env::current_exe().unwrap());
    let name = format!("platform::probe::{test}");
    let output = again
        .args(["--exact", &name, "--nocapture", "--include-ignored"])
        .env(INSIDE, std::process::id().to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (said, stderr) = (said.as_ref(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "in the namespace: {said}\n{stderr}");
}

/// How long a server may take until it answers, on a loaded machine.
pub(super) const READY: Duration = Duration::from_secs(60);
/// For runs that must end at their deadline.
const BOUNDED: Millis = Millis::new(400);

/// A server in a process group of its own. Ends with the test; its folder goes with it.
pub(super) struct Real {
    pub(super) address: SocketAddr,
    pub(super) folder: PathBuf,
    child: Child,
}

impl Real {
    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // One that has ended by itself is seen by what it does not answer.
        let _gone = killpg(group, signal);
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub(super) fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A folder that every user may write to, and a port that was free a moment ago.
pub(super) async fn place(name: &str) -> (PathBuf, SocketAddr) {
    // Inside, every process has the number 1.
    let owner = std::env::var(INSIDE).unwrap();
    let folder = std::env::temp_dir().join(format!("director-{name}-{owner}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (_, address) = listen().await;
    (folder, address)
}

pub(super) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text.replace("DIR", &folder.display().to_string())).unwrap();
    file
}

/// Runs a program to its end.
pub(super) fn run(folder: &Path, argv: &[&str]) {
    let text = argv.iter().map(|word| word.replace("DIR", &folder.display().to_string()));
    let argv: Vec<String> = text.collect();
    let output = Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{argv:?}: {e}: run image/setup.sh soak"));
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a server and waits until `good` is good.
pub(super) async fn start((folder, address): (PathBuf, SocketAddr), argv: &[&str], good: &ProbeKind) -> Real {
    let text = argv.iter().map(|word| word.replace("DIR", &folder.display().to_string()));
    let argv: Vec<String> = text.map(|word| word.replace("PORT", &address.port().to_string())).collect();
    let log = std::fs::File::create(folder.join("said")).unwrap();
    let child = Command::new(&argv[0])
        .args(&argv[1..])
        .process_group(0)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("{argv:?}: {e}: run image/setup.sh soak"));
    let mut real = Real { address, folder, child };
    let end = tokio::time::Instant::now() + READY;
    loop {
        let result = probe(address, good.clone(), Millis::from_secs(5)).await;
        if result.is_ok() {
            return real;
        }
        let said = || std::fs::read_to_string(real.folder.join("said")).unwrap_or_default();
        assert!(tokio::time::Instant::now() < end, "never good: {result:?}: {}", said());
        let ended = real.child.try_wait().unwrap();
        assert!(ended.is_none(), "ended with {ended:?} before it was good: {result:?}: {}", said());
        tokio::task::yield_now().await;
    }
}

/// What the line does to what the server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    /// One byte at a time.
    ByteByByte,
    /// Something else first.
    Garbage,
    /// Nothing after the first three bytes, and the end.
    ClosesEarly,
    /// Nothing at all.
    Hangs,
}

/// A line to a server of streams; carries one connection.
async fn stream_line(listener: TcpListener, server: SocketAddr, line: Line) {
    let (mut near, _) = listener.accept().await.unwrap();
    let mut far = TcpStream::connect(server).await.unwrap();
    near.set_nodelay(true).unwrap();
    if line == Line::Garbage && near.write_all(b"\xff\x00\x16\x03?\r\n").await.is_err() {
        return;
    }
    let (mut asked, mut said) = ([0; 2048], [0; 2048]);
    loop {
        tokio::select! {
            count = near.read(&mut asked) => match count {
                Ok(count) if count > 0 => drop(far.write_all(&asked[..count]).await),
                _ => return,
            },
            count = far.read(&mut said) => {
                let Ok(count) = count else { return };
                match line {
                    Line::Hangs => {}
                    Line::ClosesEarly => return drop(near.write_all(&said[..count.min(3)]).await),
                    _ if count == 0 => return,
                    Line::Garbage => drop(near.write_all(&said[..count]).await),
                    Line::ByteByByte => for byte in &said[..count] {
                        if near.write_all(&[*byte]).await.is_err() { return }
                        tokio::task::yield_now().await;
                    },
                }
            }
        }
    }
}

/// Everything that a server of streams may do. `good` is a question that it answers well, the others ones it must not.
pub(super) async fn streams(real: Real, good: ProbeKind, bad: Vec<ProbeKind>) {
    for kind in bad {
        let result = probe(real.address, kind, GENEROUS).await;
        assert!(matches!(result, Err(Failure::Server(_))), "{result:?}");
    }
    for line in [Line::ByteByByte, Line::Garbage, Line::ClosesEarly, Line::Hangs] {
        let (listener, address) = listen().await;
        let carried = tokio::spawn(stream_line(listener, real.address, line));
        let timeout = if line == Line::ByteByByte { GENEROUS } else { BOUNDED };
        let result = probe(address, good.clone(), timeout).await;
        assert_eq!(result.is_ok(), line == Line::ByteByByte, "{line:?}: {result:?}");
        carried.abort();
    }
    // The kernel accepts for a server that does not run.
    real.signal(Signal::SIGSTOP);
    let hung = probe(real.address, good.clone(), BOUNDED).await;
    real.signal(Signal::SIGCONT);
    assert!(matches!(hung, Err(Failure::Server(_))), "{hung:?}");
    let address = real.address;
    drop(real);
    // Its other processes let go of the port a moment later.
    let end = tokio::time::Instant::now() + READY;
    while !TcpStream::connect(address).await.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        assert!(tokio::time::Instant::now() < end, "somebody still listens");
        tokio::task::yield_now().await;
    }
    assert_eq!(probe(address, good, GENEROUS).await, Err("connection refused".into()));
}

/// The same for datagrams: what they lose, they lose whole.
pub(super) async fn datagrams(real: Real, good: ProbeKind, bad: Vec<ProbeKind>) {
    for kind in bad {
        let result = probe(real.address, kind, GENEROUS).await;
        assert!(matches!(result, Err(Failure::Server(_))), "{result:?}");
    }
    for cut in [0, 1, 11] {
        let line = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = line.local_addr().unwrap();
        let server = real.address;
        let carried = tokio::spawn(async move {
            let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let (mut asked, mut said) = ([0; 2048], [0; 4096]);
            let (count, from) = line.recv_from(&mut asked).await.unwrap();
            far.send_to(&asked[..count], server).await.unwrap();
            let count = far.recv(&mut said).await.unwrap();
            if cut > 0 {
                line.send_to(&said[..count.min(cut)], from).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let result = probe(address, good.clone(), BOUNDED).await;
        assert!(matches!(result, Err(Failure::Server(_))), "cut to {cut}: {result:?}");
        carried.abort();
    }
    real.signal(Signal::SIGSTOP);
    let hung = probe(real.address, good.clone(), BOUNDED).await;
    real.signal(Signal::SIGCONT);
    assert!(matches!(hung, Err(Failure::Server(_))), "{hung:?}");
    let address = real.address;
    drop(real);
    let gone = probe(address, good, GENEROUS).await;
    assert_eq!(gone, Err("port unreachable (nothing listens there)".into()));
}

/// How a question is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrap {
    Clear,
    /// Inside TLS from the first byte on.
    Tls,
    /// Inside TLS after a beginning in clear.
    StartTls,
}

impl Wrap {
    pub(super) const ALL: [Self; 3] = [Self::Clear, Self::Tls, Self::StartTls];

    /// The check, asked so.
    pub(super) fn around(self, check: Check) -> ProbeKind {
        let tls = Tls { starttls: self == Self::StartTls, ..Tls::default() };
        named(Check { tls: (self != Self::Clear).then_some(tls), ..check })
    }
}

/// A certificate and its key in a folder: `own.pem` and `key`, which every server may read.
pub(super) fn certificate(folder: &Path) {
    let line =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -subj /CN=www.example.org";
    let files = ["-keyout", "DIR/key", "-out", "DIR/own.pem"];
    run(folder, &[&["openssl"], &line.split(' ').collect::<Vec<_>>()[..], &files].concat());
    std::fs::set_permissions(folder.join("key"), std::fs::Permissions::from_mode(0o644)).unwrap();
}

pub(super) fn login(user: &str, password: &str) -> Option<Login> {
    Some(Login { user: Some(user.parse().unwrap()), password: Some(password.parse().unwrap()) })
}

pub(super) fn with_login(question: Question, user: &str, password: &str) -> Check {
    Check { question, login: login(user, password), ..Check::default() }
}
