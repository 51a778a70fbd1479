//! A query on its way, and what may be believed to answer it.

use crate::header::{Header, LENGTH};
use crate::{Chance, MAX_MESSAGE, UDP_PAYLOAD};
use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Asked};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::DecodeError;
use std::str::FromStr;

/// Encrypted queries are as long as a multiple of this (RFC 8467, 4.1).
const PADDING_BLOCK: usize = 128;

/// The number of EDNS's padding option (RFC 7830).
pub(crate) const PADDING: u16 = 12;

/// What is asked for: a name, a type, a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, absolute.
    pub name: Name,
    /// The type of records.
    pub kind: RecordType,
    /// The class, most often the internet's.
    pub class: DNSClass,
}

impl Question {
    /// A question about the internet's records of a name.
    #[must_use]
    pub fn new(mut name: Name, kind: RecordType) -> Self {
        name.set_fqdn(true);
        Self { name, kind, class: DNSClass::IN }
    }

    /// The same from text: a name in ASCII with or without its last dot.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(name: &str, kind: RecordType) -> Result<Self, ProtoError> {
        Ok(Self::new(Name::from_str(name)?, kind))
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.name, self.class, self.kind)
    }
}

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryOptions {
    /// Ask the server to resolve on the way (RD). Default `true`.
    pub recursion: bool,
    /// Say what is taken over UDP (EDNS(0), RFC 6891), in bytes; `None` leaves EDNS out. Default [`UDP_PAYLOAD`].
    pub payload: Option<u16>,
    /// Ask for signatures (DO, RFC 4035). Default `false`.
    pub dnssec: bool,
    /// Write the name's letters in random case, and believe only an answer that repeats it ("0x20",
    /// draft-vixie-dnsext-dns0x20). For transports that anybody can send to. Default `false`.
    pub random_case: bool,
    /// Hide the name's length by padding. For transports that encrypt. Default `false`.
    pub padding: bool,
}

impl Default for QueryOptions {
    fn default() -> Self {
        let payload = Some(UDP_PAYLOAD);
        Self { recursion: true, payload, dnssec: false, random_case: false, padding: false }
    }
}

/// A query as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    bytes: Vec<u8>,
    /// Where the question ends in `bytes`.
    end: usize,
    exact: bool,
}

/// A response that answers its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it says; its code may be an error.
    pub message: Message,
    /// Its length on the wire, in bytes.
    pub length: usize,
}

/// Why a response does not answer a query.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It has no whole header.
    #[error("{0} bytes are no message")]
    TooShort(usize),
    /// It is longer than a message can be.
    #[error("{0} bytes are more than a message can have")]
    TooLong(usize),
    /// It is a query.
    #[error("it is no response")]
    NoResponse,
    /// It has another id.
    #[error("its id is {found}, not {expected}")]
    Id {
        /// The query's.
        expected: u16,
        /// The response's.
        found: u16,
    },
    /// It answers another question, or none.
    #[error("it answers another question")]
    Question,
    /// It answers the question, but does not repeat the case of its letters.
    #[error("it does not repeat the case of the name's letters")]
    Case,
    /// It begins like the answer, and cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(#[from] DecodeError),
}

impl Query {
    /// Encodes a query. `chance` decides about the case of letters.
    ///
    /// # Errors
    /// When the name cannot be encoded.
    pub fn encode(
        question: &Question,
        options: &QueryOptions,
        id: u16,
        chance: Chance<'_>,
    ) -> Result<Self, ProtoError> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = options.recursion;
        let mut asked = Asked::query(question.name.clone(), question.kind);
        asked.set_query_class(question.class);
        message.add_query(asked);
        // The question ends where the message does, before EDNS is added.
        let end = message.to_vec()?.len();
        if let Some(payload) = options.payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload).set_dnssec_ok(options.dnssec);
            message.set_edns(edns);
        }
        let mut bytes = message.to_vec()?;
        if options.padding
            && let Some(edns) = &mut message.edns
        {
            edns.options_mut().insert(padding(bytes.len(), PADDING_BLOCK));
            bytes = message.to_vec()?;
        }
        if options.random_case {
            let name = bytes.get_mut(LENGTH..end).unwrap_or_default();
            let mut coins = [0; 32];
            chance(&mut coins);
            let coins = coins.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
            // Lengths of labels are below 64, type and class follow the last byte: no letter is anything else. (Types and
            // classes are left out, whose bytes may look like letters.)
            let name = name.split_last_chunk_mut::<4>().map(|(name, _)| name).unwrap_or_default();
            for (byte, upper) in name.iter_mut().filter(|byte| byte.is_ascii_alphabetic()).zip(coins) {
                *byte = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            }
        }
        Ok(Self { bytes, end, exact: options.random_case })
    }

    /// The message to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u16 {
        Header::read(&self.bytes).map_or(0, |header| header.id)
    }

    /// Reads a response to this query. That it came from where the query went is the caller's to check.
    ///
    /// # Errors
    /// [`Mismatch`]: whoever sent it, it is not to be believed.
    pub fn check(&self, response: &[u8]) -> Result<Reply, Mismatch> {
        self.check_header(response, false)?;
        Ok(Reply { message: Message::from_vec(response)?, length: response.len() })
    }

    /// As [`Query::check`], over a stream to the server: nobody else can send on it, so that an error without a question
    /// (as old servers answer EDNS) is believed too.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn check_stream(&self, response: &[u8]) -> Result<Reply, Mismatch> {
        self.check_header(response, true)?;
        Ok(Reply { message: Message::from_vec(response)?, length: response.len() })
    }

    fn check_header(&self, response: &[u8], bare_errors: bool) -> Result<(), Mismatch> {
        if response.len() > MAX_MESSAGE {
            return Err(Mismatch::TooLong(response.len()));
        }
        let header = Header::read(response).ok_or(Mismatch::TooShort(response.len()))?;
        if !header.response || header.opcode != 0 {
            return Err(Mismatch::NoResponse);
        }
        let expected = self.id();
        if header.id != expected {
            return Err(Mismatch::Id { expected, found: header.id });
        }
        if header.questions == 0 && bare_errors && header.code != 0 {
            return Ok(());
        }
        // The question is the first thing after the header, where nothing is to compress it with.
        let (ours, theirs) = (self.bytes.get(LENGTH..self.end), response.get(LENGTH..self.end));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Err(Mismatch::Question) };
        if header.questions != 1 || !same_question(ours, theirs) {
            return Err(Mismatch::Question);
        }
        if self.exact && ours != theirs {
            return Err(Mismatch::Case);
        }
        Ok(())
    }
}

/// Whether two encoded questions are the same but for the case of the name's letters.
fn same_question(ours: &[u8], theirs: &[u8]) -> bool {
    match (ours.split_last_chunk::<4>(), theirs.split_last_chunk::<4>()) {
        (Some((ours, kind)), Some((theirs, other))) => kind == other && ours.eq_ignore_ascii_case(theirs),
        _ => false,
    }
}

/// Padding that makes a message of `length` bytes as long as a multiple of `block`.
pub(crate) fn padding(length: usize, block: usize) -> EdnsOption {
    let with_option = length.saturating_add(4);
    let missing = with_option.next_multiple_of(block).saturating_sub(with_option);
    EdnsOption::Unknown(PADDING, vec![0; missing])
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::ResponseCode;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::parse("www.Example.com", RecordType::A).unwrap()
    }

    fn query(random_case: bool) -> Query {
        let options = QueryOptions { random_case, ..QueryOptions::default() };
        Query::encode(&question(), &options, 7, &mut |out| out.fill(0b0101_0101)).unwrap()
    }

    /// The query's bytes turned into an answer.
    fn answer(query: &Query) -> Vec<u8> {
        let mut message = Message::from_vec(query.as_bytes()).unwrap();
        message.metadata.message_type = MessageType::Response;
        message.to_vec().unwrap()
    }

    #[test]
    fn the_answer_is_believed() {
        for random_case in [false, true] {
            let query = query(random_case);
            let reply = query.check(&answer(&query)).unwrap();
            assert_eq!(reply.message.id, 7);
        }
    }

    #[test]
    fn letters_take_the_case_that_chance_says() {
        let query = query(true);
        assert_eq!(&query.as_bytes()[12..29], b"\x03WwW\x07eXaMpLe\x03CoM\0");
        assert_eq!(&query.as_bytes()[29..33], &[0, 1, 0, 1]);
    }

    #[test]
    fn types_that_look_like_letters_are_left_alone() {
        let options = QueryOptions { random_case: true, ..QueryOptions::default() };
        for kind in 0x4141..0x4161 {
            let question = Question { kind: RecordType::from(kind), ..question() };
            let query = Query::encode(&question, &options, 7, &mut |out| out.fill(0)).unwrap();
            assert_eq!(query.as_bytes()[29..31], kind.to_be_bytes());
        }
    }

    #[test]
    fn forgeries_are_told_apart() {
        let query = query(true);
        let good = answer(&query);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            query.check(&bytes).unwrap_err()
        };
        assert!(matches!(with(1, 8), Mismatch::Id { expected: 7, found: 8 }));
        assert!(matches!(with(2, 0x01), Mismatch::NoResponse));
        assert!(matches!(with(2, 0xa1), Mismatch::NoResponse), "another opcode");
        assert!(matches!(with(5, 0), Mismatch::Question), "no question");
        assert!(matches!(with(5, 2), Mismatch::Question), "two questions");
        assert!(matches!(with(13, b'x'), Mismatch::Question), "another name");
        assert!(matches!(with(13, b'w'), Mismatch::Case));
        assert!(matches!(with(30, 28), Mismatch::Question), "another type");
        assert!(matches!(with(32, 3), Mismatch::Question), "another class");
        assert!(matches!(with(7, 9), Mismatch::Malformed(_)), "answers that are not there");
        for length in 0..good.len() {
            query.check(&good[..length]).unwrap_err();
        }
        assert!(matches!(query.check(&[0; 65_536]), Err(Mismatch::TooLong(65_536))));
    }

    #[test]
    fn an_error_without_a_question_is_believed_on_a_stream_only() {
        let query = query(false);
        let mut message = Message::error_msg(7, OpCode::Query, ResponseCode::FormErr);
        let bare = message.to_vec().unwrap();
        assert!(matches!(query.check(&bare), Err(Mismatch::Question)));
        assert_eq!(query.check_stream(&bare).unwrap().message.response_code, ResponseCode::FormErr);
        message.metadata.response_code = ResponseCode::NoError;
        assert!(matches!(query.check_stream(&message.to_vec().unwrap()), Err(Mismatch::Question)));
    }

    #[test]
    fn compression_loops_end() {
        let query = query(false);
        let mut loops = answer(&query);
        let at = loops.len();
        loops[7] = 1;
        // A name that points to itself, one that points forward, and two that point to each other.
        for name in
            [[0xc0, at as u8, 0, 1], [0xc0, at as u8 + 2, 0xc0, at as u8], [0xc0, at as u8 + 1, 0xc0, 0xc0]]
        {
            let mut bytes = loops.clone();
            bytes.extend(name);
            bytes.extend([0; 40]);
            assert!(matches!(query.check(&bytes), Err(Mismatch::Malformed(_))));
        }
    }

    #[test]
    fn padding_hides_the_length() {
        for name in ["a.b", "a-longer-name.of-many.labels.example.com"] {
            let question = Question::parse(name, RecordType::AAAA).unwrap();
            let options = QueryOptions { padding: true, ..QueryOptions::default() };
            let query = Query::encode(&question, &options, 0, &mut |_| {}).unwrap();
            assert_eq!(query.as_bytes().len(), 128);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let query = query(true);
            let _ = query.check(&bytes);
            let mut begun = answer(&query);
            begun.extend(&bytes);
            begun[7] = 3;
            begun[11] = 3;
            let _ = query.check(&begun);
            let _ = query.check_stream(&begun);
        }
    }
}
