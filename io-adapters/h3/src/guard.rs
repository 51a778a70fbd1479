//! What h3 0.0.8 lets through. It keeps a frame other than DATA until all of it has arrived, whatever length it says it has;
//! and it does not know that no server may push unless it was allowed to.
//!
//! The guard reads along (RFC 9114 7.1: type, length, payload) and stops a stream whose frame is longer than allowed, or is
//! one of a push, before its payload is taken.

use shroud_quic::Side;

/// The longest head of a frame: two integers of 8 bytes.
const HEAD: usize = 16;
const DATA: u64 = 0x00;
const CONTROL: u64 = 0x00;
const CANCEL_PUSH: u64 = 0x03;
const PUSH_PROMISE: u64 = 0x05;

/// Follows the frames of one stream.
#[derive(Debug)]
pub(crate) struct Guard {
    limit: u64,
    /// The frame of a push that h3 would take, or blame for something else: no push was ever allowed.
    push: Option<u64>,
    state: State,
    head: [u8; HEAD],
    length: usize,
    /// Of a control stream, the first is still to come, which must be SETTINGS: h3 looks at that.
    first: bool,
}

/// Why a stream is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A frame of so many bytes is longer than allowed.
    TooLong(u64),
    /// A frame is about a push, and none was allowed (RFC 9114, 7.2.3 and 7.2.5).
    Push,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the type of a unidirectional stream.
    StreamType,
    /// In the head of a frame.
    Head,
    /// In a payload, with so many bytes to come.
    Payload(u64),
    /// Without frames, or after a violation.
    Off,
}

impl Guard {
    /// For a stream of a request, as `side` reads it.
    pub(crate) fn request(limit: u64, side: Side) -> Self {
        // From a client, PUSH_PROMISE is out of place, as h3 knows.
        let push = (side == Side::Client).then_some(PUSH_PROMISE);
        Self { limit, push, state: State::Head, head: [0; HEAD], length: 0, first: false }
    }

    pub(crate) fn unidirectional(limit: u64) -> Self {
        let (push, state) = (Some(CANCEL_PUSH), State::StreamType);
        Self { limit, push, state, head: [0; HEAD], length: 0, first: true }
    }

    /// Whether the last frame has begun and not ended.
    pub(crate) fn is_inside(&self) -> bool {
        match self.state {
            State::Payload(_) => true,
            State::Head => self.length > 0,
            State::StreamType | State::Off => false,
        }
    }

    /// Looks at the next bytes of the stream.
    ///
    /// # Errors
    /// What is wrong with a frame.
    pub(crate) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while !bytes.is_empty() {
            match self.state {
                State::Off => return Ok(()),
                State::Payload(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(taken..).unwrap_or_default();
                    let left = left.saturating_sub(taken as u64);
                    self.state = if left == 0 { State::Head } else { State::Payload(left) };
                }
                State::StreamType | State::Head => {
                    let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
                    bytes = rest;
                    if let Some(place) = self.head.get_mut(self.length) {
                        *place = byte;
                        self.length += 1;
                    }
                    self.step()?;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Refused> {
        let head = self.head.get(..self.length).unwrap_or_default();
        let Some((kind, rest)) = integer(head) else { return Ok(()) };
        if self.state == State::StreamType {
            self.length = 0;
            self.state = if kind == CONTROL { State::Head } else { State::Off };
            return Ok(());
        }
        let Some((length, _)) = integer(rest) else { return Ok(()) };
        self.length = 0;
        let first = std::mem::take(&mut self.first);
        let refused = match kind {
            DATA => None,
            _ if length > self.limit => Some(Refused::TooLong(length)),
            kind if self.push == Some(kind) && !first => Some(Refused::Push),
            _ => None,
        };
        if let Some(refused) = refused {
            self.state = State::Off;
            return Err(refused);
        }
        self.state = if length == 0 { State::Head } else { State::Payload(length) };
        Ok(())
    }
}

/// A variable-length integer (RFC 9000 16) and what follows it; `None` when it is not whole.
pub(crate) fn integer(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, _) = bytes.split_first()?;
    let length = 1_usize << (first >> 6);
    let (integer, rest) = bytes.split_at_checked(length)?;
    let value = integer.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    let bits = 8 * length as u32 - 2;
    Some((value & (u64::MAX >> (64 - bits)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(value: u64, out: &mut Vec<u8>) {
        match value {
            0..0x40 => out.push(value as u8),
            0x40..0x4000 => out.extend((value as u16 | 0x4000).to_be_bytes()),
            0x4000..0x4000_0000 => out.extend((value as u32 | 0x8000_0000).to_be_bytes()),
            _ => out.extend((value | 0xc000_0000_0000_0000).to_be_bytes()),
        }
    }

    proptest! {
        #[test]
        fn frames_within_the_limit_pass_however_they_are_cut(
            frames in prop::collection::vec((0_u64..100, 0_usize..300), 0..20),
            control: bool,
            cuts in prop::collection::vec(1_usize..50, 1..50),
        ) {
            let mut stream = if control { vec![0] } else { Vec::new() };
            for (kind, length) in &frames {
                encode(*kind, &mut stream);
                encode(*length as u64, &mut stream);
                stream.extend(vec![0xff; *length]);
            }
            let longest = frames.iter().filter(|(kind, _)| *kind != 0).map(|(_, length)| *length as u64).max();
            for (limit, fits) in [(longest.unwrap_or(0), true), (longest.unwrap_or(1).max(1) - 1, false)] {
                let mut guard = if control { Guard::unidirectional(limit) } else { Guard::request(limit, Side::Server) };
                let mut rest = &stream[..];
                let mut outcome = Ok(());
                for cut in cuts.iter().cycle() {
                    if rest.is_empty() || outcome.is_err() {
                        break;
                    }
                    let (now, later) = rest.split_at((*cut).min(rest.len()));
                    rest = later;
                    outcome = guard.look(now);
                }
                if outcome == Err(Refused::Push) {
                    // Before the longest.
                    continue;
                }
                let longer = longest.is_some_and(|longest| longest > limit);
                prop_assert_eq!(outcome.is_ok(), !longer);
                prop_assert!(!fits || outcome.is_ok());
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, limit: u64) {
            let _ = Guard::request(limit, Side::Client).look(&bytes);
            let _ = Guard::unidirectional(limit).look(&bytes);
        }
    }

    #[test]
    fn the_end_of_a_frame_is_known() {
        let mut guard = Guard::request(100, Side::Server);
        // An empty frame, DATA of 2 bytes, a head of two bytes for its length.
        for (bytes, inside) in [
            (&[1, 0][..], false),
            (&[0], true),
            (&[2], true),
            (b"x", true),
            (b"y", false),
            (&[1, 0x40], true),
        ] {
            guard.look(bytes).unwrap();
            assert_eq!(guard.is_inside(), inside, "{bytes:?}");
        }
    }

    #[test]
    fn the_longest_length_is_refused_before_a_byte_of_it() {
        let mut head = vec![1];
        head.extend([0xff; 8]);
        assert_eq!(Guard::request(1 << 20, Side::Server).look(&head), Err(Refused::TooLong((1 << 62) - 1)));
        // Other streams have no frames.
        let mut other = vec![2];
        other.extend(&head);
        assert_eq!(Guard::unidirectional(0).look(&other), Ok(()));
    }

    #[test]
    fn pushes_are_refused_where_h3_would_not() {
        let promise = [0, 1, b'x', 5, 1, 0];
        assert_eq!(Guard::request(100, Side::Client).look(&promise), Err(Refused::Push));
        assert_eq!(Guard::request(100, Side::Server).look(&promise), Ok(()), "h3 refuses it itself");
        assert_eq!(Guard::unidirectional(100).look(&[0, 4, 0, 3, 1, 0]), Err(Refused::Push));
        assert_eq!(Guard::unidirectional(100).look(&[0, 3, 1, 0]), Ok(()), "h3 misses the SETTINGS");
    }
}
