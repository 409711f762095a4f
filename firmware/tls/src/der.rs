//! As much of DER (X.690) as certificates need.

use crate::reader::Reader;

pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BITS: u8 = 0x03;
    pub(crate) const OCTETS: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
}

/// An element: its tag, its content, and all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The next element.
pub(crate) fn next<'a>(reader: &mut Reader<'a>) -> Option<Element<'a>> {
    let start = reader.0;
    let tag = reader.u8()?;
    let length = match reader.u8()? {
        short if short < 0x80 => usize::from(short),
        long => {
            // Four bytes of length are more than anybody sends.
            let count = usize::from(long & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let bytes = reader.take(count)?;
            bytes.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))?
        }
    };
    let content = reader.take(length)?;
    let whole = start.get(..start.len().checked_sub(reader.0.len())?)?;
    Some(Element { tag, content, whole })
}

/// The next element, which must have this tag: its content.
pub(crate) fn expect<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    next(reader).filter(|element| element.tag == tag).map(|element| element.content)
}

/// The content of a bit string of whole bytes.
pub(crate) fn bits<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    expect(reader, tag::BITS)?.strip_prefix(&[0])
}

/// A time as seconds since 1970. Only the forms of RFC 5280 section 4.1.2.5, which end in Z.
pub(crate) fn time(reader: &mut Reader<'_>) -> Option<u64> {
    let element = next(reader)?;
    let digits = element.content.strip_suffix(b"Z")?;
    let mut rest = Reader(digits);
    let mut two = || {
        let [a, b] = rest.array()?;
        let digit = |c: u8| c.is_ascii_digit().then(|| u64::from(c - b'0'));
        Some(digit(a)? * 10 + digit(b)?)
    };
    let year = match element.tag {
        tag::UTC_TIME => two().map(|year| if year < 50 { year + 2000 } else { year + 1900 })?,
        tag::TIME => two()? * 100 + two()?,
        _ => return None,
    };
    let (month, day, hour, minute, second) = (two()?, two()?, two()?, two()?, two()?);
    let sound = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    (sound && rest.0.is_empty()).then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_time_are_read() {
        let at = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).unwrap();
            time(&mut Reader(&[&[tag, length], text.as_bytes()].concat()))
        };
        assert_eq!(at(tag::UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(at(tag::UTC_TIME, "261130112233Z"), Some(1_796_037_753));
        assert_eq!(at(tag::TIME, "20500229000000Z"), at(tag::TIME, "20500301000000Z"));
        for bad in ["20261130112233", "20261330112233Z", "2026113011223Z", "x0261130112233Z"] {
            assert_eq!(at(tag::TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_no_element() {
        for bad in [&[0x30, 2, 0][..], &[0x30, 0x80], &[0x30, 0x85, 0, 0, 0, 0, 0], &[0x30]] {
            assert!(next(&mut Reader(bad)).is_none(), "{bad:?}");
        }
        assert!(next(&mut Reader(&[0x30, 0x81, 1, 7])).is_some());
    }
}
