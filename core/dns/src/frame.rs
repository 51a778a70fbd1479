//! Messages on a stream, each after its length in two bytes (RFC 1035, 4.2.2; RFC 7766, 8).

/// Puts a message's length before it; none when it is longer than two bytes can say.
#[must_use]
pub fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?.to_be_bytes();
    Some([&length[..], message].concat())
}

/// A message longer than this side takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {length} bytes, where {limit} are the limit")]
pub struct TooLong {
    /// What the peer announced.
    pub length: usize,
    /// What may be.
    pub limit: usize,
}

/// Cuts a stream into messages. It holds what has arrived of one message, and whatever came with it in one piece.
#[derive(Debug)]
pub struct Deframer {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that have been handed out.
    taken: usize,
    limit: usize,
}

impl Deframer {
    /// For messages of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, limit }
    }

    /// Takes what has arrived.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// [`TooLong`], as soon as its length is known: the stream is of no more use then.
    pub fn poll_message(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > self.limit {
            return Err(TooLong { length, limit: self.limit });
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        self.taken = self.taken.saturating_add(2).saturating_add(length);
        Ok(Some(message))
    }

    /// Whether part of a message has arrived, and the rest has not.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.bytes.len() > self.taken
    }

    /// Bytes that wait here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    /// Whether nothing waits here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            step in 1_usize..50,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message).unwrap()).collect();
            let mut deframer = Deframer::new(300);
            let mut out = Vec::new();
            for piece in stream.chunks(step) {
                deframer.handle_bytes(piece);
                while let Some(message) = deframer.poll_message().unwrap() {
                    out.push(message.to_vec());
                }
            }
            prop_assert_eq!(out, messages);
            prop_assert!(!deframer.is_inside());
        }
    }

    #[test]
    fn the_limit_holds_and_one_past_it_does_not() {
        let mut deframer = Deframer::new(4);
        deframer.handle_bytes(&[0, 4, 1, 2, 3, 4, 0, 5]);
        assert_eq!(deframer.poll_message(), Ok(Some(&[1, 2, 3, 4][..])));
        assert_eq!(deframer.poll_message(), Err(TooLong { length: 5, limit: 4 }));
        assert!(framed(&[0; 65_535]).is_some());
        assert!(framed(&[0; 65_536]).is_none());
    }
}
