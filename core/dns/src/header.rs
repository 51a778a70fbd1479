//! The twelve bytes before everything (RFC 1035, 4.1.1), read without the codec.

/// Its length.
pub(crate) const LENGTH: usize = 12;

/// What is looked at before a message is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) response: bool,
    pub(crate) opcode: u8,
    pub(crate) truncated: bool,
    pub(crate) recursion_desired: bool,
    pub(crate) code: u8,
    pub(crate) questions: u16,
    pub(crate) answers: u16,
    pub(crate) authorities: u16,
}

impl Header {
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let &[i0, i1, f0, f1, q0, q1, a0, a1, n0, n1, _, _] = message.first_chunk::<LENGTH>()?;
        Some(Self {
            id: u16::from_be_bytes([i0, i1]),
            response: f0 & 0x80 != 0,
            opcode: (f0 >> 3) & 0x0f,
            truncated: f0 & 0x02 != 0,
            recursion_desired: f0 & 0x01 != 0,
            code: f1 & 0x0f,
            questions: u16::from_be_bytes([q0, q1]),
            answers: u16::from_be_bytes([a0, a1]),
            authorities: u16::from_be_bytes([n0, n1]),
        })
    }

    /// A response to this header that consists of nothing else.
    pub(crate) fn refusal(self, code: u8) -> Vec<u8> {
        let [i0, i1] = self.id.to_be_bytes();
        let flags = 0x80 | (self.opcode << 3) | u8::from(self.recursion_desired);
        vec![i0, i1, flags, code & 0x0f, 0, 0, 0, 0, 0, 0, 0, 0]
    }
}
