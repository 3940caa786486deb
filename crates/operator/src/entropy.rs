//! Randomness for jitter.

use breakwater_engine::ports::Entropy;

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn unit(&self) -> f64 {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_in_the_unit_interval_and_differ() {
        let drawn: Vec<f64> = (0..100).map(|_| SystemEntropy.unit()).collect();
        assert!(drawn.iter().all(|n| (0.0..1.0).contains(n)));
        assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
