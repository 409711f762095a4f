//! Kernel parameters under `/proc/sys`.

use super::netlink::{from_io, refuse};
use director_core::plan::OpError;
use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Where the kernel shows its parameters.
const ROOT: &str = "/proc/sys";
/// Longest value that is read. Chosen: far more than the numbers that are set here.
const VALUE_BYTES: usize = 256;

/// Reads a parameter: no final newline, one space between the fields of those that have several (the kernel prints tabs
/// there and takes either). `None` when it does not exist or has no readable value.
#[must_use]
pub(crate) fn read(name: &str) -> Option<String> {
    read_below(Path::new(ROOT), name)
}

/// Writes a parameter.
pub(crate) fn write(name: &str, value: &str) -> Result<(), OpError> {
    write_below(Path::new(ROOT), name, value)
}

fn read_below(root: &Path, name: &str) -> Option<String> {
    // One read: a parameter is a line, and there are a hundred of them to look at every few seconds.
    let mut bytes = [0; VALUE_BYTES];
    let count = File::open(path(root, name)?).ok()?.read(&mut bytes).ok()?;
    let text = std::str::from_utf8(bytes.get(..count)?).ok()?;
    Some(text.trim_end_matches('\n').replace('\t', " "))
}

fn write_below(root: &Path, name: &str, value: &str) -> Result<(), OpError> {
    let path = path(root, name).ok_or_else(|| refuse(Errno::EINVAL, format!("sysctl {name}: not a name")))?;
    // One write call: the kernel takes each as a whole value.
    let written =
        OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| from_io(&format!("sysctl {name}"), &error))
}

/// `net.ipv4.conf.eth0/5.rp_filter` is `net/ipv4/conf/eth0.5/rp_filter`: `/` stands for a dot inside a component.
fn path(root: &Path, name: &str) -> Option<PathBuf> {
    let mut path = root.to_path_buf();
    for component in name.split('.') {
        let component = component.replace('/', ".");
        if component.is_empty() || component.starts_with('.') {
            return None;
        }
        path.push(component);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_in_a_name_is_a_dot_of_the_device() {
        let found = path(Path::new("/r"), "net.ipv4.conf.eth0/5.rp_filter");
        assert_eq!(found.as_deref(), Some(Path::new("/r/net/ipv4/conf/eth0.5/rp_filter")));
    }

    #[test]
    fn names_that_leave_the_tree_are_refused() {
        for name in ["", ".", "net..x", "net.//.x", "/.passwd", "net.//"] {
            assert_eq!(path(Path::new("/r"), name), None, "{name}");
        }
    }

    #[test]
    fn an_absent_parameter_is_none_and_cannot_be_written() {
        assert_eq!(read("net.ipv4.no_such_parameter"), None);
        let error = write("net.ipv4.no_such_parameter", "1").unwrap_err();
        assert!(error.message.contains("net.ipv4.no_such_parameter"), "{error}");
        assert_ne!(error.errno, 0);
    }

    #[test]
    fn values_lose_the_newline_and_the_tabs() {
        assert_eq!(read("kernel.ostype").as_deref(), Some("Linux"));
        let printk = read("kernel.printk").unwrap();
        assert!(!printk.contains('\t') && !printk.contains('\n'), "{printk:?}");
    }
}
