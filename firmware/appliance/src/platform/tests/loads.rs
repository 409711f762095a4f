//! Sources of load that speak by themselves, on a host in a namespace of its own.

use super::direct::Host;
use super::{add, done, in_namespace, up};
use crate::director::rwho;
use director_core::director::Event;
use director_core::health::load::Reading;
use director_core::wire::rwho::parse;
use std::net::Ipv4Addr;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// rwhod speaks as soon as it has started.
const SPEAKS: std::time::Duration = std::time::Duration::from_secs(20);

#[test]
fn debians_rwhod_is_heard_and_tells_the_load_of_its_machine() {
    in_namespace("loads::debians_rwhod_is_heard_and_tells_the_load_of_its_machine", async |mut kernel| {
        let host = Host::new("rwhod");
        done(&mut kernel, &[up("eth0"), add("10.0.0.1/24", None)]).await;
        host.ip("address del 10.0.0.2/24 dev peer0");
        host.ip("address add 10.0.0.2/24 brd + dev peer0");
        let (send, mut events) = mpsc::channel(4);
        let reader = tokio::spawn(rwho::read(rwho::open().unwrap(), send));
        // It goes into the background, and ends with the namespace.
        host.run("/usr/sbin/rwhod", &["-u", "root"]);
        let heard = timeout(SPEAKS, events.recv()).await.expect("rwhod says nothing").unwrap();
        let Event::Rwho { from, datagram } = heard else { panic!("{heard:?}") };
        assert_eq!(from, Ipv4Addr::new(10, 0, 0, 2));
        let Some(Reading::Average(load)) = parse(&datagram) else { panic!("{datagram:?}") };
        let machine = std::fs::read_to_string("/proc/loadavg").unwrap();
        let machine: f64 = machine.split(' ').next().unwrap().parse().unwrap();
        let apart = (f64::from(load) / 1000.0 - machine).abs();
        assert!(apart < 1.0, "it says {load} thousandths, the machine {machine}");
        reader.abort();
    });
}
