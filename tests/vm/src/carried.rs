//! Downloads that go on while the active director changes.

use crate::director::LVS1;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::process::Process;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The other director.
pub const LVS2: &str = "lvs2";
/// All servers that have the file.
const SERVERS: [&str; 5] = ["rs1", "rs2", "rs3", "d1", "d2"];
/// Virtual servers: NAT, and direct routing with persistence.
pub const ADDRESSES: [&str; 2] = ["1.2.3.1", "1.2.3.7"];
/// A change of roles, with a boot in it.
const CHANGE: Duration = Duration::from_secs(60);

/// A pair with connections, and the file that is downloaded.
#[derive(Debug)]
pub struct Carried {
    digest: String,
    bytes: usize,
}

impl Carried {
    /// Boots the pair; every server has the same file of so many bytes, in which no part is like another.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(folder: RunFolder, bytes: usize) -> Result<(Lab, Self)> {
        let mut lab = Lab::prepare(scenario::named("pair-connections").context("scenario")?, folder)?;
        let mut number = 0x0D1B_54A3_2D19_2ED0_u64;
        let mut file = Vec::with_capacity(bytes + 8);
        while file.len() < bytes {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.truncate(bytes);
        let first = lab.folder().node(SERVERS[0])?.join("pages/file");
        std::fs::write(&first, &file).context("file")?;
        for server in &SERVERS[1..] {
            std::fs::hard_link(&first, lab.folder().node(server)?.join("pages/file")).context("link")?;
        }
        crate::balancing::quiet(&lab)?;
        lab.boot()?;
        let digest = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((lab, Self { digest, bytes }))
    }

    /// Begins a download through each virtual server, at so many bytes a second.
    ///
    /// # Errors
    /// When none can be begun.
    pub fn begin(&self, lab: &Lab, rate: usize) -> Result<Vec<Process>> {
        let begin = |address| {
            let line =
                format!("curl -sS --max-time 600 --limit-rate {rate} http://{address}/file | sha256sum");
            lab.spawn("client", ["sh", "-c", &line])
        };
        ADDRESSES.into_iter().map(begin).collect()
    }

    /// Waits until a director knows these downloads: the kernel tells the standby of a connection up to two seconds after its
    /// third packet, and what it was not told yet does not survive a crash. Their number alone says nothing: what the client
    /// asked for before lingers in the table.
    ///
    /// # Errors
    /// When it does not come to know them.
    pub fn known(lab: &Lab, director: &str) -> Result<()> {
        lab.hub().eventually("a director knows the downloads", lab.scaled(CHANGE), || {
            for address in ADDRESSES {
                let ask = format!("show connections state established | match {address}:80 | count");
                let said = lab.ask(director, &ask).map_err(|error| format!("{error:#}"))?.join("");
                if said.trim() == "0" || said.trim().parse::<u32>().is_err() {
                    return Err(format!("{address}: {said}"));
                }
            }
            Ok(())
        })
    }

    /// Both downloads end as they should.
    ///
    /// # Errors
    /// When one broke off, or gave other bytes.
    pub fn end(&self, lab: &Lab, downloads: Vec<Process>, what: &str) -> Result<()> {
        for (download, address) in downloads.into_iter().zip(ADDRESSES) {
            let ended = download.wait(lab.scaled(Duration::from_secs(300)))?;
            let found = ended.stdout.split_whitespace().next().unwrap_or_default();
            ensure!(found == self.digest, "{what}: the download from {address} broke: {}", ended.stderr);
            let text = format!("{what}: {} bytes from {address}, all as they were", self.bytes);
            lab.hub().line("test", "figure", &text);
        }
        Ok(())
    }
}

/// Waits until a box is active, or standby, and both agree and are whole.
///
/// # Errors
/// When it does not come to that.
pub fn wait_role(lab: &Lab, director: &str, role: &str) -> Result<()> {
    lab.hub().eventually(&format!("{director} {role}"), lab.scaled(CHANGE), || {
        let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
        let fit = row["fitness"] == 7 && row["peer"]["alive"] == true && row["peer"]["fitness"] == 7;
        if row["role"] == role && fit { Ok(()) } else { Err(row.to_string()) }
    })
}

/// As [`wait_role`] while something is wrong.
///
/// # Errors
/// When it does not come to that.
pub fn wait_active(lab: &Lab, director: &str) -> Result<()> {
    lab.hub().eventually(&format!("{director} takes over"), lab.scaled(CHANGE), || {
        let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
        if row["role"] == "active" { Ok(()) } else { Err(row.to_string()) }
    })
}

/// Downloads through a kill of the active box, the return of the primary, and `cluster standby`.
///
/// # Errors
/// When a download breaks or a box does not come back.
pub fn kill_return_and_standby(lab: &mut Lab, carried: &Carried, rate: usize) -> Result<()> {
    wait_role(lab, LVS1, "active")?;
    let downloads = carried.begin(lab, rate)?;
    Carried::known(lab, LVS2)?;
    lab.power_off(LVS1)?;
    wait_active(lab, LVS2)?;
    carried.end(lab, downloads, "kill -9 of the active box")?;

    let downloads = carried.begin(lab, rate)?;
    lab.power_cycle(LVS1)?;
    wait_role(lab, LVS1, "active")?;
    carried.end(lab, downloads, "the primary returns and takes back")?;

    let downloads = carried.begin(lab, rate)?;
    // What the active box does not know yet is not a connection.
    Carried::known(lab, LVS1)?;
    lab.tell(LVS1, "cluster standby")?;
    wait_role(lab, LVS2, "active")?;
    carried.end(lab, downloads, "cluster standby")?;
    lab.tell(LVS1, "cluster takeover")?;
    wait_role(lab, LVS1, "active")
}
