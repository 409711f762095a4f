//! Against `openssl s_server`: every version, suite, group and kind of key, and every policy.

extern crate std;

use crate::certificate::{Policy, fingerprint};
use crate::{Ask, Client, RANDOM_BYTES, Seen};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{format, vec};

const EC: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("director-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn openssl(&self, line: &str) {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A key, and a certificate that it signed itself: `NAME.key` and `NAME.pem`.
    fn own(&self, name: &str, kind: &str) {
        self.openssl(&format!(
            "req -x509 -newkey {kind} -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN={name}"
        ));
    }

    /// A certificate signed by another: `NAME.key`, `NAME.pem`, and `NAME.chain`, which sends the signer along.
    fn signed(&self, name: &str, kind: &str, by: &str, extensions: &str) {
        fs::write(self.0.join("ext"), extensions).unwrap();
        self.openssl(&format!("req -newkey {kind} -nodes -keyout {name}.key -out csr -subj /CN={name}"));
        self.openssl(&format!(
            "x509 -req -in csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -out {name}.pem -days 30 -extfile ext"
        ));
        let mut chain = fs::read_to_string(self.0.join(format!("{name}.pem"))).unwrap();
        let above = [format!("{by}.chain"), format!("{by}.pem")];
        let above = above.iter().find_map(|file| fs::read_to_string(self.0.join(file)).ok()).unwrap();
        chain.push_str(&above);
        fs::write(self.0.join(format!("{name}.chain")), chain).unwrap();
    }

    fn fingerprint(&self, name: &str) -> [u8; 32] {
        self.openssl(&format!("x509 -in {name}.pem -outform der -out der"));
        fingerprint(&fs::read(self.0.join("der")).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Answers a request with a page of the state of the connection, like a web server.
fn serve(folder: &Path, name: &str, more: &str) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let chain = format!("{name}.chain");
    let chain = if folder.join(&chain).exists() { chain } else { format!("{name}.pem") };
    let line = format!(
        "s_server -www -accept 127.0.0.1:{port} -key {name}.key -cert {name}.pem -cert_chain {chain} {more}"
    );
    let mut child = Command::new("openssl")
        .args(line.trim().split(' '))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = Server { port, child };
    assert!(lines.map_while(Result::ok).any(|line| line == "ACCEPT"), "{line}");
    server
}

fn ask(name: Option<&str>, policy: Policy) -> Ask {
    let mut random = [0; RANDOM_BYTES];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    #[expect(clippy::disallowed_methods, reason = "certificates made just now must be valid")]
    let unix_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Ask { name: name.map(str::to_string), policy, unix_s: Some(unix_s), random }
}

/// Asks for a page, `piece` bytes at a time.
fn page(port: u16, ask: Ask, piece: usize) -> Result<(String, Option<Seen>), String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut client, first) = Client::new(ask);
    stream.write_all(&first).unwrap();
    let (mut plain, mut asked) = (Vec::new(), false);
    let mut buffer = vec![0; piece];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        let mut out = Vec::new();
        client.feed(&buffer[..count], &mut plain, &mut out)?;
        if client.is_open() && !asked {
            asked = true;
            out.extend(client.send(b"GET / HTTP/1.0\r\n\r\n"));
        }
        stream.write_all(&out).unwrap();
        if count == 0 || client.ended() {
            return Ok((String::from_utf8(plain).unwrap(), client.certificate()));
        }
    }
}

#[test]
fn every_suite_and_group_of_both_versions_works_byte_by_byte_too() {
    let folder = Folder::new("suites");
    folder.own("rsa", "rsa:2048");
    folder.own("ec", EC);
    for (name, more) in [
        ("rsa", "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256"),
        ("rsa", "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384"),
        ("ec", "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
        ("ec", "-tls1_3 -groups P-256"),
        ("ec", "-tls1_3 -groups P-384"),
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256"),
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384"),
        ("rsa", "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305"),
        ("ec", "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256 -groups P-256"),
        ("ec", "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384 -groups X25519"),
        ("ec", "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("rsa", "-tls1_2 -groups P-384"),
        // A wish for a certificate of ours; tickets.
        ("rsa", "-tls1_3 -verify 1 -num_tickets 4"),
        ("rsa", "-tls1_2 -verify 1"),
    ] {
        let server = serve(&folder.0, name, more);
        let pin = Policy::Pin(folder.fingerprint(name));
        for (policy, piece) in [(Policy::Any, 1), (pin, 4096)] {
            let (text, seen) =
                page(server.port, ask(None, policy), piece).unwrap_or_else(|why| panic!("{more}: {why}"));
            assert!(text.starts_with("HTTP/1.0 200 ok"), "{more}: {text:?}");
            assert_eq!(seen.unwrap().fingerprint, folder.fingerprint(name), "{more}");
        }
        let other = Policy::Pin([7; 32]);
        let why = page(server.port, ask(None, other), 4096).unwrap_err();
        assert!(why.starts_with("another certificate: "), "{why}");
    }
}

#[test]
fn every_kind_of_key_proves_itself() {
    let folder = Folder::new("keys");
    for (name, kind) in [
        ("rsa3072", "rsa:3072"),
        ("rsa2049", "rsa:2049"),
        ("p256", EC),
        ("p384", "ec -pkeyopt ec_paramgen_curve:P-384"),
        ("ed25519", "ed25519"),
    ] {
        folder.own(name, kind);
        for version in ["-tls1_2", "-tls1_3"] {
            let server = serve(&folder.0, name, version);
            let pin = Policy::Pin(folder.fingerprint(name));
            let result = page(server.port, ask(None, pin), 4096);
            assert!(result.is_ok_and(|(text, _)| text.contains("200 ok")), "{name} {version}");
        }
    }
}

#[test]
fn an_authority_vouches_for_its_servers_and_for_nobody_else() {
    const CA: &str = "basicConstraints=critical,CA:true";
    const LEAF: &str = "basicConstraints=critical,CA:false\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:www.example.org,DNS:*.example.net";
    let folder = Folder::new("authority");
    folder.own("root", "ec -pkeyopt ec_paramgen_curve:P-384");
    folder.own("stranger", EC);
    folder.signed("middle", "rsa:2048", "root", CA);
    folder.signed("leaf", EC, "middle", LEAF);
    folder.signed("client", EC, "middle", "extendedKeyUsage=clientAuth");
    folder.signed("forged", EC, "leaf", LEAF);
    folder.signed("odd", EC, "root", "1.2.3.4=critical,ASN1:NULL");
    let root = folder.fingerprint("root");
    let cases = [
        ("leaf", root, Some("www.example.org"), None),
        ("leaf", root, Some("a.EXAMPLE.net"), None),
        ("leaf", root, None, None),
        ("leaf", folder.fingerprint("middle"), None, None),
        ("leaf", root, Some("a.b.example.net"), Some("the certificate is not for a.b.example.net")),
        ("leaf", root, Some("example.net"), Some("the certificate is not for example.net")),
        (
            "leaf",
            folder.fingerprint("stranger"),
            None,
            Some("the server does not send the certificate of the authority"),
        ),
        ("client", root, None, Some("the certificate is not for servers")),
        ("forged", root, None, Some("signed by a certificate that is no authority")),
        ("odd", root, None, Some("a certificate has a critical extension that is not known here")),
    ];
    for (server, authority, name, wrong) in cases {
        let running = serve(&folder.0, server, "");
        let result = page(running.port, ask(name, Policy::Authority(authority)), 4096);
        match wrong {
            None => assert!(result.is_ok(), "{server} {name:?}: {result:?}"),
            Some(words) => assert_eq!(result.unwrap_err(), words, "{server} {name:?}"),
        }
    }
    let running = serve(&folder.0, "leaf", "");
    let later = ask(None, Policy::Authority(root));
    let later = Ask { unix_s: later.unix_s.map(|now| now + 31 * 86_400), ..later };
    assert_eq!(page(running.port, later, 4096).unwrap_err(), "a certificate has expired");
}

#[test]
fn a_server_that_cannot_be_talked_to_is_told_in_words() {
    let folder = Folder::new("words");
    folder.own("ec", EC);
    for (more, words) in [
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "the server sent TLS alert 40, handshake failure"),
        ("-tls1_2 -groups P-521", "the server sent TLS alert 40, handshake failure"),
        ("-tls1_3 -groups P-521", "the server sent TLS alert 40, handshake failure"),
    ] {
        let server = serve(&folder.0, "ec", more);
        let why = page(server.port, ask(None, Policy::Any), 4096).unwrap_err();
        assert!(why.starts_with(words), "{more}: {why}");
    }
}
