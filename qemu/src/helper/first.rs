//! A client that waits for a service to come up.

use super::{TRY_EVERY, TRY_LIMIT_MS, http_try};
use crate::clock::{self, Deadline};
use anyhow::{Context as _, Result, bail};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Asks for `/` on a new connection every [`TRY_EVERY`] until one is answered; says after how many milliseconds.
pub(super) fn answer(address: &str, seconds: &str) -> Result<()> {
    let address: SocketAddr = address.parse().context("ADDRESS is an address and a port")?;
    let end = Deadline::after(Duration::from_secs(seconds.parse().context("SECONDS is a number")?));
    let limit = Duration::from_millis(TRY_LIMIT_MS.into());
    let (sender, answers) = channel();
    writeln!(io::stdout(), "asking")?;
    let began = clock::now();
    while end.left().is_some() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            if http_try(address, limit).is_ok() {
                sender.send(clock::now()).ok();
            }
        });
        match answers.recv_timeout(TRY_EVERY) {
            Ok(at) => {
                writeln!(io::stdout(), "first answer after {} ms", at.duration_since(began).as_millis())?;
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    bail!("no answer")
}
