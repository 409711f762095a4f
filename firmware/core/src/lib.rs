//! Decides.
//!
//! Everything the director decides is here: which configuration is valid, which servers are usable, who is
//! active, which kernel operations lead from what is to what should be, which flash slot counts, what a
//! typed line means. Nothing here acts: no I/O, no clock, no randomness, no threads, no `unsafe`; the crate
//! is `no_std`, so the compiler proves it. Time enters as [`model::Mono`], randomness as an argument, every
//! input of the whole as one [`director::Event`], every output as one [`director::Effect`].
//!
//! Terms are the field's: a *virtual server* (service) is an address, protocol and port that clients use; a
//! *real server* answers; a *pool* is real servers behind one check and one forwarding method; a *floating
//! address* moves between the two directors of a pair.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cli;
pub mod connections;
pub mod dhcp;
pub mod director;
pub mod doctor;
pub mod election;
pub mod gather;
pub mod health;
pub mod init;
pub mod login;
pub mod model;
pub mod overrides;
pub mod page;
pub mod plan;
pub mod sntp;
pub mod store;
pub mod sync;
pub mod syslog;
pub mod upgrade;
pub mod wire;
