//! The thread against real servers on the loopback device and a slot in a file.

use super::*;
use director_core::upgrade::bundle::{FRONT, Front};
use director_core::upgrade::install::intact;
use director_core::upgrade::layout::{INITRAMFS_AT, SLOT_BYTES};
use director_core::upgrade::trailer::{Part, Trailer};
use ed25519_compact::{KeyPair, Seed};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::net::TcpListener;
use tokio::sync::mpsc;

/// The secret half of the key in `board/x86_64/upgrade.pub`.
const DEVELOPMENT: &[u8; 32] = include_bytes!("../../../../../board/x86_64/development.key");

fn bundle() -> Vec<u8> {
    let (kernel, initramfs) = (vec![1; 700 * 1024], vec![2; 100 * 1024]);
    let part = |at, bytes: &[u8]| Part {
        at,
        bytes: u64::try_from(bytes.len()).unwrap(),
        digest: Sha256::digest(bytes).into(),
    };
    let parts = [part(0, &kernel), part(INITRAMFS_AT, &initramfs)];
    let trailer = Trailer { version: "99.0.0".into(), cmdline: "quiet".into(), parts };
    let version = |text: &str| text.parse::<Version>().unwrap();
    let front =
        Front { board: trust::BOARD.into(), version: version("99.0.0"), needs: version("0.0.0"), trailer };
    let mut bytes = front.encode().unwrap();
    let signature = KeyPair::from_seed(Seed::new(*DEVELOPMENT)).sk.sign(&bytes, None);
    bytes.extend_from_slice(&*signature);
    bytes.resize(FRONT, 0);
    [bytes, kernel, initramfs].concat()
}

/// Work on a slot in a file that has no name any more.
fn work() -> (Work, File, mpsc::Receiver<Event>) {
    let path = std::env::temp_dir().join(format!("director-upgrade-{:?}", thread::current().id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(SLOT_BYTES).unwrap();
    let (events, news) = mpsc::channel(4096);
    let work = Work::new(Flash::from(file.try_clone().unwrap()), events, Arc::default());
    (work.unwrap(), file, news)
}

/// A server that reads a request, says this and closes.
fn server(answer: Vec<u8>) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET /d.upgrade HTTP/1.0\r\n"));
        // A client that has heard enough closes first.
        drop(stream.write_all(&answer));
    });
    format!("http://{address}/d.upgrade").parse().unwrap()
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn held(file: File) -> Option<String> {
    intact(&mut Flash::from(file)).unwrap().map(|trailer| trailer.version)
}

#[test]
fn a_bundle_is_fetched_into_the_slot_and_its_progress_is_told() {
    let (mut work, file, mut news) = work();
    assert_eq!(work.fetch(&server(ok(&bundle()))), Ok("99.0.0".to_owned()));
    assert_eq!(held(file), Some("99.0.0".to_owned()));
    let mut came = Vec::new();
    while let Ok(Event::Upgrade(News::Came { have, of: Some((of, _)) })) = news.try_recv() {
        assert_eq!(of, u64::try_from(bundle().len()).unwrap());
        came.push(have);
    }
    assert!(came.len() >= 2 && came.is_sorted(), "{came:?}");
}

#[test]
fn a_server_that_ends_early_or_says_no_leaves_a_slot_that_nothing_starts() {
    let half = &bundle()[..bundle().len() / 2];
    for (answer, why) in [
        (ok(half), "it ended after"),
        ([ok(&bundle()).as_slice(), b"more"].concat(), ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(), "404 Not Found"),
        (Vec::new(), "without an answer"),
    ] {
        let (mut work, file, _news) = work();
        match work.fetch(&server(answer)) {
            Err(said) => {
                assert!(!why.is_empty() && said.contains(why), "{said}");
                assert_eq!(held(file), None);
            }
            // What follows the length that the server gave is not part of the file.
            Ok(version) => assert!(why.is_empty() && version == "99.0.0"),
        }
    }
    let (mut work, ..) = work();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = work.fetch(&format!("http://{closed}/x").parse().unwrap()).unwrap_err();
    assert!(said.contains(&closed.to_string()), "{said}");
}

#[test]
fn pieces_make_a_whole_and_a_line_that_goes_away_does_not() {
    let (mut first, file, _news) = work();
    let (pieces, queue) = sync_channel(4096);
    for chunk in bundle().chunks(1024) {
        pieces.send(Piece::Bytes(chunk.to_vec())).unwrap();
    }
    pieces.send(Piece::End).unwrap();
    assert_eq!(first.receive(&queue), Ok("99.0.0".to_owned()));
    assert_eq!(held(file), Some("99.0.0".to_owned()));
    let (mut second, file, _news) = work();
    let (pieces, queue) = sync_channel(4);
    pieces.send(Piece::Bytes(bundle()[..4096].to_vec())).unwrap();
    drop(pieces);
    assert!(second.receive(&queue).unwrap_err().contains("begin again"));
    assert_eq!(held(file), None);
}

#[test]
fn a_cancelled_upgrade_stops_at_the_next_bytes() {
    let (mut work, file, _news) = work();
    work.stop.store(true, Ordering::Relaxed);
    assert_eq!(work.fetch(&server(ok(&bundle()))), Err("it was cancelled".to_owned()));
    assert_eq!(held(file), None);
}
