//! The hexadecimal values of Ethereum's JSON-RPC.
//!
//! A *quantity* is a number without leading zeros (`0x0`, `0x41`); *data* is bytes, two digits each (`0x`, `0x0041`).
//! Digits may be of either case, the prefix is required and lower-case.

/// Why a hexadecimal value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The `0x` is missing.
    #[error("hex value without 0x prefix")]
    Prefix,
    /// A quantity without a digit.
    #[error("hex quantity without digits: zero is 0x0")]
    Empty,
    /// A quantity that starts with a zero.
    #[error("hex quantity with leading zero digits")]
    LeadingZero,
    /// A quantity beyond 128 bits (or the narrower type it was read as).
    #[error("hex quantity larger than {bits} bits")]
    TooLarge {
        /// How many bits there are room for.
        bits: u32,
    },
    /// Data of half a byte.
    #[error("hex data of odd length")]
    OddLength,
    /// Not a hexadecimal digit.
    #[error("invalid hex digit at position {position}")]
    Digit {
        /// Counted in bytes from the start of the text.
        position: usize,
    },
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A number as a quantity: `0x0`, `0x41`.
#[must_use]
pub fn quantity(value: impl Into<u128>) -> String {
    format!("{:#x}", value.into())
}

/// Reads a quantity of up to 128 bits.
///
/// # Errors
/// [`HexError`] for anything that is not exactly a quantity.
pub fn parse_quantity(text: &str) -> Result<u128, HexError> {
    let digits = text.strip_prefix("0x").ok_or(HexError::Prefix)?;
    match digits.as_bytes() {
        [] => return Err(HexError::Empty),
        [b'0', _, ..] => return Err(HexError::LeadingZero),
        _ => {}
    }
    let mut value = 0_u128;
    for (index, digit) in digits.bytes().enumerate() {
        let nibble = nibble(digit).ok_or(HexError::Digit { position: index + 2 })?;
        if value >> 124 != 0 {
            return Err(HexError::TooLarge { bits: 128 });
        }
        value = (value << 4) | u128::from(nibble);
    }
    Ok(value)
}

/// Reads a quantity of up to 64 bits.
///
/// # Errors
/// As [`parse_quantity`].
pub fn parse_quantity_u64(text: &str) -> Result<u64, HexError> {
    u64::try_from(parse_quantity(text)?).map_err(|_| HexError::TooLarge { bits: 64 })
}

/// Bytes as data: `0x`, `0x0041`.
#[must_use]
pub fn data(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(2));
    text.push_str("0x");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from));
        }
    }
    text
}

/// Reads data.
///
/// # Errors
/// [`HexError`] for anything that is not exactly data.
pub fn parse_data(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = text.strip_prefix("0x").ok_or(HexError::Prefix)?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError::OddLength);
    }
    let mut bytes = Vec::with_capacity(pairs.len());
    for (index, [high, low]) in pairs.iter().enumerate() {
        let at = |digit, offset| nibble(digit).ok_or(HexError::Digit { position: index * 2 + 2 + offset });
        bytes.push((at(*high, 0)? << 4) | at(*low, 1)?);
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of Ethereum's JSON-RPC documentation.
    #[test]
    fn documented_examples() {
        assert_eq!(parse_quantity("0x41"), Ok(65));
        assert_eq!(parse_quantity("0x400"), Ok(1024));
        assert_eq!(parse_quantity("0x"), Err(HexError::Empty));
        assert_eq!(parse_quantity("0x0400"), Err(HexError::LeadingZero));
        assert_eq!(parse_quantity("ff"), Err(HexError::Prefix));
        assert_eq!(parse_quantity("0x0"), Ok(0));
        assert_eq!(parse_data("0x41"), Ok(vec![0x41]));
        assert_eq!(parse_data("0x004200"), Ok(vec![0, 0x42, 0]));
        assert_eq!(parse_data("0x"), Ok(vec![]));
        assert_eq!(parse_data("0xf0f0f"), Err(HexError::OddLength));
        assert_eq!(parse_data("004200"), Err(HexError::Prefix));
    }

    #[test]
    fn edges() {
        assert_eq!(parse_quantity(&quantity(u128::MAX)), Ok(u128::MAX));
        assert_eq!(
            parse_quantity("0x100000000000000000000000000000000"),
            Err(HexError::TooLarge { bits: 128 })
        );
        assert_eq!(parse_quantity_u64("0xffffffffffffffff"), Ok(u64::MAX));
        assert_eq!(parse_quantity_u64("0x10000000000000000"), Err(HexError::TooLarge { bits: 64 }));
        assert_eq!(parse_quantity("0x1g"), Err(HexError::Digit { position: 3 }));
        assert_eq!(parse_quantity("0X1"), Err(HexError::Prefix));
        assert_eq!(parse_quantity("0x+1"), Err(HexError::Digit { position: 2 }));
        assert_eq!(parse_data("0x0é0"), Err(HexError::Digit { position: 3 }));
        assert_eq!(parse_data("0xABcd"), Ok(vec![0xab, 0xcd]));
    }

    proptest! {
        #[test]
        fn quantities_round_trip(value: u128) {
            prop_assert_eq!(parse_quantity(&quantity(value)), Ok(value));
        }

        #[test]
        fn data_round_trips(bytes: Vec<u8>) {
            prop_assert_eq!(parse_data(&data(&bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics_and_what_is_read_was_canonical(text in "(0x)?[0-9a-fA-Fxé]{0,40}") {
            if let Ok(value) = parse_quantity(&text) {
                prop_assert_eq!(quantity(value), text.to_lowercase());
            }
            if let Ok(bytes) = parse_data(&text) {
                prop_assert_eq!(data(&bytes), text.to_lowercase());
            }
        }
    }
}
