//! Settings beside addresses, pools and services: what fits, and what is refused as long as nothing acts on it.

use super::validate;
use crate::cli::parse_set_lines;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const BASE: &str = include_str!("../../../../../tests/golden/cli/five-nodes.set");

/// What is found beyond "not in this firmware yet" when these lines are set too.
fn wrong(lines: &str) -> Vec<String> {
    let config = parse_set_lines(&format!("{BASE}\n{lines}")).unwrap();
    let all = validate(&config).iter().map(ToString::to_string).collect::<Vec<_>>();
    all.into_iter().filter(|f| !f.contains("not in this firmware yet")).collect()
}

fn refused(line: &str) -> Vec<String> {
    let config = parse_set_lines(&format!("{BASE}\n{line}")).unwrap();
    let all = validate(&config).iter().map(ToString::to_string).collect::<Vec<_>>();
    all.into_iter().filter(|f| f.contains("not in this firmware yet")).collect()
}

#[test]
fn a_setting_that_nothing_acts_on_is_refused_by_its_path() {
    let found = refused("set system domain example.org");
    assert_eq!(found, ["error: system domain: not in this firmware yet: delete it"]);
    assert_eq!(refused(""), Vec::<String>::new());
}

#[test]
fn checks_and_load_monitors_that_do_not_fit_together_are_found_with_the_fix() {
    for (lines, finding) in [
        (
            "set check c question dns\nset check c tls sni www.example.org",
            "error: check c tls: question dns is not asked inside TLS: delete it",
        ),
        ("set load-monitor m source agent", "error: load-monitor m port: missing: set load-monitor m port"),
        (
            "set load-monitor m source rwhod",
            "warning: load-monitor m silence 1m: rwhod speaks every three minutes: set silence to 10m or so",
        ),
        (
            "set load-monitor m source http header X-Load silence 5s",
            "error: load-monitor m silence 5s: is shorter than the interval of 10s: every source would be silent",
        ),
        (
            "set check c tls certificate pin",
            "error: check c tls fingerprint: missing: set check c tls fingerprint",
        ),
    ] {
        assert_eq!(wrong(lines), [finding], "{lines}");
    }
}

#[test]
fn settings_that_do_not_fit_together_are_found_with_the_fix() {
    for (lines, finding) in [
        (
            "set service web scheduler-flag sh-port",
            "error: service web scheduler-flag sh-port: is not a flag of scheduler wlc",
        ),
        (
            "set service web persistence-mask-ipv4 24",
            "error: service web persistence: missing: a mask or engine needs it",
        ),
        (
            "set service web one-packet on",
            "error: service web one-packet: is for UDP only: set protocol udp, or delete it",
        ),
        (
            "set pool web forward tunnel\nset pool web tunnel type gue",
            "error: pool web tunnel port: missing: gue needs the server's UDP port",
        ),
        (
            "set pool web forward tunnel\nset pool web tunnel type gre checksum remote",
            "error: pool web tunnel checksum remote: gre has no such checksum: delete it",
        ),
        (
            "set pool web server rs1 upper 10 lower 10",
            "error: pool web server rs1 lower 10: must be less than upper (10)",
        ),
        (
            "set pool web use-check login",
            "error: pool web use-check login: there is no check login: set check login",
        ),
        (
            "set pool web quorum 3\nset pool web hysteresis 1",
            "error: pool web quorum: with hysteresis 4 servers are needed, the pool has 3",
        ),
        ("set check c question radius", "error: check c radius secret: missing: set check c radius secret"),
        ("set check c http path /x", "warning: check c http: has no effect on question tcp: delete it"),
        (
            "set sysctl net.ipv4.vs.sync_ports value 9",
            "error: sysctl net.ipv4.vs.sync_ports value 9: must be 1 to 4",
        ),
        (
            "set cluster warn-time 10s",
            "error: cluster warn-time 10s: must be shorter than the dead time of 10s",
        ),
        (
            "set cluster transport multicast",
            "error: cluster multicast: missing: set cluster multicast with the group's address",
        ),
        ("set cluster path dmz", "error: cluster path dmz: there is no interface dmz: set interface dmz"),
        (
            "set mark m address vs1 port 80 port 443\nset service web mark m",
            "error: service web mark m: the mark has addresses and ports of its own: delete those of the service",
        ),
        (
            "set interface v device eth0.5\nset interface v vlan parent v id 5",
            "error: interface v vlan parent v: is a VLAN itself: use the device below it",
        ),
    ] {
        assert_eq!(wrong(lines), [finding], "{lines}");
    }
}

#[test]
fn a_check_that_cannot_be_asked_as_it_is_set_is_found_with_the_fix() {
    for (lines, finding) in [
        (
            "set check c question ldap\nset check c ldap filter (&(a=b)(c=d))",
            "error: check c ldap filter: is not one comparison: write (attribute=value) or (attribute=*)",
        ),
        (
            "set check c question http\nset check c http header no-colon",
            "error: check c http header no-colon: write Name:value on one line",
        ),
        (
            "set check c question imap\nset check c login password x",
            "error: check c login user: missing: set check c login user",
        ),
        (
            "set check c question sip\nset check c login user x",
            "warning: check c login: has no effect on question sip: delete it",
        ),
    ] {
        assert_eq!(wrong(lines), [finding], "{lines}");
    }
    let bad = wrong("set check c question http\nset check c http body ( compare regex");
    assert!(bad[0].starts_with("error: check c http body: is no regular expression: "), "{bad:?}");
}

#[test]
fn everything_an_issue_asks_for_can_be_said_without_a_complaint_of_its_own() {
    let said = wrong(
        "set interface dmz device eth0.7\nset interface dmz vlan parent public id 7\n\
         set mark ftp address vs1 port 20-21 port 30000-31000\nset service ftp mark ftp pool web\n\
         set service ftp persistence 5m\nset service ftp persistence-mask-ipv4 24\n\
         set service sip address vs1 protocol udp port 5060 pool web\nset service sip persistence 1m\n\
         set service sip persistence-engine sip\nset pool web server rs1 tunnel type gue port 6080 checksum remote\n\
         set pool web server rs1 forward tunnel\nset pool web sorry-page Back\\ssoon\n\
         set check tls question http\nset check tls tls sni www.example.org certificate ca\n\
         set check tls tls fingerprint 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n\
         set check talk question send-expect\nset check talk step 1 send HELO\\sx\\r\\n expect 250* compare glob\n\
         set pool web use-check tls\nset pool web use-check talk\nset pool web join any\n\
         set load-monitor m source rwhod silence 10m\nset real-server rs1 load-monitor m",
    );
    let page = "warning: service ftp pool web: the sorry page is not shown here: the service has a mark";
    let no_tcp = "warning: service sip pool web: the sorry page is not shown here: the service has no TCP";
    assert_eq!(said, [page, no_tcp]);
}

#[test]
fn hardware_addresses_and_kernel_parameters_are_checked_against_each_other() {
    for (lines, finding) in [
        (
            "set node primary interface public mac 52:54:00:00:00:01\n\
             set node primary interface private mac 52:54:00:00:00:01",
            "error: node primary interface public mac 52:54:00:00:00:01: is the card of interface private already: \
             use one role for it",
        ),
        (
            "set interface dmz device dmz\nset interface dmz vlan parent public id 7\n\
             set node primary interface dmz mac 52:54:00:00:00:01",
            "error: node primary interface dmz mac 52:54:00:00:00:01: is a VLAN, which has the address of the card \
             below it: delete it",
        ),
        (
            "set sysctl net.ipv4.neigh.default.gc_thresh1 value 4096\n\
             set sysctl net.ipv4.neigh.default.gc_thresh2 value 1024",
            "warning: sysctl net.ipv4.neigh.default.gc_thresh1 value 4096: is above \
             net.ipv4.neigh.default.gc_thresh2 1024: neighbours would be dropped early",
        ),
    ] {
        assert_eq!(wrong(lines), [finding], "{lines}");
    }
}

#[test]
fn a_director_with_one_network_card_is_fine() {
    let config = parse_set_lines(
        "set node primary interface lan address 10.0.0.2/24\nset node primary interface lan address 192.168.1.1/24\n\
         set interface lan device eth0\nset floating vip address 10.0.0.1/24 interface lan\n\
         set forwarding ipv4 on\nset real-server rs1 address 192.168.1.3\nset pool p server rs1\n\
         set masquerade m source 192.168.1.0/24 out lan\n\
         set service s address vip port 80\nset service s pool p",
    )
    .unwrap();
    assert_eq!(validate(&config), []);
}

#[test]
fn a_configuration_of_full_size_fits_a_flash_slot() {
    let blob = postcard::to_allocvec(&super::fixture::large(1000, 10)).unwrap();
    assert!(u32::try_from(blob.len()).unwrap() < crate::store::layout::PAYLOAD_MAX, "{}", blob.len());
}

#[test]
fn combinations_that_surprise_are_said_before_they_happen() {
    for (lines, finding) in [
        (
            "set service web scheduler lblc",
            "warning: service web scheduler lblc: picks by the destination, which is always the virtual address: one \
             server gets everything until it has twice its weight in connections: use wlc, or sh to keep clients with \
             their server",
        ),
        (
            "set service web protocol sctp",
            "error: service web protocol sctp: check http would ask the SCTP port by TCP, and take every server out: \
             set pool web check none, or check-port",
        ),
        (
            "set pool d check none\nset pool d server rs1\nset service d address vs1 protocol udp port 514 pool d\n\
             set service d one-packet on",
            "warning: service d one-packet: behind nat clients see answers with the server's address, which they did not \
             ask: use direct or tunnel, or send nothing back",
        ),
        (
            "set pool web server rs1 tunnel type gre",
            "warning: pool web server rs1 tunnel: has no effect: its forward is not tunnel",
        ),
    ] {
        assert_eq!(wrong(lines), [finding], "{lines}");
    }
}

#[test]
fn a_method_of_one_server_does_not_bind_the_others() {
    // Its own port is impossible with direct routing, and the others keep theirs.
    assert_eq!(wrong("set pool web server rs1 forward nat port 8080\nset pool web forward direct"), [""; 0]);
    assert_eq!(
        wrong("set pool web server rs1 forward direct port 8080"),
        [
            "error: service web pool web: direct routing cannot change the port, but server rs1 of the pool has port \
          8080: delete pool web server rs1 port"
        ]
    );
    let tunnelled = "set real-server far address 2001:db8::9\nset pool web server far forward tunnel";
    assert_eq!(wrong(tunnelled), [""; 0]);
}

const FTP: &str = "set mark ftp address vs1 port 20-21\nset mark ftp port 10000-20000\nset service ftp mark ftp\nset \
                   service ftp pool web";

#[test]
fn marks_are_checked_against_each_other_and_against_services() {
    assert_eq!(wrong(FTP), [""; 0]);
    for (lines, finding) in [
        ("set mark www address vs1 port 100", "warning: mark www: no service uses this mark"),
        (
            "set mark www address vs1 port 80\nset service www mark www\nset service www pool web",
            "error: service web port 80: 1.2.3.1 port 80 is in mark www, which goes first: delete one",
        ),
        (
            "set mark www address vs1 port 15000-15001\nset service www mark www\nset service www pool web",
            "error: mark www port 15000-15001: 1.2.3.1 has these ports in mark ftp already: change one",
        ),
        (
            "set mark ftp number 5\nset mark www address vs1 port 100\nset mark www number 5\nset service www mark \
             www\nset service www pool web",
            "error: mark www number 5: is the number of mark ftp too: set mark www number to another one",
        ),
        (
            "set service other mark ftp\nset service other pool web",
            "error: service other mark ftp: service ftp serves this mark already: use one service for it",
        ),
        (
            "set pool web forward direct",
            "warning: service ftp persistence: missing: without it the data connections of FTP may go to another server",
        ),
    ] {
        assert_eq!(wrong(&format!("{FTP}\n{lines}")), [finding], "{lines}");
    }
    let passive = FTP.replace("20-21", "21");
    assert_eq!(
        wrong(&format!("{passive}\nset pool web forward direct\nset service ftp persistence 5m")),
        ["warning: mark ftp port: 20 is missing: clients answer the data connections of active FTP there"]
    );
}

/// Every refusal of `ip_vs_ctl.c` and `ip_vs_sync.c` that a configuration could lead to, in their order, and what ipvsadm
/// refuses beyond.
const REFUSED: &[(&str, &str, &str)] = &[
    // ip_vs_new_dest: not a unicast address
    ("set real-server x address 0.0.0.0", "real-server x address 0.0.0.0", "unspecified"),
    ("set real-server x address 224.0.0.1", "real-server x address 224.0.0.1", "multicast"),
    ("set real-server x address 255.255.255.255", "real-server x address 255.255.255.255", "broadcast"),
    ("set real-server x address 192.168.1.255", "real-server x address 192.168.1.255", "broadcast"),
    ("set real-server x address 127.0.0.1", "real-server x address 127.0.0.1", "loopback"),
    ("set real-server x address fe80::1", "real-server x address fe80::1", "link-local"),
    ("set real-server x address ff02::1", "real-server x address ff02::1", "multicast"),
    ("set real-server x address ::ffff:192.168.1.9", "real-server x address ::ffff:192.168.1.9", "as IPv6"),
    // ip_vs_add_dest: thresholds, the port of GUE
    ("set pool web server rs1 upper 5 lower 9", "pool web server rs1 lower 9", "less than upper"),
    ("set pool web server rs1 lower 9", "pool web server rs1 lower 9", "without upper"),
    (
        "set pool web forward tunnel\nset pool web tunnel type gue",
        "pool web tunnel port",
        "needs the server's UDP port",
    ),
    (
        "set pool web forward tunnel\nset pool web tunnel port 5000",
        "pool web tunnel port",
        "only gue has a port",
    ),
    (
        "set pool web forward tunnel\nset pool web tunnel checksum on",
        "pool web tunnel checksum on",
        "no such checksum",
    ),
    // ip_vs_genl_set_cmd: another family without a tunnel, whether by address, by mark or as the fall-back
    ("SIX set service s address v6 port 80 pool web", "service s address v6", "IPv4 address"),
    (
        "SIX set mark m address v6 port 1000\nset service m mark m\nset service m pool web",
        "service m mark m",
        "IPv4 address",
    ),
    (
        "SIX set real-server far address 2001:db8::5\nset pool none check none\nset pool none sorry-server far\n\
             set service s address vs1 port 81 pool none",
        "service s address vs1",
        "IPv6 address",
    ),
    (
        "set real-server far address 2001:db8::5\nset pool web server far forward tunnel\nset sync-daemon interface private",
        "sync-daemon",
        "other address family",
    ),
    // ip_vs_genl_new_daemon
    ("set sync-daemon id 3", "sync-daemon interface", "missing"),
    ("set sync-daemon interface dmz", "sync-daemon interface dmz", "there is no interface dmz"),
    (
        "set sync-daemon interface private\nset sync-daemon group 10.0.0.1",
        "sync-daemon group 10.0.0.1",
        "not a multicast address",
    ),
    // __ip_vs_service_find: one virtual server for each protocol, address and port
    ("set service s address vs1 port 80 pool web", "service web address vs1", "is served by service s"),
    // ipvsadm: what is for UDP alone, and what needs persistence
    ("set service web one-packet on", "service web one-packet", "UDP only"),
    ("MARK set pool own server rs1\nset service m one-packet on", "service m one-packet", "UDP only"),
    ("UDP set service udp persistence-engine sip", "service udp persistence", "missing"),
    ("UDP set service udp persistence-mask-ipv4 24", "service udp persistence", "missing"),
    // direct routing and tunnels leave the port as it is
    (
        "MARK set pool own forward direct\nset pool own server rs1 port 81",
        "service m pool own",
        "cannot change the port",
    ),
    (
        "set pool web forward direct\nset pool web sorry-server rs9\nset real-server rs9 address 192.168.1.9\n\
             set pool web sorry-port 81",
        "pool web sorry-port 81",
        "only forward nat",
    ),
    // ip_vs_sched_persist: a mark with persistence keeps the port
    (
        "MARK set pool own server rs1 port 81\nset service m persistence 5m",
        "service m persistence",
        "leaves the port as it is",
    ),
    // source NAT to an address of another family
    ("SIX set masquerade private address v6", "masquerade private address", "address family"),
];

#[test]
fn what_the_kernel_would_refuse_is_refused_at_commit_with_one_finding() {
    let six = "set interface six device eth2\nset node primary interface six address 2001:db8::1/64\n\
               set node backup interface six address 2001:db8::2/64\nset floating v6 address 2001:db8::9/64 interface six\n\
               set forwarding ipv6 on\n";
    let udp = "set pool udp check none\nset pool udp server rs1\nset service udp pool udp\nset service udp protocol udp\n\
               set service udp address vs1\nset service udp port 53\n";
    let mut other = Vec::new();
    let marked = "set mark m address vs1 port 1000\nset service m mark m\nset service m pool own\nset pool own check none\n";
    for (lines, path, words) in REFUSED {
        let lines = lines.replace("SIX ", six).replace("UDP ", udp).replace("MARK ", marked);
        let errors: Vec<String> = wrong(&lines).into_iter().filter(|f| f.starts_with("error: ")).collect();
        let expected = format!("error: {path}: ");
        if errors.len() != 1 || !errors[0].starts_with(&expected) || !errors[0].contains(words) {
            other.push(format!("{lines:?}: {errors:?}"));
        }
    }
    assert_eq!(other, [""; 0]);
}

#[test]
fn the_sync_daemon_needs_an_interface_and_servers_of_one_family() {
    assert_eq!(wrong("set sync-daemon interface private"), [""; 0]);
    let mixed = "set sync-daemon interface private\nset real-server far address 2001:db8::9\nset pool web server far \
                 forward tunnel";
    assert_eq!(
        wrong(mixed),
        [
            "error: sync-daemon: service web has servers of the other address family, with which the kernel starts no \
          sync daemon: delete sync-daemon, or give the service servers of its own family"
        ]
    );
}
