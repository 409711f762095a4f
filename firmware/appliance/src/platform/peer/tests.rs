use super::*;
use director_core::store::Generation;
use std::net::TcpListener as StdListener;

/// A port that nobody has now.
fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn listen(own: Role, port: u16, secret: &str) -> Listen {
    let path = HeartbeatPath {
        name: "here".parse().unwrap(),
        device: "lo".parse().unwrap(),
        local: [127, 0, 0, 1].into(),
        peer: [127, 0, 0, 1].into(),
        to: None,
    };
    let guard = director_core::wire::heartbeat::Guard {
        group: 1,
        own,
        mode: Default::default(),
        keys: Default::default(),
    };
    let credentials = Some(Credentials::new(1, own, 1, secret));
    Listen { guard, port, paths: vec![path], serial: None, credentials }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn peer() -> (Peer, mpsc::Receiver<Event>) {
    let (events, queue) = mpsc::channel(16);
    (Peer::new(events, Rc::new(Log::open("test"))), queue)
}

#[test]
fn two_boxes_connect_talk_and_notice_when_the_other_is_gone() {
    run(async {
        let port = free_port();
        let ((mut primary, mut at_primary), (mut backup, mut at_backup)) = (peer(), peer());
        primary.seek(Some(&listen(Role::Primary, port, "s")));
        backup.seek(Some(&listen(Role::Backup, port, "s")));
        assert_eq!(at_primary.recv().await, Some(Event::Linked(true)));
        assert_eq!(at_backup.recv().await, Some(Event::Linked(true)));
        let large = Message::Refused { generation: Generation(1), reason: "x".repeat(400) };
        for _ in 0..20 {
            primary.tell(large.clone());
            backup.tell(large.clone());
        }
        for _ in 0..20 {
            assert_eq!(at_primary.recv().await, Some(Event::Told(Box::new(large.clone()))));
            assert_eq!(at_backup.recv().await, Some(Event::Told(Box::new(large.clone()))));
        }
        // A new configuration with another secret keeps the connection.
        primary.seek(Some(&listen(Role::Primary, port, "other")));
        primary.tell(Message::Give);
        assert_eq!(at_backup.recv().await, Some(Event::Told(Box::new(Message::Give))));
        primary.seek(None);
        assert_eq!(at_primary.recv().await, Some(Event::Linked(false)));
        assert_eq!(at_backup.recv().await, Some(Event::Linked(false)));
    });
}

#[test]
fn a_stranger_does_not_keep_the_peer_out() {
    run(async {
        let port = free_port();
        let ((mut primary, mut at_primary), (mut backup, _at_backup)) = (peer(), peer());
        primary.seek(Some(&listen(Role::Primary, port, "s")));
        let stranger = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
                break stream;
            }
            tokio::task::yield_now().await;
        };
        stranger.writable().await.unwrap();
        stranger.try_write(b"GET / HTTP/1.0\r\n\r\n and more than a greeting has").unwrap();
        backup.seek(Some(&listen(Role::Backup, port, "s")));
        assert_eq!(at_primary.recv().await, Some(Event::Linked(true)));
    });
}
