use super::*;
use director_core::health::{ProbeKind, Shared};
use director_core::model::check::{Check, Question, Udp};
use director_core::model::config::HttpCheck;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Plenty on a loaded machine for what ends by itself.
pub(super) const GENEROUS: Millis = Millis::from_secs(20);
/// For what must end by its deadline.
pub(super) const SHORT: Millis = Millis::new(150);
/// How much later than its deadline a run may be seen to end on a loaded test machine.
const SLACK_US: u64 = 5_000_000;

fn http_kind() -> ProbeKind {
    let path = "/health".parse().unwrap();
    ProbeKind::Http(Box::new(HttpCheck { path, host: None, status: Default::default() }))
}

/// Runs one probe and asserts that it is answered once and in time.
pub(super) async fn probe(target: SocketAddr, kind: ProbeKind, timeout: Millis) -> Result<(), Failure> {
    outcome(target, kind, timeout).await.result
}

/// The same, with all that was learned.
pub(super) async fn outcome(target: SocketAddr, kind: ProbeKind, timeout: Millis) -> ProbeOutcome {
    let (send, mut results) = mpsc::channel(1);
    let prober = Prober::new(send, 1);
    let deadline = clock::now().after(timeout);
    prober.start(ProbeId(7), ProbeSpec { target, at: None, source: None, kind }, deadline);
    drop(prober);
    let (id, outcome) = results.recv().await.expect("an outcome");
    assert_eq!(id, ProbeId(7));
    assert!(clock::now().micros_since(deadline) < SLACK_US, "ended long after its deadline");
    assert!(results.recv().await.is_none(), "answered twice");
    outcome
}

pub(super) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that accepts one connection, reads the request, sends `parts` one by one and, when told, closes.
async fn server(parts: Vec<Vec<u8>>, close: bool) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let (listener, address) = listen().await;
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            request.push(byte[0]);
        }
        for part in parts {
            // The probe may have decided and gone before the last part.
            if stream.write_all(&part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !close {
            // Until the probe gives up and closes.
            drop(stream.read(&mut [0]).await);
        }
        request
    });
    (address, task)
}

pub(super) fn words(result: Result<(), Failure>) -> String {
    match result {
        Err(Failure::Server(words)) => words,
        other => panic!("expected the server's failure, got {other:?}"),
    }
}

#[tokio::test]
async fn a_listening_server_passes_the_tcp_check() {
    let (_listener, address) = listen().await;
    assert_eq!(probe(address, ProbeKind::Tcp, GENEROUS).await, Ok(()));
}

#[tokio::test]
async fn a_refusing_server_fails_both_checks_in_the_operators_words() {
    let (listener, address) = listen().await;
    drop(listener);
    assert_eq!(words(probe(address, ProbeKind::Tcp, GENEROUS).await), "connection refused");
    assert_eq!(words(probe(address, http_kind(), GENEROUS).await), "connection refused");
}

#[tokio::test]
async fn a_healthy_server_passes_the_http_check() {
    let (address, task) = server(vec![b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello".to_vec()], true).await;
    assert_eq!(probe(address, http_kind(), GENEROUS).await, Ok(()));
    let request = String::from_utf8(task.await.unwrap()).unwrap();
    assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("Host: {address}\r\n")), "{request}");
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_put_together() {
    let parts = b"HTTP/1.1 503 Busy\r\n\r\n".iter().map(|b| vec![*b]).collect();
    let (address, _task) = server(parts, false).await;
    assert_eq!(words(probe(address, http_kind(), GENEROUS).await), "status 503, wanted 200-299");
}

#[tokio::test]
async fn an_answer_that_is_too_slow_ends_at_the_deadline() {
    let (address, _task) = server(vec![b"HTTP/1.1 2".to_vec()], false).await;
    let why = words(probe(address, http_kind(), SHORT).await);
    assert!(why.starts_with("the answer was not complete within"), "{why}");
}

#[tokio::test]
async fn a_server_that_hangs_after_accept_ends_at_the_deadline() {
    let (address, _task) = server(Vec::new(), false).await;
    let why = words(probe(address, http_kind(), SHORT).await);
    assert!(why.starts_with("connected, but no answer within"), "{why}");
}

#[tokio::test]
async fn garbage_is_quoted() {
    let (address, _task) = server(vec![b"SSH-2.0-OpenSSH\r\n".to_vec()], false).await;
    let why = words(probe(address, http_kind(), GENEROUS).await);
    assert!(why.contains("not an HTTP answer") && why.contains("SSH-2.0"), "{why}");
}

#[tokio::test]
async fn an_early_close_says_how_far_it_came() {
    let (address, _task) = server(Vec::new(), true).await;
    assert_eq!(words(probe(address, http_kind(), GENEROUS).await), "connection closed without an answer");
    let (address, _task) = server(vec![b"HTTP/1.1 200 OK\r\n".to_vec()], true).await;
    let why = words(probe(address, http_kind(), GENEROUS).await);
    assert!(why.starts_with("connection closed inside the header"), "{why}");
}

#[tokio::test]
async fn a_deadline_in_the_past_ends_at_once() {
    let (_listener, address) = listen().await;
    let (send, mut results) = mpsc::channel(1);
    Prober::new(send, 1).start(
        ProbeId(1),
        ProbeSpec { target: address, at: None, source: None, kind: http_kind() },
        Mono::ZERO,
    );
    assert!(results.recv().await.unwrap().1.result.is_err());
}

#[tokio::test]
async fn a_run_beyond_the_bound_is_answered_as_not_asked() {
    let (listener, address) = listen().await;
    drop(listener);
    let (send, mut results) = mpsc::channel(1);
    let prober =
        Prober { results: send, room: Arc::new(Semaphore::new(0)), ..Prober::new(mpsc::channel(1).0, 1) };
    prober.start(
        ProbeId(1),
        ProbeSpec { target: address, at: None, source: None, kind: http_kind() },
        clock::now().after(GENEROUS),
    );
    let (_, outcome) = results.recv().await.unwrap();
    assert!(matches!(outcome.result, Err(Failure::NotAsked(_))));
}

#[tokio::test]
async fn a_full_queue_of_outcomes_drops_none() {
    let (listener, address) = listen().await;
    drop(listener);
    let (send, mut results) = mpsc::channel(1);
    let prober = Prober::new(send, 1);
    for id in 0..50 {
        prober.start(
            ProbeId(id),
            ProbeSpec { target: address, at: None, source: None, kind: ProbeKind::Tcp },
            clock::now().after(GENEROUS),
        );
    }
    drop(prober);
    let mut seen = std::collections::BTreeSet::new();
    while let Some((id, _)) = results.recv().await {
        assert!(seen.insert(id), "{id:?} was answered twice");
    }
    assert_eq!(seen.len(), 50);
}

pub(super) fn named(check: Check) -> ProbeKind {
    ProbeKind::Named(Shared::new(check))
}

#[tokio::test]
async fn a_datagram_is_answered_or_its_port_is_unreachable() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let udp =
        Udp { payload: Some("hi".parse().unwrap()), reply: Some("ho".parse().unwrap()), ..Udp::default() };
    let kind = named(Check { question: Question::Udp, udp: Some(udp), ..Check::default() });
    let answer = tokio::spawn(async move {
        let mut buffer = [0; 16];
        let (count, from) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"hi");
        server.send_to(b"hoho", from).await.unwrap();
    });
    assert_eq!(probe(address, kind.clone(), GENEROUS).await, Ok(()));
    answer.await.unwrap();
    assert_eq!(words(probe(address, kind, GENEROUS).await), "port unreachable (nothing listens there)");
}

#[tokio::test]
async fn loopback_answers_a_ping_of_either_family() {
    for target in ["127.0.0.1:0", "[::1]:0"] {
        let kind = named(Check { question: Question::Ping, ..Check::default() });
        match probe(target.parse().unwrap(), kind, GENEROUS).await {
            // Who may open neither kind of socket learns that, and not that the server is dead.
            Ok(()) | Err(Failure::NotAsked(_)) => {}
            Err(Failure::Server(words)) => panic!("{target}: {words}"),
        }
    }
}

#[tokio::test]
async fn a_line_protocol_says_what_it_waited_for() {
    let (listener, address) = listen().await;
    let kind = || named(Check { question: Question::Smtp, ..Check::default() });
    let why = words(probe(address, kind(), SHORT).await);
    assert_eq!(why, "connected, but no whole answer to greeting in time");
    let accepting = tokio::spawn(async move {
        // The first one is that of the run above, which has gone.
        drop(listener.accept().await.unwrap());
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mx\r\n").await.unwrap();
        let mut question = [0; 15];
        stream.read_exact(&mut question).await.unwrap();
        stream.write_all(b"250-mx\r\n250 SIZE\r\n").await.unwrap();
        question
    });
    assert_eq!(probe(address, kind(), GENEROUS).await, Ok(()));
    assert_eq!(&accepting.await.unwrap(), b"EHLO director\r\n");
}

#[test]
fn our_own_shortage_is_not_the_servers_failure() {
    for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::EADDRNOTAVAIL, Errno::EPERM] {
        assert!(matches!(failure(&io::Error::from(errno)), Failure::NotAsked(_)), "{errno}");
    }
    for errno in [Errno::ECONNREFUSED, Errno::EHOSTUNREACH, Errno::ENETUNREACH, Errno::ECONNRESET] {
        assert!(matches!(failure(&io::Error::from(errno)), Failure::Server(_)), "{errno}");
    }
}
