//! Against the real kernel: each test runs itself again in a user and network namespace of its own.

use super::changes::Changes;
use super::kernel::Kernel;
use director_core::model::config::Protocol;
use director_core::plan::desired::{MarkRule, Ruleset, SourceNatRule};
use director_core::plan::{
    AddressKey, AddressSpec, Op, OpError, RouteKey, RouteSpec, ServiceKey, ServiceSpec,
};
use director_core::wire::{arp, ethernet, ndp};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, recv, socket};
use std::os::fd::AsRawFd;
use std::process::Command;

mod direct;
mod handshakes;
mod loads;

const INSIDE: &str = "DIRECTOR_TEST_NAMESPACE";

/// Runs `body` in a fresh namespace with a pair of connected devices `eth0` and `peer0`.
fn in_namespace(test: &str, body: impl AsyncFnOnce(Kernel)) {
    isolated(&format!("platform::tests::{test}"), body);
}

/// The same for a test of another module, by its whole name.
pub(super) fn isolated(name: &str, body: impl AsyncFnOnce(Kernel)) {
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().unwrap();
        let mut again = Command::new("unshare");
        // Servers that a test starts end with its namespace, also when it fails.
        again.args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        again.arg(this).args(["--exact", name, "--nocapture"]);
        let output = again.env(INSIDE, std::process::id().to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let (said, stderr) = (said.as_ref(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("1 passed"), "in the namespace: {said}\n{stderr}");
        return;
    }
    ip("link add eth0 address 52:54:00:12:34:56 type veth peer name peer0");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { body(Kernel::open().await.unwrap()).await });
}

/// iproute2, as an independent opinion.
pub(super) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// So many addresses on `lo`, 10.1.0.1 first.
pub(super) fn add_addresses(count: usize) {
    let lines = (0..count).map(|n| format!("address add 10.1.{}.{}/32 dev lo\n", n / 250, n % 250 + 1));
    let file = std::env::temp_dir().join(format!("director-addresses-{}", std::process::id()));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(file).unwrap();
}

async fn done(kernel: &mut Kernel, ops: &[Op]) {
    let results = kernel.apply(ops).await;
    assert_eq!(results.len(), ops.len());
    for (op, result) in ops.iter().zip(results) {
        assert_eq!(result, Ok(()), "{op:?}");
    }
}

fn up(device: &str) -> Op {
    Op::LinkUp { device: device.parse().unwrap() }
}

fn key(cidr: &str) -> AddressKey {
    AddressKey { device: "eth0".parse().unwrap(), cidr: cidr.parse().unwrap() }
}

fn add(cidr: &str, label: Option<&str>) -> Op {
    Op::AddressAdd { key: key(cidr), spec: AddressSpec { label: label.map(|l| l.parse().unwrap()) } }
}

fn route(to: &str, metric: u32) -> RouteKey {
    RouteKey { to: to.parse().unwrap(), metric }
}

fn set_route(to: &str, metric: u32, via: &str) -> Op {
    Op::RouteSet { key: route(to, metric), spec: RouteSpec { via: via.parse().unwrap() } }
}

/// With every kind of rule.
fn ruleset() -> Ruleset {
    let mark = |address: &str| MarkRule {
        mark: 7,
        protocol: Protocol::Tcp,
        address: address.parse().unwrap(),
        first: 10_000,
        last: 20_000,
    };
    let masquerade = |address: Option<&str>| {
        let address = address.map(|a| a.parse::<std::net::IpAddr>().unwrap());
        let source = if address.is_some_and(|a| a.is_ipv6()) { "2001:db8:1::/64" } else { "192.168.1.0/24" };
        (source.parse().unwrap(), "eth0".parse().unwrap(), address)
    };
    let source_nat = |clients| SourceNatRule {
        protocol: Protocol::Udp,
        address: "1.2.3.1".parse().unwrap(),
        first: 53,
        last: 53,
        clients,
    };
    let client = |address: &str, port| (Protocol::Tcp, address.parse().unwrap(), port);
    Ruleset {
        defragment: true,
        notrack: [client("1.2.3.1", 80), client("2001:db8::1", 80)].into(),
        marks: ["1.2.3.1", "2001:db8::1"].map(mark).into(),
        track_marks: false,
        masquerade: [None, Some("1.2.3.1"), Some("2001:db8::1")].map(masquerade).into(),
        source_nat: [None, Some("192.168.1.0/24".parse().unwrap())].map(source_nat).into(),
        inside: [
            ("eth1".parse().unwrap(), "192.168.1.0/24".parse().unwrap()),
            ("eth1".parse().unwrap(), "2001:db8:1::/64".parse().unwrap()),
        ]
        .into(),
        sync: Some(("eth1".parse().unwrap(), 8848)),
        asked: ["1.2.3.7", "2001:db8::7"].map(|address| address.parse().unwrap()).into(),
    }
}

#[test]
fn addresses_are_observed_as_they_were_added_and_repeating_succeeds() {
    in_namespace("addresses_are_observed_as_they_were_added_and_repeating_succeeds", async |mut kernel| {
        let ops = [
            up("eth0"),
            up("peer0"),
            Op::LinkMtu { device: "eth0".parse().unwrap(), mtu: 1400 },
            add("1.2.3.2/24", None),
            add("1.2.3.1/24", Some("eth0:1")),
            add("1.2.3.9/32", None),
            add("2001:db8::1/64", None),
        ];
        done(&mut kernel, &ops).await;
        done(&mut kernel, &ops).await;
        let seen = kernel.observe(&[]).await.unwrap();
        let label = |text: &str| AddressSpec { label: Some(text.parse().unwrap()) };
        let expected = [
            (key("1.2.3.2/24"), AddressSpec::default()),
            (key("1.2.3.1/24"), label("eth0:1")),
            (key("1.2.3.9/32"), AddressSpec::default()),
            (key("2001:db8::1/64"), AddressSpec::default()),
        ];
        assert_eq!(seen.addresses, expected.into());
        let link = &seen.links[&"eth0".parse().unwrap()];
        assert!(link.up && link.carrier && link.mtu == 1400);
        assert_eq!(link.mac, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let shown = ip("address show dev eth0");
        assert!(
            shown.contains("inet 1.2.3.1/24 brd 1.2.3.255 scope global secondary proto 4 eth0:1")
                || shown.contains("inet 1.2.3.1/24 brd 1.2.3.255 scope global secondary eth0:1"),
            "{shown}"
        );
        assert!(
            !shown.contains("tentative") || !shown.contains("2001:db8::1/64 scope global tentative"),
            "{shown}"
        );
        let delete =
            [Op::AddressDelete { key: key("1.2.3.1/24") }, Op::AddressDelete { key: key("2001:db8::1/64") }];
        done(&mut kernel, &delete).await;
        done(&mut kernel, &delete).await;
        assert_eq!(kernel.observe(&[]).await.unwrap().addresses.len(), 2);
        let gone = AddressKey { device: "eth9".parse().unwrap(), ..key("1.2.3.1/24") };
        done(&mut kernel, &[Op::AddressDelete { key: gone }]).await;
    });
}

#[test]
fn a_failed_operation_names_its_reason_and_the_next_ones_are_still_executed() {
    in_namespace(
        "a_failed_operation_names_its_reason_and_the_next_ones_are_still_executed",
        async |mut kernel| {
            let ops = [
                up("eth7"),
                set_route("10.0.0.0/8", 0, "9.9.9.9"),
                Op::LinkMtu { device: "eth0".parse().unwrap(), mtu: 1 },
                up("eth0"),
            ];
            let results = kernel.apply(&ops).await;
            let errno = |result: &Result<(), OpError>| {
                result.as_ref().map_err(|error| Errno::from_raw(error.errno)).err()
            };
            assert_eq!(errno(&results[0]), Some(Errno::ENODEV));
            assert_eq!(results[1].as_ref().unwrap_err().message, "Nexthop has invalid gateway");
            assert_eq!(results[2].as_ref().unwrap_err().message, "mtu less than device minimum");
            assert_eq!(results[3], Ok(()));
        },
    );
}

#[test]
fn routes_are_replaced_by_key_and_a_deleted_one_never_takes_another_with_it() {
    in_namespace(
        "routes_are_replaced_by_key_and_a_deleted_one_never_takes_another_with_it",
        async |mut kernel| {
            let base = [up("eth0"), up("peer0"), add("1.2.3.2/24", None), add("2001:db8::2/64", None)];
            done(&mut kernel, &base).await;
            let routes = [
                set_route("0.0.0.0/0", 0, "1.2.3.250"),
                set_route("0.0.0.0/0", 0, "1.2.3.254"),
                set_route("10.0.0.0/8", 5, "1.2.3.250"),
                set_route("::/0", 0, "2001:db8::fe"),
            ];
            done(&mut kernel, &routes).await;
            let seen = kernel.observe(&[]).await.unwrap().routes;
            let via = |via: &str| RouteSpec { via: via.parse().unwrap() };
            let expected = [
                (route("0.0.0.0/0", 0), via("1.2.3.254")),
                (route("10.0.0.0/8", 5), via("1.2.3.250")),
                (route("::/0", 0), via("2001:db8::fe")),
            ];
            assert_eq!(seen, expected.into());
            // There is none with metric 0; the one with metric 5 must stay.
            done(&mut kernel, &[Op::RouteDelete { key: route("10.0.0.0/8", 0) }]).await;
            assert_eq!(kernel.observe(&[]).await.unwrap().routes.len(), 3);
            let all = seen.keys().map(|key| Op::RouteDelete { key: key.clone() }).collect::<Vec<_>>();
            done(&mut kernel, &all).await;
            done(&mut kernel, &all).await;
            assert!(kernel.observe(&[]).await.unwrap().routes.is_empty());
        },
    );
}

#[test]
fn a_rule_set_is_recognised_until_somebody_changes_a_rule() {
    in_namespace("a_rule_set_is_recognised_until_somebody_changes_a_rule", async |mut kernel| {
        assert_eq!(kernel.observe(&[]).await.unwrap().ruleset, None);
        for ruleset in
            [ruleset(), Ruleset::default(), Ruleset { defragment: true, ..Ruleset::default() }, ruleset()]
        {
            done(&mut kernel, &[Op::RulesetSet { ruleset: ruleset.clone() }]).await;
            assert_eq!(kernel.observe(&[]).await.unwrap().ruleset, Some(ruleset.digest()));
        }
        for change in [
            "add chain inet director forward { policy accept ; }",
            "flush chain inet director forward",
            "add rule inet director forward accept",
            "add chain inet director other",
        ] {
            done(&mut kernel, &[Op::RulesetSet { ruleset: ruleset() }]).await;
            let changed = Command::new("nft").arg(change).status().unwrap();
            assert!(changed.success(), "{change}");
            assert_eq!(kernel.observe(&[]).await.unwrap().ruleset, Some([0; 32]), "{change}");
        }
    });
}

#[test]
fn tables_of_others_stay_when_ours_is_replaced() {
    in_namespace("tables_of_others_stay_when_ours_is_replaced", async |mut kernel| {
        let other = "add table inet other; add chain inet other c; add rule inet other c accept";
        assert!(Command::new("nft").arg(other).status().unwrap().success());
        done(&mut kernel, &[Op::RulesetSet { ruleset: ruleset() }]).await;
        let listed = Command::new("nft").args(["list", "table", "inet", "other"]).output().unwrap();
        assert!(String::from_utf8(listed.stdout).unwrap().contains("accept"));
        assert_eq!(kernel.observe(&[]).await.unwrap().ruleset, Some(ruleset().digest()));
    });
}

#[test]
fn a_refused_rule_set_leaves_the_old_one() {
    in_namespace("a_refused_rule_set_leaves_the_old_one", async |mut kernel| {
        let stays = Ruleset { notrack: [].into(), ..ruleset() };
        done(&mut kernel, &[Op::RulesetSet { ruleset: stays.clone() }]).await;
        // More than the send queue of a namespace takes.
        let many = (0..u16::MAX).map(|port| (Protocol::Udp, "1.2.3.1".parse().unwrap(), port)).collect();
        let refused = Ruleset { notrack: many, ..ruleset() };
        let results = kernel.apply(&[Op::RulesetSet { ruleset: refused }]).await;
        assert!(results[0].is_err());
        assert_eq!(kernel.observe(&[]).await.unwrap().ruleset, Some(stays.digest()));
    });
}

#[test]
fn a_thousand_virtual_servers_fit_one_transaction() {
    in_namespace("a_thousand_virtual_servers_fit_one_transaction", async |mut kernel| {
        let four = (0..1000).map(|port| (Protocol::Tcp, "1.2.3.1".parse().unwrap(), port));
        let six = (0..1000).map(|port| (Protocol::Udp, "2001:db8::1".parse().unwrap(), port));
        let large = Ruleset { notrack: four.chain(six).collect(), ..ruleset() };
        done(&mut kernel, &[Op::RulesetSet { ruleset: large.clone() }]).await;
        assert_eq!(kernel.observe(&[]).await.unwrap().ruleset, Some(large.digest()));
        let listed =
            Command::new("nft").args(["list", "set", "inet", "director", "clients6"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed.matches("udp . 2001:db8::1").count(), 1000, "{listed}");
    });
}

#[test]
fn sysctls_are_written_and_absent_ones_are_left_out() {
    in_namespace("sysctls_are_written_and_absent_ones_are_left_out", async |mut kernel| {
        let name = "net.ipv4.conf.eth0.rp_filter".to_owned();
        done(&mut kernel, &[Op::SysctlSet { name: name.clone(), value: "2".to_owned() }]).await;
        let seen = kernel.observe(&[name.clone(), "net.ipv4.absent".to_owned()]).await.unwrap();
        assert_eq!(seen.sysctls, [(name, "2".to_owned())].into());
    });
}

#[test]
fn an_announcement_reaches_the_other_end_in_both_forms_and_both_families() {
    in_namespace(
        "an_announcement_reaches_the_other_end_in_both_forms_and_both_families",
        async |mut kernel| {
            done(
                &mut kernel,
                &[up("eth0"), up("peer0"), add("1.2.3.1/24", None), add("2001:db8::1/64", None)],
            )
            .await;
            let listener =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll)
                    .unwrap();
            let announce = |cidr| Op::Announce { key: key(cidr) };
            done(&mut kernel, &[announce("1.2.3.1/24"), announce("2001:db8::1/64")]).await;
            let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
            let (mut forms, mut advertisements) = (Vec::new(), Vec::new());
            let mut frame = [0; 2048];
            while let Ok(length) = recv(listener.as_raw_fd(), &mut frame, nix::sys::socket::MsgFlags::empty())
            {
                let frame = &frame[..length];
                let (header, packet) = ethernet::Repr::parse(frame).unwrap();
                if header.ethertype == ethernet::TYPE_ARP {
                    forms.extend(arp::Repr::parse(packet));
                }
                advertisements.extend(ndp::Repr::parse(frame));
            }
            let vip = "1.2.3.1".parse().unwrap();
            assert!(forms.contains(&arp::Repr::announcement(mac, vip)), "{forms:?}");
            assert!(forms.contains(&arp::Repr::unasked_reply(mac, vip)), "{forms:?}");
            let expected = ndp::Repr { mac, target: "2001:db8::1".parse().unwrap(), router: false };
            assert!(advertisements.contains(&expected), "{advertisements:?}");
        },
    );
}

#[test]
fn every_kind_of_change_is_told_and_silence_is_not() {
    in_namespace("every_kind_of_change_is_told_and_silence_is_not", async |mut kernel| {
        done(&mut kernel, &[up("eth0"), up("peer0"), add("1.2.3.2/24", None)]).await;
        let mut changes = Changes::open(std::rc::Rc::default()).unwrap();
        for op in [
            add("1.2.3.1/24", None),
            add("2001:db8::1/64", None),
            set_route("10.0.0.0/8", 0, "1.2.3.3"),
            Op::RulesetSet { ruleset: ruleset() },
            Op::LinkMtu { device: "eth0".parse().unwrap(), mtu: 1400 },
        ] {
            done(&mut kernel, std::slice::from_ref(&op)).await;
            let told = tokio::time::timeout(std::time::Duration::from_secs(10), changes.next()).await;
            assert!(told.is_ok(), "{op:?}");
        }
    });
}

#[test]
fn a_flood_of_unread_changes_stalls_nothing_and_is_told_once() {
    in_namespace("a_flood_of_unread_changes_stalls_nothing_and_is_told_once", async |mut kernel| {
        done(&mut kernel, &[up("eth0")]).await;
        let mut changes = Changes::open(std::rc::Rc::default()).unwrap();
        for round in 0..10 {
            let addresses = (0..250).map(|host| format!("10.0.{round}.{host}/32"));
            let ops: Vec<Op> = addresses.map(|cidr| add(&cidr, None)).collect();
            done(&mut kernel, &ops).await;
        }
        changes.next().await;
        assert_eq!(kernel.observe(&[]).await.unwrap().addresses.len(), 2500);
    });
}

#[test]
fn a_kernel_without_ipvs_has_no_services_and_says_so_when_asked_for_one() {
    in_namespace(
        "a_kernel_without_ipvs_has_no_services_and_says_so_when_asked_for_one",
        async |mut kernel| {
            if std::fs::metadata("/proc/net/ip_vs").is_ok() {
                return; // this machine's kernel has IPVS; the VM tests cover that case
            }
            assert!(kernel.observe(&[]).await.unwrap().services.is_empty());
            let key = ServiceKey::Address {
                protocol: Protocol::Tcp,
                address: "1.2.3.1".parse().unwrap(),
                port: 80,
            };
            let spec = ServiceSpec::new(director_core::model::config::Scheduler::Wlc, None);
            let results = kernel.apply(&[up("eth0"), Op::ServiceAdd { key, spec }, up("peer0")]).await;
            assert!(results[0].is_ok() && results[2].is_ok());
            assert!(results[1].as_ref().unwrap_err().message.contains("no IPVS"));
        },
    );
}
