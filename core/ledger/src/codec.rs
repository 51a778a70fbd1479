//! The primitives of the ledger's canonical encodings: little-endian numbers, and bytes after a `u32` length.
//!
//! Each value has exactly one encoding. Readers check every length against a limit before they use it.

use shroud_crypto::{Address, Hash};

/// Why bytes are not an encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end too early.
    #[error("the encoding ends within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes are left over.
    #[error("{count} bytes follow the end of {what}")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// How many are left.
        count: usize,
    },
    /// A length or count is above its limit.
    #[error("{what} is {length}, above the limit of {limit}")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// What is stated.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A value that no encoder writes.
    #[error("{what} is not canonical")]
    NotCanonical {
        /// What was being read.
        what: &'static str,
    },
    /// A tag without meaning.
    #[error("{what} has the unknown tag {tag}")]
    UnknownTag {
        /// What was being read.
        what: &'static str,
        /// The tag.
        tag: u8,
    },
}

/// Reads an encoding from its front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(CodecError::Truncated { what })?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::Truncated { what })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self, what: &'static str) -> Result<u128, CodecError> {
        self.array(what).map(u128::from_le_bytes)
    }

    pub(crate) fn address(&mut self, what: &'static str) -> Result<Address, CodecError> {
        self.array(what).map(Address)
    }

    pub(crate) fn hash(&mut self, what: &'static str) -> Result<Hash, CodecError> {
        self.array(what).map(Hash)
    }

    /// A `u32` that counts something and is at most `limit`.
    pub(crate) fn count(&mut self, limit: usize, what: &'static str) -> Result<usize, CodecError> {
        let length = self.u32(what)? as usize;
        if length > limit {
            return Err(CodecError::TooLong { what, length, limit });
        }
        Ok(length)
    }

    /// Bytes after their length.
    pub(crate) fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let length = self.count(limit, what)?;
        self.take(length, what)
    }

    /// Text after its length.
    pub(crate) fn text(&mut self, limit: usize, what: &'static str) -> Result<String, CodecError> {
        let bytes = self.bytes(limit, what)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| CodecError::NotCanonical { what })
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(CodecError::UnknownTag { what, tag }),
        }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses left-over bytes.
    pub(crate) const fn end(&self, what: &'static str) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(CodecError::Trailing { what, count }),
        }
    }
}

/// Appends encodings to a buffer.
pub(crate) trait Writer {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, number: u8) {
        self.put(&[number]);
    }

    fn put_u32(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    fn put_u64(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    fn put_u128(&mut self, number: u128) {
        self.put(&number.to_le_bytes());
    }

    /// A count or length. What is encoded is limited far below 2^32 by whoever made it.
    fn put_count(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok());
        self.put_u32(count as u32);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.put(bytes);
    }
}

impl Writer for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
