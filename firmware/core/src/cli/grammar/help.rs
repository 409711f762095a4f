//! What `help` prints: lines of at most 80 columns.

/// How the console works.
pub(super) const CONSOLE: &[&str] = &[
    "A line is a command; ? shows what can come next, Tab completes it, and any word",
    "may be shortened while it stays clear. \"show\" looks, \"configure\" changes.",
    "\"setup\" makes a service out of a dozen answers; \"help pair\" says how a second",
    "box takes over when this one fails.",
    "",
    "In configure mode, \"set\" and \"delete\" change a candidate and nothing else.",
    "\"compare\" shows the changes, \"commit check\" what they would do, and \"commit\"",
    "makes them run and keeps them in flash. \"discard\" throws them away.",
    "A commit that leaves a service without a usable server, or ends one in use, asks",
    "first; pasted lines say \"commit force\".",
    "",
    "\"export\" prints the configuration, \"load\" in configure mode takes one, and",
    "\"transfer\" there lets director-provision on a laptop do both over this line.",
    "\"set system password\" in configure mode asks for a console password; after a",
    "commit each login needs it. \"server NAME drain\" takes a server out for a while.",
    "",
    "After a show command: | json, | match TEXT, | count, | more, | no-more, and",
    "| set for configuration.",
    "Keys: arrows, C-a C-e start and end, C-w C-u C-k cut, C-y paste, C-c give up,",
    "C-r searches what was typed before, C-v before ? types it as a character.",
];

/// How two boxes become a pair.
pub(super) const PAIR: &[&str] = &[
    "Two boxes with one configuration. On the first one, which serves already, tell",
    "the second one's own addresses, and a secret that both sign heartbeats with:",
    "  configure",
    "  set node backup hostname lvs2",
    "  set node backup interface public address 1.2.3.3/24",
    "  set node backup interface private address 192.168.1.2/24",
    "  set cluster secret SOMETHING-LONG",
    "  commit",
    "  exit",
    "  export passphrase",
    "",
    "On the second one, with the same cables as the first:",
    "  cluster identity backup          keeps it in flash, and reboots",
    "  configure",
    "  load override                    paste what the first one printed, end with .",
    "  commit",
    "",
    "From then on each commit goes to both. \"show cluster\" tells who is active and",
    "why, \"show alarms\" what is missing, \"cluster standby\" changes places.",
];
