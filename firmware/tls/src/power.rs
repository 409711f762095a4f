//! Powers modulo an RSA modulus, of public numbers only: what takes which time tells nobody anything.
//!
//! Montgomery multiplication, limb by limb (Koc, Acar, Kaliski: CIOS). A library for secret numbers would be twenty times as
//! large.

use alloc::vec;
use alloc::vec::Vec;

/// An odd modulus, and what multiplying by it needs.
struct Modulus {
    /// Least significant first.
    limbs: Vec<u32>,
    /// -1 / modulus, modulo 2^32.
    inverse: u32,
}

/// `base` to the power of `exponent`, as long as the modulus. All are big endian. `None` when the modulus is even or the base
/// is not below it.
pub(crate) fn power(base: &[u8], exponent: u32, modulus: &[u8]) -> Option<Vec<u8>> {
    let modulus_bytes = modulus.len();
    let limbs = limbs(modulus);
    let low = limbs.first().copied().filter(|low| low & 1 == 1)?;
    // Each round doubles the number of bits that are right (Newton).
    let mut inverse = 1_u32;
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(low.wrapping_mul(inverse)));
    }
    let modulus = Modulus { limbs, inverse: inverse.wrapping_neg() };
    let mut base = self::limbs(base);
    base.resize(modulus.limbs.len(), 0);
    if !less(&base, &modulus.limbs) {
        return None;
    }
    let one = modulus.one();
    let base = modulus.multiply(&base, &modulus.squared());
    let mut result = one;
    for bit in (0..u32::BITS).rev() {
        result = modulus.multiply(&result, &result);
        if exponent >> bit & 1 == 1 {
            result = modulus.multiply(&result, &base);
        }
    }
    let mut plain = vec![0; modulus.limbs.len()];
    *plain.first_mut()? = 1;
    let result = modulus.multiply(&result, &plain);
    let bytes: Vec<u8> = result.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
    Some(bytes.get(bytes.len().checked_sub(modulus_bytes)?..)?.to_vec())
}

fn limbs(bytes: &[u8]) -> Vec<u32> {
    bytes.rchunks(4).map(|piece| piece.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte))).collect()
}

fn less(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// The lower and the upper half.
fn halves(sum: u64) -> (u32, u64) {
    let [a, b, c, d, ..] = sum.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), sum >> 32)
}

impl Modulus {
    /// `to - modulus`.
    fn subtract(&self, to: &mut [u32]) {
        let mut borrow = false;
        for (limb, n) in to.iter_mut().zip(&self.limbs) {
            let (first, under) = limb.overflowing_sub(*n);
            let (second, again) = first.overflowing_sub(borrow.into());
            (*limb, borrow) = (second, under || again);
        }
    }

    /// Doubles below the modulus.
    fn double(&self, number: &mut [u32]) {
        let mut carry = 0;
        for limb in number.iter_mut() {
            let top = *limb >> 31;
            *limb = *limb << 1 | carry;
            carry = top;
        }
        if carry == 1 || !less(number, &self.limbs) {
            self.subtract(number);
        }
    }

    /// 2^(32 limbs) modulo the modulus: what stands for 1.
    fn one(&self) -> Vec<u32> {
        let mut number = vec![0; self.limbs.len()];
        if let Some(low) = number.first_mut() {
            *low = 1;
        }
        for _ in 0..self.limbs.len() * 32 {
            self.double(&mut number);
        }
        number
    }

    /// 2^(64 limbs) modulo the modulus: what brings a number into this form.
    fn squared(&self) -> Vec<u32> {
        let mut number = self.one();
        for _ in 0..self.limbs.len() * 32 {
            self.double(&mut number);
        }
        number
    }

    /// `a b / 2^(32 limbs)` modulo the modulus.
    fn multiply(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let mut sum = vec![0_u32; self.limbs.len()];
        // What does not fit `sum`: at most one bit more than a limb.
        let mut top = 0_u64;
        for limb in a {
            let mut add = |factor: u32, numbers: &[u32], sum: &mut [u32]| {
                let mut carry = 0;
                for (to, number) in sum.iter_mut().zip(numbers) {
                    let part = u64::from(*to) + u64::from(factor) * u64::from(*number) + carry;
                    (*to, carry) = halves(part);
                }
                top += carry;
            };
            add(*limb, b, &mut sum);
            let factor = sum.first().map_or(0, |low| low.wrapping_mul(self.inverse));
            add(factor, &self.limbs, &mut sum);
            // The lowest limb is 0 now.
            sum.rotate_left(1);
            let (low, high) = halves(top);
            if let Some(last) = sum.last_mut() {
                *last = low;
            }
            top = high;
        }
        if top > 0 || !less(&sum, &self.limbs) {
            self.subtract(&mut sum);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(bytes: &[u8]) -> u128 {
        bytes.iter().fold(0, |n, byte| n << 8 | u128::from(*byte))
    }

    proptest! {
        #[test]
        fn small_powers_are_what_multiplying_gives(
            modulus in 3_u64.., base in any::<u64>(), exponent in 0_u32..200,
        ) {
            let modulus = modulus | 1;
            let base = base % modulus;
            let wide = u128::from(modulus);
            let slowly = (0..exponent).fold(1 % wide, |product, _| product * u128::from(base) % wide);
            let fast = power(&base.to_be_bytes(), exponent, &modulus.to_be_bytes()).unwrap();
            prop_assert_eq!(number(&fast), slowly);
        }

        #[test]
        fn powers_add_their_exponents(
            mut modulus in proptest::collection::vec(any::<u8>(), 5..40), base in any::<u32>(),
            a in 1_u32..5000, b in 1_u32..5000,
        ) {
            modulus[0] |= 1;
            *modulus.last_mut().unwrap() |= 1;
            let to = |base: &[u8], exponent| power(base, exponent, &modulus).unwrap();
            let once = to(&base.to_be_bytes(), a);
            prop_assert_eq!(to(&once, b), to(&base.to_be_bytes(), a * b));
        }
    }

    #[test]
    fn an_even_modulus_and_a_base_beyond_it_are_refused() {
        assert_eq!(power(&[2], 3, &[4]), None);
        assert_eq!(power(&[7], 3, &[7]), None);
        assert_eq!(power(&[2], 3, &[7]), Some(vec![1]));
    }
}
