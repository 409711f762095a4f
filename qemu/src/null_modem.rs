//! The null modem between the second serial ports of two directors: what one says the other hears. An end that is switched
//! off hears nothing, and what is said to it is lost.

use crate::hub::lock;
use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

/// Bytes taken at once.
const CHUNK: usize = 512;

/// A cable with two ends.
#[derive(Debug, Default)]
pub struct NullModem {
    ends: Mutex<[Option<UnixStream>; 2]>,
}

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// That of the first director.
    First,
    /// That of the second.
    Second,
}

impl NullModem {
    /// Plugs an end into the port behind `stream`; the port before it is unplugged.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn plug(self: &Arc<Self>, end: End, stream: UnixStream) -> Result<()> {
        let mut reader = stream.try_clone().context("null modem")?;
        match (&mut *lock(&self.ends), end) {
            ([own, _], End::First) | ([_, own], End::Second) => *own = Some(stream),
        }
        let modem = Arc::clone(self);
        std::thread::spawn(move || {
            let mut bytes = [0; CHUNK];
            // Ends with the machine.
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                let [first, second] = &mut *lock(&modem.ends);
                let other = match end {
                    End::First => second,
                    End::Second => first,
                };
                if let Some(stream) = other {
                    stream.write_all(bytes.get(..length).unwrap_or_default()).ok();
                }
            }
        });
        Ok(())
    }
}
