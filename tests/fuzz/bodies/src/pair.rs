//! What comes over the connection of a pair, and what the kernel's sync daemon sends.

use director_core::store::identity::Role;
use director_core::sync::Message;
use director_core::sync::session::{Credentials, NONCE, Session};
use director_core::wire::ipvs_sync::{self, listed};

fn session(own: Role, out: &mut Vec<u8>) -> Session {
    let nonce = if own == Role::Primary { [1; NONCE] } else { [2; NONCE] };
    Session::start(Credentials::new(1, own, 1, "known-to-both-boxes"), nonce, out)
}

/// Two ends that know each other.
fn connected() -> (Session, Session) {
    let (mut to_backup, mut to_primary) = (Vec::new(), Vec::new());
    let (mut primary, mut backup) =
        (session(Role::Primary, &mut to_backup), session(Role::Backup, &mut to_primary));
    for _ in 0..2 {
        let (from_primary, from_backup) = (std::mem::take(&mut to_backup), std::mem::take(&mut to_primary));
        let mut none = Vec::new();
        primary.receive(&from_backup, &mut to_backup, &mut none).expect("a greeting or a proof");
        backup.receive(&from_primary, &mut to_primary, &mut none).expect("a greeting or a proof");
        assert!(none.is_empty());
    }
    assert!(primary.proven() && backup.proven());
    (primary, backup)
}

/// A stranger's bytes: as a greeting, behind a greeting, in place of and laid over what the peer sends. Nothing of it is a
/// message, and what a connection says after an error is the same error.
pub fn fuzz_session(data: &[u8]) {
    if let Some(message) = Message::decode(data) {
        assert_eq!(Message::decode(&message.encode()), Some(message));
    }
    let Some((step, bytes)) = data.split_first() else { return };
    let step = usize::from(*step).max(1);
    let (mut out, mut messages) = (Vec::new(), Vec::new());
    let mut fresh = session(Role::Primary, &mut out);
    for piece in bytes.chunks(step) {
        if fresh.receive(piece, &mut out, &mut messages).is_err() {
            assert!(fresh.receive(&[], &mut out, &mut messages).is_err());
            break;
        }
    }
    assert!(!fresh.proven(), "without the secret");
    let (_, mut backup) = connected();
    let _unauthentic = backup.receive(bytes, &mut out, &mut messages);
    assert!(messages.is_empty(), "a stranger was heard");
    let (mut primary, mut backup) = connected();
    let mut sealed = Vec::new();
    primary.send(&Message::Give, &mut sealed).expect("it is proven");
    let whole = sealed.len();
    let changed = sealed.iter_mut().zip(bytes).fold(false, |any, (to, mask)| {
        *to ^= mask;
        any | (*mask != 0)
    });
    let result = backup.receive(&sealed, &mut out, &mut messages);
    if changed {
        assert!(messages.is_empty(), "a changed message of {whole} bytes was taken");
    } else {
        assert_eq!((result, messages), (Ok(()), vec![Message::Give]));
    }
}

/// Sync messages of a kernel: what is read is written and read the same. And its list of connections.
pub fn fuzz_table(data: &[u8]) {
    if let Ok((id, connections)) = ipvs_sync::parse(data) {
        let mut message = ipvs_sync::Message::new(id, u16::MAX);
        assert!(connections.iter().all(|connection| message.push(connection)));
        assert_eq!(ipvs_sync::parse(&message.finish()), Ok((id, connections)));
    }
    for connection in String::from_utf8_lossy(data).lines().filter_map(|line| listed(line, &[])) {
        let mut message = ipvs_sync::Message::new(0, 1472);
        let families = connection.addresses.iter().filter(|a| a.is_ipv4()).count();
        assert_eq!(message.push(&connection), families % 3 == 0);
    }
}
