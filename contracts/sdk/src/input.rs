//! Reading a call's input.

use crate::{Address, host, revert};

/// A call's input, read from front to back. Reading beyond its end reverts the call.
pub struct Input<const N: usize> {
    bytes: [u8; N],
    length: usize,
    position: usize,
}

/// The call's input, at most `N` bytes. A longer one reverts the call.
pub fn input<const N: usize>() -> Input<N> {
    let mut bytes = [0; N];
    // SAFETY: the host writes `length` bytes, which the buffer holds.
    let length = unsafe {
        let length = host::input_length();
        if length > N {
            revert("input too long");
        }
        host::input_copy(bytes.as_mut_ptr(), 0, length);
        length
    };
    Input { bytes, length, position: 0 }
}

impl<const N: usize> Input<N> {
    /// The next `L` bytes.
    pub fn array<const L: usize>(&mut self) -> [u8; L] {
        let mut array = [0; L];
        let end = self.position + L;
        if end > self.length {
            revert("input too short");
        }
        array.copy_from_slice(&self.bytes[self.position..end]);
        self.position = end;
        array
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// The next eight bytes as a little-endian number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// The next sixteen bytes as a little-endian number.
    pub fn u128(&mut self) -> u128 {
        u128::from_le_bytes(self.array())
    }

    /// The next twenty bytes.
    pub fn address(&mut self) -> Address {
        self.array()
    }

    /// Whether nothing is left to read.
    pub fn is_empty(&self) -> bool {
        self.position == self.length
    }

    /// Reverts unless all of the input has been read.
    pub fn end(&self) {
        if !self.is_empty() {
            revert("input too long");
        }
    }
}
