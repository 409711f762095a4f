//! Addresses with a prefix length.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// An address with the length of its network prefix: `192.168.1.1/24`, `2001:db8::1/64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "(IpAddr, u8)", into = "(IpAddr, u8)")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not an address with prefix length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CidrError {
    /// No `/`.
    NoPrefix,
    /// The part before `/` is not an IPv4 or IPv6 address.
    BadAddress,
    /// The part after `/` is not 0 to 32 (IPv4) or 0 to 128 (IPv6).
    BadPrefix {
        /// Largest prefix length of the family.
        max: u8,
    },
}

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefix => f.write_str("needs a prefix length, for example 192.168.1.1/24"),
            Self::BadAddress => f.write_str("not an IP address"),
            Self::BadPrefix { max } => write!(f, "the prefix length must be 0 to {max}"),
        }
    }
}

impl Cidr {
    /// Joins an address and a prefix length.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, CidrError> {
        let max = bits(address);
        if prefix > max { Err(CidrError::BadPrefix { max }) } else { Ok(Self { address, prefix }) }
    }

    /// A single host: the longest prefix of the family.
    pub fn host(address: IpAddr) -> Self {
        Self { address, prefix: bits(address) }
    }

    /// 0.0.0.0/0.
    pub const fn any_ipv4() -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 }
    }

    /// The address, host bits included.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Length of the network prefix in bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The same network with host bits zero.
    #[must_use]
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask4(self.prefix))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask6(self.prefix))),
        };
        Self { address, prefix: self.prefix }
    }

    /// Whether `address` lies in this network. Different families never do.
    pub fn contains(self, address: IpAddr) -> bool {
        let same_family = self.address.is_ipv4() == address.is_ipv4();
        same_family && Self { address, prefix: self.prefix }.network() == self.network()
    }

    /// The broadcast address of an IPv4 network of /30 or shorter prefix.
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(a) if self.prefix <= 30 => {
                Some(Ipv4Addr::from_bits(a.to_bits() | !mask4(self.prefix)))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix))).unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError::NoPrefix)?;
        let address: IpAddr = address.parse().map_err(|_| CidrError::BadAddress)?;
        let prefix: u8 = prefix.parse().map_err(|_| CidrError::BadPrefix { max: bits(address) })?;
        Self::new(address, prefix)
    }
}

impl TryFrom<(IpAddr, u8)> for Cidr {
    type Error = CidrError;

    fn try_from((address, prefix): (IpAddr, u8)) -> Result<Self, CidrError> {
        Self::new(address, prefix)
    }
}

impl From<Cidr> for (IpAddr, u8) {
    fn from(c: Cidr) -> Self {
        (c.address, c.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_hosts_and_no_others() {
        let net: Cidr = "192.168.1.1/24".parse().unwrap();
        assert!(net.contains("192.168.1.254".parse().unwrap()));
        assert!(!net.contains("192.168.2.1".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("9.9.9.9".parse().unwrap()));
        let v6: Cidr = "2001:db8::/32".parse().unwrap();
        assert!(v6.contains("2001:db8:1::5".parse().unwrap()));
        assert_eq!(net.broadcast(), Some(Ipv4Addr::new(192, 168, 1, 255)));
    }

    #[test]
    fn a_prefix_beyond_the_family_is_refused() {
        assert_eq!("1.2.3.4/33".parse::<Cidr>(), Err(CidrError::BadPrefix { max: 32 }));
        assert_eq!("::1/129".parse::<Cidr>(), Err(CidrError::BadPrefix { max: 128 }));
        assert_eq!("1.2.3.4".parse::<Cidr>(), Err(CidrError::NoPrefix));
        assert_eq!("1.2.3/24".parse::<Cidr>(), Err(CidrError::BadAddress));
    }
}
