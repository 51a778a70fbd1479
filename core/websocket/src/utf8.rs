//! UTF-8 in pieces, refused at the first byte that cannot be right (RFC 6455 8.1).

/// Bytes of a character, at most.
const LONGEST: usize = 4;

/// What is known of a text so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Validator {
    /// The beginning of a character that the last piece cut through.
    begun: [u8; LONGEST],
    length: usize,
}

impl Validator {
    /// Whether the text may still be UTF-8 with `piece` appended.
    pub(crate) fn accept(&mut self, mut piece: &[u8]) -> bool {
        while self.length > 0 {
            let Some((first, rest)) = piece.split_first() else { return true };
            let Some(slot) = self.begun.get_mut(self.length) else { return false };
            *slot = *first;
            self.length += 1;
            piece = rest;
            match std::str::from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let begun = piece.get(error.valid_up_to()..).unwrap_or_default();
                for (slot, byte) in self.begun.iter_mut().zip(begun) {
                    *slot = *byte;
                }
                self.length = begun.len();
                true
            }
        }
    }

    /// Whether the text may end here.
    pub(crate) const fn is_complete(&self) -> bool {
        self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces(text: &[u8], size: usize) -> bool {
        let mut validator = Validator::default();
        text.chunks(size).all(|piece| validator.accept(piece)) && validator.is_complete()
    }

    proptest! {
        #[test]
        fn agrees_with_the_whole(text in prop::collection::vec(any::<u8>(), 0..12), size in 1_usize..6) {
            prop_assert_eq!(in_pieces(&text, size), std::str::from_utf8(&text).is_ok());
        }

        #[test]
        fn accepts_any_text_in_any_pieces(text in ".{0,20}", size in 1_usize..6) {
            prop_assert!(in_pieces(text.as_bytes(), size));
        }
    }

    #[test]
    fn fails_at_the_first_byte_that_cannot_be_right() {
        // 0x110000 would begin F4 90; a surrogate ED A0; an overlong slash E0 80 or C0.
        for (good, bad) in [
            (&[0xF4][..], 0x90),
            (&[0xED][..], 0xA0),
            (&[0xE0][..], 0x80),
            (&[][..], 0xC0),
            (&[0xF0][..], 0x8F),
        ] {
            let mut validator = Validator::default();
            assert!(validator.accept(good));
            assert!(!validator.accept(&[bad]), "{good:x?} {bad:x}");
        }
    }
}
