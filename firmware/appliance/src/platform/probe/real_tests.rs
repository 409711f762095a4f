//! The shell against real servers on loopback, and against servers that misbehave in every way.
//!
//! The programs come from Debian packages that image/setup.sh installs. Each says by itself when it listens: nginx and
//! dnsmasq go into the background only then, redis writes a line.

use super::tests::{GENEROUS, SHORT, listen, named, outcome, probe, words};
use super::*;
use director_core::health::ProbeKind;
use director_core::model::check::{Certificate, Check, Dns, HttpProbe, Question, Smtp, Tls};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::net::{TcpListener, UdpSocket};

/// Ends with the test; its folder goes with it.
struct Server {
    address: SocketAddr,
    folder: PathBuf,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Best effort: the test has its verdict already.
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
        if let Ok(pid) = std::fs::read_to_string(self.folder.join("pid"))
            && let Ok(pid) = pid.trim().parse()
        {
            let _ended =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A folder of its own, and a port that was free a moment ago.
async fn place(name: &str) -> (PathBuf, SocketAddr) {
    let folder = std::env::temp_dir().join(format!("director-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (_, address) = listen().await;
    (folder, address)
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}: run image/setup.sh"));
    assert!(status.success(), "{command:?}: {status}");
}

async fn nginx() -> Server {
    let (folder, address) = place("nginx").await;
    let root = folder.display();
    let text = format!(
        "pid {root}/pid; error_log {root}/error.log; worker_processes 1; events {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
         server {{ listen {address}; server_name www.example.org; location = /health {{ return 200 'all is well'; }}\n\
         location / {{ return 503; }} }} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    run(Command::new("/usr/sbin/nginx").arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(&folder));
    Server { address, folder, child: None }
}

/// A web server inside TLS, and the fingerprints of its certificate and of the authority that signed it.
async fn nginx_tls() -> (Server, [String; 2]) {
    let (folder, address) = place("nginx-tls").await;
    let root = folder.display();
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&folder).output();
        let output = output.unwrap_or_else(|e| panic!("openssl: {e}: run image/setup.sh"));
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().rsplit('=').next().unwrap_or_default().replace(':', "")
    };
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    std::fs::write(folder.join("ext"), "subjectAltName=DNS:www.example.org\n").unwrap();
    openssl(&format!("req -x509 {ec} -keyout ca.key -out ca.pem -days 90 -subj /CN=ca"));
    openssl(&format!("req {ec} -keyout key -out csr -subj /CN=www"));
    openssl("x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -out own.pem -days 10 -extfile ext");
    let pem = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    std::fs::write(folder.join("chain.pem"), pem("own.pem") + &pem("ca.pem")).unwrap();
    let print = |name: &str| openssl(&format!("x509 -in {name} -noout -fingerprint -sha256")).to_lowercase();
    let prints = [print("own.pem"), print("ca.pem")];
    let text = format!(
        "pid {root}/pid; error_log {root}/error.log; worker_processes 1; events {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
         server {{ listen {address} ssl default_server; ssl_certificate {root}/chain.pem; ssl_certificate_key {root}/key;\n\
         location / {{ return 200 'name $ssl_server_name'; }} }} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    run(Command::new("/usr/sbin/nginx").arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(&folder));
    (Server { address, folder, child: None }, prints)
}

async fn dnsmasq() -> Server {
    let (folder, address) = place("dnsmasq").await;
    run(Command::new("/usr/sbin/dnsmasq")
        .args([
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--user=",
            "--group=",
        ])
        .args(["--listen-address=127.0.0.1", "--address=/www.example.org/192.0.2.7"])
        .arg(format!("--port={}", address.port()))
        .arg(format!("--pid-file={}/pid", folder.display())));
    Server { address, folder, child: None }
}

async fn redis() -> Server {
    let (folder, address) = place("redis").await;
    // One program for all its names; the package with the name redis-server would bring a service.
    let program = Path::new("/usr/bin/redis-check-rdb");
    let mut child = Command::new(program)
        .arg0("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--requirepass", "sesame"])
        .arg("--port")
        .arg(address.port().to_string())
        .arg("--dir")
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}: run image/setup.sh", program.display()));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
    let server = Server { address, folder, child: Some(child) };
    assert!(ready, "redis ended before it listened");
    server
}

#[tokio::test]
async fn nginx_is_asked_for_a_page() {
    let server = nginx().await;
    let page = |path: &str, body: &str| {
        let http = HttpProbe {
            path: Some(path.parse().unwrap()),
            host: Some("www.example.org".parse().unwrap()),
            body: Some(body.parse().unwrap()),
            ..HttpProbe::default()
        };
        named(Check { question: Question::Http, http: Some(http), ..Check::default() })
    };
    assert_eq!(probe(server.address, ProbeKind::Tcp, GENEROUS).await, Ok(()));
    assert_eq!(probe(server.address, page("/health", "well"), GENEROUS).await, Ok(()));
    let why = words(probe(server.address, page("/health", "sick"), GENEROUS).await);
    assert_eq!(why, "answered \"all is well\", wanted the text \"sick\"");
    let why = words(probe(server.address, page("/other", "well"), GENEROUS).await);
    assert!(why.contains("503"), "{why}");
}

#[tokio::test]
async fn nginx_is_asked_for_a_page_inside_tls_and_must_be_who_it_should_be() {
    let (server, [own, authority]) = nginx_tls().await;
    let page = |certificate, fingerprint: Option<&str>, sni: Option<&str>, body: &str| {
        let tls = Tls {
            sni: sni.map(|name| name.parse().unwrap()),
            certificate,
            fingerprint: fingerprint.map(|text| text.parse().unwrap()),
            ..Tls::default()
        };
        let http = HttpProbe { body: Some(body.parse().unwrap()), ..HttpProbe::default() };
        named(Check { question: Question::Http, http: Some(http), tls: Some(tls), ..Check::default() })
    };
    let www = Some("www.example.org");
    let good = page(Certificate::Any, None, www, r"name\swww.example.org");
    let seen = outcome(server.address, good, GENEROUS).await;
    assert_eq!(seen.result, Ok(()));
    let transcript = seen.transcript.unwrap();
    assert!(transcript.starts_with("- TLS begins\n- TLS is open\n> GET / HTTP/1.1"), "{transcript}");
    let left_days = seen.learned.certificate_left_s.unwrap() / 86_400;
    assert!((9..=10).contains(&left_days), "{left_days}");
    for (certificate, fingerprint) in [(Certificate::Pin, &own), (Certificate::Ca, &authority)] {
        let good = page(certificate, Some(fingerprint), www, "name");
        assert_eq!(probe(server.address, good, GENEROUS).await, Ok(()), "{certificate:?}");
    }
    let other = page(Certificate::Pin, Some(&authority), None, "name");
    let why = words(probe(server.address, other, GENEROUS).await);
    assert!(why.starts_with("TLS: another certificate: "), "{why}");
    let stranger = page(Certificate::Ca, Some(&authority), Some("mail.example.org"), "name");
    let why = words(probe(server.address, stranger, GENEROUS).await);
    assert_eq!(why, "TLS: the certificate is not for mail.example.org");
    // A handshake is all that tcp asks for.
    let tls = Some(Tls::default());
    assert_eq!(
        probe(server.address, named(Check { tls: tls.clone(), ..Check::default() }), GENEROUS).await,
        Ok(())
    );
    let clear = named(Check { question: Question::Http, ..Check::default() });
    assert!(words(probe(server.address, clear, GENEROUS).await).contains("status 400"));
    let plain = nginx().await;
    let why = words(probe(plain.address, named(Check { tls, ..Check::default() }), GENEROUS).await);
    assert!(why.starts_with("TLS: not TLS: answered \"HTTP/1.1 400"), "{why}");
}

#[tokio::test]
async fn dnsmasq_is_asked_for_a_name() {
    let server = dnsmasq().await;
    let name = |name: &str, answer: Option<&str>| {
        let dns = Dns {
            name: Some(name.parse().unwrap()),
            answer: answer.map(|text| text.parse().unwrap()),
            ..Dns::default()
        };
        named(Check { question: Question::Dns, dns: Some(dns), ..Check::default() })
    };
    assert_eq!(probe(server.address, name("www.example.org", Some("192.0.2.7")), GENEROUS).await, Ok(()));
    let wrong = probe(server.address, name("www.example.org", Some("192.0.2.8")), GENEROUS).await;
    assert!(wrong.is_err());
    let refused = probe(server.address, name("www.example.net", Some("192.0.2.7")), GENEROUS).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn redis_is_pinged_with_its_password_only() {
    let server = redis().await;
    let ping = |password: &str| {
        let login =
            director_core::model::check::Login { user: None, password: Some(password.parse().unwrap()) };
        named(Check { question: Question::Redis, login: Some(login), ..Check::default() })
    };
    assert_eq!(probe(server.address, ping("sesame"), GENEROUS).await, Ok(()));
    assert!(probe(server.address, ping("guess"), GENEROUS).await.is_err());
    let nobody = named(Check { question: Question::Redis, ..Check::default() });
    assert!(probe(server.address, nobody, GENEROUS).await.is_err());
}

async fn vsftpd() -> Server {
    let (folder, address) = place("vsftpd").await;
    let empty = folder.join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\nrun_as_launching_user=YES\n\
         secure_chroot_dir={}\nanonymous_enable=NO\nlocal_enable=YES\nseccomp_sandbox=NO\nxferlog_enable=NO\n",
        address.port(),
        empty.display()
    );
    std::fs::write(folder.join("vsftpd.conf"), text).unwrap();
    let child = Command::new("/usr/sbin/vsftpd")
        .arg(folder.join("vsftpd.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("vsftpd: {e}: run image/setup.sh"));
    let mut server = Server { address, folder, child: Some(child) };
    // It says nothing when it listens.
    while tokio::net::TcpStream::connect(address).await.is_err() {
        let ended = server.child.as_mut().unwrap().try_wait().unwrap();
        assert!(ended.is_none(), "vsftpd ended before it listened: {ended:?}");
        tokio::task::yield_now().await;
    }
    server
}

#[tokio::test]
async fn vsftpd_greets_and_refuses_a_login_that_is_wrong() {
    let server = vsftpd().await;
    let greeting = named(Check { question: Question::Ftp, ..Check::default() });
    assert_eq!(probe(server.address, greeting, GENEROUS).await, Ok(()));
    let login = director_core::model::check::Login {
        user: Some("nobody".parse().unwrap()),
        password: Some("guess".parse().unwrap()),
    };
    let wrong = named(Check { question: Question::Ftp, login: Some(login), ..Check::default() });
    let why = words(probe(server.address, wrong, GENEROUS).await);
    assert!(why.contains("530"), "{why}");
}

/// How a server misbehaves once it has accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Hangs,
    Garbage,
    ByteByByte,
    ClosesEarly,
}

/// Accepts one connection and misbehaves until the other side has gone.
async fn misbehave(listener: TcpListener, fault: Fault) {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    match fault {
        Fault::ClosesEarly => return,
        Fault::Hangs => {}
        Fault::Garbage => drop(stream.write_all(&[0xff, 0, b'\n', 0x16, 3, b'\r', b'\n', b'?']).await),
        // Never a whole line; it ends when the other side does.
        Fault::ByteByByte => while stream.write_all(b"1").await.is_ok() {},
    }
    let mut taken = [0; 256];
    while stream.read(&mut taken).await.is_ok_and(|n| n > 0) {}
}

#[tokio::test]
async fn every_dialogue_with_a_server_that_misbehaves_ends_in_time_and_without_a_good_verdict() {
    let streams = [
        Question::Http,
        Question::Smtp,
        Question::Pop3,
        Question::Imap,
        Question::Ftp,
        Question::Nntp,
        Question::Redis,
        Question::Ldap,
        Question::Mysql,
        Question::Postgresql,
    ];
    for question in streams {
        for fault in [Fault::Hangs, Fault::Garbage, Fault::ByteByByte, Fault::ClosesEarly] {
            for tls in [None, Some(Tls::default())] {
                let (listener, address) = listen().await;
                let server = tokio::spawn(misbehave(listener, fault));
                let smtp = Some(Smtp { helo: None, starttls: question == Question::Smtp && tls.is_some() });
                let kind = named(Check { question, tls, smtp, ..Check::default() });
                let result = probe(address, kind.clone(), SHORT).await;
                assert!(matches!(result, Err(Failure::Server(_))), "{question:?} {fault:?}: {result:?}");
                server.await.unwrap();
                // Nobody listens any more.
                assert_eq!(words(probe(address, kind, GENEROUS).await), "connection refused");
            }
        }
    }
}

#[tokio::test]
async fn every_datagram_question_ends_in_time_when_nothing_or_nonsense_comes_back() {
    for question in [Question::Dns, Question::Ntp, Question::Radius, Question::Sip] {
        for garbage in [false, true] {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let kind = named(Check { question, ..Check::default() });
            let server = async {
                let mut taken = [0; 2048];
                let (_, from) = socket.recv_from(&mut taken).await.unwrap();
                if garbage {
                    socket.send_to(b"\xff\x00nonsense", from).await.unwrap();
                }
                // Open until the run is over: a closed port would answer with an ICMP error.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                result = probe(address, kind, SHORT) => assert!(result.is_err(), "{question:?} {garbage}"),
                () = server => {}
            }
        }
    }
}
