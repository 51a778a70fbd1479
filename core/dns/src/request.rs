//! What a server was asked, and what it answers without asking anybody.

use crate::header::{Header, LENGTH};
use crate::query::{PADDING, Question};
use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsCode;

/// The longest request that is read, in bytes: a question, options and padding need far less.
pub const MAX_REQUEST: usize = 4096;

/// The codes of refusals that need no more than a header.
const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

/// Requests as they arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A question to answer.
    Question(Box<Request>),
    /// What cannot be answered; this goes back: FORMERR, NOTIMP, REFUSED or BADVERS.
    Refused(Vec<u8>),
    /// Nothing goes back.
    Ignored(Ignored),
}

/// Why nothing goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// It has no whole header.
    #[error("it has no whole header")]
    TooShort,
    /// It is a response: to answer those makes two servers talk for ever.
    #[error("it is a response")]
    Response,
}

/// A question as a server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The question, in the letters it was asked in.
    pub question: Question,
    /// The message's id.
    pub id: u16,
    /// The client wants the server to resolve on the way (RD).
    pub recursion_desired: bool,
    /// The client does its own validation (CD, RFC 4035).
    pub checking_disabled: bool,
    /// The client's EDNS, if it speaks it.
    pub edns: Option<RequestEdns>,
}

/// What a client's EDNS says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestEdns {
    /// What it takes over UDP, in bytes, at least 512.
    pub payload: u16,
    /// It wants signatures (DO).
    pub dnssec: bool,
    /// It padded its request, and gets padded answers (RFC 7830).
    pub padded: bool,
    /// It asks about keeping the connection, which only TCP has (RFC 7828): a mistake over QUIC (RFC 9250, 5.5.2).
    pub keepalive: bool,
}

/// Reads a request. Of it, at most one question is answered; headers that cannot be are refused without reading on.
#[must_use]
pub fn receive(message: &[u8]) -> Received {
    let Some(header) = Header::read(message) else { return Received::Ignored(Ignored::TooShort) };
    if header.response {
        return Received::Ignored(Ignored::Response);
    }
    if header.opcode != 0 {
        return Received::Refused(header.refusal(NOTIMP));
    }
    // The codec makes room for as many questions as are claimed: let it have one only (RFC 9619).
    if header.questions != 1 || message.len() > MAX_REQUEST {
        return Received::Refused(header.refusal(FORMERR));
    }
    if !is_name_in_full(message) {
        return Received::Refused(header.refusal(FORMERR));
    }
    let Ok(message) = Message::from_vec(message) else {
        return Received::Refused(header.refusal(FORMERR));
    };
    let Some(asked) = message.queries.first() else { return Received::Refused(header.refusal(FORMERR)) };
    let kind = asked.query_type();
    if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        // A zone in many messages goes to nobody here.
        return Received::Refused(header.refusal(REFUSED));
    }
    if header.answers != 0 || header.authorities != 0 || matches!(kind, RecordType::OPT | RecordType::ZERO) {
        return Received::Refused(header.refusal(FORMERR));
    }
    let name = asked.name().clone();
    let request = Request {
        question: Question { name, kind, class: asked.query_class() },
        id: header.id,
        recursion_desired: message.recursion_desired,
        checking_disabled: message.checking_disabled,
        edns: message.edns.as_ref().map(|edns| RequestEdns {
            payload: edns.max_payload().max(crate::PLAIN_UDP_PAYLOAD),
            dnssec: edns.flags().dnssec_ok,
            padded: edns.option(EdnsCode::from(PADDING)).is_some(),
            keepalive: edns.option(EdnsCode::Keepalive).is_some(),
        }),
    };
    if message.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        return Received::Refused(request.bad_version());
    }
    Received::Question(Box::new(request))
}

/// Whether the question's name stands there in full. It is the first one, so that there is nothing to compress it with; the codec
/// takes a pointer into the header all the same, and repeating what it points to would make an answer longer than its question.
fn is_name_in_full(message: &[u8]) -> bool {
    let mut rest = message.get(LENGTH..);
    while let Some((&length, after)) = rest.and_then(<[u8]>::split_first) {
        match length {
            0 => return true,
            1..=63 => rest = after.get(usize::from(length)..),
            _ => return false,
        }
    }
    false
}

impl Request {
    /// Only version 0 of EDNS is spoken (RFC 6891, 6.1.3).
    fn bad_version(&self) -> Vec<u8> {
        let response = crate::Response::error(crate::ResponseCode::BADVERS);
        response.encode(self, crate::MAX_MESSAGE, false)
    }

    pub(crate) fn answer_edns(&self) -> Option<Edns> {
        let asked = self.edns?;
        let mut edns = Edns::new();
        edns.set_max_payload(crate::UDP_PAYLOAD).set_dnssec_ok(asked.dnssec);
        Some(edns)
    }

    /// The longest message that this client takes over UDP from a server that sends at most `most` bytes.
    #[must_use]
    pub fn udp_limit(&self, most: u16) -> usize {
        let takes = self.edns.map_or(crate::PLAIN_UDP_PAYLOAD, |edns| edns.payload);
        usize::from(takes.min(most.max(crate::PLAIN_UDP_PAYLOAD)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, QueryOptions};
    use crate::{Name, Response, ResponseCode};
    use hickory_proto::op::{MessageType, OpCode};
    use proptest::prelude::*;

    fn query(kind: RecordType) -> Vec<u8> {
        let question = Question::new(Name::from_ascii("Name.Test").unwrap(), kind);
        Query::encode(&question, &QueryOptions::default(), 77, &mut |_| {}).unwrap().as_bytes().to_vec()
    }

    fn code(received: &Received) -> (u16, ResponseCode) {
        let Received::Refused(bytes) = received else { panic!("{received:?}") };
        let message = Message::from_vec(bytes).unwrap();
        assert_eq!(message.message_type, MessageType::Response);
        (message.id, message.response_code)
    }

    #[test]
    fn a_question_is_read() {
        let Received::Question(request) = receive(&query(RecordType::MX)) else { panic!("refused") };
        assert_eq!(request.question.to_string(), "Name.Test. IN MX");
        assert_eq!((request.id, request.recursion_desired), (77, true));
        assert_eq!(request.edns.unwrap().payload, 1232);
        assert_eq!(request.udp_limit(4096), 1232);
        assert_eq!(request.udp_limit(600), 600);
        assert_eq!(Request { edns: None, ..*request }.udp_limit(4096), 512);
    }

    #[test]
    fn refusals_are_precise() {
        let good = query(RecordType::A);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            receive(&bytes)
        };
        assert_eq!(with(2, 0x80), Received::Ignored(Ignored::Response));
        assert_eq!(receive(&good[..11]), Received::Ignored(Ignored::TooShort));
        for opcode in 1..16 {
            assert_eq!(code(&with(2, opcode << 3)), (77, ResponseCode::NotImp));
        }
        for questions in [0, 2, 255] {
            assert_eq!(code(&with(5, questions)), (77, ResponseCode::FormErr), "{questions} questions");
        }
        assert_eq!(code(&with(4, 255)).1, ResponseCode::FormErr, "65,281 questions");
        assert_eq!(code(&with(7, 1)).1, ResponseCode::FormErr, "an answer in a question");
        assert_eq!(code(&with(12, 0xc0)).1, ResponseCode::FormErr, "a pointer into the header");
        assert_eq!(code(&with(11, 2)).1, ResponseCode::FormErr, "more records than there are");
        assert_eq!(code(&receive(&good[..20])).1, ResponseCode::FormErr, "cut off");
        assert_eq!(code(&receive(&query(RecordType::AXFR))).1, ResponseCode::Refused);
        assert_eq!(code(&receive(&query(RecordType::IXFR))).1, ResponseCode::Refused);
        let mut version = Message::from_vec(&good).unwrap();
        version.edns.as_mut().unwrap().set_version(1);
        let refused = receive(&version.to_vec().unwrap());
        assert_eq!(u16::from(code(&refused).1), 16, "BADVERS, which the codec calls BADSIG");
        let mut twice = good.clone();
        twice.extend_from_slice(&good[good.len() - 11..]);
        twice[11] = 2;
        assert_eq!(code(&receive(&twice)).1, ResponseCode::FormErr, "EDNS twice (RFC 6891, 6.1.1)");
    }

    #[test]
    fn the_longest_request_is_read_and_a_longer_one_is_not() {
        let mut message = query(RecordType::A);
        message.resize(MAX_REQUEST, 0);
        assert!(matches!(receive(&message), Received::Question(_)));
        message.push(0);
        assert_eq!(code(&receive(&message)).1, ResponseCode::FormErr);
    }

    #[test]
    fn refusals_are_never_answered() {
        for bytes in [query(RecordType::AXFR), vec![0; 12], vec![0x18; 30]] {
            if let Received::Refused(answer) = receive(&bytes) {
                assert_eq!(receive(&answer), Received::Ignored(Ignored::Response));
                assert!(answer.len() <= bytes.len(), "nothing is amplified");
            }
        }
    }

    #[test]
    fn a_name_that_points_into_the_header_is_refused() {
        let mut bytes = vec![1, b'a', 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        bytes.extend([0xc0, 0, 0, 1, 0, 1]);
        // EDNS of a version that is answered with the question.
        bytes.extend([0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0]);
        let received = receive(&bytes);
        assert_eq!(code(&received).1, ResponseCode::FormErr);
        let Received::Refused(answer) = received else { return };
        assert!(answer.len() <= bytes.len(), "nothing is amplified");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_refused_and_never_amplified(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            begin in any::<bool>(),
        ) {
            let bytes = if begin { [&query(RecordType::A)[..], &bytes].concat() } else { bytes };
            match receive(&bytes) {
                Received::Refused(answer) => {
                    prop_assert!(answer.len() <= bytes.len().max(12));
                    prop_assert_eq!(receive(&answer), Received::Ignored(Ignored::Response));
                }
                Received::Question(request) => {
                    let answer = Response::error(ResponseCode::Refused).encode(&request, 512, true);
                    let message = Message::from_vec(&answer).unwrap();
                    prop_assert_eq!(message.id, request.id);
                    prop_assert_eq!(message.op_code, OpCode::Query);
                }
                Received::Ignored(_) => {}
            }
        }
    }
}
