//! Real traffic through every forwarding method, family and scheduler. What is essential runs in `make vm`, all of it in
//! `make soak ONLY=matrix`.
//!
//! ```text
//! client .100 ──┬── public 1.2.3.0/24, 2001:db8:1::/64 ──┬── director ── private 192.168.1.0/24, 2001:db8:2::/64 ── rs1 .3, rs2 .4
//!               └── d1 .11, d2 .12 (direct routing)      └── t1 .21, t2 .22 (tunnels): helper machines on both segments
//! ```
//!
//! Servers of tunnels answer by their card on the public segment: through the director they could not, because it
//! takes no packet that comes with its own address.

pub mod cases;
pub mod ftp;
mod world;

pub use world::{baseline, repair, start};

use crate::suite::Case;

/// The cells of `make vm`.
pub const ESSENTIAL: &[Case] = &[
    ("every_method_carries_http_in_both_families", cases::http),
    ("every_method_carries_udp_in_both_families", cases::udp),
    ("ftp_works_active_and_passive_behind_nat_by_direct_routing_and_through_tunnels", ftp::all),
    ("persistence_keeps_the_clients_of_a_mask_together", cases::persistence),
];

/// Beyond them, those of `make soak`.
pub const MORE: &[Case] = &[
    ("every_scheduler_shares_as_it_says", cases::schedulers),
    ("a_server_at_its_threshold_gets_no_more", cases::thresholds),
    ("each_datagram_of_one_packet_scheduling_is_scheduled", cases::one_packet),
    ("calls_of_one_client_are_spread_and_each_stays_with_its_server", cases::sip),
    ("a_mark_holds_ports_together_in_both_families", cases::marks),
    ("fragments_find_their_server_in_both_families", cases::fragments),
    ("sctp_is_balanced", cases::sctp),
    ("connections_are_tracked_only_when_something_needs_it", cases::tracking),
    ("nothing_but_services_gets_from_outside_to_inside", cases::exposure),
];
