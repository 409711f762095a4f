//! Mistakes that operators make on their servers, really made on the lab's servers, and what `doctor` says of them.

use crate::director::{LVS1, commit};
use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::lab::Lab;
use director_qemu::switch::{Action, Rule, RuleGuard};
use serde_json::Value;
use std::time::Duration;

/// `doctor` takes a second or two when nothing is wrong, and halves packet sizes with patience when something is.
const EXAMINATION: Duration = Duration::from_secs(40);
const COMMAND: Duration = Duration::from_secs(10);

/// A mistake in the lab `balancing`.
#[derive(Clone, Copy, Debug)]
pub struct Ailment {
    /// What a case of it is called.
    pub name: &'static str,
    /// Makes it; what it gives keeps it in force.
    pub make: fn(&Lab) -> Result<Option<RuleGuard>>,
    /// Puts it right.
    pub cure: fn(&Lab) -> Result<()>,
    /// Kind of the finding.
    pub kind: &'static str,
    /// Server that must be named, if any.
    pub server: Option<&'static str>,
    /// Words that must be in the finding or in its fix.
    pub words: &'static [&'static str],
}

/// All of them.
pub const ALL: &[Ailment] = &[
    Ailment {
        name: "a server behind NAT whose default gateway is another machine",
        make: |lab| ip(lab, "rs1", "route replace default via 192.168.1.77"),
        cure: |lab| ip(lab, "rs1", "route replace default via 192.168.1.254").map(drop),
        kind: "gateway",
        server: Some("rs1"),
        words: &["ip route replace default via 192.168.1.254"],
    },
    Ailment {
        name: "a server of direct routing that answers ARP for the virtual address",
        make: |lab| sysctl(lab, "d1", "arp_ignore", 0),
        cure: |lab| sysctl(lab, "d1", "arp_ignore", 1).map(drop),
        kind: "answers-arp",
        server: Some("d1"),
        words: &["1.2.3.7", "52:54:00:01:00:05", "arp_ignore=1"],
    },
    Ailment {
        name: "a server of direct routing without the virtual address on its loopback device",
        make: |lab| ip(lab, "d2", "address del 1.2.3.7/32 dev lo"),
        cure: |lab| ip(lab, "d2", "address add 1.2.3.7/32 dev lo").map(drop),
        kind: "no-address",
        server: Some("d2"),
        words: &["ip address add 1.2.3.7/32 dev lo"],
    },
    Ailment {
        name: "a machine that has taken a virtual address",
        make: |lab| ip(lab, "client", "address add 1.2.3.8/24 dev eth0"),
        cure: |lab| ip(lab, "client", "address del 1.2.3.8/24 dev eth0").map(drop),
        kind: "duplicate",
        server: None,
        words: &["1.2.3.8", "52:54:00:01:00:04"],
    },
    Ailment {
        name: "two machines with the address of a server",
        make: |lab| ip(lab, "rs2", "address add 192.168.1.5/24 dev eth0"),
        cure: |lab| ip(lab, "rs2", "address del 192.168.1.5/24 dev eth0").map(drop),
        kind: "duplicate",
        server: Some("rs3"),
        words: &["52:54:00:01:00:02", "52:54:00:01:00:03"],
    },
    Ailment {
        name: "a network on the way to a tunnel's other end that carries smaller packets",
        make: |lab| {
            commit(
                lab,
                &[
                    "set pool far forward tunnel",
                    "set pool far check none",
                    "set pool far server d2 weight 1",
                    "set service far address vs2 protocol tcp port 81",
                    "set service far pool far",
                ],
            )?;
            let port = lab.port("public", "d2")?;
            let small = Rule::new(Action::Drop).to(port).when(|frame| frame.payload().len() > 1400);
            Ok(Some(lab.switch().rule(small)))
        },
        cure: |lab| commit(lab, &["delete service far", "delete pool far"]).map(drop),
        kind: "mtu",
        server: Some("d2"),
        words: &["1400 bytes do, of which its tunnel takes 20"],
    },
    Ailment {
        name: "a server behind NAT in another network",
        make: |lab| {
            commit(lab, &["set real-server n1 address 10.9.9.9", "set pool web server n1 weight 1"])?;
            Ok(None)
        },
        cure: |lab| commit(lab, &["delete pool web server n1", "delete real-server n1"]).map(drop),
        kind: "subnet",
        server: Some("n1"),
        words: &["10.9.9.9", "default gateway"],
    },
];

fn ip(lab: &Lab, host: &str, line: &str) -> Result<Option<RuleGuard>> {
    lab.ip(host, &format!("{line}\n"))?;
    Ok(None)
}

fn sysctl(lab: &Lab, host: &str, setting: &str, value: u8) -> Result<Option<RuleGuard>> {
    let command = format!("echo {value} >/proc/sys/net/ipv4/conf/all/{setting}");
    let ended = lab.run(host, ["sh", "-c", &command], COMMAND)?;
    ensure!(ended.status.success(), "{host}: {}", ended.stderr);
    Ok(None)
}

/// What `doctor` finds.
///
/// # Errors
/// When it does not answer.
pub fn examine(lab: &Lab) -> Result<Vec<Value>> {
    let console = lab.director(LVS1)?.console();
    let text = console.command_within("doctor | json", lab.scaled(EXAMINATION))?.join("");
    let report: Value = serde_json::from_str(&text).with_context(|| format!("doctor: {text:.300}"))?;
    ensure!(report["looks"].as_u64().is_some_and(|looks| looks > 10), "it hardly looked: {report}");
    report["findings"].as_array().cloned().with_context(|| format!("no findings in {report}"))
}

/// A lab in which nothing is wrong has no finding.
///
/// # Errors
/// When there is one.
pub fn healthy(lab: &Lab) -> Result<()> {
    let found = examine(lab)?;
    ensure!(found.is_empty(), "nothing is wrong, and it found {found:?}");
    Ok(())
}

/// Makes the mistake, has it found and named, and puts it right.
///
/// # Errors
/// When it is not found, or something else is.
pub fn suffer(lab: &Lab, ailment: &Ailment) -> Result<()> {
    let guard = (ailment.make)(lab).with_context(|| format!("making {}", ailment.name))?;
    let found = examine(lab);
    drop(guard);
    (ailment.cure)(lab).with_context(|| format!("putting right {}", ailment.name))?;
    let found = found.with_context(|| ailment.name)?;
    let named = |finding: &&Value| {
        let text = finding.to_string();
        finding["kind"] == ailment.kind
            && finding["server"].as_str() == ailment.server
            && ailment.words.iter().all(|word| text.contains(word))
    };
    if !found.iter().any(|finding| named(&finding)) {
        bail!("{}: it found {found:?}", ailment.name);
    }
    let other = found.iter().filter(|finding| finding["kind"] != ailment.kind).count();
    ensure!(other == 0, "{}: it found more than that: {found:?}", ailment.name);
    Ok(())
}
