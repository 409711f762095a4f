//! Every bound of the configuration, with its reason. Queue bounds stand beside their queues.

/// Longest name of a configured thing, in bytes. Chosen: fits a table column of 80 x 24.
pub const NAME_BYTES: usize = 32;
/// Longest host name. RFC 1123 section 2.1 allows 255; Linux `__NEW_UTS_LEN` is 64.
pub const HOSTNAME_BYTES: usize = 64;
/// Longest interface name and address label: Linux `IFNAMSIZ` is 16 with the final NUL.
pub const IFNAME_BYTES: usize = 15;
/// Longest free text value (HTTP path, host header). Chosen: one wide terminal line.
pub const TEXT_BYTES: usize = 255;
/// Interfaces of the box that can be given a role. Chosen: twice the ports of the largest appliance seen.
pub const INTERFACES: usize = 64;
/// Addresses of one node on one interface.
pub const NODE_ADDRESSES: usize = 8;
/// Floating addresses.
pub const FLOATING: usize = 1024;
/// Static routes.
pub const ROUTES: usize = 256;
/// Masquerade rules.
pub const MASQUERADES: usize = 64;
/// Real servers (design section 4).
pub const REAL_SERVERS: usize = 10_000;
/// Pools: one for each service at most.
pub const POOLS: usize = 1000;
/// Services (design section 4).
pub const SERVICES: usize = 1000;
/// Real servers in one pool. Chosen: the kernel walks the list for each new connection.
pub const POOL_SERVERS: usize = 1000;
/// Memberships in all pools together (design section 4: 1,000 services of 10 servers).
pub const MEMBERS_ALL: usize = 20_000;
/// Floating addresses of one service.
pub const SERVICE_ADDRESSES: usize = 8;
/// Ports of one service.
pub const SERVICE_PORTS: usize = 16;
/// Largest weight. The kernel takes 0 to 2^31-1 (`ip_vs_ctl.c`), but wlc multiplies connection counts by it; 65535 is
/// what ipvsadm users set and leaves the product in range.
pub const WEIGHT_MAX: u32 = 65_535;
/// Interface roles that carry heartbeats. Chosen: public, private and two more.
pub const HEARTBEAT_PATHS: usize = 4;
/// Hosts that a node asks whether its link works.
pub const WITNESSES: usize = 4;
/// Key ids that are accepted beside the signing one: one rotation at a time needs two.
pub const KEYS: usize = 4;
/// Time servers. RFC 5905 section 11.2 wants four to outvote a false one.
pub const TIME_SERVERS: usize = 4;
/// Rules that mark traffic.
pub const MARKS: usize = 256;
/// Named checks.
pub const CHECKS: usize = 256;
/// Steps of one send-expect dialogue.
pub const CHECK_STEPS: usize = 16;
/// Ranges of status codes of one HTTP check.
pub const STATUS_RANGES: usize = 4;
/// Headers of one HTTP check.
pub const CHECK_HEADERS: usize = 8;
/// Named checks of one pool.
pub const POOL_CHECKS: usize = 4;
/// Load monitors.
pub const LOAD_MONITORS: usize = 64;
/// Flags of one scheduler: the kernel has three bits.
pub const SCHEDULER_FLAGS: usize = 3;
/// Virtual servers with a page of the box itself: each needs a socket while the page is shown.
pub const PAGES: usize = 256;
