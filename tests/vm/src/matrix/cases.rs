//! The cells. Each leaves the configuration as it was.

use super::world::{CELLS, CLIENT4, CLIENT6, Cell, MORE_CLIENTS, V4, V6};
use crate::director::{LVS1, commit, rows};
use anyhow::{Context as _, Result, ensure};
use director_qemu::frame::Mac;
use director_qemu::lab::{Lab, Sender};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A port that no service and no server has.
const NO_SERVICE: u16 = 8099;
/// eth0 of the director.
const DIRECTOR: Mac = Mac([0x52, 0x54, 0, 0, 1, 0]);
/// Requests of one cell: both servers have their turn as often.
const REQUESTS: u32 = 4;
const COMMAND: Duration = Duration::from_secs(10);
/// A transfer at `/slow` lasts longer than any case.
const SLOW: &str = "60";

fn url(cell: &Cell, path: &str) -> String {
    let host = if cell.family == "v4" { V4.to_owned() } else { format!("[{V6}]") };
    format!("http://{host}:{}/{path}", cell.port)
}

fn client_of(cell: &Cell) -> &'static str {
    if cell.family == "v4" { CLIENT4 } else { CLIENT6 }
}

/// Each server of a pool answers as often, and sees the client.
///
/// # Errors
/// With the first cell that does not.
pub fn http(lab: &mut Lab) -> Result<()> {
    let public = lab.segment("public")?;
    for cell in &CELLS {
        let through = lab.switch().watch(public, |frame| {
            frame.src() == Some(DIRECTOR) && frame.ipv4().is_some_and(|packet| packet.protocol == 6)
        });
        let seen = lab.get_many("client", &url(cell, ""), REQUESTS).with_context(|| cell.name)?;
        let expected: BTreeMap<String, u32> =
            cell.servers.iter().map(|name| ((*name).to_owned(), REQUESTS / 2)).collect();
        ensure!(seen == expected, "{}: answered by {seen:?}", cell.name);
        let who = lab.get("client", &url(cell, "whoami")).with_context(|| cell.name)?;
        ensure!(who.trim_start_matches("::ffff:") == client_of(cell), "{}: the server saw {who}", cell.name);
        // Direct return leaves the director only what clients send; what it sends on the public segment itself goes to
        // servers of direct routing.
        if cell.servers == ["t1", "t2"] {
            ensure!(
                through.hits() == 0,
                "{}: {} frames of the director in public",
                cell.name,
                through.hits()
            );
        }
    }
    Ok(())
}

/// Answers as (server, address that it saw), counted by server.
fn named(answers: &[String], client: &str) -> Result<BTreeMap<String, u32>> {
    let mut counted = BTreeMap::new();
    for answer in answers {
        let (name, saw) = answer.split_once(' ').with_context(|| format!("no answer: {answer}"))?;
        // socat writes all of an IPv6 address.
        let saw: std::net::IpAddr = saw.trim_matches(['[', ']']).parse().with_context(|| answer.clone())?;
        let client: std::net::IpAddr = client.parse()?;
        ensure!(saw == client, "{name} saw {saw}, not {client}");
        *counted.entry(name.to_owned()).or_default() += 1;
    }
    Ok(counted)
}

fn udp_address(cell: &Cell) -> String {
    if cell.family == "v4" { format!("{V4}:{}", cell.port) } else { format!("[{V6}]:{}", cell.port) }
}

/// The same for UDP; one port of a client stays with one server.
///
/// # Errors
/// With the first cell that does not.
pub fn udp(lab: &mut Lab) -> Result<()> {
    for cell in &CELLS {
        let client = client_of(cell);
        let ask = |from| lab.ask_names("client", from, &udp_address(cell), REQUESTS, "hello");
        let answers = named(&ask(Sender::Fresh(client)).with_context(|| cell.name)?, client)?;
        let expected: BTreeMap<String, u32> =
            cell.servers.iter().map(|name| ((*name).to_owned(), REQUESTS / 2)).collect();
        ensure!(answers == expected, "{}: answered by {answers:?}", cell.name);
        let same = named(&ask(Sender::Same(client)).with_context(|| cell.name)?, client)?;
        ensure!(same.len() == 1, "{}: one port, several servers: {same:?}", cell.name);
    }
    Ok(())
}

/// Runs `case` with lines of configuration that are taken back afterwards.
fn with(lab: &mut Lab, set: &[&str], back: &[&str], case: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    commit(lab, set)?;
    let result = case(lab);
    commit(lab, back)?;
    result
}

fn from(lab: &Lab, source: &str, url: &str) -> Result<String> {
    let argv = ["curl", "--silent", "--show-error", "--fail", "--max-time", "5", "--interface", source, url];
    let ended = lab.run("client", argv, COMMAND)?;
    ensure!(ended.status.success(), "{url} from {source}: {}", ended.stderr.trim());
    Ok(ended.stdout.trim().to_owned())
}

/// # Errors
/// When clients of one mask have several servers, or all clients one.
pub fn persistence(lab: &mut Lab) -> Result<()> {
    let url = format!("http://{V4}:8000/");
    let set = ["set service nat4-tcp persistence 1m", "set service nat4-tcp persistence-mask-ipv4 25"];
    let back = ["delete service nat4-tcp persistence", "delete service nat4-tcp persistence-mask-ipv4"];
    with(lab, &set, &back, |lab| {
        let first = from(lab, CLIENT4, &url)?;
        for source in [CLIENT4, MORE_CLIENTS[0], MORE_CLIENTS[1], CLIENT4] {
            let now = from(lab, source, &url)?;
            ensure!(now == first, "{source} has {now}, its half of the network {first}");
        }
        let other = from(lab, MORE_CLIENTS[2], &url)?;
        ensure!(other != first, "both halves have {first}: round robin would not");
        let again = from(lab, MORE_CLIENTS[2], &url)?;
        ensure!(other == again, "{other}, then {again}");
        let table = lab.ask(LVS1, "show ipvs persistent")?.join("\n");
        ensure!(table.contains("rs") || !table.is_empty(), "{table}");
        Ok(())
    })
}

/// What one client's requests, one after the other, do with weights 2 and 1.
///
/// # Errors
/// With the first scheduler that shares otherwise.
pub fn schedulers(lab: &mut Lab) -> Result<()> {
    const REQUESTS: u32 = 6;
    let url = format!("http://{V4}:8100/");
    let set = [
        "set pool sched check none",
        "set pool sched server rs1 weight 2 port 80",
        "set pool sched server rs2 weight 1 port 80",
        "set service sched address v4 port 8100",
        "set service sched pool sched",
    ];
    let back = ["delete service sched", "delete pool sched"];
    let all: [(&str, &[(u32, u32)]); 14] = [
        ("rr", &[(3, 3)]),
        ("wrr", &[(4, 2)]),
        // Connections that ended count a little: without weights both get as many, with weights twice as many.
        ("lc", &[(3, 3)]),
        ("wlc", &[(4, 2)]),
        // The shortest expected delay and the first idle server are those of the larger weight and of the first.
        ("sed", &[(6, 0)]),
        ("nq", &[(6, 0), (0, 6)]),
        // One client, one virtual address: one server.
        ("sh", &[(6, 0), (0, 6)]),
        ("dh", &[(6, 0), (0, 6)]),
        ("mh", &[(6, 0), (0, 6)]),
        ("lblc", &[(6, 0), (0, 6)]),
        ("lblcr", &[(6, 0), (0, 6)]),
        // The largest weight as long as it is there.
        ("fo", &[(6, 0)]),
        ("ovf", &[(6, 0)]),
        // Two at random: anything.
        ("twos", &[(6, 0), (5, 1), (4, 2), (3, 3), (2, 4), (1, 5), (0, 6)]),
    ];
    for (scheduler, allowed) in all {
        let choose = format!("set service sched scheduler {scheduler}");
        let set: Vec<&str> = set.iter().copied().chain([choose.as_str()]).collect();
        with(lab, &set, &back, |lab| {
            let seen = lab.get_many("client", &url, REQUESTS)?;
            let of = |name: &str| seen.get(name).copied().unwrap_or(0);
            let counted = (of("rs1"), of("rs2"));
            ensure!(allowed.contains(&counted), "rs1 and rs2 answered {counted:?}, not {allowed:?}");
            Ok(())
        })
        .with_context(|| scheduler)?;
    }
    Ok(())
}

/// # Errors
/// When a server gets more connections than its threshold.
pub fn thresholds(lab: &mut Lab) -> Result<()> {
    let url = format!("http://{V4}:8101/slow");
    let mut held = Vec::new();
    for count in 1..=5_u64 {
        let argv = ["curl", "--silent", "--output", "/dev/null", "--max-time", SLOW, &url];
        held.push(lab.spawn("client", argv)?);
        lab.hub().eventually("the connection", lab.scaled(COMMAND), || {
            let now = active(lab, 8101).map_err(|error| format!("{error:#}"))?;
            if now.values().sum::<u64>() == count { Ok(()) } else { Err(format!("{now:?}")) }
        })?;
    }
    let now = active(lab, 8101)?;
    ensure!(now.values().copied().collect::<BTreeSet<u64>>() == [2, 3].into(), "{now:?}");
    let more = lab.get("client", &url.replace("slow", ""));
    ensure!(more.is_err(), "all are full, and {more:?} answered");
    Ok(())
}

/// Established connections of a virtual server by real server.
fn active(lab: &Lab, port: u64) -> Result<BTreeMap<String, u64>> {
    let all = rows(lab, "ipvs")?;
    let service = all.iter().find(|row| row["port"] == port).context("no virtual server")?;
    let servers = service["servers"].as_array().context("no servers")?;
    Ok(servers
        .iter()
        .filter_map(|s| Some((s["address"].as_str()?.to_owned(), s["active"].as_u64()?)))
        .collect())
}

/// By direct routing: behind NAT nothing would give the answers the address that was asked.
///
/// # Errors
/// When datagrams of one port stay with one server.
pub fn one_packet(lab: &mut Lab) -> Result<()> {
    for (service, address, client) in
        [("direct4-udp", format!("{V4}:8001"), CLIENT4), ("direct6-udp", format!("[{V6}]:8001"), CLIENT6)]
    {
        let (set, back) =
            (format!("set service {service} one-packet on"), format!("delete service {service} one-packet"));
        with(lab, &[&set], &[&back], |lab| {
            let answers =
                named(&lab.ask_names("client", Sender::Same(client), &address, REQUESTS, "hello")?, client)?;
            ensure!(answers.values().all(|count| *count == REQUESTS / 2), "{service}: {answers:?}");
            ensure!(answers.len() == 2, "{service}: {answers:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// A message of SIP as far as the kernel looks (`ip_vs_pe_sip.c`).
fn call(id: u32) -> String {
    format!(
        "OPTIONS sip:b@{V4} SIP/2.0\r\nVia: SIP/2.0/UDP {CLIENT4}\r\nCall-ID: call-{id}@{CLIENT4}\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
}

/// The engine tells the calls of one client apart; of another client it is another call (`ip_vs_sip_ct_match`).
///
/// # Errors
/// When messages of one call reach several servers, or those of all calls one.
pub fn sip(lab: &mut Lab) -> Result<()> {
    let set = ["set service nat4-udp persistence 1m", "set service nat4-udp persistence-engine sip"];
    let back = ["delete service nat4-udp persistence", "delete service nat4-udp persistence-engine"];
    with(lab, &set, &back, |lab| {
        let mut used = BTreeSet::new();
        for id in 0..REQUESTS {
            let sender = Sender::Fresh(CLIENT4);
            let answers = lab.ask_names("client", sender, &format!("{V4}:8000"), 3, &call(id))?;
            let servers = named(&answers, CLIENT4)?;
            ensure!(servers.len() == 1, "call {id} reached {servers:?}");
            used.extend(servers.into_keys());
        }
        ensure!(used.len() == 2, "all calls went to {used:?}");
        Ok(())
    })
}

/// # Errors
/// When ports of one mark go to several servers.
pub fn marks(lab: &mut Lab) -> Result<()> {
    let set = [
        "set mark pair address v4 port 80 port 443",
        "set mark pair6 address v6 port 80 port 443",
        "set service pair6 mark pair6",
        "set service pair6 scheduler rr",
        "set service pair6 persistence 1m",
        "set service pair6 pool pair6",
        "set pool pair6 check none",
        "set pool pair6 server rs1six",
        "set pool pair6 server rs2six",
        "set service pair mark pair",
        "set service pair scheduler rr",
        "set service pair persistence 1m",
        "set service pair pool pair",
        "set pool pair check none",
        "set pool pair server rs1",
        "set pool pair server rs2",
    ];
    let back = [
        "delete service pair",
        "delete mark pair",
        "delete pool pair",
        "delete service pair6",
        "delete mark pair6",
        "delete pool pair6",
    ];
    with(lab, &set, &back, |lab| {
        for host in [V4.to_owned(), format!("[{V6}]")] {
            let first = lab.get("client", &format!("http://{host}:80/"))?;
            for port in [443, 80, 443] {
                let now = lab.get("client", &format!("http://{host}:{port}/"))?;
                ensure!(now == first, "port {port} was answered by {now}, before by {first}");
            }
        }
        Ok(())
    })
}

/// Datagrams larger than a frame, to a port of a virtual server and to a port of a mark.
///
/// # Errors
/// When one does not come back.
pub fn fragments(lab: &mut Lab) -> Result<()> {
    let set = [
        "set mark large address v4 protocol udp port 8104",
        "set service large mark large",
        "set service large pool large",
        "set pool large check none",
        "set pool large server rs1 port 80",
    ];
    let back = ["delete service large", "delete mark large", "delete pool large"];
    with(lab, &set, &back, |lab| {
        let text = "x".repeat(4000);
        for (address, client) in [
            (format!("{V4}:8000"), CLIENT4),
            (format!("[{V6}]:8000"), CLIENT6),
            (format!("{V4}:8104"), CLIENT4),
        ] {
            let answers = lab.ask_names("client", Sender::Fresh(client), &address, 2, &text);
            named(&answers.with_context(|| address.clone())?, client)?;
        }
        Ok(())
    })
}

/// SCTP by direct routing and behind NAT. The client and the servers need a kernel that has it; to the client's second
/// address the servers answer by way of the director.
///
/// # Errors
/// When nothing is answered, or by one server only.
pub fn sctp(lab: &mut Lab) -> Result<()> {
    const CLIENTS: [&str; 2] = ["1.2.3.110", "1.2.3.111"];
    let set = [
        "set real-server t1near address 1.2.3.21",
        "set real-server t2near address 1.2.3.22",
        "set pool sctp check none",
        "set pool sctp forward direct",
        "set pool sctp server t1near",
        "set pool sctp server t2near",
        "set service sctp address v4 protocol sctp port 9",
        "set service sctp scheduler rr",
        "set service sctp pool sctp",
        "set pool sctpnat check none",
        "set pool sctpnat server t1 port 11",
        "set pool sctpnat server t2 port 11",
        "set service sctpnat address v4 protocol sctp port 10",
        "set service sctpnat scheduler rr",
        "set service sctpnat pool sctpnat",
    ];
    let back = [
        "delete service sctp",
        "delete pool sctp",
        "delete service sctpnat",
        "delete pool sctpnat",
        "delete real-server t1near",
        "delete real-server t2near",
    ];
    let tools = director_qemu::tools::Tools::new(["/usr/bin/socat"]);
    lab.add_machine("sctp-client", &["public"], &tools)?;
    let client = lab.shell("sctp-client")?;
    client.ok("ip link set eth0 up")?;
    for address in CLIENTS {
        client.ok(&format!("ip address add {address}/24 dev eth0"))?;
    }
    for (name, inside) in [("t1", "192.168.1.21"), ("t2", "192.168.1.22")] {
        let shell = lab.shell(name)?;
        shell.ok(&format!("/bin/ip route add {}/32 via 192.168.1.254", CLIENTS[1]))?;
        let answer = format!("SYSTEM:'read -r x; echo {name} $SOCAT_PEERADDR'");
        for listen in [format!("9,bind={V4}"), format!("11,bind={inside}")] {
            shell.ok(&format!("(socat SCTP4-LISTEN:{listen},fork,reuseaddr {answer} &)"))?;
        }
    }
    with(lab, &set, &back, |lab| {
        let shell = lab.shell("sctp-client")?;
        for (port, client) in [(9, CLIENTS[0]), (10, CLIENTS[1])] {
            let mut answers = Vec::new();
            for _ in 0..REQUESTS {
                // An association cannot be closed on one side: who asks stays until it has its answer.
                let ask = format!(
                    "socat SCTP4:{V4}:{port},bind={client} SYSTEM:'echo hello; head -n 1 >/tmp/answer'; cat /tmp/answer"
                );
                answers.push(shell.ok(&ask)?.trim().to_owned());
            }
            let counted = named(&answers, client).with_context(|| format!("port {port}"))?;
            ensure!(
                counted.len() == 2 && counted.values().all(|n| *n == REQUESTS / 2),
                "port {port}: {counted:?}"
            );
        }
        let table = lab.ask(LVS1, "show ipvs")?.join("\n");
        ensure!(table.contains("SCTP"), "{table}");
        Ok(())
    })
}

/// `net.ipv4.vs.conntrack` is 1 because of FTP behind NAT, and 0 without.
///
/// # Errors
/// When it is otherwise, or connections are tracked that need not be.
pub fn tracking(lab: &mut Lab) -> Result<()> {
    let read = |lab: &Lab| lab.shell(LVS1)?.ok("cat /proc/sys/net/ipv4/vs/conntrack");
    ensure!(read(lab)?.trim() == "1", "FTP behind NAT is not tracked");
    // What was tracked before may still be in the table.
    let tracked = |lab: &Lab| -> Result<u32> {
        let said = lab.shell(LVS1)?.ok("grep -c dport=8000 /proc/net/nf_conntrack; true")?;
        said.trim().parse().with_context(|| format!("no number: {said}"))
    };
    commit(lab, &["delete service ftp4", "delete service ftp6"])?;
    let result = (|| {
        ensure!(read(lab)?.trim() == "0", "nothing needs it");
        let before = tracked(lab)?;
        lab.get("client", &format!("http://{V4}:8000/"))?;
        lab.ask_names("client", Sender::Fresh(CLIENT4), &format!("{V4}:8000"), 1, "x")?;
        let now = tracked(lab)?;
        ensure!(now <= before, "{} connections to a virtual server are tracked", now - before);
        Ok(())
    })();
    commit(
        lab,
        &[
            "set service ftp4 address v4 port 21",
            "set service ftp4 scheduler rr",
            "set service ftp4 pool ftp4",
            "set service ftp6 address v6 port 21",
            "set service ftp6 scheduler rr",
            "set service ftp6 pool ftp6",
        ],
    )?;
    result
}

/// # Errors
/// When a packet that no service asked for reaches the inside.
pub fn exposure(lab: &mut Lab) -> Result<()> {
    lab.ip("client", "route add 192.168.1.0/24 via 1.2.3.2\nroute add 2001:db8:2::/64 via 2001:db8:1::2\n")?;
    let private = lab.segment("private")?;
    for address in ["192.168.1.3", "[2001:db8:2::3]"] {
        // On a port of no service, because what is left of earlier connections comes from the same client.
        let leaked = lab.switch().watch(private, |frame| {
            frame.ipv4().is_some_and(|packet| packet.ports.is_some_and(|(_, to)| to == NO_SERVICE))
        });
        for port in [80, NO_SERVICE] {
            let answer = lab.get("client", &format!("http://{address}:{port}/"));
            ensure!(answer.is_err(), "{address}:{port} was reached from outside: {answer:?}");
        }
        ensure!(leaked.hits() == 0, "{} frames for {address} got inside", leaked.hits());
    }
    Ok(())
}
