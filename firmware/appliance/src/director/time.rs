//! Carries questions for the time, and sets the clock.

use crate::platform::clock;
use crate::platform::kmsg::Log;
use director_core::director::{Event, Level};
use director_core::model::Mono;
use director_core::sntp::{ANSWER_WAIT, PACKET, PORT};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bytes of an answer that are read: one with extensions may be longer, and what is needed comes first.
const ANSWER_BYTES: usize = 2 * PACKET;

/// Asks a server from a port of its own, so that a forged answer must guess it too. Must run inside the loop's local
/// task set.
pub(super) fn ask(server: IpAddr, packet: Vec<u8>, events: mpsc::Sender<Event>) {
    tokio::task::spawn_local(async move {
        let sent = clock::now();
        let wait = Duration::from_millis(u64::from(ANSWER_WAIT.get()));
        let datagram = timeout(wait, converse(server, &packet)).await.ok().and_then(Result::ok);
        let received = clock::now();
        // The loop is gone: nobody needs the time.
        drop(events.send(Event::TimeAnswered { server, sent, received, datagram }).await);
    });
}

async fn converse(server: IpAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let any = match server {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect((server, PORT)).await?;
    socket.send(packet).await?;
    let mut answer = vec![0; ANSWER_BYTES];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

/// It was `unix_us` microseconds after 1970 `at` that moment.
pub(super) fn set(log: &Log, unix_us: u64, at: Mono) {
    let now_us = unix_us.saturating_add(clock::now().micros_since(at));
    if let Err(error) = clock::set_unix_us(now_us) {
        log.write(Level::Error, format_args!("the clock cannot be set: {error}"));
        return;
    }
    // Next time the box starts with a clock that is nearly right.
    if let Err(error) = clock::set_rtc(now_us / 1_000_000) {
        log.write(Level::Info, format_args!("the clock on the board cannot be set: {error}"));
    }
}
