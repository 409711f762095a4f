//! FTP with vsftpd, as the manual of seed 002 describes it: behind NAT the kernel reads along, elsewhere one mark holds the
//! control port and the passive ports together.

use super::world::{CLIENT4, FTP_DIRECT, FTP_DIRECT6, FTP_TUNNEL, FTP_TUNNEL6, V4, V6};
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

const VSFTPD: &str = "/usr/sbin/vsftpd";
const TRANSFER: Duration = Duration::from_secs(30);
/// More than the servers of a pool.
const ROUNDS: u32 = 4;

/// Services and marks.
pub(super) const CONFIGURATION: &str = "\
set pool ftp4 check none
set pool ftp4 server rs1
set pool ftp4 server rs2
set service ftp4 address v4 port 21
set service ftp4 scheduler rr
set service ftp4 pool ftp4
set pool ftp6 check none
set pool ftp6 server rs1six
set pool ftp6 server rs2six
set service ftp6 address v6 port 21
set service ftp6 scheduler rr
set service ftp6 pool ftp6
set mark ftpd address ftp-direct port 20-21
set mark ftpd port 10000-10100
set service ftpd mark ftpd
set service ftpd scheduler rr
set service ftpd persistence 5m
set service ftpd pool ftpd
set pool ftpd check none
set pool ftpd forward direct
set pool ftpd server d1
set pool ftpd server d2
set mark ftpt address ftp-tunnel port 20-21
set mark ftpt port 10000-10100
set service ftpt mark ftpt
set service ftpt scheduler rr
set service ftpt persistence 5m
set service ftpt pool ftpt
set pool ftpt check none
set pool ftpt forward tunnel
set pool ftpt server t1
set pool ftpt server t2
set mark ftpd6 address ftp-direct6 port 20-21
set mark ftpd6 port 10000-10100
set service ftpd6 mark ftpd6
set service ftpd6 scheduler rr
set service ftpd6 persistence 5m
set service ftpd6 pool ftpd6
set pool ftpd6 check none
set pool ftpd6 forward direct
set pool ftpd6 server d1six
set pool ftpd6 server d2six
set mark ftpt6 address ftp-tunnel6 port 20-21
set mark ftpt6 port 10000-10100
set service ftpt6 mark ftpt6
set service ftpt6 scheduler rr
set service ftpt6 persistence 5m
set service ftpt6 pool ftpt6
set pool ftpt6 check none
set pool ftpt6 forward tunnel
set pool ftpt6 server t1six
set pool ftpt6 server t2six
";

/// A server of anonymous FTP that runs as who started it: in the lab's namespace there is nobody else to become.
pub(super) fn configuration(name: &str, root: &str) -> String {
    let empty = Path::new(root).with_file_name("empty");
    format!(
        "listen=NO\nlisten_ipv6=YES\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\nlocal_enable=NO\n\
         anon_root={root}\nallow_writeable_chroot=YES\nrun_as_launching_user=YES\nseccomp_sandbox=NO\n\
         secure_chroot_dir={}\nftpd_banner={name}\nconnect_from_port_20=YES\nftp_data_port=20\n\
         pasv_min_port=10000\npasv_max_port=10100\nuse_localtime=NO\nxferlog_enable=NO\n",
        empty.display()
    )
}

/// Starts the servers in namespaces.
pub(super) fn serve(lab: &mut Lab) -> Result<()> {
    for host in ["rs1", "rs2", "d1", "d2"] {
        let folder = lab.folder().node(host)?.canonicalize().context("folder")?;
        let root = folder.join("ftp");
        fs::create_dir_all(&root)?;
        fs::create_dir_all(folder.join("empty"))?;
        fs::write(root.join("who"), format!("{host}\n"))?;
        let file = folder.join("vsftpd.conf");
        fs::write(&file, configuration(host, &root.to_string_lossy()))?;
        lab.keep(host, [VSFTPD, &*file.to_string_lossy()])?;
        lab.hub().until("the FTP server", TRANSFER, || {
            let ended = lab.run(
                host,
                ["curl", "--silent", "--show-error", "--max-time", "5", "ftp://127.0.0.1/who"],
                TRANSFER,
            );
            match ended {
                Ok(ended) if ended.status.success() => Ok(()),
                Ok(ended) => Err(ended.stderr),
                Err(error) => Err(format!("{error:#}")),
            }
        })?;
    }
    Ok(())
}

/// Ways to open the data connection, as curl says them.
const PASSIVE: [&[&str]; 2] = [&[], &["--disable-epsv"]];
const ACTIVE: [&[&str]; 2] = [&["--ftp-port", "eth0"], &["--disable-eprt", "--ftp-port", CLIENT4]];
/// IPv6 knows the extended commands alone (RFC 2428).
const ALL6: [&[&str]; 2] = [PASSIVE[0], ACTIVE[0]];

/// # Errors
/// When a transfer fails, or goes to another server than it should.
pub fn all(lab: &mut Lab) -> Result<()> {
    for (what, host, servers, ways) in [
        ("nat", V4.to_owned(), ["rs1", "rs2"], [PASSIVE, ACTIVE].concat()),
        ("nat of IPv6", format!("[{V6}]"), ["rs1", "rs2"], ALL6.to_vec()),
        ("direct routing", FTP_DIRECT.to_owned(), ["d1", "d2"], [PASSIVE, ACTIVE].concat()),
        ("tunnels", FTP_TUNNEL.to_owned(), ["t1", "t2"], [PASSIVE, ACTIVE].concat()),
        ("direct routing of IPv6", format!("[{FTP_DIRECT6}]"), ["d1", "d2"], ALL6.to_vec()),
        ("tunnels of IPv6", format!("[{FTP_TUNNEL6}]"), ["t1", "t2"], ALL6.to_vec()),
    ] {
        for way in ways {
            let mut seen = BTreeSet::new();
            for round in 0..ROUNDS {
                let name = transfer(lab, &host, way)
                    .with_context(|| format!("{what}, {way:?}, transfer {round}"))?;
                ensure!(servers.contains(&name.as_str()), "{what}: answered by {name}");
                seen.insert(name);
            }
            // A mark with persistence keeps the client with one server.
            let expected = if what.starts_with("nat") { 2 } else { 1 };
            ensure!(seen.len() == expected, "{what}, {way:?}: answered by {seen:?}");
        }
    }
    Ok(())
}

fn transfer(lab: &Lab, host: &str, way: &[&str]) -> Result<String> {
    let url = format!("ftp://{host}/who");
    let argv = ["curl", "--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", "10"];
    let ended = lab.run("client", argv.iter().chain(way).copied().chain([url.as_str()]), TRANSFER)?;
    ensure!(ended.status.success(), "{url}: {}", ended.stderr.trim());
    Ok(ended.stdout.trim().to_owned())
}
