//! The shell against real servers on loopback, and against servers that misbehave in every way.
//!
//! The programs come from Debian packages that image/setup.sh installs. What is done to each is in `real.rs`.

use super::real::{
    Real, Wrap, certificate, contained, datagrams, place, run, start, streams, with_login, write,
};
use super::tests::{GENEROUS, SHORT, listen, named, outcome, probe, words};
use super::*;
use director_core::health::ProbeKind;
use director_core::model::check::{Certificate, Check, Dns, HttpProbe, Login, Question, Smtp, Tls};
use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::net::{TcpListener, UdpSocket};

/// nginx, which waits in the foreground; `listen` is what stands behind its address.
async fn nginx(at: (PathBuf, SocketAddr), listen: &str, pages: &str) -> Real {
    let address = at.1;
    write(
        &at.0,
        "nginx.conf",
        &format!(
            "daemon off; pid DIR/pid; error_log DIR/error.log; worker_processes 1; events {{}}\n\
             http {{ access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c;\n\
             uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;\n\
             server {{ listen {address} {listen}; server_name www.example.org; {pages} }} }}\n"
        ),
    );
    start(at, &["/usr/sbin/nginx", "-c", "DIR/nginx.conf", "-p", "DIR"], &ProbeKind::Tcp).await
}

const INSIDE_TLS: &str = "ssl; ssl_certificate DIR/own.pem; ssl_certificate_key DIR/key";
const PAGES: &str = "location = /health { return 200 'all is well'; } location = /login { return 401; } location / { return 503; }";

fn page(path: &str, body: &str) -> Check {
    let http = HttpProbe {
        path: Some(path.parse().unwrap()),
        host: Some("www.example.org".parse().unwrap()),
        body: Some(body.parse().unwrap()),
        ..HttpProbe::default()
    };
    Check { question: Question::Http, http: Some(http), ..Check::default() }
}

#[test]
fn nginx_is_asked_for_a_page_in_clear_and_inside_tls() {
    contained("real_tests::nginx_is_asked_for_a_page_in_clear_and_inside_tls", async {
        for wrap in [Wrap::Clear, Wrap::Tls] {
            let at = place(&format!("nginx-{wrap:?}")).await;
            certificate(&at.0);
            let server = nginx(at, if wrap == Wrap::Tls { INSIDE_TLS } else { "" }, PAGES).await;
            assert_eq!(probe(server.address, ProbeKind::Tcp, GENEROUS).await, Ok(()));
            let why = words(probe(server.address, wrap.around(page("/health", "sick")), GENEROUS).await);
            assert_eq!(why, "answered \"all is well\", wanted the text \"sick\"");
            let why = words(probe(server.address, wrap.around(page("/other", "well")), GENEROUS).await);
            assert_eq!(why, "status 503, wanted 200-299");
            let mut login = page("/login", "401");
            login.http.as_mut().unwrap().status = "200-299,401".parse().unwrap();
            assert_eq!(probe(server.address, wrap.around(login), GENEROUS).await, Ok(()));
            let bad = vec![wrap.around(page("/login", "well"))];
            streams(server, wrap.around(page("/health", "well")), bad).await;
        }
    });
}

/// A certificate signed by an authority: `own.pem`, `key`, `chain.pem`, and the fingerprints of both.
fn signed(folder: &Path) -> [String; 2] {
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
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
    [print("own.pem"), print("ca.pem")]
}

async fn nginx_must_be_who_it_should_be() {
    let at = place("nginx-who").await;
    let [own, authority] = signed(&at.0);
    let tls = "ssl default_server; ssl_certificate DIR/chain.pem; ssl_certificate_key DIR/key";
    let server = nginx(at, tls, "location / { return 200 'name $ssl_server_name'; }").await;
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
    let handshake = named(Check { tls: tls.clone(), ..Check::default() });
    assert_eq!(probe(server.address, handshake, GENEROUS).await, Ok(()));
    let clear = named(Check { question: Question::Http, ..Check::default() });
    assert!(words(probe(server.address, clear, GENEROUS).await).contains("status 400"));
    let plain = nginx(place("nginx-plain").await, "", PAGES).await;
    let why = words(probe(plain.address, named(Check { tls, ..Check::default() }), GENEROUS).await);
    assert!(why.starts_with("TLS: not TLS: answered \"HTTP/1.1 400"), "{why}");
}

#[test]
fn nginx_inside_tls_must_be_who_it_should_be() {
    contained("real_tests::nginx_inside_tls_must_be_who_it_should_be", nginx_must_be_who_it_should_be());
}

#[test]
fn dnsmasq_is_asked_for_a_name() {
    contained("real_tests::dnsmasq_is_asked_for_a_name", async {
        let name = |name: &str, answer: &str| {
            let (name, answer) = (Some(name.parse().unwrap()), Some(answer.parse().unwrap()));
            let dns = Dns { name, answer, ..Dns::default() };
            named(Check { question: Question::Dns, dns: Some(dns), ..Check::default() })
        };
        let argv = "/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user= \
                    --group= --listen-address=127.0.0.1 --address=/www.example.org/192.0.2.7 --port=PORT --pid-file=DIR/pid";
        let argv: Vec<&str> = argv.split_whitespace().collect();
        let good = name("www.example.org", "192.0.2.7");
        let server = start(place("dnsmasq").await, &argv, &good).await;
        let bad = vec![name("www.example.org", "192.0.2.8"), name("www.example.net", "192.0.2.7")];
        datagrams(server, good, bad).await;
    });
}

#[test]
fn redis_is_pinged_with_its_password_only() {
    contained("real_tests::redis_is_pinged_with_its_password_only", async {
        let ping = |password: &str| {
            let login = Login { user: None, password: Some(password.parse().unwrap()) };
            named(Check { question: Question::Redis, login: Some(login), ..Check::default() })
        };
        let at = place("redis").await;
        // One program for all its names; the package with the name redis-server would bring a service.
        run(&at.0, &["ln", "-sf", "/usr/bin/redis-check-rdb", "DIR/redis-server"]);
        let argv =
            "DIR/redis-server --bind 127.0.0.1 --save EMPTY --requirepass sesame --port PORT --dir DIR";
        let argv: Vec<&str> = argv.split(' ').map(|word| if word == "EMPTY" { "" } else { word }).collect();
        let server = start(at, &argv, &ping("sesame")).await;
        let nobody = named(Check { question: Question::Redis, ..Check::default() });
        streams(server, ping("sesame"), vec![ping("guess"), nobody]).await;
    });
}

async fn vsftpd(wrap: Wrap) {
    let at = place(&format!("vsftpd-{wrap:?}")).await;
    certificate(&at.0);
    std::fs::create_dir_all(at.0.join("empty")).unwrap();
    let implicit = if wrap == Wrap::Tls { "YES" } else { "NO" };
    let port = at.1.port();
    write(
        &at.0,
        "vsftpd.conf",
        &format!(
            "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nrun_as_launching_user=YES\n\
             secure_chroot_dir=DIR/empty\nanonymous_enable=NO\nlocal_enable=YES\nseccomp_sandbox=NO\nxferlog_enable=NO\n\
             ssl_enable=YES\nimplicit_ssl={implicit}\nforce_local_logins_ssl=NO\nssl_ciphers=HIGH\n\
             rsa_cert_file=DIR/own.pem\nrsa_private_key_file=DIR/key\n"
        ),
    );
    let greeting = wrap.around(Check { question: Question::Ftp, ..Check::default() });
    let server = start(at, &["/usr/sbin/vsftpd", "DIR/vsftpd.conf"], &greeting).await;
    let wrong = wrap.around(with_login(Question::Ftp, "nobody", "guess"));
    let why = words(probe(server.address, wrong.clone(), GENEROUS).await);
    assert!(why.contains("530"), "{why}");
    streams(server, greeting, vec![wrong]).await;
}

#[test]
fn vsftpd_greets_and_refuses_a_wrong_login_in_clear_inside_tls_and_after_auth_tls() {
    let name = "real_tests::vsftpd_greets_and_refuses_a_wrong_login_in_clear_inside_tls_and_after_auth_tls";
    contained(name, async {
        for wrap in Wrap::ALL {
            vsftpd(wrap).await;
        }
    });
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
