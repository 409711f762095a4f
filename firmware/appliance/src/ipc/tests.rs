use super::*;
use director_core::director::protocol::Power;

/// A socket path of its own for each test.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("director-ipc-{}-{name}", std::process::id()))
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn refused(size: usize) -> Reply {
    Reply::Refused { reason: "x".repeat(size), findings: Vec::new() }
}

async fn send_all(link: &mut Link) {
    let connection = link.connection.as_mut().unwrap();
    while !connection.unsent.is_empty() {
        connection.stream.writable().await.unwrap();
        connection.send().unwrap();
    }
}

#[test]
fn a_request_reaches_the_director_and_its_reply_comes_back() {
    run(async {
        let path = path("round");
        let mut server = Server::bind(&path).unwrap();
        let mut link = Link::open(&path).await;
        link.ask(&Request::Status);
        let (session, request) = tokio::select! {
            request = server.next() => request.unwrap(),
            event = link.next() => panic!("{event:?}"),
        };
        assert_eq!(*request, Request::Status);
        // Longer than a frame and than a socket buffer.
        assert!(server.reply(session, refused(3_000_000)));
        let LinkEvent::Reply(reply) = link.next().await else { panic!("no reply") };
        assert_eq!(*reply, refused(3_000_000));
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn replies_find_their_session() {
    run(async {
        let path = path("two");
        let mut server = Server::bind(&path).unwrap();
        let (mut a, mut b) = (Link::open(&path).await, Link::open(&path).await);
        a.ask(&Request::Power(Power::Off));
        b.ask(&Request::Power(Power::Reboot));
        for _ in 0..2 {
            let (session, request) = tokio::select! {
                request = server.next() => request.unwrap(),
                _ = a.next() => panic!("no reply yet"),
                _ = b.next() => panic!("no reply yet"),
            };
            let size = if *request == Request::Power(Power::Off) { 1 } else { 2 };
            assert!(server.reply(session, refused(size)));
        }
        assert!(matches!(a.next().await, LinkEvent::Reply(r) if *r == refused(1)));
        assert!(matches!(b.next().await, LinkEvent::Reply(r) if *r == refused(2)));
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_console_notices_the_end_of_the_director_and_finds_the_next_one() {
    run(async {
        let path = path("restart");
        let server = Server::bind(&path).unwrap();
        let mut link = Link::open(&path).await;
        assert!(link.connected());
        drop(server);
        assert!(matches!(link.next().await, LinkEvent::Lost));
        let _server = Server::bind(&path).unwrap();
        assert!(matches!(link.next().await, LinkEvent::Back));
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn garbage_ends_its_session_and_no_other() {
    run(async {
        let path = path("garbage");
        let mut server = Server::bind(&path).unwrap();
        let mut link = Link::open(&path).await;
        let mut bad = Link::open(&path).await;
        for garbage in [&[255_u8; 64][..], &[2, 0, 0, 0, 2, 99, 99]] {
            let stream = &bad.connection.as_ref().unwrap().stream;
            stream.writable().await.unwrap();
            stream.try_write(garbage).unwrap();
            assert!(matches!(bad.next().await, LinkEvent::Lost));
            assert!(matches!(bad.next().await, LinkEvent::Back));
        }
        link.ask(&Request::Config);
        tokio::select! {
            request = server.next() => assert_eq!(*request.unwrap().1, Request::Config),
            _ = link.next() => panic!("no reply yet"),
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_session_has_a_bounded_number_of_unanswered_requests() {
    run(async {
        let path = path("bound");
        let mut server = Server::bind(&path).unwrap();
        let mut link = Link::open(&path).await;
        for _ in 0..REQUESTS_MAX + 1 {
            link.ask(&Request::Status);
        }
        let mut asked = Vec::new();
        for _ in 0..REQUESTS_MAX {
            tokio::select! {
                request = server.next() => asked.push(request.unwrap().0),
                _ = link.next() => panic!("no reply yet"),
            }
        }
        // All is sent; the ninth waits in the socket until one of the eight is answered.
        send_all(&mut link).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(server.requests.try_recv().is_err());
        assert!(server.reply(asked[0], refused(1)));
        assert!(matches!(link.next().await, LinkEvent::Reply(_)));
        assert_eq!(*server.next().await.unwrap().1, Request::Status);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn two_replies_of_the_largest_size_reach_a_console_that_reads_late() {
    run(async {
        let path = path("large");
        let mut server = Server::bind(&path).unwrap();
        let mut link = Link::open(&path).await;
        link.ask(&Request::Status);
        link.ask(&Request::Status);
        send_all(&mut link).await;
        // The message is the text, its tag and its length.
        let largest = || refused(frame::MESSAGE_MAX - 6);
        for _ in 0..2 {
            let (session, _) = server.next().await.unwrap();
            assert!(server.reply(session, largest()));
        }
        // The server's tasks have their turns while this end reads nothing.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        for _ in 0..2 {
            assert!(matches!(link.next().await, LinkEvent::Reply(r) if *r == largest()));
        }
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_peer_that_takes_nothing_between_two_looks_is_given_up() {
    run(async {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(near);
        assert!(!connection.stalled());
        assert!(!connection.stalled(), "there was nothing to take");
        connection.queue(&refused(4_000_000)).unwrap();
        assert!(!connection.stalled(), "it was just queued");
        connection.stream.writable().await.unwrap();
        connection.send().unwrap();
        assert!(!connection.stalled(), "it took a part");
        assert!(connection.stalled());
    });
}
