//! Sends log lines to the receiver that is configured. Lost ones are lost: they are in the box's own log too.

use crate::platform::clock;
use director_core::director::Level;
use director_core::syslog::{Rate, line};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The receiver.
#[derive(Debug, Default)]
pub(super) struct Syslog {
    target: Option<Target>,
}

#[derive(Debug)]
struct Target {
    receiver: SocketAddr,
    hostname: String,
    socket: UdpSocket,
    rate: Rate,
}

impl Syslog {
    /// Sends to this receiver from now on.
    pub(super) fn set(&mut self, receiver: Option<(SocketAddr, String)>) -> io::Result<()> {
        let Some((receiver, hostname)) = receiver else {
            self.target = None;
            return Ok(());
        };
        if let Some(target) = self.target.as_mut().filter(|t| t.receiver == receiver) {
            target.hostname = hostname;
            return Ok(());
        }
        let any = match receiver {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        self.target = None;
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        self.target = Some(Target { receiver, hostname, socket, rate: Rate::new(clock::now()) });
        Ok(())
    }

    /// Sends one line, when the rate allows it.
    pub(super) fn send(&mut self, level: Level, text: &str) {
        let Some(target) = &mut self.target else { return };
        let Some(dropped) = target.rate.take(clock::now()) else { return };
        let line = line(level, &target.hostname, dropped, text);
        // No route, no room: what cannot be sent cannot be told there either.
        drop(target.socket.send_to(line.as_bytes(), target.receiver));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_gets_the_lines_until_it_is_taken_away() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut syslog = Syslog::default();
        syslog.send(Level::Error, "to nobody");
        syslog.set(Some((receiver.local_addr().unwrap(), "lvs1".to_owned()))).unwrap();
        syslog.send(Level::Notice, "hello");
        syslog.set(None).unwrap();
        syslog.send(Level::Error, "to nobody");
        let mut buffer = [0; 512];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"<29>1 - lvs1 director - - - hello");
        assert!(receiver.recv(&mut buffer).is_err());
    }
}
