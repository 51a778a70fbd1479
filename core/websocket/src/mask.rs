//! Masking (RFC 6455 5.3), eight bytes at a time.

/// Masks or unmasks `data`, which begins `offset` bytes into its frame's payload.
pub(crate) fn apply(data: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_what_the_standard_says(
            data in prop::collection::vec(any::<u8>(), 0..100),
            mask in any::<[u8; 4]>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let expected: Vec<u8> = data.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            let mut pieces = data.clone();
            let cut = cut.index(data.len() + 1);
            let (first, second) = pieces.split_at_mut(cut);
            super::apply(first, mask, 0);
            super::apply(second, mask, cut);
            prop_assert_eq!(pieces, expected);
        }
    }
}
