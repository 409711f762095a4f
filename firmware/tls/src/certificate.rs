//! Who the server says it is, and whether that is good enough.

use crate::CHAIN_MAX;
use crate::der::{self, Element, expect, next, tag};
use crate::reader::Reader;
use crate::signature::{Algorithm, Key, verify};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a certificate in DER.
pub type Fingerprint = [u8; 32];

/// What a certificate must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Not looked at; neither is the server's signature.
    Any,
    /// The server's certificate has this fingerprint, whatever its dates say.
    Pin(Fingerprint),
    /// A certificate with this fingerprint, which the server sends along, signed the server's, directly or over others.
    Authority(Fingerprint),
}

/// What was seen of the server's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// End of its validity, seconds since 1970.
    pub ends_unix_s: u64,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

/// The fingerprint of a certificate.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// What is read of a certificate (RFC 5280 section 4.1).
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    begins: u64,
    pub(crate) ends: u64,
    /// `None`: of a kind that is not known here.
    pub(crate) key: Option<Key<'a>>,
    extensions: Extensions<'a>,
}

#[derive(Debug, Default)]
struct Extensions<'a> {
    /// May sign others, over this many more at most.
    authority: Option<usize>,
    /// Says what it is for, and a server is not among it.
    not_for_servers: bool,
    /// `GeneralNames`.
    names: &'a [u8],
    /// Must be understood, and is not.
    unknown: bool,
}

impl<'a> Certificate<'a> {
    /// `None`: not a certificate.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut outer = Reader(expect(&mut Reader(bytes), tag::SEQUENCE)?);
        let signed = next(&mut outer).filter(|e| e.tag == tag::SEQUENCE)?;
        let algorithm = oid(expect(&mut outer, tag::SEQUENCE)?)?;
        let signature = der::bits(&mut outer)?;
        let mut fields = Reader(signed.content);
        // The version stands before the serial number, and a certificate of version 1 has none.
        let first = next(&mut fields)?;
        if first.tag == 0xa0 {
            expect(&mut fields, tag::INTEGER)?;
        }
        expect(&mut fields, tag::SEQUENCE)?;
        let issuer = next(&mut fields)?.whole;
        let mut validity = Reader(expect(&mut fields, tag::SEQUENCE)?);
        let (begins, ends) = (der::time(&mut validity)?, der::time(&mut validity)?);
        let subject = next(&mut fields)?.whole;
        let key = key(expect(&mut fields, tag::SEQUENCE)?);
        let mut extensions = Extensions::default();
        // Each round takes an element.
        while let Some(element) = next(&mut fields) {
            if element.tag == 0xa3 {
                extensions = Extensions::parse(element.content)?;
            }
        }
        let signed = signed.whole;
        Some(Self { signed, algorithm, signature, issuer, subject, begins, ends, key, extensions })
    }

    fn signed_by(&self, issuer: &Self) -> bool {
        let (Some(key), Some(algorithm)) = (issuer.key, Algorithm::of_oid(self.algorithm)) else {
            return false;
        };
        self.issuer == issuer.subject && verify(key, algorithm, self.signed, self.signature)
    }

    /// Whether a name is one of the server's (RFC 6125 section 6.4.3: a star is a whole first label).
    fn is_named(&self, name: &str) -> bool {
        const DNS_NAME: u8 = 0x82;
        let mut names = Reader(self.extensions.names);
        let parent = name.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
        // Each round takes a name.
        while let Some(entry) = next(&mut names) {
            if entry.tag != DNS_NAME {
                continue;
            }
            let covers = match entry.content.strip_prefix(b"*.") {
                Some(rest) => parent.is_some_and(|parent| rest.eq_ignore_ascii_case(parent.as_bytes())),
                None => entry.content.eq_ignore_ascii_case(name.as_bytes()),
            };
            if covers {
                return true;
            }
        }
        false
    }
}

fn oid(algorithm: &[u8]) -> Option<&[u8]> {
    expect(&mut Reader(algorithm), tag::OID)
}

/// `SubjectPublicKeyInfo`.
fn key(info: &[u8]) -> Option<Key<'_>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let mut info = Reader(info);
    let mut algorithm = Reader(expect(&mut info, tag::SEQUENCE)?);
    let bits = der::bits(&mut info)?;
    match expect(&mut algorithm, tag::OID)? {
        RSA => {
            let mut pair = Reader(expect(&mut Reader(bits), tag::SEQUENCE)?);
            let mut number = || {
                let bytes = expect(&mut pair, tag::INTEGER)?;
                Some(bytes.strip_prefix(&[0]).unwrap_or(bytes))
            };
            Some(Key::Rsa { modulus: number()?, exponent: number()? })
        }
        EC => match expect(&mut algorithm, tag::OID)? {
            P256 => Some(Key::P256(bits)),
            P384 => Some(Key::P384(bits)),
            _ => None,
        },
        ED25519 => Some(Key::Ed25519(bits)),
        _ => None,
    }
}

impl<'a> Extensions<'a> {
    fn parse(content: &'a [u8]) -> Option<Self> {
        let mut found = Self::default();
        let mut list = Reader(expect(&mut Reader(content), tag::SEQUENCE)?);
        // Each round takes an extension.
        while !list.0.is_empty() {
            let mut entry = Reader(expect(&mut list, tag::SEQUENCE)?);
            let id = expect(&mut entry, tag::OID)?;
            let mut value = next(&mut entry)?;
            let critical = value.tag == tag::BOOLEAN;
            if critical {
                value = next(&mut entry)?;
            }
            found.take(id, value, critical)?;
        }
        Some(found)
    }

    fn take(&mut self, id: &[u8], value: Element<'a>, critical: bool) -> Option<()> {
        const EXTENDED_USAGE_SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
        const EXTENDED_USAGE_ANY: &[u8] = &[0x55, 0x1d, 0x25, 0];
        if value.tag != tag::OCTETS {
            return None;
        }
        match id {
            // Basic constraints.
            [0x55, 0x1d, 0x13] => {
                let mut fields = Reader(expect(&mut Reader(value.content), tag::SEQUENCE)?);
                let authority = expect(&mut fields, tag::BOOLEAN).is_some_and(|on| on == [0xff]);
                let length = expect(&mut fields, tag::INTEGER).and_then(|n| n.first().copied());
                self.authority = authority.then(|| length.map_or(CHAIN_MAX, usize::from));
            }
            // Key usage: a signature that fits is all that counts here.
            [0x55, 0x1d, 0x0f] => {}
            // Alternative names.
            [0x55, 0x1d, 0x11] => self.names = expect(&mut Reader(value.content), tag::SEQUENCE)?,
            // Extended key usage.
            [0x55, 0x1d, 0x25] => {
                let mut uses = Reader(expect(&mut Reader(value.content), tag::SEQUENCE)?);
                let mut fits = false;
                // Each round takes a use.
                while !uses.0.is_empty() {
                    let use_id = expect(&mut uses, tag::OID)?;
                    fits |= use_id == EXTENDED_USAGE_SERVER || use_id == EXTENDED_USAGE_ANY;
                }
                self.not_for_servers = !fits;
            }
            _ => self.unknown |= critical,
        }
        Some(())
    }
}

/// What was seen of the first certificate.
pub(crate) fn seen(chain: &[Vec<u8>]) -> Option<Seen> {
    let first = chain.first()?;
    let ends_unix_s = Certificate::parse(first)?.ends;
    Some(Seen { ends_unix_s, fingerprint: fingerprint(first) })
}

/// Judges the certificates that a server sent, its own first. `name` is the one that was asked for. `unix_s`: `None` when
/// nobody knows the time; dates do not count then.
///
/// # Errors
/// Why they are not good enough.
pub fn judge(
    chain: &[Vec<u8>],
    policy: Policy,
    name: Option<&str>,
    unix_s: Option<u64>,
) -> Result<(), String> {
    let Some(first) = chain.first() else { return Err("the server shows no certificate".into()) };
    match policy {
        Policy::Any => Ok(()),
        Policy::Pin(wanted) => {
            let found = fingerprint(first);
            if found == wanted { Ok(()) } else { Err(format!("another certificate: {}", words(&found))) }
        }
        Policy::Authority(wanted) => authority(chain, &wanted, name, unix_s),
    }
}

fn authority(
    chain: &[Vec<u8>],
    wanted: &Fingerprint,
    name: Option<&str>,
    unix_s: Option<u64>,
) -> Result<(), String> {
    let sent: Vec<(Fingerprint, Certificate<'_>)> = chain
        .iter()
        .take(CHAIN_MAX)
        .filter_map(|bytes| Some((fingerprint(bytes), Certificate::parse(bytes)?)))
        .collect();
    if !sent.iter().any(|(print, _)| print == wanted) {
        return Err("the server does not send the certificate of the authority".into());
    }
    let own = chain.first().map(|bytes| fingerprint(bytes));
    let Some(first) = sent.first().filter(|(print, _)| Some(*print) == own) else {
        return Err("the certificate is damaged".into());
    };
    let mut lower = first;
    // Servers send their certificates in any order, and some twice. Each round goes up by one.
    for below in 0..CHAIN_MAX {
        fit(&lower.1, unix_s)?;
        if lower.0 == *wanted {
            break;
        }
        let above = sent.iter().find(|upper| upper.0 != lower.0 && lower.1.signed_by(&upper.1));
        let Some(upper) = above else { return Err("the certificate is not signed by the authority".into()) };
        if upper.1.extensions.authority.is_none_or(|length| below > length) {
            return Err("signed by a certificate that is no authority".into());
        }
        lower = upper;
    }
    if lower.0 != *wanted {
        return Err("the certificate is not signed by the authority".into());
    }
    if first.1.extensions.not_for_servers {
        return Err("the certificate is not for servers".into());
    }
    match name {
        Some(name) if !first.1.is_named(name) => Err(format!("the certificate is not for {name}")),
        Some(_) | None => Ok(()),
    }
}

/// What must hold for each certificate on the way up.
fn fit(certificate: &Certificate<'_>, unix_s: Option<u64>) -> Result<(), String> {
    if certificate.extensions.unknown {
        return Err("a certificate has a critical extension that is not known here".into());
    }
    match unix_s {
        Some(now) if now > certificate.ends => Err("a certificate has expired".into()),
        Some(now) if now < certificate.begins => Err("a certificate is not valid yet".into()),
        Some(_) | None => Ok(()),
    }
}

/// The beginning of a fingerprint.
fn words(fingerprint: &Fingerprint) -> String {
    let digits: Vec<String> = fingerprint.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}...", digits.concat())
}
