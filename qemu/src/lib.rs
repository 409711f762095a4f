//! The lab: director VMs, real servers and clients in network namespaces, and the Ethernet switch between them.
//!
//! A program that uses it calls [`isolate::isolated`] first thing in `main`, and inside makes a [`lab::Lab`] from a
//! [`scenario::Scenario`]. Everything the lab starts lives in namespaces of its own and dies with the program.
//!
//! It never decides whether the product is right; tests do. It never sleeps: all waits are [`hub::Hub::eventually`],
//! which looks again after each console line, frame, monitor event and line of process output.
//!
//! Terms: a *segment* is a broadcast domain, a *port* one node's cable to it, a *node* a director or a host.

pub mod accel;
mod clock;
pub mod dnsmasq;
pub mod frame;
mod guest;
pub mod helper;
pub mod hub;
mod inputs;
pub mod isolate;
pub mod lab;
pub mod netns;
pub mod nginx;
pub mod null_modem;
pub mod pace;
mod pcap;
pub mod process;
pub mod qmp;
pub mod run;
pub mod run_folder;
pub mod scenario;
pub mod serial;
pub mod shell;
pub mod switch;
pub mod tools;
pub mod tty;
pub mod vm;
