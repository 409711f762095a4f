//! `show connections` and `show realserver-setup`.

use super::*;
use crate::connections::Gather;

/// As a kernel prints it.
pub(super) const TABLE: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 01020364 9C40 01020301 0050 C0A80103 0050 ESTABLISHED     898
TCP 01020364 9C41 01020301 0050 C0A80104 0050 FIN_WAIT         67
TCP 01020365 9C42 01020301 0015 C0A80104 0015 ESTABLISHED      12
";

#[test]
fn connections_are_shown_by_service_server_client_and_state() {
    let mut bench = Bench::configured();
    for line in [
        "show connections",
        "show connections service web state established",
        "show connections server rs2 limit 1",
        "show connections client 1.2.3.101 | json",
        "show connections client 1.2.3.0/24 | count",
        "show connections | match fin_wait",
        "show connections service wbe",
        "show connections service",
        "show connections client here",
        "show connections limit 0",
        "show realserver-setup web",
        "show realserver-setup web win",
        "show realserver-setup web | json",
        "show realserver-setup wbe",
        "show realserver-setup web plan9",
        "show realserver-setup",
    ] {
        bench.keys(line);
        bench.keys("\r");
    }
    bench.keys("show connections ?service ?web ?state ?\x15show realserver-setup ?web ?\x15");
    expect_file!["../../../../../../tests/golden/cli/connections.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn connections_can_be_looked_at_while_the_director_does_not_answer() {
    let mut bench = Bench::configured();
    bench.lose();
    bench.keys("show connections | count\r");
    assert_eq!(bench.since("count\n").lines().next(), Some("3"));
    bench.keys("show connections service web\r");
    assert!(bench.terminal.text().contains("The director is not running."));
}

/// What the shell gives back.
pub(super) fn listing(filter: crate::connections::Filter) -> crate::connections::Listing {
    let mut gather = Gather::new(filter);
    TABLE.lines().for_each(|line| gather.feed(line));
    gather.end()
}
