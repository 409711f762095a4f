//! What this box is made of, on one screen: for whoever plugs it in, and for `show hardware`.

use super::{clock, flash};
use std::fs;
use std::path::Path;

/// Network cards listed, at most. Chosen: more than such a box has.
const CARDS: usize = 16;
/// Less free memory than this is too little for a flood. Chosen: twice what the kernel keeps back in 64 MiB.
const MEMORY_MIN_KIB: u64 = 4 * 1024;
/// Before this second the wall clock is certainly wrong: 2026-01-01.
pub(crate) const WALL_CLOCK_MIN_S: u64 = 1_767_225_600;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// What kind of thing.
    pub(crate) what: &'static str,
    /// What was found.
    pub(crate) text: String,
    /// Whether something is wrong with it.
    pub(crate) wrong: bool,
}

/// Looks at everything. Takes some milliseconds, and does not wait for anything.
pub(crate) fn look() -> Vec<Found> {
    let mut all = cards(Path::new("/sys/class/net"));
    if all.is_empty() {
        all.push(found("network", "no card that this firmware knows", true));
    }
    all.extend([memory(&text("/proc/meminfo")), disk(), watchdog(Path::new("/sys/class/watchdog")), time()]);
    all.push(chance(&text("/proc/sys/kernel/random/entropy_avail")));
    all
}

/// The lines as they are shown.
pub(crate) fn lines() -> Vec<String> {
    let mark = |wrong| if wrong { "WRONG " } else { "  ok  " };
    look().iter().map(|f| format!("[{}] {:9} {}", mark(f.wrong), f.what, f.text)).collect()
}

/// Sentences about what is wrong.
pub(crate) fn problems() -> Vec<String> {
    look().into_iter().filter(|f| f.wrong).map(|f| format!("{}: {}", f.what, f.text)).collect()
}

fn found(what: &'static str, text: impl Into<String>, wrong: bool) -> Found {
    Found { what, text: text.into(), wrong }
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn cards(class: &Path) -> Vec<Found> {
    let mut names: Vec<_> = fs::read_dir(class)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // What is made by software has no device.
        .filter(|name| class.join(name).join("device").exists())
        .take(CARDS)
        .collect();
    names.sort();
    let card = |name: &String| {
        let folder = class.join(name);
        let driver = fs::read_link(folder.join("device/driver")).ok();
        let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        // Reading the carrier of a device that is down fails.
        let link = match text(folder.join("carrier")).as_str() {
            "1" => match text(folder.join("speed")).parse::<u32>() {
                Ok(speed) => format!("link, {speed} Mbit/s"),
                Err(_) => "link".to_owned(),
            },
            "0" => "no link".to_owned(),
            _ => "not switched on".to_owned(),
        };
        let (driver, mac) = (driver.unwrap_or_else(|| "?".to_owned()), text(folder.join("address")));
        found("network", format!("{name} {driver} {mac} {link}"), false)
    };
    names.iter().map(card).collect()
}

fn memory(meminfo: &str) -> Found {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
    };
    match (kib("MemTotal"), kib("MemAvailable")) {
        (Some(total), Some(free)) => {
            let text = format!("{} MiB, {} MiB free", total / 1024, free / 1024);
            found("memory", text, free < MEMORY_MIN_KIB)
        }
        (_, _) => found("memory", "not known", true),
    }
}

fn disk() -> Found {
    let Some(data) = flash::find() else {
        return found("disk", "no partition of this firmware: nothing that is committed is kept", true);
    };
    let name = data.display();
    if flash::partition(&data, 2).is_some() && flash::partition(&data, 3).is_some() {
        found("disk", format!("{name}, system slots a and b (show upgrade)"), false)
    } else {
        found("disk", format!("{name}, no system slots: no upgrades"), true)
    }
}

fn watchdog(class: &Path) -> Found {
    let one = class.join("watchdog0");
    if !one.exists() {
        return found("watchdog", "none: a box that hangs stays so until somebody comes", true);
    }
    let name = text(one.join("identity"));
    let driver = fs::read_link(one.join("device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let words = if name.is_empty() { driver.unwrap_or_else(|| "of the kernel".to_owned()) } else { name };
    found("watchdog", words, false)
}

fn time() -> Found {
    let now = clock::unix_s();
    if now < WALL_CLOCK_MIN_S {
        return found("clock", "not set: times in the log and of commits are wrong", true);
    }
    found("clock", "set", false)
}

fn chance(available: &str) -> Found {
    match available.parse::<u32>() {
        Ok(0) | Err(_) => found("random", "no random numbers yet", true),
        Ok(bits) => found("random", format!("{bits} bits"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mebibytes_and_little_of_it_is_wrong() {
        let plenty = "MemTotal:         51200 kB\nMemFree: 1 kB\nMemAvailable:      20480 kB\n";
        assert_eq!(memory(plenty), found("memory", "50 MiB, 20 MiB free", false));
        assert!(memory("MemTotal: 51200 kB\nMemAvailable: 100 kB\n").wrong);
        assert!(memory("").wrong);
    }

    #[test]
    fn a_card_is_named_with_its_driver_and_its_link() {
        let class = std::env::temp_dir().join(format!("director-selfcheck-{}", std::process::id()));
        let card = class.join("eth0");
        fs::create_dir_all(card.join("device")).unwrap();
        std::os::unix::fs::symlink("../drivers/e1000e", card.join("device/driver")).unwrap();
        fs::create_dir_all(class.join("lo")).unwrap();
        for (name, text) in [("address", "52:54:00:00:01:00\n"), ("carrier", "1\n"), ("speed", "1000\n")] {
            fs::write(card.join(name), text).unwrap();
        }
        let shown = cards(&class);
        fs::remove_dir_all(&class).unwrap();
        assert_eq!(shown, [found("network", "eth0 e1000e 52:54:00:00:01:00 link, 1000 Mbit/s", false)]);
    }

    #[test]
    fn a_box_without_a_watchdog_or_chance_is_told() {
        assert!(watchdog(Path::new("/nowhere")).wrong);
        assert!(chance("").wrong && chance("0").wrong && !chance("256").wrong);
    }
}
