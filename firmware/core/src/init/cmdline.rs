//! Our words on the kernel command line: `director.console=ttyS0,115200` and `director.kmsg=ttyS2`.
//! (A name with a dot is taken for a module parameter by the kernel and is not handed to PID 1 as an argument.)

use crate::upgrade::running::Running;
use core::fmt;

/// Longest name of a serial device, such as `ttyUSB10`.
pub const TTY_BYTES: usize = 15;

/// A serial device below `/dev`: `tty` followed by letters and digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tty(heapless::String<TTY_BYTES>);

impl Tty {
    /// From its name without `/dev/`.
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("tty")?;
        let sound = !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric());
        if sound { heapless::String::try_from(name).ok().map(Self) } else { None }
    }
}

impl fmt::Display for Tty {
    /// The path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/{}", self.0)
    }
}

/// Speeds that 16550 UARTs make (`B1200` to `B4000000` of termios has more, of no use on a console).
const BAUDS: [u32; 8] = [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];
/// The speed when none is given.
pub const BAUD_DEFAULT: u32 = 115_200;
/// The console when none is given.
pub const CONSOLE_DEFAULT: &str = "ttyS0";

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The console's line; `None` only if the default name were unsound.
    pub console: Option<Tty>,
    /// Its speed in bits per second.
    pub baud: u32,
    /// Where the kernel log is copied to; only the lab sets it.
    pub kmsg: Option<Tty>,
    /// What the boot loader started.
    pub running: Option<Running>,
    /// Whether one of our words was not understood and its default is used.
    pub misread: bool,
}

impl Options {
    /// Reads a kernel command line. Words that are not ours are skipped; of repeated ones the last counts.
    pub fn parse(cmdline: &str) -> Self {
        let mut options = Self {
            console: Tty::parse(CONSOLE_DEFAULT),
            baud: BAUD_DEFAULT,
            kmsg: None,
            running: Running::parse(cmdline),
            misread: false,
        };
        for word in cmdline.split_ascii_whitespace() {
            if let Some(value) = word.strip_prefix("director.console=") {
                match console(value) {
                    Some((tty, baud)) => (options.console, options.baud) = (Some(tty), baud),
                    None => options.misread = true,
                }
            } else if let Some(value) = word.strip_prefix("director.kmsg=") {
                match Tty::parse(value) {
                    Some(tty) => options.kmsg = Some(tty),
                    None => options.misread = true,
                }
            }
        }
        options
    }
}

fn console(value: &str) -> Option<(Tty, u32)> {
    let (name, baud) = match value.split_once(',') {
        Some((name, baud)) => (name, baud.parse().ok()?),
        None => (value, BAUD_DEFAULT),
    };
    if BAUDS.contains(&baud) { Some((Tty::parse(name)?, baud)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn shown(cmdline: &str) -> (alloc::string::String, u32, Option<alloc::string::String>, bool) {
        let options = Options::parse(cmdline);
        let console = options.console.unwrap().to_string();
        (console, options.baud, options.kmsg.map(|t| t.to_string()), options.misread)
    }

    #[test]
    fn without_our_words_the_defaults_hold() {
        assert_eq!(shown(""), ("/dev/ttyS0".into(), 115_200, None, false));
        assert_eq!(shown("console=ttyS1 quiet panic=1\n"), ("/dev/ttyS0".into(), 115_200, None, false));
    }

    #[test]
    fn our_words_name_the_lines() {
        let cmdline = "quiet director.console=ttyS1,9600 director.kmsg=ttyS2";
        assert_eq!(shown(cmdline), ("/dev/ttyS1".into(), 9600, Some("/dev/ttyS2".into()), false));
        assert_eq!(shown("director.console=ttyUSB0"), ("/dev/ttyUSB0".into(), 115_200, None, false));
    }

    #[test]
    fn what_is_not_understood_leaves_the_default_and_is_noted() {
        for word in
            ["ttyS0,", "ttyS0,110", "ttyS0,9600n8", "../sda", "tty", "ttyS0/x", "", "ttyAAAAAAAAAAAAAAA"]
        {
            let cmdline = alloc::format!("director.console={word}");
            assert_eq!(shown(&cmdline), ("/dev/ttyS0".into(), 115_200, None, true), "{word}");
        }
        assert_eq!(shown("director.kmsg=sda"), ("/dev/ttyS0".into(), 115_200, None, true));
    }

    #[test]
    fn the_last_of_repeated_words_counts() {
        assert_eq!(shown("director.console=ttyS1 director.console=ttyS2").0, "/dev/ttyS2");
    }
}
