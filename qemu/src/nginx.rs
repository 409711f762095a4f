//! Real web servers: Debian's nginx, one per namespace, each with its own configuration, prefix and documents.

use crate::hub::Hub;
use crate::process::{Process, Program};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Debian installs it where ordinary users do not look.
const NGINX: &str = "/usr/sbin/nginx";
/// Size of `/big`, a file for downloads.
pub const BIG_BYTES: u64 = 256 << 20;

/// One web server. It answers `/` with its name, `/whoami` with the address of who asks, `/big` with [`BIG_BYTES`]
/// zeros, and `/slow` with the same at 2 MB a second.
#[derive(Debug)]
pub struct Nginx {
    node: String,
    folder: PathBuf,
    process: Option<Process>,
    hub: Arc<Hub>,
}

impl Nginx {
    /// Writes configuration and documents into `folder`. The server listens on `listen` once it is started.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn prepare(node: &str, listen: &[u16], folder: PathBuf, hub: &Arc<Hub>) -> Result<Self> {
        let root = folder.join("root");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        fs::create_dir_all(folder.join("temporary")).context("nginx folder")?;
        fs::write(root.join("index.html"), format!("{node}\n")).context("index.html")?;
        // What the document about ldirectord asks for.
        fs::write(root.join("check.txt"), "webserverisworking\n").context("check.txt")?;
        File::create(root.join("big")).and_then(|file| file.set_len(BIG_BYTES)).context("big")?;
        fs::write(folder.join("nginx.conf"), configuration(node, listen)).context("nginx.conf")?;
        Ok(Self { node: node.to_owned(), folder, process: None, hub: Arc::clone(hub) })
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self) -> Result<()> {
        let prefix = self.folder.canonicalize().context("nginx folder")?;
        let pid = prefix.join("nginx.pid");
        // A server that was killed leaves its file, and the wait below must not take it for the new one's.
        fs::remove_file(&pid).ok();
        let argv = [NGINX, "-p", &prefix.to_string_lossy(), "-e", "error.log", "-c", "nginx.conf"];
        let process = Program::new(&self.node, argv).netns(&self.node).spawn(&self.hub)?;
        // nginx writes its pid file after it has opened its ports, and then logs that it started; the log is in the
        // timeline, so there is an event to wait for.
        self.hub
            .until(&format!("nginx of {}", self.node), std::time::Duration::from_secs(10), || match process
                .status()
            {
                Some(status) => Ok(Err(format!("{status}: {}", process.stderr()))),
                None if pid.exists() => Ok(Ok(())),
                None => Err("no pid file".to_owned()),
            })?
            .map_err(|text| anyhow::anyhow!("nginx of {}: {text}", self.node))?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it at once, as `systemctl stop` would; its port refuses connections from then on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::stop)
    }

    /// Requests it answered, by its access log.
    #[must_use]
    pub fn requests(&self) -> usize {
        fs::read_to_string(self.folder.join("access.log")).map_or(0, |log| log.lines().count())
    }
}

/// The configuration of a web server that runs in its own folder, with the folders `root` and `temporary` in it.
#[must_use]
pub fn configuration(node: &str, listen: &[u16]) -> String {
    let mut ports = String::new();
    let ipv6 = Path::new("/proc/net/if_inet6").exists();
    for port in listen {
        // Writing to a String cannot fail.
        writeln!(ports, "    listen {port};").ok();
        if ipv6 {
            writeln!(ports, "    listen [::]:{port};").ok();
        }
    }
    format!(
        "# {node}: written by the lab
daemon off;
user root root;            # the only user of the lab's namespace
worker_processes 1;
pid nginx.pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
  access_log access.log;
  sendfile on;
  keepalive_timeout 65;
  client_body_temp_path temporary/body;
  proxy_temp_path temporary/proxy;
  fastcgi_temp_path temporary/fastcgi;
  uwsgi_temp_path temporary/uwsgi;
  scgi_temp_path temporary/scgi;
  server {{
{ports}    root root;
    location = /whoami {{ default_type text/plain; return 200 \"$remote_addr\\n\"; }}
    location = /slow {{ limit_rate 2m; try_files /big =404; }}
  }}
}}
"
    )
}
