use super::super::testing::status::status;
use super::*;
use proptest::prelude::*;

/// Two devices, nothing configured.
pub(crate) fn factory() -> Status {
    let mut status = status();
    status.system.generation = crate::store::Generation(0);
    status.interfaces.retain(|i| i.link.is_some());
    status
}

fn dialogue() -> Setup {
    Setup::begin(&factory(), None).unwrap()
}

fn answered(lines: &[&str]) -> Setup {
    let mut setup = dialogue();
    for line in lines {
        match setup.enter(line) {
            Outcome::Next | Outcome::Done => {}
            Outcome::Again(why) => panic!("{line}: {why}"),
        }
    }
    setup
}

fn refused(setup: &Setup, line: &str) -> String {
    match setup.clone().enter(line) {
        Outcome::Again(why) => why,
        other @ (Outcome::Next | Outcome::Done) => panic!("{line}: {other:?}"),
    }
}

#[test]
fn an_answer_that_cannot_work_is_refused_with_the_fix_and_asked_again() {
    let public = answered(&["lvs1", "eth0"]);
    for (line, part) in [
        ("", "An answer is needed"),
        ("1.2.3.2", "1.2.3.2"),
        ("1.2.3.0/24", "is the address of the network itself: use a host's address"),
        ("1.2.3.255/24", "broadcast address"),
        ("1.2.3.2/33", "33"),
        ("127.0.0.1/8", "loopback"),
    ] {
        let why = refused(&public, line);
        assert!(why.contains(part), "{line}: {why}");
    }
    let gateway = answered(&["lvs1", "eth0", "1.2.3.2/24"]);
    assert!(refused(&gateway, "9.9.9.9").contains("no subnet"), "{}", refused(&gateway, "9.9.9.9"));
    let private = answered(&["lvs1", "eth0", "1.2.3.2/24", "", "nat"]);
    assert!(refused(&private, "eth0").contains("the servers need another one"));
    assert!(refused(&private, "eth7").contains("use eth1"), "{}", refused(&private, "eth7"));
    let floating = answered(&["lvs1", "eth0", "1.2.3.2/24", "", "direct"]);
    assert!(refused(&floating, "1.2.3.2").contains("the box's own address"));
    assert!(refused(&floating, "4.4.4.4").contains("is not in 1.2.3.0/24"));
    let servers = answered(&["lvs1", "eth0", "1.2.3.2/24", "", "direct", "1.2.3.1", "80", "http"]);
    assert!(refused(&servers, "").contains("An answer is needed"));
    assert!(refused(&servers, "1.2.3.1").contains("used already by floating vs1"));
    assert!(refused(&servers, "192.168.1.3").contains("is not in 1.2.3.0/24"));
    assert!(refused(&servers, "1.2.3.9 99999").contains("0 to 65535"));
    assert!(refused(&servers, "1.2.3.9 1 2").contains("\"2\" is too much"));
}

#[test]
fn going_back_keeps_the_answer_as_the_default() {
    let mut setup = answered(&["box9", "eth1", "1.2.3.2/24"]);
    assert_eq!(setup.prompt(), "Gateway [none]: ");
    setup.enter("<");
    assert_eq!(setup.prompt(), "Its address/prefix [1.2.3.2/24]: ");
    setup.enter("<");
    setup.enter("<");
    assert_eq!(setup.prompt(), "Host name [box9]: ");
    assert!(matches!(setup.enter("<"), Outcome::Again(_)));
}

#[test]
fn another_dialogue_offers_the_answers_of_the_one_before() {
    let earlier = answered(&["box9", "eth1", "1.2.3.2/24", "1.2.3.254"]);
    let mut setup = Setup::begin(&factory(), Some(earlier)).unwrap();
    for _ in 0..4 {
        assert_eq!(setup.enter(""), Outcome::Next);
    }
    assert_eq!(setup.shown(), answered(&["box9", "eth1", "1.2.3.2/24", "1.2.3.254"]).shown());
}

#[test]
fn a_box_with_one_device_is_offered_direct_routing_only() {
    let mut status = factory();
    status.interfaces.truncate(1);
    let mut setup = Setup::begin(&status, None).unwrap();
    for line in ["", "", "1.2.3.2/24", ""] {
        assert_eq!(setup.enter(line), Outcome::Next);
    }
    assert_eq!(setup.prompt(), "Forward by nat or direct [direct]: ");
    assert!(refused(&setup, "nat").contains("needs a second network device"));
    status.interfaces.clear();
    assert!(Setup::begin(&status, None).unwrap_err().contains("No network device"));
}

#[test]
fn the_questions_fit_half_a_row_and_each_is_explained() {
    let mut setup = dialogue();
    for line in [
        "",
        "",
        "1.2.3.2/24",
        "1.2.3.254",
        "nat",
        "",
        "192.168.100.1/24",
        "",
        "1.2.3.1",
        "",
        "",
        "192.168.100.3",
    ] {
        assert!(setup.prompt().len() < 40, "{}", setup.prompt());
        assert!(setup.explain().len() > 40);
        assert_eq!(setup.enter(line), Outcome::Next, "{}", setup.prompt());
    }
    assert_eq!(setup.enter(""), Outcome::Done);
}

#[test]
fn ipv6_is_set_up_with_the_same_questions() {
    let setup = answered(&[
        "",
        "",
        "2001:db8::2/64",
        "2001:db8::ffff",
        "nat",
        "",
        "fd00::1/64",
        "fd00::ff",
        "2001:db8::1",
        "tcp 443",
        "",
        "fd00::3",
        "",
    ]);
    let lines = setup.shown();
    for line in [
        "set route ::/0 via 2001:db8::ffff",
        "set forwarding ipv6 on",
        "set service web address vs1 port 443",
    ] {
        assert!(lines.contains(&line.to_string()), "{lines:#?}");
    }
}

proptest! {
    /// Whatever is typed, what a finished dialogue offers for a commit passes the commit's own checks.
    #[test]
    fn no_answers_lead_to_a_configuration_that_a_commit_refuses(
        lines in proptest::collection::vec(
            prop_oneof![
                Just(String::new()),
                "[a-z0-9./: <]{0,20}",
                (1_u8..5, 0_u8..6, 0_u8..33).prop_map(|(net, host, prefix)| format!("10.0.{net}.{host}/{prefix}")),
                (1_u8..5, 0_u8..6).prop_map(|(net, host)| format!("10.0.{net}.{host}")),
                Just("eth0".to_string()), Just("eth1".to_string()), Just("nat".to_string()),
                Just("direct".to_string()), Just("udp 53".to_string()),
            ],
            0..60,
        )
    ) {
        let mut setup = dialogue();
        for line in &lines {
            if setup.enter(line) == Outcome::Done {
                break;
            }
            let config = bind::to_config(&setup.tree().unwrap()).unwrap();
            prop_assert!(validate(&config).iter().all(|f| f.severity != Severity::Error));
        }
    }
}
