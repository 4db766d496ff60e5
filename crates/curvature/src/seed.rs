use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The source of every random choice: the same seed gives the same numbers on every device.
///
/// ```
/// use ravine_curvature::Seed;
/// let seed = Seed::new(7);
/// assert_eq!(seed.stream("probes"), seed.stream("probes"));
/// assert_ne!(seed.stream("probes"), seed.stream("masks"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(u64);

impl Seed {
    /// A seed from a number.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The number.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// An independent seed for a named purpose.
    pub fn stream(self, name: &str) -> Self {
        // FNV-1a over the name, then the finaliser of splitmix64
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64 ^ self.0, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        self.mixed(hash)
    }

    /// An independent seed for a numbered repetition.
    pub fn index(self, index: u64) -> Self {
        self.mixed(self.0 ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn mixed(self, mut z: u64) -> Self {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    /// A generator that starts from this seed.
    pub fn rng(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }
}
