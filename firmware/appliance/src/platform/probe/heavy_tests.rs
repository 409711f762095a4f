//! The shell against the real servers that are too heavy for every machine: `make soak ONLY=servers`, after
//! `image/setup.sh soak` has installed them.
//!
//! Each is asked healthy, then through a line that spoils what it says, then while it hangs, then when it is gone. What it
//! answers in the middle is the real thing; only the line lies.

use super::tests::{GENEROUS, listen, named, probe};
use super::*;
use director_core::health::ProbeKind;
use director_core::model::check::{Check, Dns, Ldap, Login, Question, Radius, Sql};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::net::{TcpListener, UdpSocket};

/// How long a server may take until it answers, on a loaded machine.
const READY: Duration = Duration::from_secs(60);
/// For runs that must end at their deadline.
const BOUNDED: Millis = Millis::new(400);

/// A server in a process group of its own. Ends with the test; its folder goes with it.
struct Real {
    address: SocketAddr,
    folder: PathBuf,
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

fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A folder that every user may write to, and a port that was free a moment ago.
async fn place(name: &str) -> (PathBuf, SocketAddr) {
    let folder = std::env::temp_dir().join(format!("director-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (_, address) = listen().await;
    (folder, address)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text.replace("DIR", &folder.display().to_string())).unwrap();
    file
}

/// Runs a program to its end.
fn run(folder: &Path, argv: &[&str]) {
    let text = argv.iter().map(|word| word.replace("DIR", &folder.display().to_string()));
    let argv: Vec<String> = text.collect();
    let output = Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{argv:?}: {e}: run image/setup.sh soak"));
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts a server and waits until `good` is good.
async fn start((folder, address): (PathBuf, SocketAddr), argv: &[&str], good: &ProbeKind) -> Real {
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
async fn streams(real: Real, good: ProbeKind, bad: Vec<ProbeKind>) {
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
    assert_eq!(probe(address, good, GENEROUS).await, Err("connection refused".into()));
}

/// The same for datagrams: what they lose, they lose whole.
async fn datagrams(real: Real, good: ProbeKind, bad: Vec<ProbeKind>) {
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

fn login(user: &str, password: &str) -> Option<Login> {
    Some(Login { user: Some(user.parse().unwrap()), password: Some(password.parse().unwrap()) })
}

fn with_login(question: Question, user: &str, password: &str) -> ProbeKind {
    named(Check { question, login: login(user, password), ..Check::default() })
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn exim_greets_by_smtp() {
    let at = place("exim").await;
    let conf = write(
        &at.0,
        "exim.conf",
        &format!(
            "primary_hostname = mail.example.org\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {}\n\
             spool_directory = DIR/spool\nlog_file_path = DIR/log-%s\ntls_advertise_hosts =\nhost_lookup =\n\
             keep_environment =\nrfc1413_query_timeout = 0s\n",
            at.1.port()
        ),
    );
    let good = named(Check { question: Question::Smtp, ..Check::default() });
    let smtp = director_core::model::check::Smtp { starttls: true, ..Default::default() };
    let unsafe_line = named(Check { question: Question::Smtp, smtp: Some(smtp), ..Check::default() });
    let argv = ["/usr/sbin/exim4", "-bdf", "-C", conf.to_str().unwrap(), "-oP", "DIR/pid"];
    let real = start(at, &argv, &good).await;
    streams(real, good, vec![unsafe_line]).await;
}

async fn dovecot(question: Question) {
    let at = place(if question == Question::Imap { "imap" } else { "pop3" }).await;
    let (internal, untrusted) = if root() {
        ("dovecot".to_owned(), "dovenull".to_owned())
    } else {
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        (me.clone(), me)
    };
    let uid = if root() { 65534 } else { nix::unistd::geteuid().as_raw() };
    let (imap, pop3) = if question == Question::Imap { (at.1.port(), 0) } else { (0, at.1.port()) };
    let conf = write(
        &at.0,
        "dovecot.conf",
        &format!(
            "base_dir = DIR/run\nlog_path = DIR/log\nssl = no\ndisable_plaintext_auth = no\nprotocols = imap pop3\n\
             listen = 127.0.0.1\ndefault_internal_user = {internal}\ndefault_login_user = {untrusted}\nfirst_valid_uid = 1\n\
             auth_failure_delay = 0\n\
             passdb {{\n driver = static\n args = password=sesame\n}}\n\
             userdb {{\n driver = static\n args = uid={uid} gid={uid} home=DIR/home\n}}\n\
             mail_location = maildir:DIR/mail\nservice anvil {{\n chroot =\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n\
             service pop3-login {{\n chroot =\n inet_listener pop3 {{\n port = {pop3}\n }}\n inet_listener pop3s {{\n port = 0\n }}\n}}\n"
        ),
    );
    let good = with_login(question, "bob", "sesame");
    let bad = vec![with_login(question, "bob", "guess")];
    let real = start(at, &["/usr/sbin/dovecot", "-F", "-c", conf.to_str().unwrap()], &good).await;
    streams(real, good, bad).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn dovecot_lets_in_by_imap() {
    dovecot(Question::Imap).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn dovecot_lets_in_by_pop3() {
    dovecot(Question::Pop3).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn slapd_binds_and_finds() {
    let at = place("slapd").await;
    std::fs::create_dir_all(at.0.join("db")).unwrap();
    let conf = write(
        &at.0,
        "slapd.conf",
        "include /etc/ldap/schema/core.schema\npidfile DIR/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
         database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\nrootpw sesame\ndirectory DIR/db\n",
    );
    let ldif =
        "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n";
    write(&at.0, "start.ldif", ldif);
    run(&at.0, &["/usr/sbin/slapadd", "-f", conf.to_str().unwrap(), "-l", "DIR/start.ldif"]);
    let ask = |password: &str, base: &str| {
        let ldap = Ldap { base: Some(base.parse().unwrap()), filter: None };
        let login = login("cn=admin,dc=example,dc=org", password);
        named(Check { question: Question::Ldap, ldap: Some(ldap), login, ..Check::default() })
    };
    let good = ask("sesame", "dc=example,dc=org");
    let bad = vec![ask("guess", "dc=example,dc=org"), ask("sesame", "ou=nobody,dc=example,dc=org")];
    let real = start(
        at,
        &["/usr/sbin/slapd", "-d", "0", "-h", "ldap://127.0.0.1:PORT/", "-f", "DIR/slapd.conf"],
        &good,
    )
    .await;
    streams(real, good, bad).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn mariadb_lets_in() {
    let at = place("mariadb").await;
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let user = format!("--user={me}");
    write(&at.0, "init.sql", "CREATE USER 'probe'@'%' IDENTIFIED BY 'sesame';\n");
    run(
        &at.0,
        &[
            "/usr/bin/mariadb-install-db",
            "--no-defaults",
            &user,
            "--datadir=DIR/data",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ],
    );
    let ask = |user: &str, password: &str| {
        let sql = Some(Sql::default());
        named(Check { question: Question::Mysql, login: login(user, password), sql, ..Check::default() })
    };
    let good = ask("probe", "sesame");
    let real = start(
        at,
        &[
            "/usr/sbin/mariadbd",
            "--no-defaults",
            &user,
            "--datadir=DIR/data",
            "--socket=DIR/socket",
            "--bind-address=127.0.0.1",
            "--port=PORT",
            "--init-file=DIR/init.sql",
            "--pid-file=DIR/pid",
            "--skip-name-resolve",
        ],
        &good,
    )
    .await;
    streams(real, good, vec![ask("probe", "guess"), ask("nobody", "sesame")]).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn postgresql_lets_in() {
    let at = place("postgresql").await;
    let bin = std::fs::read_dir("/usr/lib/postgresql").expect("run image/setup.sh soak");
    let bin = bin.flatten().map(|entry| entry.path().join("bin")).max().unwrap();
    // It refuses to run as root.
    let as_user: &[&str] = if root() { &["runuser", "-u", "postgres", "--"] } else { &[] };
    write(&at.0, "password", "sesame\n");
    let (initdb, server) = (bin.join("initdb"), bin.join("postgres"));
    let prepare =
        [initdb.to_str().unwrap(), "-D", "DIR/data", "-A", "md5", "-U", "probe", "--pwfile=DIR/password"];
    run(&at.0, &[as_user, &prepare].concat());
    let good = with_login(Question::Postgresql, "probe", "sesame");
    let bad = vec![with_login(Question::Postgresql, "probe", "guess")];
    let argv = [server.to_str().unwrap(), "-D", "DIR/data", "-h", "127.0.0.1", "-p", "PORT", "-k", "DIR"];
    let real = start(at, &[as_user, &argv].concat(), &good).await;
    streams(real, good, bad).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn unbound_resolves() {
    let at = place("unbound").await;
    write(
        &at.0,
        "unbound.conf",
        &format!(
            "server:\n interface: 127.0.0.1@{}\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"DIR\"\n\
             pidfile: \"DIR/pid\"\n use-syslog: no\n logfile: \"DIR/log\"\n local-zone: \"example.org.\" static\n\
             local-data: \"www.example.org. A 192.0.2.7\"\nremote-control:\n control-enable: no\n",
            at.1.port()
        ),
    );
    let ask = |name: &str, answer: &str| {
        let dns = Dns {
            name: Some(name.parse().unwrap()),
            answer: Some(answer.parse().unwrap()),
            ..Dns::default()
        };
        named(Check { question: Question::Dns, dns: Some(dns), ..Check::default() })
    };
    let good = ask("www.example.org", "192.0.2.7");
    let bad = vec![ask("www.example.org", "192.0.2.8"), ask("no.example.org", "192.0.2.7")];
    let real = start(at, &["/usr/sbin/unbound", "-d", "-c", "DIR/unbound.conf"], &good).await;
    datagrams(real, good, bad).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn freeradius_accepts() {
    let at = place("freeradius").await;
    // It takes no configuration that others could change.
    std::fs::set_permissions(&at.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    write(&at.0, "dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n");
    write(&at.0, "users", "bob Cleartext-Password := \"sesame\"\n");
    write(
        &at.0,
        "radiusd.conf",
        &format!(
            "prefix = /usr\nlibdir = /usr/lib/freeradius\nlogdir = DIR\nrun_dir = DIR\nname = radiusd\n\
             log {{\n destination = stdout\n}}\nsecurity {{\n reject_delay = 0\n}}\n\
             modules {{\n pap {{\n }}\n files {{\n usersfile = DIR/users\n }}\n}}\n\
             client localhost {{\n ipaddr = 127.0.0.1\n secret = s3cret\n}}\n\
             server default {{\n listen {{\n type = auth\n ipaddr = 127.0.0.1\n port = {}\n }}\n\
             authorize {{\n files\n pap\n }}\n authenticate {{\n pap\n }}\n}}\n",
            at.1.port()
        ),
    );
    let ask = |secret: &str, password: &str, reject_is_good| {
        let radius = Some(Radius { secret: Some(secret.parse().unwrap()), reject_is_good });
        let login = login("bob", password);
        named(Check { question: Question::Radius, radius, login, ..Check::default() })
    };
    let good = ask("s3cret", "sesame", false);
    let real =
        start(at, &["/usr/sbin/freeradius", "-f", "-d", "DIR", "-n", "radiusd", "-l", "stdout"], &good).await;
    assert_eq!(probe(real.address, ask("s3cret", "guess", true), GENEROUS).await, Ok(()));
    datagrams(real, good, vec![ask("s3cret", "guess", false)]).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn chrony_knows_the_time() {
    let at = place("chrony").await;
    write(
        &at.0,
        "chrony.conf",
        &format!(
            "port {}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 3\ncmdport 0\nbindcmdaddress /\npidfile DIR/pid\n",
            at.1.port()
        ),
    );
    let good = named(Check { question: Question::Ntp, ..Check::default() });
    // -x: it never touches the clock of this machine.
    let argv: &[&str] = if root() { &["-u", "root"] } else { &["-U"] };
    let argv = [&["/usr/sbin/chronyd", "-x", "-d", "-f", "DIR/chrony.conf"], argv].concat();
    let real = start(at, &argv, &good).await;
    datagrams(real, good, Vec::new()).await;
}

#[tokio::test]
#[ignore = "make soak ONLY=servers"]
async fn sipp_answers_options() {
    let at = place("sipp").await;
    write(
        &at.0,
        "uas.xml",
        "<?xml version=\"1.0\"?>\n<scenario name=\"options\">\n<recv request=\"OPTIONS\"/>\n<send><![CDATA[\n\
         SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n\
         Content-Length: 0\n\n]]></send>\n</scenario>\n",
    );
    let good = named(Check { question: Question::Sip, ..Check::default() });
    let argv = ["/usr/bin/sipp", "-sf", "DIR/uas.xml", "-i", "127.0.0.1", "-p", "PORT", "-nostdin"];
    let real = start(at, &argv, &good).await;
    datagrams(real, good, Vec::new()).await;
}
