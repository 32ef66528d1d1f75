//! Chance that can be played again.

/// A small generator of pseudo-random numbers (splitmix64), the same everywhere for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of its own for a part of the work: threads that share one would draw in another order each time.
    pub(crate) fn apart(&self, part: u64) -> Self {
        let mut dice = Self(self.0 ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.roll();
        dice
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `from` up to but not including `to`.
    pub(crate) fn between(&mut self, from: usize, to: usize) -> usize {
        assert!(from < to, "nothing between {from} and {to}");
        from + usize::try_from(self.roll() % (to - from) as u64).expect("less than a usize")
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.between(0, 100) < chance
    }

    pub(crate) fn pick<T>(&mut self, among: impl IntoIterator<Item = T>) -> Option<T> {
        let mut among: Vec<T> = among.into_iter().collect();
        if among.is_empty() { None } else { Some(among.swap_remove(self.between(0, among.len()))) }
    }

    pub(crate) fn bytes(&mut self, size: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.roll().to_le_bytes()).take(size.div_ceil(8));
        let mut bytes: Vec<u8> = words.flatten().collect();
        bytes.truncate(size);
        bytes
    }
}
