//! Handshakes on raw sockets with a host in a namespace of its own, and on loopback.

use super::super::probe::Prober;
use super::direct::Host;
use super::{add, done, in_namespace, ip, up};
use crate::platform::clock;
use director_core::health::{Failure, ProbeId, ProbeKind, ProbeSpec};
use director_core::model::Millis;
use std::future::poll_fn;
use std::task::Poll;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const LONG: Millis = Millis::from_secs(20);
const SHORT: Millis = Millis::new(700);

async fn ask(target: &str, source: Option<&str>, timeout: Millis) -> Result<(), Failure> {
    let source = source.map(|source| source.parse().unwrap());
    let spec = ProbeSpec { target: target.parse().unwrap(), at: None, source, kind: ProbeKind::Tcp };
    let (send, mut results) = mpsc::channel(1);
    let prober = Prober::new(send, 0x1234_5678_9abc);
    prober.start(ProbeId(1), spec, clock::now().after(timeout));
    drop(prober);
    let (_, outcome) = results.recv().await.unwrap();
    assert!(results.recv().await.is_none(), "answered twice");
    outcome.result
}

#[test]
fn the_program_that_listens_never_hears_of_a_handshake() {
    in_namespace("handshakes::the_program_that_listens_never_hears_of_a_handshake", async |mut kernel| {
        done(&mut kernel, &[up("lo")]).await;
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            assert_eq!(ask(&address, None, LONG).await, Ok(()), "{any}");
            let heard = poll_fn(|context| Poll::Ready(listener.poll_accept(context).is_ready())).await;
            assert!(!heard, "{any}: a connection was accepted");
            drop(listener);
            assert_eq!(ask(&address, None, LONG).await, Err("connection refused".into()), "{any}");
        }
    });
}

#[test]
fn what_routers_and_neighbours_say_of_a_server_is_told_in_words() {
    in_namespace(
        "handshakes::what_routers_and_neighbours_say_of_a_server_is_told_in_words",
        async |mut kernel| {
            let host = Host::new("said");
            done(&mut kernel, &[up("lo"), up("eth0"), add("10.0.0.1/24", None)]).await;
            ip("address add fd00::1/64 dev eth0 nodad");
            for network in ["10.9.0.0/24 via 10.0.0.2", "fd09::/64 via fd00::2"] {
                ip(&format!("route add {network}"));
            }
            for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
                host.run("sysctl", &["-qw", setting]);
            }
            for route in ["unreachable 10.9.0.0/24", "unreachable fd09::/64"] {
                host.ip(&format!("route add {route}"));
            }
            for server in ["10.0.0.2:80", "[fd00::2]:80"] {
                assert_eq!(ask(server, None, LONG).await, Err("connection refused".into()), "{server}");
            }
            let nobody: Result<(), Failure> = Err("host unreachable (nobody answers for its address)".into());
            for server in ["10.0.0.9:80", "[fd00::9]:80", "10.9.0.1:80"] {
                assert_eq!(ask(server, None, LONG).await, nobody, "{server}");
            }
            let route: Result<(), Failure> = Err("no route to its network".into());
            for server in ["198.51.100.1:80", "[2001:db8::1]:80", "[fd09::1]:80"] {
                assert_eq!(ask(server, None, LONG).await, route, "{server}");
            }
            host.run("sysctl", &["-qw", "net.ipv4.conf.all.rp_filter=0"]);
            host.ip("route add blackhole 10.9.0.7/32");
            assert_eq!(ask("10.9.0.7:80", None, SHORT).await, Err("no answer within 700ms".into()));
        },
    );
}

#[test]
fn a_source_that_this_box_does_not_hold_is_not_the_servers_fault() {
    in_namespace(
        "handshakes::a_source_that_this_box_does_not_hold_is_not_the_servers_fault",
        async |mut kernel| {
            done(&mut kernel, &[up("lo"), up("eth0"), add("10.0.0.1/24", None)]).await;
            let listener = TcpListener::bind("10.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            assert_eq!(ask(&address, Some("127.0.0.1"), LONG).await, Ok(()));
            let not_held = ask(&address, Some("192.0.2.9"), LONG).await;
            assert!(matches!(not_held, Err(Failure::NotAsked(_))), "{not_held:?}");
        },
    );
}
