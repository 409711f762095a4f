//! Weights that follow the load of real servers, told by the real sources: rwhod, a header of nginx, an agent.

use crate::director::{commit, kernel_weight, number, rows};
use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::lab::Lab;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Some intervals of a second, and the first broadcast or question.
const MOVES: Duration = Duration::from_secs(15);
/// The source is silent after 5 s, and the weight goes back by steps of a second.
const RETURNS: Duration = Duration::from_secs(30);
const COMMAND: Duration = Duration::from_secs(10);
/// How far a load over a minute may move between two looks at it, in hundredths.
const DRIFT: u64 = 100;
/// Server, its address, and its configured weight.
const TALKS: (&str, &str, u64) = ("rs1", "192.168.1.3", 2000);
const PAGE: (&str, &str, u64) = ("rs3", "192.168.1.5", 1000);

/// What was seen of each source.
///
/// # Errors
/// When a source does not run, or a weight does not follow it.
pub fn follow(lab: &mut Lab) -> Result<Vec<String>> {
    let folder = lab.folder().path().join("loads");
    fs::create_dir_all(&folder)?;
    page(lab, &folder, "2.5")?;
    let file = folder.join("nginx.conf");
    let nginx = lab.spawn(PAGE.0, ["/usr/sbin/nginx", "-c", &file.display().to_string()])?;
    commit(lab, &configuration())?;
    let mut seen = vec![talks(lab)?];
    becomes(lab, PAGE, 400, "header 2.5")?;
    page(lab, &folder, "125%")?;
    becomes(lab, PAGE, 1250, "header 125%")?;
    let stop = ["/usr/sbin/nginx", "-s", "stop", "-c", &file.display().to_string()];
    let ended = lab.run(PAGE.0, stop, COMMAND)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    drop(nginx);
    let silent = || -> Result<bool> {
        Ok(load(lab, PAGE.0)?["silent"] == "yes" && kernel_weight(lab, 80, PAGE.1)? == Some(PAGE.2))
    };
    lab.hub().eventually("the configured weight holds", lab.scaled(RETURNS), || match silent() {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    seen.push("rs3: header of nginx 2.5, then 125%, then silence: weight 1000 became 400, 1250, 1000".into());
    seen.push(agent(lab, &folder)?);
    Ok(seen)
}

/// rwhod speaks when it begins, and then every three minutes.
fn talks(lab: &mut Lab) -> Result<String> {
    let (server, address, full) = TALKS;
    // The hosts of the lab have no broadcast address; a change does not give them one.
    let again = format!(
        "address del {address}/24 dev eth0\naddress add {address}/24 brd + dev eth0\nroute add default via 192.168.1.254\n"
    );
    lab.ip(server, &again)?;
    lab.keep(server, ["/usr/sbin/rwhod", "-f", "-u", "root"])?;
    lab.hub().eventually(&format!("{server} follows its load"), lab.scaled(MOVES), || {
        let (load, percent) = told(lab, server).map_err(|error| format!("{error:#}"))?;
        let weight = kernel_weight(lab, 80, address).map_err(|error| format!("{error:#}"))?;
        let real = load_average().map_err(|error| format!("{error:#}"))?;
        let follows = weight == Some(full * percent / 100) && percent.abs_diff(wanted(load)) <= 1;
        let words =
            format!("{server}: load {load}/100, the machine says {real}/100: weight {full}, now {weight:?}");
        if follows && load.abs_diff(real) <= DRIFT { Ok(words) } else { Err(words) }
    })
}

/// The words of an agent, which a real haproxy asks as well: it makes the same of them.
fn agent(lab: &mut Lab, folder: &Path) -> Result<String> {
    let word = folder.join("agent");
    let say = |text: &str| fs::write(&word, format!("{text}\n")).context("agent");
    say("75%")?;
    let answers = format!("SYSTEM:cat {}", word.display());
    lab.keep(PAGE.0, ["/usr/bin/socat", "TCP-LISTEN:3333,fork,reuseaddr", &answers])?;
    let (file, socket) = (folder.join("haproxy.conf"), folder.join("haproxy"));
    let text = format!(
        "global\n stats socket {}\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         backend web\n server {} 127.0.0.1:80 weight 100 check inter 500ms agent-check agent-port 3333 agent-inter 500ms\n",
        socket.display(),
        PAGE.0
    );
    fs::write(&file, text)?;
    lab.keep(PAGE.0, ["/usr/sbin/haproxy", "-db", "-f", &file.display().to_string()])?;
    let lines = [
        "set load-monitor agent source agent",
        "set load-monitor agent port 3333",
        "set load-monitor agent interval 1s",
        "set load-monitor agent timeout 500ms",
        "set load-monitor agent step 100",
        "set real-server rs3 load-monitor agent",
    ];
    commit(lab, &lines)?;
    for (text, percent) in
        [("75%", 75), ("drain", 0), ("ready 50%", 50), ("down # disk full", 0), ("up 100%", 100)]
    {
        say(text)?;
        becomes(lab, PAGE, PAGE.2 * percent / 100, text)?;
        let theirs = || haproxy(lab, &socket).map_err(|error| format!("{error:#}"));
        lab.hub().eventually(&format!("haproxy after {text}"), lab.scaled(MOVES), || match theirs()? {
            weight if weight == percent => Ok(()),
            weight => Err(format!("weight {weight}")),
        })?;
    }
    Ok("rs3: agent said 75%, drain, ready 50%, down, up 100%: weight 750, 0, 500, 0, 1000, and the same of haproxy".into())
}

/// The weight that haproxy gives its server now: none when it takes no connections (fields of `show stat`).
fn haproxy(lab: &Lab, socket: &Path) -> Result<u64> {
    let ask = format!("echo show stat | socat - UNIX:{} | grep {}", socket.display(), PAGE.0);
    let ended = lab.run(PAGE.0, ["sh", "-c", &ask], COMMAND)?;
    let fields: Vec<&str> = ended.stdout.split(',').collect();
    let [Some(status), Some(weight)] = [17, 18].map(|at| fields.get(at)) else {
        bail!("haproxy: {} {}", ended.stdout, ended.stderr);
    };
    if status.starts_with("UP") { weight.parse().with_context(|| ended.stdout.clone()) } else { Ok(0) }
}

/// What the page says from now on.
fn page(lab: &Lab, folder: &Path, load: &str) -> Result<()> {
    let root = folder.display();
    let text = format!(
        "user root; daemon off; pid {root}/pid; error_log {root}/error.log; worker_processes 1; events {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
         server {{ listen 8081; location / {{ add_header X-Load '{load}'; return 200 'ok'; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    if folder.join("pid").exists() {
        let again = ["/usr/sbin/nginx", "-s", "reload", "-c", &file.display().to_string()];
        let ended = lab.run(PAGE.0, again, COMMAND)?;
        ensure!(ended.status.success(), "{}", ended.stderr);
    }
    Ok(())
}

fn configuration() -> Vec<&'static str> {
    vec![
        "set load-monitor talk source rwhod",
        "set load-monitor talk silence 10m",
        "set load-monitor talk interval 1s",
        "set load-monitor talk timeout 500ms",
        "set load-monitor talk step 100",
        "set load-monitor talk greatest 1000",
        "set load-monitor page source http",
        "set load-monitor page port 8081",
        "set load-monitor page header X-Load",
        "set load-monitor page interval 1s",
        "set load-monitor page timeout 500ms",
        "set load-monitor page silence 5s",
        "set load-monitor page step 100",
        "set load-monitor page greatest 1000",
        "set real-server rs1 load-monitor talk",
        "set real-server rs3 load-monitor page",
    ]
}

/// What a load in hundredths makes of a weight, in percent: `100 / load`, between `least` and `greatest`.
fn wanted(load: u64) -> u64 {
    10_000_u64.checked_div(load).unwrap_or(1000).clamp(10, 1000)
}

/// The row of a server's load monitor.
fn load(lab: &Lab, server: &str) -> Result<Value> {
    let all = rows(lab, "checks")?;
    let found = all.iter().find(|row| row["server"] == server && !row["load_from"].is_null());
    found.cloned().with_context(|| format!("no load of {server} in {all:?}"))
}

/// The load that a server's source told, in hundredths, and the percentage that counts.
fn told(lab: &Lab, server: &str) -> Result<(u64, u64)> {
    let row = load(lab, server)?;
    let said = row["said"].as_str().context("said nothing")?;
    let digits: String = said.chars().filter(char::is_ascii_digit).collect();
    Ok((digits.parse().with_context(|| said.to_owned())?, number(&row, "percent")?))
}

/// The load of this machine over a minute, which its namespaces share, in hundredths.
fn load_average() -> Result<u64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default().replace('.', "");
    first.parse().with_context(|| text.clone())
}

fn becomes(lab: &Lab, (server, address, _): (&str, &str, u64), weight: u64, why: &str) -> Result<()> {
    lab.hub().eventually(&format!("{server} has weight {weight} after {why}"), lab.scaled(MOVES), || {
        let is = kernel_weight(lab, 80, address).map_err(|error| format!("{error:#}"))?;
        if is == Some(weight) { Ok(()) } else { Err(format!("{is:?}")) }
    })?;
    let row = rows(lab, "servers")?.into_iter().find(|row| row["name"] == server);
    row.map(drop).with_context(|| format!("no server {server}"))
}
