//! Heartbeats over a null modem.
//!
//! A line is slow: at 9600 bit/s a frame takes a sixth of a second. A frame leaves only when the one before has, and the
//! newest one does, so what the peer reads is never old.
#![expect(unsafe_code, reason = "TIOCOUTQ has no safe wrapper")]

use super::{Judge, RETRY};
use crate::platform::tty::Tty;
use director_core::director::Level;
use director_core::director::cluster::SerialPath;
use director_core::wire::heartbeat::{Bytes, FRAME_BYTES_MAX};
use director_core::wire::slip;
use embedded_io_async::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

nix::ioctl_read_bad!(
    /// Bytes that the driver has not sent yet (tty_ioctl(4)).
    output_queue, libc::TIOCOUTQ, libc::c_int
);

/// Owns the line until nobody wants it any more.
pub(super) async fn serve(path: SerialPath, mut outgoing: mpsc::Receiver<Bytes>, mut judge: Judge) {
    let mut said = false;
    loop {
        match Tty::open_binary(path.device.as_str(), path.baud) {
            Ok(tty) => {
                said = false;
                if exchange(&tty, &mut outgoing, &mut judge).await.is_none() {
                    return;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    let text = format_args!("heartbeat on {}: {error}; trying again", path.device);
                    judge.log.write(Level::Warning, text);
                }
            }
        }
        let again = Instant::now() + RETRY;
        while let Ok(frame) = timeout_at(again, outgoing.recv()).await {
            if frame.is_none() {
                return;
            }
        }
    }
}

/// Sends and receives until the line breaks; `None` when nobody wants it any more.
async fn exchange(tty: &Tty, outgoing: &mut mpsc::Receiver<Bytes>, judge: &mut Judge) -> Option<()> {
    let (mut input, mut output) = (tty, tty);
    let mut buffer = [0; 256];
    let mut decoder = slip::Decoder::<FRAME_BYTES_MAX>::default();
    loop {
        tokio::select! {
            biased; // as on a network
            frame = outgoing.recv() => {
                let mut frame = frame?;
                while let Ok(newer) = outgoing.try_recv() {
                    frame = newer;
                }
                // A line that holds the writer back loses the frame.
                if idle(tty) && let Ok(Err(_)) = timeout(RETRY, output.write_all(&slip::encode(&frame))).await {
                    return Some(());
                }
            }
            read = input.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return Some(()),
                Ok(length) => {
                    for byte in buffer.get(..length).unwrap_or_default() {
                        if let Some(frame) = decoder.push(*byte) {
                            judge.take(&frame, None, true);
                        }
                    }
                }
            },
        }
    }
}

/// Whether all that was written has left.
fn idle(tty: &Tty) -> bool {
    let mut waiting: libc::c_int = 0;
    // SAFETY: the kernel writes one live int.
    let asked = unsafe { output_queue(tty.as_raw_fd(), &raw mut waiting) };
    // A driver that cannot tell is trusted to be quick.
    asked.is_err() || waiting == 0
}
