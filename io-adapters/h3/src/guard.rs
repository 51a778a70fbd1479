//! A limit on frames: h3 0.0.8 keeps a frame other than DATA until all of it has arrived, whatever length it says it has.
//!
//! The guard reads along (RFC 9114 7.1: type, length, payload) and stops a stream whose frame is longer than allowed before
//! its payload is taken.

/// The longest head of a frame: two integers of 8 bytes.
const HEAD: usize = 16;
const DATA: u64 = 0x00;
const CONTROL: u64 = 0x00;

/// Follows the frames of one stream.
#[derive(Debug)]
pub(crate) struct Guard {
    limit: u64,
    state: State,
    head: [u8; HEAD],
    length: usize,
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
    pub(crate) fn request(limit: u64) -> Self {
        Self { limit, state: State::Head, head: [0; HEAD], length: 0 }
    }

    pub(crate) fn unidirectional(limit: u64) -> Self {
        Self { state: State::StreamType, ..Self::request(limit) }
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
    /// The length of a frame that is beyond the limit.
    pub(crate) fn look(&mut self, mut bytes: &[u8]) -> Result<(), u64> {
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

    fn step(&mut self) -> Result<(), u64> {
        let head = self.head.get(..self.length).unwrap_or_default();
        let Some((kind, rest)) = integer(head) else { return Ok(()) };
        if self.state == State::StreamType {
            self.length = 0;
            self.state = if kind == CONTROL { State::Head } else { State::Off };
            return Ok(());
        }
        let Some((length, _)) = integer(rest) else { return Ok(()) };
        self.length = 0;
        if kind != DATA && length > self.limit {
            self.state = State::Off;
            return Err(length);
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
                let mut guard = if control { Guard::unidirectional(limit) } else { Guard::request(limit) };
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
                let longer = longest.is_some_and(|longest| longest > limit);
                prop_assert_eq!(outcome.is_ok(), !longer);
                prop_assert!(!fits || outcome.is_ok());
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, limit: u64) {
            let _ = Guard::request(limit).look(&bytes);
            let _ = Guard::unidirectional(limit).look(&bytes);
        }
    }

    #[test]
    fn the_end_of_a_frame_is_known() {
        let mut guard = Guard::request(100);
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
        assert_eq!(Guard::request(1 << 20).look(&head), Err((1 << 62) - 1));
        // Other streams have no frames.
        let mut other = vec![2];
        other.extend(&head);
        assert_eq!(Guard::unidirectional(0).look(&other), Ok(()));
    }
}
