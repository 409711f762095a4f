//! Shows the pages of the box itself: one listener for each virtual address and port, there only while the core says so.
//!
//! The address need not be on the box (a standby node carries the same table), so the socket binds freely. A connection
//! costs its task and no buffer worth the name; all listeners share one bound of connections, beyond which clients wait in
//! the kernel's queue.

use crate::platform::kmsg::Log;
use director_core::director::Level;
use director_core::model::Millis;
use director_core::page::{Heard, Request, answer};
use director_core::plan::fallback::Pages;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval_at, timeout};

/// Connections at a time over all pages. Chosen: 256 sockets of some 4 KiB fit the smallest box.
const CONNECTIONS: usize = 256;
/// Connections that wait in the kernel for each page.
const BACKLOG: i32 = 128;
/// From accepted to closed. Chosen: a slow client gets its page, a silent one does not stay.
const WHOLE: Duration = Duration::from_secs(5);
/// After accept failed, which means that the box is out of something.
const PAUSE: Millis = Millis::new(100);
/// Bytes read at a time.
const READ_BYTES: usize = 1024;
/// Bytes of a request's body that are read and dropped, so that a reset does not overtake the answer.
const BODY_BYTES: usize = 64 * 1024;

/// A page's text, exchanged without closing its listener.
type Text = Rc<RefCell<Rc<[u8]>>>;

#[derive(Debug)]
struct Page {
    text: Text,
    listener: AbortHandle,
}

/// The pages shown.
#[derive(Debug)]
pub(super) struct Sorry {
    pages: BTreeMap<SocketAddr, Page>,
    failed: BTreeSet<SocketAddr>,
    room: Arc<Semaphore>,
    log: Rc<Log>,
}

impl Sorry {
    pub(super) fn new(log: Rc<Log>) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        Self { pages: BTreeMap::new(), failed: BTreeSet::new(), room, log }
    }

    /// Shows these and no others. Must run inside the loop's local task set.
    pub(super) fn show(&mut self, wanted: &Pages) {
        self.pages.retain(|place, page| {
            let stays = wanted.contains_key(place);
            if !stays {
                page.listener.abort();
            }
            stays
        });
        self.failed.retain(|place| wanted.contains_key(place));
        for (place, text) in wanted {
            let text: Rc<[u8]> = text.bytes().into();
            if let Some(page) = self.pages.get(place) {
                page.text.replace(text);
                continue;
            }
            match listen(*place) {
                Ok(listener) => {
                    let text: Text = Rc::new(RefCell::new(text));
                    let task = serve(listener, Rc::clone(&text), Arc::clone(&self.room));
                    let listener = tokio::task::spawn_local(task).abort_handle();
                    self.pages.insert(*place, Page { text, listener });
                    self.failed.remove(place);
                }
                // Tried again with the next plan.
                Err(error) if self.failed.insert(*place) => {
                    self.log.write(Level::Error, format_args!("sorry page on {place}: {error}"));
                }
                Err(_) => {}
            }
        }
    }
}

fn listen(place: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(place), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    match place {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    socket.bind(&SockAddr::from(place))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn serve(listener: TcpListener, text: Text, room: Arc<Semaphore>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            let pause = Duration::from_millis(u64::from(PAUSE.get()));
            interval_at(Instant::now() + pause, pause).tick().await;
            continue;
        };
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let text = Rc::clone(&text.borrow());
        tokio::task::spawn_local(async move {
            // Whatever a client does, there is nobody to tell.
            drop(timeout(WHOLE, converse(stream, &text)).await);
            drop(permit);
        });
    }
}

async fn converse(mut stream: TcpStream, text: &[u8]) -> io::Result<()> {
    let (mut request, mut buffer) = (Request::default(), [0_u8; READ_BYTES]);
    let head_only = loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        match request.feed(buffer.get(..count).unwrap_or_default()) {
            Heard::More => {}
            Heard::Whole { head_only } => break head_only,
            Heard::TooLong => break false,
        }
    };
    stream.write_all(&answer(text, head_only)).await?;
    stream.shutdown().await?;
    let mut dropped = 0_usize;
    while dropped < BODY_BYTES {
        match stream.read(&mut buffer).await? {
            0 => break,
            count => dropped = dropped.saturating_add(count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one request gets.
    async fn ask(place: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(place).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Runs on a free port of the loopback device.
    fn with_page(test: impl AsyncFnOnce(&mut Sorry, SocketAddr)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let place = free.local_addr().unwrap();
            drop(free);
            let mut sorry = Sorry::new(Rc::new(Log::open("test")));
            sorry.show(&Pages::from([(place, "Back\\ssoon".parse().unwrap())]));
            test(&mut sorry, place).await;
        });
    }

    #[test]
    fn a_page_answers_with_503_and_its_text_until_it_is_gone() {
        with_page(async |sorry, place| {
            let answer = ask(place, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.ends_with("\r\n\r\nBack soon"), "{answer}");
            assert!(ask(place, b"HEAD / HTTP/1.0\r\n\r\n").await.ends_with("\r\n\r\n"));
            sorry.show(&Pages::from([(place, "Later".parse().unwrap())]));
            assert!(ask(place, b"GET / HTTP/1.0\r\n\r\n").await.ends_with("Later"));
            sorry.show(&Pages::new());
            tokio::task::yield_now().await;
            assert!(TcpStream::connect(place).await.is_err());
        });
    }

    #[test]
    fn a_request_with_a_body_still_gets_the_page() {
        with_page(async |_, place| {
            let mut request = b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n".to_vec();
            request.extend([b'x'; 9999]);
            assert!(ask(place, &request).await.ends_with("Back soon"));
        });
    }

    #[test]
    fn an_address_that_is_not_on_the_box_can_be_listened_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _entered = runtime.enter();
        for place in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            listen(place.parse().unwrap()).unwrap();
        }
    }
}
