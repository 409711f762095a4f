//! Who may sign an upgrade, and what hardware this is. Both are compiled in: a box takes no advice about it.

use super::bundle::{KEY, Rules, Version};
use super::trailer::digest;

/// What hardware this firmware is for: the name of its folder below `board/`.
pub const BOARD: &str = "x86_64";
/// Public half of the key that signs upgrades, in hex, as `director-image key` prints it. Replace the file to trust
/// another one.
const TRUSTED: &str = include_str!("../../../../board/x86_64/upgrade.pub");
/// Public half of the development key, whose secret half lies in the source tree.
pub const DEVELOPMENT: &str = "e39980a1a0f12c020b1fb441af6242e6f48230ce15415850f6c21a7134e139a6";

/// Whether anybody who has the source can sign for this box.
#[must_use]
pub fn published() -> bool {
    TRUSTED.trim() == DEVELOPMENT
}

/// What a box that runs this version takes. A key file that is no key gives a key that nothing is signed with.
#[must_use]
pub fn rules(running: Version) -> Rules {
    let key: [u8; KEY] = digest(TRUSTED.trim()).unwrap_or([0; KEY]);
    Rules { key, board: BOARD.into(), running }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boards_key_is_a_key() {
        assert!(digest(TRUSTED.trim()).is_some(), "board/x86_64/upgrade.pub holds 64 digits of hex");
        assert!(digest(DEVELOPMENT).is_some());
    }
}
