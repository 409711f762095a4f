//! What servers send to the TCP client of the checks for virtual addresses.

use crate::bytes::Bytes;
use director_core::health::client::Client;
use director_core::model::{Millis, Mono};
use director_core::wire::tcp::{Segment, flag};
use std::net::{Ipv4Addr, SocketAddr};

/// What is asked.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n";
const FIRST: u32 = 0xffff_fff0;
const THEIRS: u32 = 0x7fff_fff0;

/// Segments near to those that belong to the connection: data comes in order and once, what goes out is between the two and no
/// more than was to be said, and a connection that is over stays so. The bytes themselves are a packet, too.
pub fn fuzz_segments(data: &[u8]) {
    if let Ok(segment) = Segment::parse(data) {
        let mss = segment.mss.filter(|_| segment.has(flag::SYN));
        let plain = Segment { mss, ..segment };
        assert_eq!(Segment::parse(&plain.packet()), Ok(plain));
    }
    let mut bytes = Bytes(data);
    let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 61_000));
    let remote = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 80));
    let mut now = Mono::from_millis(1000);
    let (mut out, mut received, mut over) = (Vec::new(), 0_usize, false);
    let mut client = Client::open((local, remote), FIRST, now, &mut out);
    client.send(REQUEST, now, &mut out);
    while !bytes.0.is_empty() {
        let (flags, near) = (bytes.byte(), bytes.byte());
        let payload = bytes.piece(usize::from(near & 15));
        let segment = Segment {
            source: remote,
            destination: local,
            sequence: THEIRS.wrapping_add(u32::from(near >> 4)),
            acknowledgement: FIRST.wrapping_add(u32::from(bytes.byte())),
            flags,
            window: bytes.word(),
            mss: (flags & flag::SYN != 0).then_some(1 + bytes.word() % 1460),
            payload: payload.to_vec(),
        };
        out.clear();
        let heard = client.segment(&segment.packet(), now, &mut out);
        received += heard.data.len();
        assert!(received <= data.len() && (!over || heard == Default::default()));
        over |= heard.reset;
        now = now.after(Millis::new(u32::from(near)));
        client.on_deadline(now, &mut out);
        let mut sent = 0;
        for packet in out.iter().chain(&client.abort()) {
            let segment = Segment::parse(packet).expect("a segment of ours");
            assert_eq!((segment.source, segment.destination), (local, remote));
            sent += segment.payload.len();
        }
        assert!(sent <= 2 * REQUEST.len());
        assert!(!over || out.is_empty());
    }
}
