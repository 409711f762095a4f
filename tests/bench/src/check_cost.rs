//! What checks cost: the real director and the real sockets on one core, servers on the other, in a network namespace of
//! its own. The measuring itself is a test of the firmware's crate (`platform/probe/bench_tests.rs`), because the sockets
//! are its own.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, ensure};
use director_qemu::run_folder::build_folder;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TEST: &str = "platform::probe::bench_tests::cost";
/// Issue: sustained on one core.
const TCP_RATE: f64 = 10_000.0;
const HTTP_RATE: f64 = 2000.0;
/// Of what was asked for: the rest is the edges of the measured span.
const SUSTAINED: f64 = 0.99;
/// Design section 8: interval + timeout + 20 ms.
const DETECTION_MS: f64 = 2020.0;
/// Ten times as many may cost ten times as much, and this much more for each.
const GROWTH: f64 = 1.3;

/// The job.
///
/// # Errors
/// When a part does not run.
pub fn run(found: &mut Vec<Figure>, _: &Options) -> Result<()> {
    let program = build()?;
    let folder = build_folder().join("bench-checks");
    fs::create_dir_all(&folder)?;
    let tcp = measure(&program, &folder, "tcp")?;
    let http = measure(&program, &folder, "http")?;
    for (name, (value, unit)) in tcp.iter().chain(&http) {
        let figure = Figure::new(format!("checks.{name}"), *value, unit);
        found.push(match name.as_str() {
            "tcp.10000.rate" => figure.goal("10,000 each second", *value >= TCP_RATE * SUSTAINED),
            "http.2000.rate" => figure.goal("2,000 each second", *value >= HTTP_RATE * SUSTAINED),
            "tcp.10000.core" | "http.2000.core" => figure.goal("<= 100 % of one core", *value <= 100.0),
            "detection.max" => figure.goal("<= interval + timeout + 20 ms", *value <= DETECTION_MS),
            name if name.ends_with(".failed") => figure.goal("0", *value == 0.0),
            _ => figure,
        });
    }
    for (all, small, large) in
        [(&tcp, "tcp.1000.cost", "tcp.10000.cost"), (&http, "http.500.cost", "http.2000.cost")]
    {
        let cost = |name: &str| all.get(name).map(|(value, _)| *value).with_context(|| format!("no {name}"));
        let growth = cost(large)? / cost(small)?;
        let name = format!("checks.{}.growth", small.split('.').next().unwrap_or_default());
        found.push(
            Figure::new(name, growth, "times").goal("each costs the same, within 1.3", growth <= GROWTH),
        );
    }
    Ok(())
}

/// The test program, optimised as the firmware is.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "--profile",
            "bench",
            "--package",
            "director",
            "--locked",
            "--no-run",
            "--message-format=json",
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "the test program cannot be built");
    let lines = String::from_utf8(output.stdout)?;
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let programs = messages.filter(|message| message["target"]["name"] == "director");
    let mut paths = programs.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    paths.next_back().context("cargo named no program")
}

/// Runs one half and gives its figures.
fn measure(program: &Path, folder: &Path, what: &str) -> Result<BTreeMap<String, (f64, String)>> {
    let root = folder.display();
    fs::write(
        folder.join("nginx.conf"),
        format!(
            "user root; pid {root}/pid; error_log {root}/error.log; worker_processes 1; worker_rlimit_nofile 8192;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b;\n\
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             server {{ listen 0.0.0.0:8080 backlog=4096; location / {{ return 200 'well'; }} }} }}\n"
        ),
    )?;
    // Everything in it ends with the namespaces.
    let script = "set -e; ip link set lo up; ulimit -n 8192; sysctl -qw net.core.somaxconn=4096\n\
                  if [ \"$DIRECTOR_BENCH\" = http ]; then taskset -c 1 /usr/sbin/nginx -c \"$2/nginx.conf\" -p \"$2\"; fi\n\
                  exec taskset -c 0 \"$1\" --exact \"$3\" --ignored --nocapture";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", script, "sh"])
        .arg(program)
        .arg(folder)
        .arg(TEST)
        .env("DIRECTOR_BENCH", what)
        .output()
        .context("unshare")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{what}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    let mut figures = BTreeMap::new();
    for line in said.lines() {
        // The harness writes before the first one on its line.
        let Some((_, figure)) = line.split_once("figure ") else { continue };
        let [name, value, unit] = figure.split(' ').collect::<Vec<_>>()[..] else { continue };
        figures.insert(name.to_owned(), (value.parse()?, unit.to_owned()));
    }
    ensure!(!figures.is_empty(), "{what}: no figures in {said}");
    Ok(figures)
}
