//! The list of persistent server actions.

use super::model::ModelFlash;
use crate::model::Millis;
use crate::overrides::{Forced, Kept, OVERRIDES_MAX};
use crate::store::layout::MIB;
use crate::store::{kept, layout};
use alloc::format;
use alloc::vec::Vec;

fn list(count: usize, weight: u32) -> Vec<Kept> {
    let one = |n| Kept {
        server: format!("s{n}").parse().unwrap(),
        pool: (n % 2 == 0).then(|| "web".parse().unwrap()),
        forced: Forced::Weight(weight),
        left: (n % 3 == 0).then(|| Millis::from_secs(60)),
    };
    (0..count).map(one).collect()
}

#[test]
fn a_cut_while_the_list_is_written_leaves_the_old_or_the_new_one_and_so_does_a_cut_in_the_next_write() {
    for before in [0, 1, 3] {
        let mut dev = ModelFlash::empty();
        for n in 0..before {
            kept::save(&mut dev, &list(20, n)).unwrap();
        }
        let old = kept::load(&mut dev).0;
        let mut dev = ModelFlash::on(dev.medium);
        let new = list(100, 100);
        kept::save(&mut dev, &new).unwrap();
        for (medium, complete) in dev.cuts(dev.steps(), &[4096, 128 << 10, MIB, 2 * MIB]) {
            let mut dev = ModelFlash::on(medium);
            let found = kept::load(&mut dev).0;
            assert!(found == new || (found == old && !complete), "{found:?}");
            let mut dev = ModelFlash::on(dev.medium);
            kept::save(&mut dev, &list(3, 200)).unwrap();
            for (medium, complete) in dev.cuts(dev.steps(), &[4096, MIB]) {
                let again = kept::load(&mut ModelFlash::on(medium)).0;
                assert!(again == list(3, 200) || (again == found && !complete), "{again:?}");
            }
        }
    }
}

#[test]
fn the_longest_list_fits_and_a_damaged_copy_is_said() {
    let name = |n: usize| format!("{n:x>32}").chars().rev().collect::<alloc::string::String>();
    let longest = |n| Kept {
        server: format!("s{}", &name(n)[..31]).parse().unwrap(),
        pool: Some("p".repeat(32).parse().unwrap()),
        forced: Forced::Weight(65_535),
        left: Some(Millis::new(u32::MAX)),
    };
    let longest: Vec<Kept> = (0..OVERRIDES_MAX).map(longest).collect();
    let mut dev = ModelFlash::empty();
    kept::save(&mut dev, &longest).unwrap();
    kept::save(&mut dev, &list(1, 1)).unwrap();
    assert_eq!(kept::load(&mut dev), (list(1, 1), Vec::new()));
    dev.medium.flip(layout::KEPT_AT[1] + 4096, 1);
    let (found, warnings) = kept::load(&mut dev);
    assert_eq!(found, longest);
    assert_eq!(warnings, ["copy B of the list of persistent server actions is damaged"]);
}

#[test]
fn a_device_that_forgets_is_found_out_and_the_old_list_counts() {
    let mut dev = ModelFlash::empty();
    kept::save(&mut dev, &list(2, 1)).unwrap();
    dev.forgetful.insert(layout::KEPT_AT[1] / 512);
    assert!(kept::save(&mut dev, &list(2, 2)).is_err());
    assert_eq!(kept::load(&mut dev).0, list(2, 1));
}
