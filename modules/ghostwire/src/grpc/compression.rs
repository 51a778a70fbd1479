//! Compression of single messages (gRPC, "Compression"): gzip, or none.

use crate::in_turn::InTurn;
use bytes::buf::Reader;
use bytes::{Buf as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::io::{Read as _, Write as _};

pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// What we understand, for `grpc-accept-encoding`.
pub(super) const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip");

/// Members of an accept list that are looked at.
const MEMBERS: usize = 16;

/// Bytes that are decompressed before others are let go first.
const AT_ONCE: usize = 64 * 1024;

/// How messages that are marked as compressed are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    #[default]
    Identity,
    Gzip,
}

/// A message that could not be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Inflate {
    #[error("a message that decompresses to more than {0} bytes")]
    TooLong(usize),
    #[error("a compressed message that is not gzip")]
    Malformed,
}

impl Encoding {
    pub(super) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

    /// What `grpc-encoding` says; its value when we do not know that.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(other) => Err(String::from_utf8_lossy(other).into_owned()),
        }
    }

    /// Whether the peer takes gzip.
    pub(super) fn is_gzip_accepted(headers: &HeaderMap) -> bool {
        let values = headers.get_all(GRPC_ACCEPT_ENCODING).into_iter();
        let members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        members.take(MEMBERS).any(|member| member.trim_ascii() == b"gzip")
    }
}

/// A message that is being decompressed, some of it at a time.
pub(super) struct Inflating {
    decoder: GzDecoder<Reader<Bytes>>,
    message: Vec<u8>,
    limit: usize,
    /// To be asked before each step.
    pub(super) turn: InTurn,
}

impl Inflating {
    /// Begins with a message of at most `limit` bytes; memory is taken as they appear.
    pub(super) fn new(bytes: Bytes, limit: usize) -> Self {
        Self { decoder: GzDecoder::new(bytes.reader()), message: Vec::new(), limit, turn: InTurn::default() }
    }

    /// Goes on for [`AT_ONCE`] bytes; the message when that was all.
    pub(super) fn step(&mut self) -> Result<Option<Bytes>, Inflate> {
        // One byte more than the limit shows that it is passed.
        let left = self.limit.saturating_sub(self.message.len()).saturating_add(1).min(AT_ONCE);
        let mut some = (&mut self.decoder).take(left as u64);
        let read = some.read_to_end(&mut self.message).map_err(|_| Inflate::Malformed)?;
        if self.message.len() > self.limit {
            return Err(Inflate::TooLong(self.limit));
        }
        if read == left {
            return Ok(None);
        }
        // The check sum was right, and there is nothing behind it.
        if self.decoder.get_ref().get_ref().has_remaining() {
            return Err(Inflate::Malformed);
        }
        Ok(Some(std::mem::take(&mut self.message).into()))
    }
}

/// Decompresses a whole message.
pub(super) fn inflate(bytes: &[u8], limit: usize) -> Result<Bytes, Inflate> {
    let mut inflating = Inflating::new(Bytes::copy_from_slice(bytes), limit);
    loop {
        if let Some(message) = inflating.step()? {
            return Ok(message);
        }
    }
}

/// Appends the message, compressed.
pub(super) fn deflate(message: &[u8], out: &mut BytesMut) -> std::io::Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message)?;
    out.extend_from_slice(&encoder.finish()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(message: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        deflate(message, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn round_trip(message: Vec<u8>) {
            prop_assert_eq!(inflate(&compressed(&message), message.len()).unwrap(), &message[..]);
        }

        #[test]
        fn any_bytes_inflate(bytes: Vec<u8>) {
            let _ = inflate(&bytes, 100);
        }
    }

    #[test]
    fn the_limit_one_past_it_and_a_bomb() {
        let bytes = compressed(&[0; 1000]);
        assert_eq!(inflate(&bytes, 1000).unwrap().len(), 1000);
        assert_eq!(inflate(&bytes, 999), Err(Inflate::TooLong(999)));
        let bomb = compressed(&vec![0; 64 << 20]);
        assert_eq!(inflate(&bomb, 1 << 20), Err(Inflate::TooLong(1 << 20)));
    }

    #[test]
    fn damage_and_what_follows() {
        let bytes = compressed(b"hello");
        let mut long = bytes.to_vec();
        long.push(0);
        assert_eq!(inflate(&long, 100), Err(Inflate::Malformed));
        for cut in 0..bytes.len() {
            assert_eq!(inflate(&bytes[..cut], 100), Err(Inflate::Malformed), "{cut}");
        }
        let mut wrong = bytes.to_vec();
        let at = wrong.len() - 5;
        wrong[at] ^= 1;
        assert_eq!(inflate(&wrong, 100), Err(Inflate::Malformed), "the check sum");
    }

    #[test]
    fn accept_lists() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(value));
            Encoding::is_gzip_accepted(&headers)
        };
        assert!(accepts("gzip") && accepts("identity, deflate, gzip"));
        assert!(!accepts("identity") && !accepts("gzipped") && !accepts(""));
    }
}
