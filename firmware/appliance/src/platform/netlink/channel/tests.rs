//! What the kernel does to a reader that is too slow, or that reads while things change.

use super::*;
use crate::platform::tests::{add_addresses, ip, isolated};

/// `RTM_DELADDR`, `RTM_GETADDR` (`include/uapi/linux/rtnetlink.h`).
const DEL_ADDR: u16 = 21;
const GET_ADDR: u16 = 22;
/// `struct ifaddrmsg` of IPv4 that names no address.
const NOWHERE: [u8; 8] = [2, 0, 0, 0, 0, 0, 0, 0];
/// More than one datagram of a dump holds (32 KiB).
const MANY: usize = 900;

fn name(test: &str) -> String {
    format!("platform::netlink::channel::tests::{test}")
}

/// Leaves room for very few messages.
fn shrink(socket: &Socket) {
    setsockopt(socket, sockopt::RcvBuf, &1).unwrap();
}

#[test]
fn a_batch_whose_answers_were_lost_is_of_unknown_outcome_and_the_next_request_is_certain() {
    isolated(
        &name("a_batch_whose_answers_were_lost_is_of_unknown_outcome_and_the_next_request_is_certain"),
        async |_| {
            let mut channel = Channel::open(NlFamily::Route).unwrap();
            // Each is refused, and each refusal needs room.
            let whole = channel.batch(BATCH_MAX, DEL_ADDR, |_, body| body.header(&NOWHERE)).await.unwrap();
            let Outcome::All(results) = whole else { panic!("lost with all the room of the system") };
            assert!(results.len() == BATCH_MAX && results.iter().all(Result::is_err), "{results:?}");
            shrink(&channel.socket);
            let lost = channel.batch(BATCH_MAX, DEL_ADDR, |_, body| body.header(&NOWHERE)).await.unwrap();
            assert!(matches!(lost, Outcome::Unknown), "{lost:?}");
            let refused = channel.request(DEL_ADDR, 0, |body| body.header(&NOWHERE)).await.unwrap_err();
            assert_eq!(Errno::from_raw(refused.errno), Errno::ENODEV, "{refused:?}");
        },
    );
}

#[test]
fn a_dump_during_which_something_changed_is_repeated() {
    isolated(&name("a_dump_during_which_something_changed_is_repeated"), async |_| {
        add_addresses(MANY);
        let mut channel = Channel::open(NlFamily::Route).unwrap();
        let (mut found, mut changed) = (Vec::new(), false);
        let ask = |body: &mut Body<'_>| body.header(&NOWHERE);
        let restarts = std::cell::Cell::new(0);
        let each = |found: &mut Vec<Vec<u8>>, message: &Message<'_>| {
            if !std::mem::replace(&mut changed, true) {
                ip("address del 10.1.0.1/32 dev lo");
            }
            found.push(message.payload.to_vec());
            Ok(())
        };
        let restart = |found: &mut Vec<Vec<u8>>| {
            found.clear();
            restarts.set(restarts.get() + 1);
        };
        channel.dump(GET_ADDR, &mut found, ask, each, restart).await.unwrap();
        assert_eq!((found.len(), restarts.get()), (MANY - 1, 1), "127.0.0.1 is not there: lo is down");
    });
}
