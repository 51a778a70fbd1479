//! Argon2id (RFC 9106): keys from pass phrases, with limits on what a file may ask for.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes of a salt that this crate writes.
pub const SALT_BYTES: usize = 16;
/// The most memory that a file may ask for: 1 GiB. More is an attack on the reader, not a stronger key.
pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// The most passes that a file may ask for: with the most memory still under a minute.
pub const MAX_PASSES: u32 = 16;
/// The most lanes that a file may ask for: they are computed one after the other here.
pub const MAX_LANES: u32 = 16;

/// The cost of a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2idCost {
    /// Memory in KiB, at least 8 per lane.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Argon2idCost {
    /// RFC 9106's second recommended option: 64 MiB, three passes, four lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// As little as Argon2 allows: for tests and for keys that guard nothing.
    pub const MINIMAL: Self = Self { memory_kib: 8, passes: 1, lanes: 1 };

    /// Checks the limits of this module and of RFC 9106.
    pub fn check(&self) -> Result<(), KdfError> {
        let too_much = |what, limit, asked| Err(KdfError::TooMuch { what, limit, asked });
        if self.memory_kib > MAX_MEMORY_KIB {
            return too_much("KiB of memory", MAX_MEMORY_KIB, self.memory_kib);
        }
        if self.passes > MAX_PASSES {
            return too_much("passes", MAX_PASSES, self.passes);
        }
        if self.lanes > MAX_LANES {
            return too_much("lanes", MAX_LANES, self.lanes);
        }
        if self.lanes == 0 || self.passes == 0 || self.memory_kib < 8 * self.lanes {
            return Err(KdfError::TooLittle);
        }
        Ok(())
    }
}

/// Why no key can be derived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KdfError {
    /// The cost is above this reader's limit.
    #[error("argon2id would take {asked} {what}; at most {limit} are allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u32,
        /// What was asked for.
        asked: u32,
    },
    /// The cost is below what Argon2 needs.
    #[error("argon2id needs at least one pass, one lane, and 8 KiB of memory per lane")]
    TooLittle,
    /// The library refused the pass phrase or the salt.
    #[error("argon2id refused its input: {0}")]
    Input(String),
}

/// Derives 32 bytes from a pass phrase. Takes as long as `cost` says: call it where blocking is allowed.
pub fn argon2id(
    pass_phrase: &[u8],
    salt: &[u8],
    cost: &Argon2idCost,
) -> Result<Zeroizing<[u8; 32]>, KdfError> {
    cost.check()?;
    let library = |error: argon2::Error| KdfError::Input(error.to_string());
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(library)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(pass_phrase, salt, key.as_mut_slice())
        .map_err(library)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation's test: 2^8 KiB, two passes, one lane (phc-winner-argon2, src/test.c).
    #[test]
    fn reference_vector() {
        let cost = Argon2idCost { memory_kib: 256, passes: 2, lanes: 1 };
        let key = argon2id(b"password", b"somesalt", &cost).unwrap();
        assert_eq!(hex::encode(*key), "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
    }

    #[test]
    fn costs_beyond_the_limits_are_refused() {
        let base = Argon2idCost::MINIMAL;
        let asked = [
            Argon2idCost { memory_kib: MAX_MEMORY_KIB + 1, ..base },
            Argon2idCost { passes: MAX_PASSES + 1, ..base },
            Argon2idCost { lanes: MAX_LANES + 1, ..base },
            Argon2idCost { lanes: 2, ..base },
            Argon2idCost { passes: 0, ..base },
            Argon2idCost { lanes: 0, memory_kib: u32::MAX, ..base },
        ];
        for cost in asked {
            assert!(argon2id(b"p", b"saltsalt", &cost).is_err(), "{cost:?}");
        }
        assert!(argon2id(b"p", b"short", &base).is_err());
        assert_eq!(Argon2idCost::RECOMMENDED.check(), Ok(()));
    }
}
