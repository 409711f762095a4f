//! What strangers on the network say: servers of DHCP, clients of the sorry page.

use director_core::dhcp::{Client, Output};
use director_core::model::Mono;
use director_core::page::{self, HEAD_BYTES, Heard};
use director_core::wire::dhcp::{Answer, emit_answer, unwrap};

const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];

/// Answers of DHCP servers, bare and inside IPv4: what is read is written back and read the same, and a client that
/// hears it once for each of its states asks for times that come, and for addresses that a box can have.
pub fn fuzz_dhcp(data: &[u8]) {
    if let Ok(inside) = unwrap(data) {
        assert!(inside.len() <= data.len());
        drop(Answer::parse(inside));
    }
    let Ok(answer) = Answer::parse(data) else { return };
    assert_eq!(Answer::parse(&emit_answer(&answer)).as_ref(), Ok(&answer));
    let mut now = Mono::from_millis(1000);
    let mut out = Vec::new();
    let mut client = Client::new(MAC, None, 7, None, now);
    client.link(true, now, &mut out);
    // The number that ties an answer to a question is not guessed here: it is put in.
    for _ in 0..4 {
        let asked = out.iter().rev().find_map(|output| match output {
            Output::Send { message, .. } => message.get(4..8).and_then(|xid| xid.try_into().ok()),
            Output::Changed { .. } => None,
        });
        if let Some(xid) = asked {
            let heard = Answer { xid: u32::from_be_bytes(xid), mac: MAC, ..answer.clone() };
            client.heard(&emit_answer(&heard), now, &mut out);
        }
        if let Some(lease) = client.lease() {
            assert!(!lease.cidr().to_string().is_empty());
        }
        if let Some(next) = client.next_deadline() {
            now = now.max(next);
            client.on_deadline(now, &mut out);
        }
    }
}

/// Requests to the sorry page: where the bytes are cut does not matter, and the head has its limit.
pub fn fuzz_page(data: &[u8]) {
    let (step, request) =
        data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first).max(1), rest));
    let whole = page::Request::default().feed(request);
    let mut pieces = page::Request::default();
    let mut cut = Heard::More;
    for piece in request.chunks(step) {
        cut = pieces.feed(piece);
        if cut != Heard::More {
            break;
        }
    }
    assert_eq!(whole, cut);
    assert!(whole != Heard::TooLong || request.len() > HEAD_BYTES);
    let answer = page::answer(request, false);
    assert!(answer.ends_with(request) && answer.starts_with(&page::answer(request, true)));
}
