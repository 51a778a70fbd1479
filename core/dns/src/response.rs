//! What a server answers.

use crate::header::Header;
use crate::query::padding;
use crate::request::Request;
use crate::{MAX_MESSAGE, Record, ResponseCode};
use hickory_proto::op::{Message, OpCode, Query as Asked};

/// Padded answers are as long as a multiple of this (RFC 8467, 4.1).
const PADDING_BLOCK: usize = 468;

/// An answer: a code and records. Say no more than was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What became of it.
    pub code: ResponseCode,
    /// The server's own data (AA).
    pub authoritative: bool,
    /// The server resolves for its clients (RA).
    pub recursion_available: bool,
    /// Records that answer.
    pub answers: Vec<Record>,
    /// Who else can answer, or why there is nothing: an NS set, an SOA.
    pub authorities: Vec<Record>,
    /// What is needed to ask them.
    pub additionals: Vec<Record>,
}

impl Response {
    /// An answer with these records.
    #[must_use]
    pub const fn new(answers: Vec<Record>) -> Self {
        Self {
            code: ResponseCode::NoError,
            authoritative: false,
            recursion_available: false,
            answers,
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    /// An answer without records.
    #[must_use]
    pub fn error(code: ResponseCode) -> Self {
        Self { code, ..Self::new(Vec::new()) }
    }

    /// The least time to live of its answers, or of the SOA in a negative answer: how long it may be kept (RFC 8484, 5.1).
    #[must_use]
    pub fn least_ttl(&self) -> u32 {
        let records = if self.answers.is_empty() { &self.authorities } else { &self.answers };
        records.iter().map(|record| record.ttl).min().unwrap_or(0)
    }

    /// Encodes it for a client, in at most `limit` bytes: an answer that is longer is sent as a truncated one without records
    /// (TC), and the client comes back over a stream. `padded` allows padding for clients that pad.
    #[must_use]
    pub fn encode(&self, request: &Request, limit: usize, padded: bool) -> Vec<u8> {
        let limit = limit.min(MAX_MESSAGE);
        let mut message = self.message(request);
        // The codec cuts what is longer than any message, and says so.
        if let Ok(bytes) = message.to_vec()
            && bytes.len() <= limit
            && !Header::read(&bytes).is_some_and(|header| header.truncated)
        {
            if padded
                && request.edns.is_some_and(|edns| edns.padded)
                && let Some(edns) = &mut message.edns
            {
                edns.options_mut().insert(padding(bytes.len(), PADDING_BLOCK));
                return message.to_vec().ok().filter(|long| long.len() <= limit).unwrap_or(bytes);
            }
            return bytes;
        }
        let mut short =
            Self { answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new(), ..*self };
        if limit >= MAX_MESSAGE {
            // No client could come back for more.
            short.code = ResponseCode::ServFail;
        }
        let mut message = short.message(request);
        message.metadata.truncation = limit < MAX_MESSAGE;
        message.to_vec().unwrap_or_default()
    }

    fn message(&self, request: &Request) -> Message {
        let mut message = Message::response(request.id, OpCode::Query);
        message.metadata.response_code = self.code;
        message.metadata.authoritative = self.authoritative;
        message.metadata.recursion_available = self.recursion_available;
        message.metadata.recursion_desired = request.recursion_desired;
        message.metadata.checking_disabled = request.checking_disabled;
        let mut asked = Asked::query(request.question.name.clone(), request.question.kind);
        asked.set_query_class(request.question.class);
        message.add_query(asked);
        message.answers.clone_from(&self.answers);
        message.authorities.clone_from(&self.authorities);
        message.additionals.clone_from(&self.additionals);
        message.edns = request.answer_edns();
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, QueryOptions, Question};
    use crate::request::{Received, receive};
    use crate::{Name, RData, RecordType};
    use hickory_proto::rr::rdata::{A, TXT};

    fn request(options: &QueryOptions) -> (Query, Box<Request>) {
        let question = Question::new(Name::from_ascii("Name.Test").unwrap(), RecordType::A);
        let query = Query::encode(&question, options, 5, &mut |_| {}).unwrap();
        match receive(query.as_bytes()) {
            Received::Question(request) => (query, request),
            other => panic!("{other:?}"),
        }
    }

    fn record() -> Record {
        Record::from_rdata(Name::from_ascii("name.test.").unwrap(), 60, RData::A(A::new(192, 0, 2, 1)))
    }

    #[test]
    fn what_is_encoded_answers_its_query() {
        let (query, request) = request(&QueryOptions { random_case: true, ..QueryOptions::default() });
        let reply = query.check(&Response::new(vec![record()]).encode(&request, 512, false)).unwrap();
        assert_eq!(reply.message.answers, [record()]);
        assert!(reply.message.edns.is_some());
    }

    #[test]
    fn an_answer_at_the_limit_goes_out_and_a_longer_one_is_truncated() {
        let (query, request) = request(&QueryOptions::default());
        let text = |length| {
            let data = RData::TXT(TXT::from_bytes(vec![&vec![b'x'; length]]));
            Response::new(vec![Record::from_rdata(request.question.name.clone(), 60, data)])
        };
        let length = text(200).encode(&request, 512, false).len();
        let reply = query.check(&text(200).encode(&request, length, false)).unwrap();
        assert!(!reply.message.truncation && reply.message.answers.len() == 1);
        let cut = query.check(&text(201).encode(&request, length, false)).unwrap();
        assert!(cut.message.truncation && cut.message.answers.is_empty());
        assert!(cut.length <= query.as_bytes().len(), "nothing is amplified");
    }

    #[test]
    fn what_fits_no_stream_fails() {
        let (query, request) = request(&QueryOptions::default());
        let data = RData::TXT(TXT::from_bytes(vec![&[b'x'; 250][..]; 200]));
        let record = Record::from_rdata(request.question.name.clone(), 60, data);
        let reply = query.check(&Response::new(vec![record; 2]).encode(&request, MAX_MESSAGE, false));
        let message = reply.unwrap().message;
        assert_eq!((message.response_code, message.truncation), (ResponseCode::ServFail, false));
    }

    #[test]
    fn padded_requests_get_padded_answers_where_it_is_of_use() {
        let (_, request) = request(&QueryOptions { padding: true, ..QueryOptions::default() });
        assert_eq!(Response::new(vec![record()]).encode(&request, MAX_MESSAGE, true).len(), 468);
        assert!(Response::new(vec![record()]).encode(&request, MAX_MESSAGE, false).len() < 100);
    }
}
