//! The password of the console, when it asks for one.
#![expect(clippy::print_stderr, reason = "a question at a terminal")]

use anyhow::{Context as _, Result};
use std::io::BufRead as _;
use std::process::Command;

/// Where a password is taken from, so that none stands on a command line.
const VARIABLE: &str = "DIRECTOR_PASSWORD";

/// Whether the last thing that the console said is a question for a password.
pub(crate) fn asks(said: &[u8]) -> bool {
    let said = String::from_utf8_lossy(said).to_ascii_lowercase();
    said.trim_end().ends_with("password:")
}

/// From the environment, or from the terminal without echo.
pub(crate) fn password() -> Result<String> {
    if let Ok(password) = std::env::var(VARIABLE) {
        return Ok(password);
    }
    eprint!("Password of the console (or set {VARIABLE}): ");
    let echo = |word: &str| Command::new("stty").args(["-F", "/dev/tty", word]).status();
    echo("-echo").context("stty")?;
    let mut typed = String::new();
    let terminal = std::fs::File::open("/dev/tty");
    let read = terminal.and_then(|tty| std::io::BufReader::new(tty).read_line(&mut typed));
    echo("echo").context("stty")?;
    eprintln!();
    read.with_context(|| format!("no terminal to ask at: set {VARIABLE}"))?;
    Ok(typed.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_for_a_password_is_known_and_a_prompt_is_not() {
        assert!(asks(b"\r\nlvs1 login\r\nPassword: "));
        assert!(!asks(b"set check c login password: secret\r\nlvs1> "));
        assert!(!asks(b""));
    }
}
