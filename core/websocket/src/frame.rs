//! The frame header (RFC 6455 5.2).

use crate::error::Error;
use bytes::{BufMut, BytesMut};

/// Payload bytes of a control frame, at most (RFC 6455 5.5).
pub(crate) const CONTROL_BYTES: usize = 125;

/// Bytes of a header, at most: two, eight of length, four of mask.
pub(crate) const HEADER_BYTES: usize = 14;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn parse(bits: u8) -> Result<Self, Error> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(Error::ReservedOpcode(other)),
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    pub(crate) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1: the message is compressed (RFC 7692 6).
    pub(crate) compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<[u8; 4]>,
    /// Payload bytes.
    pub(crate) length: u64,
}

/// What a receiver expects of every frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// It is a server, so that frames must be masked.
    pub(crate) masked: bool,
    /// RSV1 has a meaning.
    pub(crate) deflate: bool,
}

impl Header {
    /// Reads a header from the front of `input` and says how long it is; `None` while it is incomplete. What is wrong
    /// is refused as soon as it can be seen.
    pub(crate) fn parse(input: &[u8], expected: Expected) -> Result<Option<(Self, usize)>, Error> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        let opcode = Opcode::parse(first & 0x0F)?;
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        let meaningful = expected.deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || (compressed && !meaningful) {
            return Err(Error::ReservedBit);
        }
        if opcode.is_control() && !fin {
            return Err(Error::FragmentedControl);
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let masked = second & 0x80 != 0;
        if masked != expected.masked {
            return Err(if masked { Error::Masked } else { Error::Unmasked });
        }
        let short = second & 0x7F;
        if opcode.is_control() && short > 125 {
            return Err(Error::LongControl);
        }
        let (length, rest, mut size) = match short {
            126 => {
                let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
                let length = u64::from(u16::from_be_bytes(*bytes));
                if length < 126 {
                    return Err(Error::Length);
                }
                (length, rest, 4)
            }
            127 => {
                let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
                let length = u64::from_be_bytes(*bytes);
                if length <= u64::from(u16::MAX) || length >> 63 != 0 {
                    return Err(Error::Length);
                }
                (length, rest, 10)
            }
            short => (u64::from(short), rest, 2),
        };
        let mask = if masked {
            let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
            size += 4;
            Some(*mask)
        } else {
            None
        };
        Ok(Some((Self { fin, compressed, opcode, mask, length }, size)))
    }

    /// Appends the header.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        let fin = if self.fin { 0x80 } else { 0 };
        let compressed = if self.compressed { 0x40 } else { 0 };
        out.put_u8(fin | compressed | self.opcode.bits());
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short), _) if short <= 125 => out.put_u8(masked | short),
            (_, Ok(medium)) => {
                out.put_u8(masked | 126);
                out.put_u16(medium);
            }
            _ => {
                out.put_u8(masked | 127);
                out.put_u64(self.length);
            }
        }
        if let Some(mask) = self.mask {
            out.put_slice(&mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVER: Expected = Expected { masked: true, deflate: true };
    const CLIENT: Expected = Expected { masked: false, deflate: false };

    fn any_opcode() -> impl Strategy<Value = Opcode> {
        prop::sample::select(vec![
            Opcode::Continuation,
            Opcode::Text,
            Opcode::Binary,
            Opcode::Close,
            Opcode::Ping,
            Opcode::Pong,
        ])
    }

    proptest! {
        #[test]
        fn round_trips_and_is_incomplete_when_cut(
            fin in any::<bool>(),
            compressed in any::<bool>(),
            opcode in any_opcode(),
            mask in any::<[u8; 4]>(),
            length in prop_oneof![0_u64..130, 65_000_u64..66_000, 0..(1_u64 << 62)],
        ) {
            let header = Header {
                fin: fin || opcode.is_control(),
                compressed: compressed && matches!(opcode, Opcode::Text | Opcode::Binary),
                opcode,
                mask: Some(mask),
                length: if opcode.is_control() { length.min(125) } else { length },
            };
            let mut out = BytesMut::new();
            header.write(&mut out);
            prop_assert!(out.len() <= HEADER_BYTES);
            prop_assert_eq!(Header::parse(&out, SERVER), Ok(Some((header, out.len()))));
            for cut in 0..out.len() {
                prop_assert_eq!(Header::parse(&out[..cut], SERVER), Ok(None));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Header::parse(&bytes, SERVER);
            let _ = Header::parse(&bytes, CLIENT);
        }
    }

    #[test]
    fn what_is_wrong_is_seen_at_once() {
        let cases: &[(&[u8], Expected, Error)] = &[
            (&[0x83], SERVER, Error::ReservedOpcode(3)),
            (&[0x8F], SERVER, Error::ReservedOpcode(15)),
            (&[0xC1], CLIENT, Error::ReservedBit),
            (&[0xA1], SERVER, Error::ReservedBit),
            (&[0x91], SERVER, Error::ReservedBit),
            (&[0xC0], SERVER, Error::ReservedBit),
            (&[0xC9], SERVER, Error::ReservedBit),
            (&[0x09], SERVER, Error::FragmentedControl),
            (&[0x89, 0xFE], SERVER, Error::LongControl),
            (&[0x81, 0x00], SERVER, Error::Unmasked),
            (&[0x81, 0x80], CLIENT, Error::Masked),
            (&[0x81, 0x7E, 0, 125], CLIENT, Error::Length),
            (&[0x81, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], CLIENT, Error::Length),
            (&[0x81, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0], CLIENT, Error::Length),
        ];
        for (bytes, expected, error) in cases {
            assert_eq!(Header::parse(bytes, *expected), Err(*error), "{bytes:x?}");
        }
        for bytes in [&[0x81, 0x7E, 0, 126][..], &[0x81, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]] {
            assert!(matches!(Header::parse(bytes, CLIENT), Ok(Some(_))), "{bytes:x?}");
        }
    }
}
