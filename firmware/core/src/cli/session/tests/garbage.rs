//! Whatever is typed.

use super::*;
use proptest::prelude::*;

const PARTS: &[&str] = &[
    "configure\r",
    "set pool web ",
    "show ",
    "delete ",
    "\t",
    "?",
    "server rs1 weight 5",
    "\r",
    "commit\r",
    " | json\r",
    "exit\r",
    "edit service web\r",
    "up\r",
    "y\r",
    "| match ",
    "\x03",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_typed_breaks_the_console(
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..20),
                proptest::sample::select(PARTS).prop_map(|s| s.as_bytes().to_vec()),
            ],
            0..60,
        ),
    ) {
        let mut bench = Bench::configured();
        for part in parts {
            // Garbage may be a form feed, which clears the screen; the model terminal takes that too.
            bench.bytes(&part);
            if bench.others.contains(&Output::Logout) {
                bench = Bench::configured();
            }
        }
    }
}
