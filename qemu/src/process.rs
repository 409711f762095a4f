//! Programs of the lab: real servers and clients in namespaces, QEMU itself.

use crate::hub::{Hub, lock};
use crate::isolate::set_close_on_exec;
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of output kept of a program; the timeline has the rest.
const OUTPUT_BYTES: usize = 1 << 20;
/// A program that was told to end gets this long before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// One spawn at a time: descriptors that one child inherits must not leak into another.
static SPAWN: Mutex<()> = Mutex::new(());

/// A program to start.
#[derive(Debug)]
pub struct Program {
    name: String,
    netns: Option<String>,
    argv: Vec<String>,
    inherit: Vec<OwnedFd>,
    folder: Option<PathBuf>,
    quiet: bool,
}

impl Program {
    /// A program known as `name` in the timeline.
    pub fn new(name: impl Into<String>, argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.into(),
            netns: None,
            argv: argv.into_iter().map(Into::into).collect(),
            inherit: Vec::new(),
            folder: None,
            quiet: false,
        }
    }

    /// In a network namespace of the lab.
    #[must_use]
    pub fn netns(mut self, name: impl Into<String>) -> Self {
        self.netns = Some(name.into());
        self
    }

    /// With these descriptors open under their present numbers.
    #[must_use]
    pub fn inherit(mut self, fds: Vec<OwnedFd>) -> Self {
        self.inherit = fds;
        self
    }

    /// In this folder.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.folder = Some(path.into());
        self
    }

    /// Without its output in the timeline.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(self, hub: &Arc<Hub>) -> Result<Process> {
        let mut argv = self.argv;
        if let Some(netns) = &self.netns {
            let enter = ["nsenter".to_owned(), format!("--net=/run/netns/{netns}"), "--".to_owned()];
            argv.splice(0..0, enter);
        }
        let (program, arguments) = argv.split_first().context("a program without a name")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let spawning = lock(&SPAWN);
        for fd in &self.inherit {
            set_close_on_exec(fd, false)?;
        }
        let child = command.spawn();
        // Also the descriptors of a failed start must be closed before the next one.
        drop(self.inherit);
        drop(spawning);
        let child = child.with_context(|| format!("cannot start {program} (is its package installed?)"))?;
        Process::adopt(self.name, child, hub, self.quiet)
    }
}

/// A program under way. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    shared: Arc<Ending>,
    readers: Vec<JoinHandle<()>>,
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Ending {
    status: Mutex<Option<ExitStatus>>,
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Vec<u8>>,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Process {
    fn adopt(name: String, mut child: Child, hub: &Arc<Hub>, quiet: bool) -> Result<Self> {
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let shared = Arc::new(Ending::default());
        let out = child.stdout.take().context("stdout")?;
        let err = child.stderr.take().context("stderr")?;
        let reader = |stream: &'static str, pipe: Box<dyn Read + Send>| {
            let (shared, hub, name) = (Arc::clone(&shared), Arc::clone(hub), name.clone());
            std::thread::spawn(move || {
                let kept = if stream == "out" { &shared.stdout } else { &shared.stderr };
                read_lines(pipe, kept, |line| {
                    if !quiet {
                        hub.line(&name, stream, line);
                    }
                });
            })
        };
        let readers = vec![reader("out", Box::new(out)), reader("err", Box::new(err))];
        let (ending, waiter_hub, waiter_name) = (Arc::clone(&shared), Arc::clone(hub), name.clone());
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                *lock(&ending.status) = Some(status);
                if quiet {
                    waiter_hub.wake(crate::hub::Cause::Lab);
                } else {
                    waiter_hub.line(&waiter_name, "exit", &status.to_string());
                }
            }
        });
        Ok(Self { name, pid, shared, readers, hub: Arc::clone(hub) })
    }

    /// How it ended; `None` while it runs.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *lock(&self.shared.status)
    }

    /// What it wrote so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared.stdout)).into_owned()
    }

    /// What it complained of so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared.stderr)).into_owned()
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        let status = lock(&self.shared.status);
        if status.is_none() {
            kill(self.pid, signal).ok();
        }
    }

    /// Waits for its end and takes what it wrote.
    ///
    /// # Errors
    /// When it still runs after `limit`; it is killed then.
    pub fn wait(mut self, limit: Duration) -> Result<Ended> {
        let what = format!("end of {}", self.name);
        let status =
            self.hub.until(&what, limit, || self.status().ok_or_else(|| "it still runs".to_owned()))?;
        for reader in self.readers.drain(..) {
            reader.join().ok();
        }
        Ok(Ended { status, stdout: self.stdout(), stderr: self.stderr() })
    }

    /// Asks it to end (SIGTERM) and waits; kills it when it does not.
    ///
    /// # Errors
    /// When not even that ended it.
    pub fn stop(self) -> Result<()> {
        self.signal(Signal::SIGTERM);
        let what = format!("end of {}", self.name);
        let gone = || self.status().map(|_| ()).ok_or_else(|| "it still runs".to_owned());
        if self.hub.until(&what, STOP_LIMIT, gone).is_ok() {
            return Ok(());
        }
        self.signal(Signal::SIGKILL);
        self.hub.until(&what, STOP_LIMIT, gone)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn read_lines(pipe: Box<dyn Read + Send>, kept: &Mutex<Vec<u8>>, mut line: impl FnMut(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // A line without end cannot fill the memory.
        let limit = u64::try_from(OUTPUT_BYTES).unwrap_or(u64::MAX);
        match reader.by_ref().take(limit).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let mut kept = lock(kept);
                let room = OUTPUT_BYTES.saturating_sub(kept.len());
                kept.extend(bytes.iter().take(room));
                drop(kept);
                line(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}

/// Runs a command with `input` on its standard input.
pub(crate) fn feed(argv: &[&str], input: &str) -> Result<()> {
    let (program, arguments) = argv.split_first().context("a program without a name")?;
    let spawning = lock(&SPAWN);
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program} (is its package installed?)"))?;
    drop(spawning);
    child.stdin.take().context("stdin")?.write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().with_context(|| format!("{program} did not end"))?;
    if !output.status.success() {
        bail!("{}: {}\n{input}", argv.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
