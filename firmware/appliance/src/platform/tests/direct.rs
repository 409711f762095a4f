//! Questions for a virtual address, and the looks of `doctor`, to a real server (nginx) in a namespace of its own.

use super::super::doctor;
use super::super::probe::Prober;
use super::super::tap::Taps;
use super::{add, done, in_namespace, ip, key, up};
use crate::platform::clock;
use director_core::doctor::{Look, Seen};
use director_core::health::{Failure, ProbeId, ProbeKind, ProbeSpec};
use director_core::model::Millis;
use director_core::model::config::HttpCheck;
use director_core::plan::Op;
use director_core::plan::desired::Ruleset;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::sync::mpsc;

const LONG: Millis = Millis::from_secs(20);
const SHORT: Millis = Millis::new(700);
const SERVER: [&str; 2] = ["10.0.0.2", "fd00::2"];
const OWN: [&str; 2] = ["10.0.0.1", "fd00::1"];
const VIRTUAL: [&str; 2] = ["10.0.0.7", "fd00::7"];

/// A host at the other end of the cable, with nginx on port 80.
pub(super) struct Host {
    shell: Child,
    folder: PathBuf,
}

impl Drop for Host {
    fn drop(&mut self) {
        // Ends with its standard input; nginx ends with the namespaces of the test.
        drop(self.shell.kill());
        drop(self.shell.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Host {
    pub(super) fn new(name: &str) -> Self {
        let mut shell = Command::new("unshare")
            .args(["--net", "--kill-child", "--fork", "sh", "-c", "echo $$; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its line says that the namespace is there.
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        // Inside, every process has a small number.
        let owner = std::env::var(super::INSIDE).unwrap();
        let folder = std::env::temp_dir().join(format!("director-host-{name}-{owner}"));
        std::fs::create_dir_all(&folder).unwrap();
        let host = Self { shell, folder };
        ip(&format!("link set peer0 netns {}", line.trim()));
        std::fs::write(host.folder.join("pid-of-shell"), line.trim()).unwrap();
        for line in ["link set lo up", "link set peer0 up", "address add 10.0.0.2/24 dev peer0"] {
            host.ip(line);
        }
        host.ip("address add fd00::2/64 dev peer0 nodad");
        // No address is given out by ARP that lies on the loopback device.
        for setting in ["arp_ignore=1", "arp_announce=2"] {
            host.run("sysctl", &["-qw", &format!("net.ipv4.conf.all.{setting}")]);
        }
        host
    }

    pub(super) fn run(&self, program: &str, arguments: &[&str]) {
        let pid = std::fs::read_to_string(self.folder.join("pid-of-shell")).unwrap();
        let mut command = Command::new("nsenter");
        let output = command.args(["-t", &pid, "-n", program]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
    }

    pub(super) fn ip(&self, arguments: &str) {
        self.run("ip", &arguments.split(' ').collect::<Vec<_>>());
    }

    fn nginx(&self) {
        let root = self.folder.display();
        let text = format!(
            "user root; pid {root}/pid; error_log {root}/error.log; worker_processes 1; events {{}}\n\
             http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b;\n\
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             server {{ listen 80; listen [::]:80; location / {{ return 200 '{}'; }} }} }}\n",
            "x".repeat(3000)
        );
        let file = self.folder.join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        self.run("/usr/sbin/nginx", &["-c", file.to_str().unwrap(), "-p", self.folder.to_str().unwrap()]);
    }
}

fn page() -> ProbeKind {
    let path = "/".parse().unwrap();
    ProbeKind::Http(Box::new(HttpCheck { path, host: None, status: Default::default() }))
}

async fn ask(family: usize, port: u16, kind: ProbeKind, timeout: Millis) -> Result<(), Failure> {
    let address = |list: [&str; 2]| list[family].parse::<IpAddr>().unwrap();
    let spec = ProbeSpec {
        target: (address(VIRTUAL), port).into(),
        at: Some(address(SERVER)),
        source: Some(address(OWN)),
        kind,
    };
    let (send, mut results) = mpsc::channel(1);
    Prober::new(send, 0x1234_5678_9abc).start(ProbeId(1), spec, clock::now().after(timeout));
    results.recv().await.unwrap().1.result
}

/// Resets that this kernel has sent (`Tcp: OutRsts`).
fn resets() -> u64 {
    let text = std::fs::read_to_string("/proc/self/net/snmp").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let place = lines.next().unwrap().split(' ').position(|word| word == "OutRsts").unwrap();
    lines.next().unwrap().split(' ').nth(place).unwrap().parse().unwrap()
}

#[test]
fn a_server_is_asked_for_the_virtual_address_whether_this_box_holds_it_or_not() {
    in_namespace(
        "direct::a_server_is_asked_for_the_virtual_address_whether_this_box_holds_it_or_not",
        async |mut kernel| {
            let host = Host::new("asked");
            host.nginx();
            let asked = VIRTUAL.map(|address| address.parse().unwrap()).into();
            let rules = Op::RulesetSet { ruleset: Ruleset { asked, ..Ruleset::default() } };
            done(&mut kernel, &[up("eth0"), add("10.0.0.1/24", None), rules]).await;
            ip("address add fd00::1/64 dev eth0 nodad");
            for family in [0, 1] {
                let silent = ask(family, 80, ProbeKind::Tcp, SHORT).await;
                assert_eq!(silent, Err("no answer within 700ms".into()), "it has no such address");
            }
            host.ip("address add 10.0.0.7/32 dev lo");
            host.ip("address add fd00::7/128 dev lo nodad");
            for held in [false, true] {
                if held {
                    done(&mut kernel, &[add("10.0.0.7/32", None)]).await;
                    ip("address add fd00::7/128 dev eth0 nodad");
                }
                for family in [0, 1] {
                    for kind in [ProbeKind::Tcp, page()] {
                        assert_eq!(
                            ask(family, 80, kind, LONG).await,
                            Ok(()),
                            "held: {held}, family {family}"
                        );
                    }
                    let refused = ask(family, 81, ProbeKind::Tcp, LONG).await;
                    assert_eq!(refused, Err("connection refused".into()), "held: {held}, family {family}");
                }
            }
            assert_eq!(resets(), 0, "the kernel answered for us");
            // Without the rule it does: this test would notice.
            let none = Op::RulesetSet { ruleset: Ruleset::default() };
            done(&mut kernel, &[Op::AddressDelete { key: key("10.0.0.7/32") }, none]).await;
            assert_eq!(ask(0, 80, page(), LONG).await, Ok(()));
            assert!(resets() > 0);
        },
    );
}

#[test]
fn looks_see_what_is_there() {
    in_namespace("direct::looks_see_what_is_there", async |mut kernel| {
        let host = Host::new("looks");
        host.nginx();
        done(&mut kernel, &[up("eth0"), add("10.0.0.1/24", None), add("192.0.2.1/24", None)]).await;
        host.ip("address add 10.0.0.7/32 dev lo");
        let v = |text: &str| text.parse::<IpAddr>().unwrap();
        let claims = |address: &str| Look::Claims { own: v("10.0.0.1"), address: v(address) };
        let shake = |source: &str, target: &str, port| Look::Handshake {
            own: v("10.0.0.1"),
            at: v("10.0.0.2"),
            source: v(source),
            target: (v(target), port).into(),
        };
        let size = |target: &str| Look::Size { target: v(target), most: 1500 };
        let look = async |looks: &[Look]| doctor::examine(Arc::new(Taps::new(7)), looks.to_vec()).await;
        let quiet = look(&[claims("10.0.0.7"), claims("10.0.0.3"), shake("10.0.0.1", "10.0.0.7", 80)]).await;
        assert_eq!(quiet, [Seen::Claims(Vec::new()), Seen::Claims(Vec::new()), Seen::Connected]);
        let answers = look(&[claims("10.0.0.2"), shake("10.0.0.1", "10.0.0.2", 81), size("10.0.0.2")]).await;
        let [Seen::Claims(macs), Seen::Refused, Seen::Fits(Some(1500))] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(macs.len(), 1);
        // It has no route to the other network, until it has.
        assert_eq!(look(&[shake("192.0.2.1", "10.0.0.2", 80)]).await, [Seen::Silent]);
        host.ip("route add default via 10.0.0.1");
        assert_eq!(look(&[shake("192.0.2.1", "10.0.0.2", 80)]).await, [Seen::Connected]);
        host.run("sysctl", &["-qw", "net.ipv4.conf.all.arp_ignore=0"]);
        assert_eq!(look(&[claims("10.0.0.7")]).await, [Seen::Claims(macs.clone())]);
        let absent = Look::Handshake {
            own: v("10.0.0.1"),
            at: v("10.0.0.9"),
            source: v("10.0.0.1"),
            target: (v("10.0.0.9"), 80).into(),
        };
        assert_eq!(look(&[absent]).await, [Seen::Absent]);
    });
}
