//! The peer's QPACK streams (RFC 9204, 4.2). h3 0.0.8 accepts them and never reads them, so they are read here: without a
//! dynamic table there is little that may be on them.

use h3::error::Code;

/// The type of the peer's stream of encoder instructions.
pub(crate) const ENCODER: u64 = 0x02;
/// The type of the peer's stream of decoder instructions.
pub(crate) const DECODER: u64 = 0x03;

/// The longest integer that is taken, in bytes after its prefix: any stream's number fits.
const LONGEST: u8 = 9;

/// Follows one of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Qpack {
    encoder: bool,
    /// Bytes of the integer that is being read.
    integer: Option<u8>,
}

impl Qpack {
    /// For a stream of this type; `None` for others.
    pub(crate) fn new(kind: u64) -> Option<Self> {
        let encoder = kind == ENCODER;
        (encoder || kind == DECODER).then_some(Self { encoder, integer: None })
    }

    /// Whether it is the encoder's.
    pub(crate) fn is_encoder(self) -> bool {
        self.encoder
    }

    /// Looks at the next bytes of the stream.
    ///
    /// # Errors
    /// The code to close the connection with (RFC 9204, 6): an entry for a table that there is not, or the acknowledgement of
    /// one.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Result<(), Code> {
        bytes.iter().try_for_each(|byte| if self.encoder { entry(*byte) } else { self.decoder(*byte) })
    }

    fn decoder(&mut self, byte: u8) -> Result<(), Code> {
        self.integer = match self.integer {
            None if byte & 0xc0 != 0x40 => return Err(Code::QPACK_DECODER_STREAM_ERROR),
            // A stream was cancelled: its number has six bits here, or goes on.
            None => (byte & 0x3f == 0x3f).then_some(0),
            Some(_) if byte & 0x80 == 0 => None,
            Some(length) if length < LONGEST => Some(length + 1),
            Some(_) => return Err(Code::QPACK_DECODER_STREAM_ERROR),
        };
        Ok(())
    }
}

/// The only instruction that a table of no size allows: that its size is to be zero.
fn entry(byte: u8) -> Result<(), Code> {
    if byte == 0x20 { Ok(()) } else { Err(Code::QPACK_ENCODER_STREAM_ERROR) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_table_of_no_size_allows_passes_and_nothing_else() {
        let encoder =
            |bytes: &[u8]| Qpack::new(ENCODER).expect("its stream").look(bytes).map_err(|code| code.value());
        assert_eq!(encoder(&[0x20, 0x20]), Ok(()));
        // A size of one, an entry, a copy of one.
        for bytes in [&[0x21][..], &[0x3f, 0xe1, 0x1f], &[0xc0, 1, b'a'], &[0x41, b'a', 1, b'b'], &[0x00]] {
            assert_eq!(encoder(bytes), Err(0x201), "{bytes:?}");
        }
        let decoder =
            |bytes: &[u8]| Qpack::new(DECODER).expect("its stream").look(bytes).map_err(|code| code.value());
        // Streams 4 and 1000 were cancelled.
        assert_eq!(decoder(&[0x44, 0x7f, 0xa9, 0x07, 0x44]), Ok(()));
        // An increment, of nothing or of one; an acknowledged section; a number without end.
        for bytes in [
            &[0x00][..],
            &[0x01],
            &[0x80],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(decoder(bytes), Err(0x202), "{bytes:?}");
        }
        assert_eq!(Qpack::new(0), None);
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_pieces(bytes: Vec<u8>, encoder: bool, size in 1_usize..5) {
            let new = || Qpack::new(if encoder { ENCODER } else { DECODER }).expect("its stream");
            let whole = new().look(&bytes).map_err(|code| code.value());
            let mut cut = new();
            let pieces = bytes.chunks(size).try_for_each(|piece| cut.look(piece)).map_err(|code| code.value());
            prop_assert_eq!(whole, pieces);
        }
    }
}
