//! Acts: everything that talks to the kernel.

pub(crate) mod announce;
pub(crate) mod changes;
pub(crate) mod ipvs;
pub(crate) mod kernel;
pub(crate) mod netlink;
pub(crate) mod nft;
pub(crate) mod rtnl;
pub(crate) mod sysctl;

#[cfg(test)]
mod tests;
