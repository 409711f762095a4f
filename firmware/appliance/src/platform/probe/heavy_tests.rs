//! The shell against the real servers that are too heavy for every machine: `make soak ONLY=servers`, after
//! `image/setup.sh soak` has installed them. What is done to each is in `real.rs`.

use super::real::{
    READY, Wrap, apart, certificate, contained, datagrams, login, place, root, run, start, streams,
    with_login, write,
};
use super::tests::{GENEROUS, named, outcome, probe, words};
use director_core::health::load::Reading;
use director_core::health::{ProbeKind, Shared};
use director_core::model::check::{
    Check, Dns, Ldap, LoadMonitor, LoadSource, Question, Radius, RecordType, Sql,
};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

async fn exim(wrap: Wrap) {
    let at = place(&format!("exim-{wrap:?}")).await;
    certificate(&at.0);
    let port = at.1.port();
    let tls = match wrap {
        Wrap::Clear => "tls_advertise_hosts =\n".to_owned(),
        Wrap::Tls => format!("tls_on_connect_ports = {port}\n"),
        Wrap::StartTls => "tls_advertise_hosts = *\n".to_owned(),
    };
    let conf = write(
        &at.0,
        "exim.conf",
        &format!(
            "primary_hostname = mail.example.org\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\n\
             spool_directory = DIR/spool\nlog_file_path = DIR/log-%s\n{tls}tls_certificate = DIR/own.pem\n\
             tls_privatekey = DIR/key\nhost_lookup =\nkeep_environment =\nrfc1413_query_timeout = 0s\n"
        ),
    );
    let good = wrap.around(Check { question: Question::Smtp, ..Check::default() });
    let smtp = director_core::model::check::Smtp { starttls: true, ..Default::default() };
    let unsafe_line = named(Check { question: Question::Smtp, smtp: Some(smtp), ..Check::default() });
    let bad = if wrap == Wrap::StartTls { Vec::new() } else { vec![unsafe_line] };
    let argv = ["/usr/sbin/exim4", "-bdf", "-C", conf.to_str().unwrap(), "-oP", "DIR/pid"];
    let real = start(at, &argv, &good).await;
    streams(real, good, bad).await;
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn exim_greets_by_smtp_in_clear_inside_tls_and_after_starttls() {
    contained("heavy_tests::exim_greets_by_smtp_in_clear_inside_tls_and_after_starttls", async {
        for wrap in Wrap::ALL {
            exim(wrap).await;
        }
    });
}

async fn dovecot(question: Question, wrap: Wrap) {
    let at = place(&format!("{question:?}-{wrap:?}")).await;
    certificate(&at.0);
    let (internal, untrusted) = if root() {
        ("dovecot".to_owned(), "dovenull".to_owned())
    } else {
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        (me.clone(), me)
    };
    let uid = if root() { 65534 } else { nix::unistd::geteuid().as_raw() };
    let port = |of: Question, inside: bool| {
        if question == of && inside == (wrap == Wrap::Tls) { at.1.port() } else { 0 }
    };
    let (imap, imaps) = (port(Question::Imap, false), port(Question::Imap, true));
    let (pop3, pop3s) = (port(Question::Pop3, false), port(Question::Pop3, true));
    let conf = write(
        &at.0,
        "dovecot.conf",
        &format!(
            "base_dir = DIR/run\nlog_path = DIR/log\nssl = yes\nssl_cert = <DIR/own.pem\nssl_key = <DIR/key\ndisable_plaintext_auth = no\nprotocols = imap pop3\n\
             listen = 127.0.0.1\ndefault_internal_user = {internal}\ndefault_login_user = {untrusted}\nfirst_valid_uid = 1\n\
             auth_failure_delay = 0\n\
             passdb {{\n driver = static\n args = password=sesame\n}}\n\
             userdb {{\n driver = static\n args = uid={uid} gid={uid} home=DIR/home\n}}\n\
             mail_location = maildir:DIR/mail\nservice anvil {{\n chroot =\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = {imaps}\n ssl = yes\n }}\n}}\n\
             service pop3-login {{\n chroot =\n inet_listener pop3 {{\n port = {pop3}\n }}\n inet_listener pop3s {{\n port = {pop3s}\n ssl = yes\n }}\n}}\n"
        ),
    );
    let good = wrap.around(with_login(question, "bob", "sesame"));
    let bad = vec![wrap.around(with_login(question, "bob", "guess"))];
    let real = start(at, &["/usr/sbin/dovecot", "-F", "-c", conf.to_str().unwrap()], &good).await;
    streams(real, good, bad).await;
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn dovecot_lets_in_by_imap_in_clear_inside_tls_and_after_starttls() {
    contained("heavy_tests::dovecot_lets_in_by_imap_in_clear_inside_tls_and_after_starttls", async {
        for wrap in Wrap::ALL {
            dovecot(Question::Imap, wrap).await;
        }
    });
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn dovecot_lets_in_by_pop3_in_clear_inside_tls_and_after_starttls() {
    contained("heavy_tests::dovecot_lets_in_by_pop3_in_clear_inside_tls_and_after_starttls", async {
        for wrap in Wrap::ALL {
            dovecot(Question::Pop3, wrap).await;
        }
    });
}

async fn slapd(wrap: Wrap) {
    let at = place(&format!("slapd-{wrap:?}")).await;
    certificate(&at.0);
    std::fs::create_dir_all(at.0.join("db")).unwrap();
    let conf = write(
        &at.0,
        "slapd.conf",
        "include /etc/ldap/schema/core.schema\npidfile DIR/pid\nTLSCertificateFile DIR/own.pem\nTLSCertificateKeyFile DIR/key\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
         database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\nrootpw sesame\ndirectory DIR/db\n",
    );
    let ldif =
        "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n";
    write(&at.0, "start.ldif", ldif);
    run(&at.0, &["/usr/sbin/slapadd", "-f", conf.to_str().unwrap(), "-l", "DIR/start.ldif"]);
    let ask = |password: &str, base: &str| {
        let ldap = Ldap { base: Some(base.parse().unwrap()), filter: None };
        let login = login("cn=admin,dc=example,dc=org", password);
        wrap.around(Check { question: Question::Ldap, ldap: Some(ldap), login, ..Check::default() })
    };
    let good = ask("sesame", "dc=example,dc=org");
    let bad = vec![ask("guess", "dc=example,dc=org"), ask("sesame", "ou=nobody,dc=example,dc=org")];
    let place = if wrap == Wrap::Tls { "ldaps://127.0.0.1:PORT/" } else { "ldap://127.0.0.1:PORT/" };
    let real = start(at, &["/usr/sbin/slapd", "-d", "0", "-h", place, "-f", "DIR/slapd.conf"], &good).await;
    streams(real, good, bad).await;
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn slapd_binds_and_finds_in_clear_inside_tls_and_after_starttls() {
    contained("heavy_tests::slapd_binds_and_finds_in_clear_inside_tls_and_after_starttls", async {
        for wrap in Wrap::ALL {
            slapd(wrap).await;
        }
    });
}

async fn mariadb(wrap: Wrap) {
    let at = place(&format!("mariadb-{wrap:?}")).await;
    certificate(&at.0);
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
        wrap.around(Check {
            question: Question::Mysql,
            login: login(user, password),
            sql,
            ..Check::default()
        })
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
            "--ssl-cert=DIR/own.pem",
            "--ssl-key=DIR/key",
        ],
        &good,
    )
    .await;
    streams(real, good, vec![ask("probe", "guess"), ask("nobody", "sesame")]).await;
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn mariadb_lets_in_in_clear_and_inside_tls() {
    contained("heavy_tests::mariadb_lets_in_in_clear_and_inside_tls", async {
        mariadb(Wrap::Clear).await;
        mariadb(Wrap::Tls).await;
    });
}

async fn postgresql(wrap: Wrap) {
    let at = place(&format!("postgresql-{wrap:?}")).await;
    certificate(&at.0);
    // It takes no key that others can read.
    let mine = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(at.0.join("key"), mine).unwrap();
    if root() {
        run(&at.0, &["chown", "postgres", "DIR/key"]);
    }
    let bin = std::fs::read_dir("/usr/lib/postgresql").expect("run image/setup.sh soak");
    let bin = bin.flatten().map(|entry| entry.path().join("bin")).max().unwrap();
    // It refuses to run as root.
    let as_user: &[&str] = if root() { &["runuser", "-u", "postgres", "--"] } else { &[] };
    write(&at.0, "password", "sesame\n");
    let (initdb, server) = (bin.join("initdb"), bin.join("postgres"));
    let prepare =
        [initdb.to_str().unwrap(), "-D", "DIR/data", "-A", "md5", "-U", "probe", "--pwfile=DIR/password"];
    run(&at.0, &[as_user, &prepare].concat());
    let good = wrap.around(with_login(Question::Postgresql, "probe", "sesame"));
    let bad = vec![wrap.around(with_login(Question::Postgresql, "probe", "guess"))];
    let argv = [server.to_str().unwrap(), "-D", "DIR/data", "-h", "127.0.0.1", "-p", "PORT", "-k", "DIR"];
    let tls = ["-c", "ssl=on", "-c", "ssl_cert_file=DIR/own.pem", "-c", "ssl_key_file=DIR/key"];
    let real = start(at, &[as_user, &argv, &tls].concat(), &good).await;
    streams(real, good, bad).await;
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn postgresql_lets_in_in_clear_and_inside_tls() {
    contained("heavy_tests::postgresql_lets_in_in_clear_and_inside_tls", async {
        postgresql(Wrap::Clear).await;
        postgresql(Wrap::Tls).await;
    });
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn unbound_resolves() {
    contained("heavy_tests::unbound_resolves", async {
        let at = place("unbound").await;
        write(
            &at.0,
            "unbound.conf",
            &format!(
                "server:\n interface: 127.0.0.1@{}\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"DIR\"\n\
             pidfile: \"DIR/pid\"\n use-syslog: no\n logfile: \"DIR/log\"\n local-zone: \"example.org.\" static\n\
             local-data: \"www.example.org. A 192.0.2.7\"\n local-data: \"_sip._tcp.example.org. SRV 1 2 5060 www.example.org.\"\n\
             local-data-ptr: \"192.0.2.7 www.example.org\"\n local-data-ptr: \"2001:db8::7 www.example.org\"\nremote-control:\n control-enable: no\n",
                at.1.port()
            ),
        );
        let ask = |record, name: &str, answer: &str| {
            let (name, answer) = (Some(name.parse().unwrap()), Some(answer.parse().unwrap()));
            named(Check {
                question: Question::Dns,
                dns: Some(Dns { name, record, answer }),
                ..Check::default()
            })
        };
        let address = |name: &str, answer: &str| ask(RecordType::A, name, answer);
        let good = address("www.example.org", "192.0.2.7");
        let bad = vec![address("www.example.org", "192.0.2.8"), address("no.example.org", "192.0.2.7")];
        let real = start(at, &["/usr/sbin/unbound", "-d", "-c", "DIR/unbound.conf"], &good).await;
        for (record, name, answer) in [
            (RecordType::Ptr, "192.0.2.7", "www.example.org"),
            (RecordType::Ptr, "2001:db8::7", "www.example.org"),
            (RecordType::Srv, "_sip._tcp.example.org", "www.example.org:5060"),
        ] {
            assert_eq!(probe(real.address, ask(record, name, answer), GENEROUS).await, Ok(()), "{name}");
        }
        datagrams(real, good, bad).await;
    });
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn freeradius_accepts() {
    contained("heavy_tests::freeradius_accepts", async {
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
            start(at, &["/usr/sbin/freeradius", "-f", "-d", "DIR", "-n", "radiusd", "-l", "stdout"], &good)
                .await;
        assert_eq!(probe(real.address, ask("s3cret", "guess", true), GENEROUS).await, Ok(()));
        datagrams(real, good, vec![ask("s3cret", "guess", false)]).await;
    });
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn chrony_knows_the_time() {
    contained("heavy_tests::chrony_knows_the_time", async {
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
    });
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn sipp_answers_options() {
    contained("heavy_tests::sipp_answers_options", async {
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
    });
}

#[test]
#[ignore = "make soak ONLY=servers"]
fn rstatd_is_found_by_rpcbind_and_tells_the_load_of_its_machine() {
    // rpcbind changes its user and takes port 111.
    assert!(root(), "run it as root");
    apart("heavy_tests::rstatd_is_found_by_rpcbind_and_tells_the_load_of_its_machine", &["--net"], async {
        let at = place("rstatd").await;
        run(&at.0, &["ip", "link", "set", "lo", "up"]);
        run(&at.0, &["mount", "-t", "tmpfs", "none", "/run"]);
        run(&at.0, &["mkdir", "/run/rpcbind"]);
        let mapper: SocketAddr = "127.0.0.1:111".parse().unwrap();
        let _rpcbind = start((at.0, mapper), &["/sbin/rpcbind", "-f", "-w"], &ProbeKind::Tcp).await;
        let monitor = LoadMonitor { source: LoadSource::Rstatd, ..LoadMonitor::default() };
        let kind = ProbeKind::Load(Shared::new(monitor));
        let why = words(probe(mapper, kind.clone(), GENEROUS).await);
        assert!(why.contains("rstatd does not run"), "{why}");
        // It goes into the background first and registers then; rpcinfo says when it has.
        run(&place("rstatd-itself").await.0, &["sh", "-c", "/usr/sbin/rpc.rstatd >/dev/null 2>&1"]);
        let registered = || {
            let mut rpcinfo = std::process::Command::new("rpcinfo");
            rpcinfo.args(["-T", "udp", "127.0.0.1", "100001", "3"]).output().unwrap().status.success()
        };
        let end = tokio::time::Instant::now() + READY;
        while !registered() {
            assert!(tokio::time::Instant::now() < end, "rstatd never registered");
            tokio::task::yield_now().await;
        }
        let seen = outcome(mapper, kind, GENEROUS).await;
        assert_eq!(seen.result, Ok(()));
        let Some(Reading::Average(load)) = seen.learned.load.and_then(|said| said.reading) else {
            panic!("no load")
        };
        let machine = std::fs::read_to_string("/proc/loadavg").unwrap();
        let machine: f64 = machine.split(' ').next().unwrap().parse().unwrap();
        let apart = (f64::from(load) / 1000.0 - machine).abs();
        assert!(apart < 1.0, "it says {load} thousandths, the machine {machine}");
    });
}
