//! The lab of the matrix.

use crate::director::{LVS1, SOON};
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::nginx;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp, Host};
use director_qemu::tools::Tools;
use director_qemu::vm::Hardware;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The virtual addresses.
pub const V4: &str = "1.2.3.1";
/// The same for IPv6.
pub const V6: &str = "2001:db8:1::1";
/// Virtual addresses of FTP by direct routing and through tunnels.
pub const FTP_DIRECT: &str = "1.2.3.7";
/// See [`FTP_DIRECT`].
pub const FTP_TUNNEL: &str = "1.2.3.8";
/// The same for IPv6.
pub const FTP_DIRECT6: &str = "2001:db8:1::7";
/// See [`FTP_DIRECT6`].
pub const FTP_TUNNEL6: &str = "2001:db8:1::8";
/// The client in both families; the others are more addresses of it.
pub const CLIENT4: &str = "1.2.3.100";
/// See [`CLIENT4`].
pub const CLIENT6: &str = "2001:db8:1::100";
/// In the same half of the network as [`CLIENT4`], and in the other one.
pub const MORE_CLIENTS: [&str; 3] = ["1.2.3.101", "1.2.3.102", "1.2.3.200"];

/// What one cell of the matrix is: name, port, addresses of the service, servers that answer.
#[derive(Debug)]
pub struct Cell {
    /// Name of pool and services.
    pub name: &'static str,
    /// Port of its services, TCP and UDP.
    pub port: u16,
    /// `v4` or `v6`: the family of what clients connect to.
    pub family: &'static str,
    /// Names of servers, as they answer.
    pub servers: [&'static str; 2],
    /// Their entries in the configuration.
    members: [&'static str; 2],
    /// What is set of the pool.
    method: &'static [&'static str],
}

const fn cell(
    (name, port, family): (&'static str, u16, &'static str),
    servers: [&'static str; 2],
    members: [&'static str; 2],
    method: &'static [&'static str],
) -> Cell {
    Cell { name, port, family, servers, members, method }
}

const RS: [&str; 2] = ["rs1", "rs2"];
const D: [&str; 2] = ["d1", "d2"];
const T: [&str; 2] = ["t1", "t2"];
const RS6: [&str; 2] = ["rs1six", "rs2six"];
const D6: [&str; 2] = ["d1six", "d2six"];
const T6: [&str; 2] = ["t1six", "t2six"];

/// Methods and families.
pub const CELLS: [Cell; 13] = [
    cell(("nat4", 8000, "v4"), RS, RS, &["forward nat"]),
    cell(("nat6", 8000, "v6"), RS, RS6, &["forward nat"]),
    cell(("direct4", 8001, "v4"), D, D, &["forward direct"]),
    cell(("direct6", 8001, "v6"), D, D6, &["forward direct"]),
    cell(("ipip4", 8002, "v4"), T, T, &["forward tunnel"]),
    cell(("ipip6", 8002, "v6"), T, T6, &["forward tunnel"]),
    cell(("gue4", 8003, "v4"), T, T, &["forward tunnel", "tunnel type gue port 6080"]),
    cell(("gue6", 8003, "v6"), T, T6, &["forward tunnel", "tunnel type gue port 6080"]),
    cell(("gre4", 8004, "v4"), T, T, &["forward tunnel", "tunnel type gre"]),
    cell(("gre6", 8004, "v6"), T, T6, &["forward tunnel", "tunnel type gre"]),
    cell(("guecsum4", 8005, "v4"), T, T, &["forward tunnel", "tunnel type gue port 6080 checksum on"]),
    cell(("mixed4", 8006, "v4"), T, T6, &["forward tunnel"]),
    cell(("mixed6", 8006, "v6"), T, T, &["forward tunnel"]),
];

/// Port of the servers behind NAT, which is another one than the service's.
const BEHIND_NAT: u16 = 80;
/// Ports of servers of direct routing and tunnels: those of the services.
const WEB: &[u16] = &[80, 443, 8001, 8002, 8003, 8004, 8005, 8006];

const IP: &str = "/bin/ip";
const SOCAT: &str = "/usr/bin/socat";
const NGINX: &str = "/usr/sbin/nginx";
const VSFTPD: &str = "/usr/sbin/vsftpd";
const COMMAND: Duration = Duration::from_secs(10);
/// Room for busybox beside the product.
const MEMORY_MIB: u32 = 96;

/// Makes the lab.
///
/// # Errors
/// When a part of it does not come up.
pub fn start(folder: RunFolder) -> Result<Lab> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    let like = scenario.hosts.first().cloned().context("a host")?;
    let inside = |name, last| Host {
        name,
        address: Ipv4Addr::new(192, 168, 1, last),
        web: WEB,
        udp_echo: None,
        ..like.clone()
    };
    let outside = |name, last| Host {
        name,
        segment: "public",
        address: Ipv4Addr::new(1, 2, 3, last),
        gateway: None,
        web: WEB,
        udp_echo: None,
        ..like.clone()
    };
    scenario.hosts = vec![
        inside("rs1", 3),
        inside("rs2", 4),
        outside("d1", 11),
        outside("d2", 12),
        Host { web: &[8080], ..outside("client", 100) },
    ];
    scenario.config = configuration();
    scenario.bring_up = BringUp::Preloaded;
    scenario.answers = None;
    let mut lab = Lab::prepare(scenario, folder)?;
    hosts(&mut lab)?;
    for (name, last) in [("t1", 21), ("t2", 22)] {
        machine(&mut lab, name, last)?;
    }
    super::ftp::serve(&mut lab)?;
    lab.set_hardware(Hardware { memory_mib: MEMORY_MIB, ..Hardware::FAST });
    lab.set_tools(Tools::new(["/sbin/ipvsadm"]));
    lab.boot()?;
    Ok(lab)
}

/// Waits until the first virtual address answers.
///
/// # Errors
/// When it does not.
pub fn baseline(lab: &mut Lab) -> Result<()> {
    let url = format!("http://{V4}:8000/");
    lab.hub()
        .eventually("an answer", lab.scaled(SOON * 4), || {
            lab.get("client", &url).map_err(|error| format!("{error:#}"))
        })
        .map(|_| ())
}

/// Starts the director anew from its flash.
///
/// # Errors
/// When it does not come up.
pub fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)?;
    baseline(lab)
}

fn shell(lab: &Lab, host: &str, line: &str) -> Result<()> {
    let ended = lab.run(host, ["sh", "-c", line], COMMAND)?;
    ensure!(ended.status.success(), "{host}: {line}: {}", ended.stderr);
    Ok(())
}

/// A server that takes packets for the virtual addresses and never says so by ARP (arp_ignore, arp_announce of
/// ip-sysctl). Neighbour discovery asks the interface alone, and the addresses are on another one.
const QUIET: &str =
    "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore && echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce";

fn hosts(lab: &mut Lab) -> Result<()> {
    for (host, last) in [("rs1", 3), ("rs2", 4)] {
        lab.ip(
            host,
            &format!(
                "address add 2001:db8:2::{last}/64 dev eth0 nodad\nroute add default via 2001:db8:2::fe dev eth0\n"
            ),
        )?;
        lab.serve_names(host, &format!("[::]:{BEHIND_NAT}"), host)?;
    }
    for (host, last) in [("d1", 11), ("d2", 12)] {
        shell(lab, host, QUIET)?;
        let mut lines = format!("address add 2001:db8:1::{last}/64 dev eth0 nodad\n");
        for address in [V4, FTP_DIRECT] {
            writeln!(lines, "address add {address}/32 dev lo")?;
        }
        for address in [V6, FTP_DIRECT6] {
            writeln!(lines, "address add {address}/128 dev lo nodad")?;
        }
        lab.ip(host, &lines)?;
        lab.serve_names(host, &format!("{V4}:8001"), host)?;
        lab.serve_names(host, &format!("[{V6}]:8001"), host)?;
    }
    let mut lines = format!("address add {CLIENT6}/64 dev eth0 nodad\n");
    for address in MORE_CLIENTS {
        writeln!(lines, "address add {address}/24 dev eth0")?;
    }
    lab.ip("client", &lines)
}

fn machine(lab: &mut Lab, name: &'static str, last: u8) -> Result<()> {
    let tools = Tools::new([IP, SOCAT, NGINX, VSFTPD])
        .file("/srv/nginx.conf", nginx::configuration(name, WEB))
        .file("/srv/pages/index.html", format!("{name}\n"))
        .file("/srv/temporary/keep", "")
        .file("/srv/vsftpd.conf", super::ftp::configuration(name, "/srv/ftp"))
        .file("/srv/ftp/who", format!("{name}\n"))
        .file("/srv/empty/keep", "")
        .file("/var/log/nginx/keep", "")
        .file("/var/lib/nginx/keep", "");
    lab.add_machine(name, &["private", "public"], &tools)?;
    let shell = lab.shell(name)?;
    for line in [
        QUIET.to_owned(),
        // What comes out of a tunnel comes in by a device that has no route to its client.
        "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done".to_owned(),
        format!("/bin/ip address add 192.168.1.{last}/24 dev eth0 && /bin/ip link set eth0 up"),
        format!("/bin/ip address add 2001:db8:2::{last}/64 dev eth0 nodad"),
        format!("/bin/ip address add 1.2.3.{last}/24 dev eth1 && /bin/ip link set eth1 up"),
        format!("/bin/ip address add 2001:db8:1::{last}/64 dev eth1 nodad"),
        format!("/bin/ip address add {V4}/32 dev lo && /bin/ip address add {FTP_TUNNEL}/32 dev lo"),
        format!("/bin/ip address add {V6}/128 dev lo nodad"),
        format!("/bin/ip address add {FTP_TUNNEL6}/128 dev lo nodad"),
        // The kernel makes these devices itself; each takes what comes from anybody.
        "for d in tunl0 gre0 sit0 ip6tnl0 ip6gre0; do /bin/ip link set $d up; done".to_owned(),
        // The one that the kernel makes for IPv6 takes IPv6 alone.
        format!(
            "/bin/ip link add tnl46 type ip6tnl mode any local 2001:db8:2::{last} && /bin/ip link set tnl46 up"
        ),
        "/bin/ip fou add port 6080 gue && /bin/ip -6 fou add port 6080 gue".to_owned(),
        "(nginx -p /srv -c nginx.conf >/srv/nginx.out 2>&1 &)".to_owned(),
        "(vsftpd /srv/vsftpd.conf >/srv/vsftpd.out 2>&1 &)".to_owned(),
    ] {
        shell.ok(&line).with_context(|| name)?;
    }
    for cell in CELLS.iter().filter(|cell| cell.servers == T) {
        let (listen, bind) =
            if cell.family == "v4" { ("UDP4", V4.to_owned()) } else { ("UDP6", format!("[{V6}]")) };
        let answer = format!("SYSTEM:'echo {name} $SOCAT_PEERADDR'");
        shell.ok(&format!("(socat {listen}-RECVFROM:{},bind={bind},fork {answer} &)", cell.port))?;
    }
    Ok(())
}

fn configuration() -> String {
    let mut text = format!(
        "set node primary hostname lvs1\n\
         set node primary interface public address 1.2.3.2/24\n\
         set node primary interface public address 2001:db8:1::2/64\n\
         set node primary interface private address 192.168.1.1/24\n\
         set node primary interface private address 2001:db8:2::1/64\n\
         set interface public device eth0\nset interface private device eth1\n\
         set floating v4 address {V4}/24 interface public\n\
         set floating v6 address {V6}/64 interface public\n\
         set floating ftp-direct address {FTP_DIRECT}/24 interface public\n\
         set floating ftp-tunnel address {FTP_TUNNEL}/24 interface public\n\
         set floating ftp-direct6 address {FTP_DIRECT6}/64 interface public\n\
         set floating ftp-tunnel6 address {FTP_TUNNEL6}/64 interface public\n\
         set floating router4 address 192.168.1.254/24 interface private\n\
         set floating router6 address 2001:db8:2::fe/64 interface private\n\
         set forwarding ipv4 on\nset forwarding ipv6 on\n"
    );
    for (name, segment4, segment6, last) in [
        ("rs1", "192.168.1", "2001:db8:2:", 3),
        ("rs2", "192.168.1", "2001:db8:2:", 4),
        ("d1", "1.2.3", "2001:db8:1:", 11),
        ("d2", "1.2.3", "2001:db8:1:", 12),
        ("t1", "192.168.1", "2001:db8:2:", 21),
        ("t2", "192.168.1", "2001:db8:2:", 22),
    ] {
        write_lines(
            &mut text,
            &[
                format!("set real-server {name} address {segment4}.{last}"),
                format!("set real-server {name}six address {segment6}:{last}"),
            ],
        );
    }
    for Cell { name, port, family, servers: _, members, method } in &CELLS {
        let mut lines = vec![format!("set pool {name} check none")];
        lines.extend(method.iter().map(|part| format!("set pool {name} {part}")));
        for member in members {
            let port =
                if method.contains(&"forward nat") { format!(" port {BEHIND_NAT}") } else { String::new() };
            lines.push(format!("set pool {name} server {member} weight 1{port}"));
        }
        for protocol in ["tcp", "udp"] {
            let service = format!("set service {name}-{protocol}");
            lines.push(format!("{service} address {family} protocol {protocol} port {port}"));
            lines.push(format!("{service} scheduler rr"));
            lines.push(format!("{service} pool {name}"));
        }
        write_lines(&mut text, &lines);
    }
    text.push_str(super::ftp::CONFIGURATION);
    text.push_str(
        "set pool few check none\nset pool few server rs1 port 80 upper 2\nset pool few server rs2 port 80 upper 3\n\
         set service few address v4 port 8101\nset service few scheduler rr\nset service few pool few\n",
    );
    text
}

fn write_lines(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}
