//! What `show commits` lists and `rollback` finds.

use super::{commit, history, store};
use crate::store::record::SlotState;
use crate::store::{Commit, Generation, StoreError, blob, slots};
use alloc::string::ToString;

#[test]
fn the_last_ten_commits_can_be_gone_back_to_with_time_and_comment() {
    let mut dev = history(30);
    let remark = Commit { comment: "before the move".parse().unwrap(), ..commit(31) };
    store(&mut dev, 31, &remark);
    store(&mut dev, 32, &commit(32));
    let past = slots::history(&mut dev);
    assert!(past.len() > 10, "{past:?}");
    assert!(past.iter().all(|p| p.damage.is_none() && p.at_unix_s == p.generation.0));
    assert!(past.windows(2).all(|pair| pair[0].generation > pair[1].generation));
    assert_eq!(slots::recall(&mut dev, Generation(32), 1), Ok((Generation(31), remark)));
    for back in 2..=10 {
        let generation = 32 - u64::from(back);
        let expected = (Generation(generation), commit(generation));
        assert_eq!(slots::recall(&mut dev, Generation(32), back), Ok(expected));
    }
}

#[test]
fn a_commit_on_trial_is_listed_and_one_back_from_it_is_the_last_good_one() {
    let mut dev = history(3);
    slots::save(&mut dev, Generation(4), SlotState::Tentative, &blob::encode(&commit(4))).unwrap();
    assert_eq!(slots::history(&mut dev)[0].state, SlotState::Tentative);
    assert_eq!(slots::recall(&mut dev, Generation(4), 1), Ok((Generation(3), commit(3))));
    // Taken back: 3 runs again, and one back is 2.
    assert_eq!(slots::recall(&mut dev, Generation(3), 1), Ok((Generation(2), commit(2))));
}

#[test]
fn going_back_further_than_what_is_stored_says_how_far_one_can_go() {
    let mut dev = history(3);
    let far = slots::recall(&mut dev, Generation(3), 3);
    assert_eq!(far, Err(StoreError::NoSuchRollback { back: 3, stored: 2 }));
    assert_eq!(far.unwrap_err().to_string(), "there is no commit 3 back: 1 to 2 are stored (show commits)");
    let none = slots::recall(&mut dev, Generation(1), 1).unwrap_err().to_string();
    assert_eq!(none, "no commit older than the running one is stored");
}
