//! `make bench`: measures, prints a table, writes `build/bench.json`.

use director_bench::campaign::{self, Job, Work};
use director_bench::figure::Figure;
use director_bench::{check_cost, check_peer, commit_time, power_on, programming, takeover};
use std::process::ExitCode;

const JOBS: &[Job<Figure>] = &[
    Job {
        name: "checks",
        about: "10,000 TCP and 2,000 HTTP checks each second on one core: cost, memory, jitter, detection",
        work: Work::Native(check_cost::run),
    },
    Job {
        name: "checks-peer",
        about: "200 servers asked at the same pace and at the same time by Director and by Debian's keepalived, each in a guest",
        work: Work::Lab(check_peer::run),
    },
    Job {
        name: "commit",
        about: "from commit to applied, for 10, 100 and 1,000 services",
        work: Work::Lab(commit_time::run),
    },
    Job {
        name: "power-on",
        about: "from power-on to the first answered request, beside Debian with keepalived, in the same lab",
        work: Work::Lab(power_on::run),
    },
    Job {
        name: "program",
        about: "1,000 services of 10 servers into the kernel, beside ipvsadm -R on the same kernel, and an empty plan",
        work: Work::Lab(programming::run),
    },
    Job {
        name: "start",
        about: "from power-on to the whole table, with 10,000 real servers committed",
        work: Work::Lab(programming::start),
    },
    Job {
        name: "takeover",
        about: "the active machine is killed: the outage beside that of a pair of Debian's keepalived",
        work: Work::Lab(takeover::run),
    },
];

fn main() -> ExitCode {
    campaign::main("bench", JOBS)
}
