//! Method x family x protocol with real servers: the essential cells. All of them: `make soak ONLY=matrix`.

use director_vm_tests::matrix::{ESSENTIAL, baseline, repair, start};
use director_vm_tests::suite::{self, Suite};
use std::process::ExitCode;

fn main() -> ExitCode {
    suite::main(Suite { start, baseline, repair, cases: ESSENTIAL })
}
