// `expect_file!` names `std`.
extern crate std;

use super::*;
use crate::cli::parse_set_lines;
use expect_test::expect_file;

/// Every method in both families, one-armed, and what has no answer.
const CONFIG: &str = "\
set node primary interface public address 10.10.10.52/24
set node primary interface private address 192.168.1.1/24
set node primary interface private address fd00::1/64
set node backup interface private address 192.168.1.2/24
set interface public device eth0
set interface private device eth1
set floating vs1 address 10.10.10.53/24 interface public
set floating vs6 address 2001:db8::53/128 interface public
set floating inside address 192.168.1.254/24 interface private
set real-server n1 address 192.168.1.3
set real-server n2 address 192.168.1.4
set real-server n6 address fd00::3
set real-server far address 172.16.0.9
set real-server near address 10.10.10.60
set pool nat server n1
set pool nat server n2
set pool nat server n6
set pool nat server far
set pool nat server near
set pool direct forward direct
set pool direct server near
set pool direct server n6
set pool direct sorry-server far
set pool tunnel forward tunnel
set pool tunnel server n1
set pool tunnel server n6
set pool gue forward tunnel
set pool gue tunnel type gue port 6080
set pool gue server n1
set pool gue server n6
set pool gre forward tunnel
set pool gre tunnel type gre checksum on
set pool gre server n1
set pool gre server n6
set mark shop address vs1 port 80 port 443
set service nat address vs1 port 80
set service nat pool nat
set service direct address vs1 address vs6 port 81
set service direct pool direct
set service marked mark shop
set service marked pool direct
set service tunnel address vs1 address vs6 port 82
set service tunnel pool tunnel
set service gue address vs1 address vs6 port 83
set service gue pool gue
set service gre address vs1 port 84
set service gre pool gre
set service all address vs1 port 85
set service all source-nat all
set service all pool nat
";

#[test]
fn what_real_servers_need_is_printed_for_every_method_and_system() {
    let config = parse_set_lines(CONFIG).unwrap();
    let mut text = String::new();
    for service in ["nat", "direct", "marked", "tunnel", "gue", "gre", "all"] {
        for (system, word, _) in System::ALL {
            text.push_str(&format!("> show realserver-setup {service} {word}\n"));
            let parts = parts(&config, service, system).unwrap();
            for line in lines(&parts, system, 80) {
                assert_eq!(line.trim_end(), line);
                text.push_str(&line);
                text.push('\n');
            }
            text.push('\n');
        }
    }
    expect_file!["../../../../../../tests/golden/cli/realserver-setup.txt"].assert_eq(&text);
}

#[test]
fn a_service_that_does_not_exist_or_has_nobody_says_so() {
    let config = parse_set_lines("set service empty port 80").unwrap();
    for (service, part) in [("emty", "did you mean \"empty\""), ("empty", "has no pool")] {
        let why = parts(&config, service, System::Linux).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}
