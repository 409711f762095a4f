//! DNS over UDP (RFC 1035 section 4): one question, any answer or a certain one.

use super::reader::Reader;
use super::{Machine, Step};
use crate::health::ProbeId;
use crate::model::check::{self, RecordType};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Labels and pointers followed in one name: 127 labels fit 255 bytes, and a pointer must lead to one.
const HOPS_MAX: usize = 255;
/// Records of an answer that are looked at. Chosen: more than fit a datagram of 4 KiB at 12 bytes each.
const RECORDS_MAX: u16 = 400;

/// One question.
#[derive(Debug)]
pub(super) struct Dns {
    number: u16,
    question: Vec<u8>,
    code: u16,
    wanted: Option<String>,
}

const fn code(record: RecordType) -> u16 {
    match record {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Soa => 6,
        RecordType::Mx => 15,
        RecordType::Ptr => 12,
        RecordType::Txt => 16,
        RecordType::Aaaa => 28,
        RecordType::Srv => 33,
    }
}

impl Dns {
    pub(super) fn new(details: &check::Dns, id: ProbeId) -> Self {
        let mut question = Vec::new();
        let name = details.name.as_ref().map_or("", |name| name.as_str());
        let reversed = reversed(name).filter(|_| details.record == RecordType::Ptr);
        let name = reversed.as_deref().unwrap_or(name);
        for label in name.split('.').filter(|label| !label.is_empty()) {
            // A longer label than DNS has is cut to one that does not match.
            let label = label.as_bytes().get(..label.len().min(63)).unwrap_or_default();
            question.push(u8::try_from(label.len()).unwrap_or(63));
            question.extend_from_slice(label);
        }
        question.push(0);
        let code = code(details.record);
        question.extend_from_slice(&code.to_be_bytes());
        question.extend_from_slice(&1_u16.to_be_bytes());
        let [a, b, ..] = super::radius::mix(id.0).to_be_bytes();
        let wanted = details.answer.as_ref().map(|answer| plain(answer.as_str()));
        Self { number: u16::from_be_bytes([a, b]), question, code, wanted }
    }

    /// `None`: not an answer to this question.
    fn judge(&self, packet: &[u8]) -> Option<Result<(), String>> {
        const TRUNCATED: u16 = 0x0200;
        let mut reader = Reader(packet);
        let number = reader.be16()?;
        let flags = reader.be16()?;
        if number != self.number || flags & 0x8000 == 0 {
            return None;
        }
        let (questions, answers) = (reader.be16()?, reader.be16()?);
        reader.take(4)?;
        match flags & 15 {
            0 => {}
            2 => return Some(Err(String::from("answers SERVFAIL"))),
            3 => return Some(Err(String::from("answers NXDOMAIN: there is no such name"))),
            5 => return Some(Err(String::from("answers REFUSED"))),
            other => return Some(Err(format!("answers with error {other}"))),
        }
        if questions != 1 || !same_question(&mut reader, &self.question) {
            return Some(Err(String::from("answers another question")));
        }
        let values = self.values(packet, reader, answers.min(RECORDS_MAX));
        Some(match (&self.wanted, values) {
            // What fits the datagram is enough when any answer is.
            (None, _) if answers > 0 => Ok(()),
            (_, Err(())) => Err(String::from("the answer is damaged")),
            (_, Ok(values)) if values.is_empty() => Err(String::from("no record of this type")),
            (None, Ok(_)) => Ok(()),
            (Some(wanted), Ok(values)) if values.contains(wanted) => Ok(()),
            (Some(wanted), Ok(_)) if flags & TRUNCATED != 0 => {
                Err(format!("{wanted} is not in the part of the answer that fits a datagram"))
            }
            (Some(wanted), Ok(values)) => Err(format!("answers {}, wanted {wanted}", values.join(" "))),
        })
    }

    /// The values of the records of our type.
    fn values(&self, packet: &[u8], mut reader: Reader<'_>, answers: u16) -> Result<Vec<String>, ()> {
        let mut values = Vec::new();
        for _ in 0..answers {
            skip_name(&mut reader).ok_or(())?;
            let kind = reader.be16().ok_or(())?;
            reader.take(6).ok_or(())?;
            let length = usize::from(reader.be16().ok_or(())?);
            let data = reader.take(length).ok_or(())?;
            if kind == self.code {
                values.push(value(packet, kind, data).ok_or(())?);
            }
        }
        Ok(values)
    }
}

/// The name under which the name of an address stands (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reversed(name: &str) -> Option<String> {
    match name.parse().ok()? {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            Some(format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
            Some(nibbles.into_iter().rev().chain([String::from("ip6.arpa")]).collect())
        }
    }
}

/// Names compare without case and without the final dot.
fn plain(text: &str) -> String {
    text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase()
}

fn same_question(reader: &mut Reader<'_>, question: &[u8]) -> bool {
    reader.take(question.len()).is_some_and(|asked| asked.eq_ignore_ascii_case(question))
}

fn skip_name(reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..HOPS_MAX {
        match reader.u8()? {
            0 => return Some(()),
            length @ 1..=63 => {
                reader.take(usize::from(length))?;
            }
            192.. => {
                reader.u8()?;
                return Some(());
            }
            64..=191 => return None,
        }
    }
    None
}

/// The name that begins at the reader, pointers followed.
fn name<'a>(packet: &'a [u8], mut reader: Reader<'a>) -> Option<String> {
    let mut name = String::new();
    for _ in 0..HOPS_MAX {
        match reader.u8()? {
            0 => return Some(name),
            length @ 1..=63 => {
                if !name.is_empty() {
                    name.push('.');
                }
                let label = reader.take(usize::from(length))?;
                name.extend(
                    label
                        .iter()
                        .map(|b| if b.is_ascii_graphic() { char::from(b.to_ascii_lowercase()) } else { '?' }),
                );
            }
            high @ 192.. => {
                let at = u16::from_be_bytes([high & 0x3f, reader.u8()?]);
                reader = Reader(packet.get(usize::from(at)..)?);
            }
            64..=191 => return None,
        }
        if name.len() > 255 {
            return None;
        }
    }
    None
}

fn value<'a>(packet: &'a [u8], kind: u16, data: &'a [u8]) -> Option<String> {
    let mut reader = Reader(data);
    match kind {
        1 => Some(Ipv4Addr::from(reader.array::<4>()?).to_string()),
        28 => Some(Ipv6Addr::from(reader.array::<16>()?).to_string()),
        15 => {
            reader.be16()?;
            name(packet, reader)
        }
        16 => {
            let mut text = String::new();
            // Each round takes at least the length.
            while let Some(length) = reader.u8() {
                let part = reader.take(usize::from(length))?;
                text.extend(part.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }));
            }
            Some(plain(&text))
        }
        33 => {
            // Priority and weight.
            reader.take(4)?;
            let port = reader.be16()?;
            Some(format!("{}:{port}", name(packet, reader)?))
        }
        _ => name(packet, reader),
    }
}

impl Machine for Dns {
    fn open(&mut self) -> Step {
        let mut packet = Vec::new();
        // Recursion desired, one question.
        for word in [self.number, 0x0100, 1, 0, 0, 0] {
            packet.extend_from_slice(&word.to_be_bytes());
        }
        packet.extend_from_slice(&self.question);
        Step::Send(packet)
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.judge(bytes).map_or(Step::Wait, Step::Done)
    }

    fn closed(&mut self) -> Result<(), String> {
        Err(String::from("connection closed without an answer"))
    }
}
