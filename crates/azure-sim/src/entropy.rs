//! The simulator's only source of chance: a seeded generator (splitmix64), so that one seed gives one run. The algorithm
//! is written out here because a library's generator may change its stream between versions, and with it every golden.

use std::cell::Cell;

/// A seeded stream of numbers, GUIDs and opaque text.
#[derive(Clone, Debug)]
pub struct Entropy(Cell<u64>);

impl Entropy {
    /// The stream of that seed.
    pub fn new(seed: u64) -> Self {
        Entropy(Cell::new(seed ^ 0x5bd1_e995_9d1c_a3f7))
    }

    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn chance(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A version 4 GUID in lower case with dashes.
    pub fn guid(&self) -> String {
        let bytes = ((u128::from(self.next()) << 64) | u128::from(self.next())).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// `length` characters of the URL-safe base64 alphabet.
    pub fn text(&self, length: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::with_capacity(length + 10);
        while text.len() < length {
            let bits = self.next();
            text.extend((0..10).map(|i| char::from(ALPHABET[((bits >> (6 * i)) & 63) as usize])));
        }
        text.truncate(length);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream() {
        let (a, b, c) = (Entropy::new(7), Entropy::new(7), Entropy::new(8));
        assert_eq!((a.guid(), a.text(50)), (b.guid(), b.text(50)));
        assert_ne!(a.guid(), c.guid());
        assert_eq!(&a.guid()[14..15], "4");
    }
}
