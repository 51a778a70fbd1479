//! The framing of messages: a flag, a length of four bytes, and so many bytes (gRPC over HTTP2,
//! "Length-Prefixed-Message").

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a prefix.
pub const PREFIX_BYTES: usize = 5;

/// The flag of a compressed message.
const COMPRESSED: u8 = 1;

/// At most so many bytes are reserved because a prefix says so; more when they have come.
const RESERVED_BYTES: usize = 64 * 1024;

/// A message as it was framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether the bytes are compressed, by what `grpc-encoding` says.
    pub compressed: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// Bytes that are no messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A flag that does not exist.
    #[error("a message with the flag {0}, which is neither 0 nor 1")]
    Flag(u8),
    /// Longer than allowed.
    #[error("a message of {length} bytes, longer than {limit}")]
    TooLong {
        /// What its prefix says.
        length: usize,
        /// What it may be.
        limit: usize,
    },
    /// The stream ended inside.
    #[error("the stream ended inside a message: {received} of {expected} bytes")]
    Truncated {
        /// Bytes that came, the prefix included.
        received: usize,
        /// Bytes that it has.
        expected: usize,
    },
}

/// Takes bytes in pieces of any size and gives messages.
///
/// It keeps what was handed over and is not a message yet: a prefix, and a message up to the limit. A message that lies
/// within one piece is not copied. After an error it gives the same error again.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    input: Bytes,
    prefix: [u8; PREFIX_BYTES],
    prefix_length: usize,
    /// What came of a message that more than one piece carries.
    partial: BytesMut,
    /// Flag and length of the message that comes; none before its prefix is complete.
    expected: Option<(bool, usize)>,
    failed: Option<FrameError>,
}

impl Decoder {
    /// A decoder of messages of at most `limit` bytes each.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            input: Bytes::new(),
            prefix: [0; PREFIX_BYTES],
            prefix_length: 0,
            partial: BytesMut::new(),
            expected: None,
            failed: None,
        }
    }

    /// Takes the next piece. To be called when [`Decoder::poll_frame`] has nothing more to give, so that not more than one
    /// piece waits here.
    pub fn handle_data(&mut self, piece: Bytes) {
        if self.input.is_empty() {
            self.input = piece;
        } else if !piece.is_empty() {
            let mut joined = BytesMut::from(std::mem::take(&mut self.input));
            joined.extend_from_slice(&piece);
            self.input = joined.freeze();
        }
    }

    /// The next message, if it is complete.
    ///
    /// # Errors
    /// [`FrameError`] for a prefix that is refused, before its message has come.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (compressed, length) = match self.expected {
            Some(expected) => expected,
            None => match self.take_prefix() {
                Ok(Some(expected)) => *self.expected.insert(expected),
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.failed = Some(error);
                    self.input = Bytes::new();
                    return Err(error);
                }
            },
        };
        let bytes = if self.partial.is_empty() && self.input.len() >= length {
            self.input.split_to(length)
        } else {
            let missing = length.saturating_sub(self.partial.len()).min(self.input.len());
            if self.partial.is_empty() {
                self.partial.reserve(length.min(RESERVED_BYTES));
            }
            self.partial.extend_from_slice(&self.input.split_to(missing));
            if self.partial.len() < length {
                return Ok(None);
            }
            std::mem::take(&mut self.partial).freeze()
        };
        self.expected = None;
        Ok(Some(Frame { compressed, bytes }))
    }

    /// Whether a message has begun and is not complete.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.prefix_length > 0 || self.expected.is_some() || !self.input.is_empty()
    }

    /// The stream has ended: an error when that was inside a message.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn finish(&self) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.expected {
            Some((_, length)) => Err(FrameError::Truncated {
                received: PREFIX_BYTES.saturating_add(self.partial.len()),
                expected: PREFIX_BYTES.saturating_add(length),
            }),
            None if self.prefix_length > 0 => {
                Err(FrameError::Truncated { received: self.prefix_length, expected: PREFIX_BYTES })
            }
            None => Ok(()),
        }
    }

    fn take_prefix(&mut self) -> Result<Option<(bool, usize)>, FrameError> {
        if let Some(room) = self.prefix.get_mut(self.prefix_length..) {
            let count = room.len().min(self.input.len());
            for (place, byte) in room.iter_mut().zip(self.input.split_to(count)) {
                *place = byte;
            }
            self.prefix_length += count;
        }
        // Refused as early as it can be.
        let mut prefix = &self.prefix[..];
        let flag = prefix.get_u8();
        if self.prefix_length > 0 && flag > COMPRESSED {
            return Err(FrameError::Flag(flag));
        }
        if self.prefix_length < PREFIX_BYTES {
            return Ok(None);
        }
        let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        self.prefix_length = 0;
        Ok(Some((flag == COMPRESSED, length)))
    }
}

/// Appends a prefix. The message must be shorter than 4 GiB, which its caller has checked.
pub(super) fn put_prefix(out: &mut BytesMut, compressed: bool, length: u32) {
    out.put_u8(u8::from(compressed));
    out.put_u32(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(messages: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let mut out = BytesMut::new();
        for (compressed, message) in messages {
            put_prefix(&mut out, *compressed, message.len() as u32);
            out.extend_from_slice(message);
        }
        out.to_vec()
    }

    /// What comes out when the bytes come in pieces of `step`, and how it ends.
    fn decode(bytes: &[u8], step: usize, limit: usize) -> (Vec<Frame>, Result<(), FrameError>) {
        let (mut decoder, mut frames) = (Decoder::new(limit), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.handle_data(Bytes::copy_from_slice(piece));
            loop {
                match decoder.poll_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Err(error)),
                }
            }
        }
        (frames, decoder.finish())
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            step in 1_usize..50,
        ) {
            let (frames, end) = decode(&framed(&messages), step, 40);
            prop_assert_eq!(end, Ok(()));
            let read: Vec<_> = frames.into_iter().map(|frame| (frame.compressed, frame.bytes.to_vec())).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn any_bytes_decode_the_same_in_any_pieces(bytes: Vec<u8>, step in 1_usize..20) {
            prop_assert_eq!(decode(&bytes, step, 30), decode(&bytes, bytes.len().max(1), 30));
        }
    }

    #[test]
    fn the_limit_and_one_past_it() {
        assert_eq!(decode(&framed(&[(false, vec![7; 10])]), 3, 10).1, Ok(()));
        let past = decode(&framed(&[(false, vec![7; 11])]), 3, 10);
        assert_eq!(past, (vec![], Err(FrameError::TooLong { length: 11, limit: 10 })));
        // By the prefix alone, and nothing is reserved for it.
        let huge = decode(&[0, 0xff, 0xff, 0xff, 0xff], 5, 1 << 20);
        assert_eq!(huge.1, Err(FrameError::TooLong { length: 0xffff_ffff, limit: 1 << 20 }));
    }

    #[test]
    fn bad_flags_and_truncation() {
        assert_eq!(decode(&[2], 1, 10).1, Err(FrameError::Flag(2)));
        assert_eq!(decode(&[0x80, 0, 0, 0, 0], 5, 10).1, Err(FrameError::Flag(0x80)));
        let truncated = |received, expected| Err(FrameError::Truncated { received, expected });
        assert_eq!(decode(&[0, 0, 0], 1, 10).1, truncated(3, 5));
        assert_eq!(decode(&[0, 0, 0, 0, 1], 5, 10).1, truncated(5, 6));
        assert_eq!(decode(&[0, 0, 0, 0, 3, 1, 2], 2, 10).1, truncated(7, 8));
        assert_eq!(
            decode(&[0, 0, 0, 0, 0], 5, 0),
            (vec![Frame { compressed: false, bytes: Bytes::new() }], Ok(()))
        );
    }

    #[test]
    fn a_message_within_one_piece_is_not_copied() {
        let piece = Bytes::from(framed(&[(false, vec![1; 100]), (true, vec![2; 5])]));
        let mut decoder = Decoder::new(100);
        decoder.handle_data(piece.clone());
        let first = decoder.poll_frame().unwrap().unwrap();
        assert_eq!(first.bytes.as_ptr(), piece[5..].as_ptr());
        assert!(decoder.is_inside());
        assert!(decoder.poll_frame().unwrap().unwrap().compressed);
        assert!(!decoder.is_inside());
    }
}
