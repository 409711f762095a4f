//! Frames on a serial line (SLIP, RFC 1055): each ends with a byte that occurs nowhere else.

use alloc::vec::Vec;

const END: u8 = 0o300;
const ESC: u8 = 0o333;
const ESC_END: u8 = 0o334;
const ESC_ESC: u8 = 0o335;

/// A frame as it goes over the line. It begins with an END too, which ends whatever noise came before.
#[must_use]
pub fn encode(frame: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(frame.len().saturating_add(8));
    line.push(END);
    for byte in frame {
        match *byte {
            END => line.extend_from_slice(&[ESC, ESC_END]),
            ESC => line.extend_from_slice(&[ESC, ESC_ESC]),
            other => line.push(other),
        }
    }
    line.push(END);
    line
}

/// Finds frames of at most `N` bytes in what comes over the line.
#[derive(Clone, Debug, Default)]
pub struct Decoder<const N: usize> {
    frame: heapless::Vec<u8, N>,
    escaped: bool,
    /// What came since the last END is no frame.
    broken: bool,
}

impl<const N: usize> Decoder<N> {
    /// Takes a byte; gives a frame when it ends one. What is too long or badly escaped is left out.
    pub fn push(&mut self, byte: u8) -> Option<heapless::Vec<u8, N>> {
        let literal = match (self.escaped, byte) {
            (_, END) => {
                let whole = !(self.broken || self.escaped || self.frame.is_empty());
                (self.escaped, self.broken) = (false, false);
                let frame = core::mem::take(&mut self.frame);
                return whole.then_some(frame);
            }
            (true, ESC_END) => END,
            (true, ESC_ESC) => ESC,
            (true, _) => {
                self.broken = true;
                byte
            }
            (false, ESC) => {
                self.escaped = true;
                return None;
            }
            (false, other) => other,
        };
        self.escaped = false;
        self.broken |= self.frame.push(literal).is_err();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode<const N: usize>(line: &[u8]) -> Vec<Vec<u8>> {
        let mut decoder = Decoder::<N>::default();
        line.iter().filter_map(|byte| decoder.push(*byte)).map(|frame| frame.to_vec()).collect()
    }

    #[test]
    fn noise_and_frames_that_are_too_long_or_badly_escaped_are_left_out() {
        let mut line = alloc::vec![1, 2, ESC];
        line.extend(encode(&[7; 4]));
        line.extend(encode(&[8; 9]));
        line.extend([END, 5, ESC, 5, END]);
        line.extend(encode(&[9, END, ESC]));
        assert_eq!(decode::<8>(&line), [alloc::vec![7; 4], alloc::vec![9, END, ESC]]);
    }

    proptest! {
        #[test]
        fn every_frame_comes_back(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..5)) {
            let line: Vec<u8> = frames.iter().flat_map(|frame| encode(frame)).collect();
            prop_assert_eq!(decode::<200>(&line), frames);
        }
    }
}
