//! Amounts as people write them (`1.5`) and as the ledger keeps them (base units).

/// An amount that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// Not digits with at most one point between them.
    #[error("{0:?} is not an amount: write digits, and a point before the decimals")]
    Form(String),
    /// Finer than the asset's base unit.
    #[error("{text:?} has more than the {decimals} decimals of the asset")]
    TooFine {
        /// What was written.
        text: String,
        /// What the asset has.
        decimals: u8,
    },
    /// Beyond 128 bits of base units.
    #[error("{0:?} is larger than any amount")]
    TooLarge(String),
}

/// Reads a decimal amount of an asset with so many decimals: `1.5` with 18 is 1,500,000,000,000,000,000 base units.
///
/// Digits are required on both sides of a point; signs, spaces and exponents are refused.
///
/// # Errors
/// [`AmountError`].
pub fn parse(text: &str, decimals: u8) -> Result<u128, AmountError> {
    let form = || AmountError::Form(text.to_owned());
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(form()),
        Some(parts) => parts,
        None => (text, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(form());
    }
    let missing = usize::from(decimals)
        .checked_sub(fraction.len())
        .ok_or_else(|| AmountError::TooFine { text: text.to_owned(), decimals })?;
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', missing));
    digits
        .into_iter()
        .try_fold(0_u128, |sum, digit| sum.checked_mul(10)?.checked_add(u128::from(digit.checked_sub(b'0')?)))
        .ok_or_else(|| AmountError::TooLarge(text.to_owned()))
}

/// Writes base units as a decimal amount, without needless zeros: the shortest that [`parse`] reads back.
#[must_use]
pub fn format(units: u128, decimals: u8) -> String {
    let width = usize::from(decimals);
    let digits = format!("{units:0>width$}", width = width.saturating_add(1));
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(width));
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_amounts() {
        assert_eq!(parse("1.5", 18), Ok(1_500_000_000_000_000_000));
        assert_eq!(parse("0", 18), Ok(0));
        assert_eq!(parse("007.50", 2), Ok(750));
        assert_eq!(parse("0.000000000000000001", 18), Ok(1));
        assert_eq!(parse("12", 0), Ok(12));
        assert_eq!(parse("340282366920938463463.374607431768211455", 18), Ok(u128::MAX));
        assert_eq!(format(1_500_000_000_000_000_000, 18), "1.5");
        assert_eq!(format(1, 18), "0.000000000000000001");
        assert_eq!(format(0, 0), "0");
        assert_eq!(format(u128::MAX, 18), "340282366920938463463.374607431768211455");
    }

    #[test]
    fn refusals() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "1.2.3", "0x10", "¼"] {
            assert_eq!(parse(text, 18), Err(AmountError::Form(text.to_owned())), "{text}");
        }
        assert!(matches!(parse("0.001", 2), Err(AmountError::TooFine { .. })));
        assert!(matches!(
            parse("340282366920938463463.374607431768211456", 18),
            Err(AmountError::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn round_trip(units: u128, decimals in 0_u8..=36) {
            prop_assert_eq!(parse(&format(units, decimals), decimals), Ok(units));
        }

        #[test]
        fn no_text_panics(text: String, decimals: u8) {
            let _ = parse(&text, decimals);
        }
    }
}
