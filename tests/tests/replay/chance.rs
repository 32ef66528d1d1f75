//! What a crash keeps, drawn so that it can be drawn again.

/// Draws of one crash.
#[derive(Debug, Clone)]
pub(crate) enum Chance {
    Never,
    Always,
    /// Of a hundred: how much is kept of this file, and how many sectors of that are torn.
    Drawn {
        state: u64,
        kept: u64,
        torn: u64,
    },
}

impl Chance {
    pub(crate) fn never() -> Self {
        Self::Never
    }

    pub(crate) fn always() -> Self {
        Self::Always
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        let mut chance = Self::Drawn { state: seed, kept: 50, torn: 0 };
        chance.next_file();
        chance
    }

    /// Each file has its own luck: a lost log beside a kept file finds other faults than a bit of each.
    pub(crate) fn next_file(&mut self) {
        if let Self::Drawn { state, kept, torn } = self {
            *kept = [4, 25, 60, 96][usize::try_from(roll(state) % 4).unwrap_or(0)];
            *torn = [0, 0, 10, 40][usize::try_from(roll(state) % 4).unwrap_or(0)];
        }
    }

    /// Whether a write or a name is kept.
    pub(crate) fn keeps(&mut self) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Drawn { state, kept, .. } => roll(state) % 100 < *kept,
        }
    }

    /// Whether a sector of something that is kept is lost all the same.
    pub(crate) fn tears(&mut self) -> bool {
        match self {
            Self::Never | Self::Always => false,
            Self::Drawn { state, torn, .. } => roll(state) % 100 < *torn,
        }
    }
}

/// splitmix64: the same everywhere for the same seed.
pub(crate) fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
