//! The machine of a stream to a server that many questions share (RFC 7766, 6.2.1): answers come in any order.

use crate::frame::{Deframer, TooLong, framed};
use crate::query::{Mismatch, Query, QueryOptions, Question, Reply};
use crate::{Chance, MAX_MESSAGE};
use std::collections::BTreeMap;

/// Tries to draw an id that is not in use, before the next free one is taken.
const DRAWS: u32 = 8;

/// Answers on a stream that fit no question, one after the other without one that does, before the server is given up.
const MAX_UNEXPECTED: u32 = 64;

/// Why a question was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// As many as may be are on their way.
    #[error("{0} questions are on their way, which is the limit")]
    Full(usize),
    /// It cannot be encoded.
    #[error("the question cannot be encoded: {0}")]
    Unencodable(String),
}

/// Why a stream is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// Not possible with a limit of 65,535 bytes, which is the default.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The server keeps sending what was not asked for.
    #[error("the server sent {0} messages that answer nothing")]
    Unexpected(u32),
}

/// Questions on their way over one stream. `K` is how the caller knows them.
#[derive(Debug)]
pub struct Pipeline<K> {
    waiting: BTreeMap<u16, (Query, K)>,
    limit: usize,
    deframer: Deframer,
    unexpected: u32,
}

impl<K> Pipeline<K> {
    /// A stream with at most `limit` questions on their way, up to 32,768.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, 1 << 15);
        Self { waiting: BTreeMap::new(), limit, deframer: Deframer::new(MAX_MESSAGE), unexpected: 0 }
    }

    /// Takes a question; returns what to write for it.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn handle_question(
        &mut self,
        question: &Question,
        options: &QueryOptions,
        key: K,
        chance: Chance<'_>,
    ) -> Result<Vec<u8>, AskError> {
        if self.is_full() {
            return Err(AskError::Full(self.limit));
        }
        let id = self.free_id(chance);
        let unencodable = |error: &dyn std::fmt::Display| AskError::Unencodable(error.to_string());
        let query = Query::encode(question, options, id, chance).map_err(|error| unencodable(&error))?;
        let bytes = framed(query.as_bytes()).ok_or_else(|| unencodable(&"it is too long"))?;
        self.waiting.insert(id, (query, key));
        Ok(bytes)
    }

    /// Takes bytes that arrived.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.deframer.handle_bytes(bytes);
    }

    /// The next question that was answered. What answers nothing is passed over; what begins like an answer and cannot be
    /// read ends its question.
    ///
    /// # Errors
    /// [`PipelineError`]: close the stream.
    #[allow(clippy::type_complexity, reason = "a key and what became of it")]
    pub fn poll_answer(&mut self) -> Result<Option<(K, Result<Reply, Mismatch>)>, PipelineError> {
        while let Some(message) = self.deframer.poll_message()? {
            let id = message.first_chunk::<2>().map(|id| u16::from_be_bytes(*id));
            let outcome =
                id.and_then(|id| self.waiting.get(&id)).map(|(query, _)| query.check_stream(message));
            let outcome = match outcome {
                Some(outcome @ (Ok(_) | Err(Mismatch::Malformed(_)))) => outcome,
                _ => {
                    self.unexpected = self.unexpected.saturating_add(1);
                    if self.unexpected >= MAX_UNEXPECTED {
                        return Err(PipelineError::Unexpected(self.unexpected));
                    }
                    continue;
                }
            };
            self.unexpected = 0;
            if let Some((_, key)) = id.and_then(|id| self.waiting.remove(&id)) {
                return Ok(Some((key, outcome)));
            }
        }
        Ok(None)
    }

    /// Questions on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no question is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether no further question is taken now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.limit
    }

    /// Those that were not answered.
    pub fn into_waiting(self) -> impl Iterator<Item = K> {
        self.waiting.into_values().map(|(_, key)| key)
    }

    fn free_id(&self, chance: Chance<'_>) -> u16 {
        let mut id = 0;
        for _ in 0..DRAWS {
            let mut bytes = [0; 2];
            chance(&mut bytes);
            id = u16::from_be_bytes(bytes);
            if !self.waiting.contains_key(&id) {
                return id;
            }
        }
        // At most half of all ids are in use.
        while self.waiting.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, MessageType};
    use hickory_proto::rr::RecordType;

    fn ask(pipeline: &mut Pipeline<u32>, key: u32) -> Result<Vec<u8>, AskError> {
        let question = Question::parse(&format!("n{key}.test"), RecordType::A).unwrap();
        // Always the same draw: ids must differ all the same.
        pipeline.handle_question(&question, &QueryOptions::default(), key, &mut |out| out.fill(9))
    }

    fn answer(framed_query: &[u8]) -> Vec<u8> {
        let mut message = Message::from_vec(&framed_query[2..]).unwrap();
        message.metadata.message_type = MessageType::Response;
        framed(&message.to_vec().unwrap()).unwrap()
    }

    #[test]
    fn answers_find_their_questions_in_any_order() {
        let mut pipeline = Pipeline::new(100);
        let queries: Vec<_> = (0..100).map(|key| ask(&mut pipeline, key).unwrap()).collect();
        assert_eq!(ask(&mut pipeline, 100), Err(AskError::Full(100)));
        let answers: Vec<u8> = queries.iter().rev().flat_map(|query| answer(query)).collect();
        let mut keys = Vec::new();
        for piece in answers.chunks(7) {
            pipeline.handle_bytes(piece);
            while let Some((key, reply)) = pipeline.poll_answer().unwrap() {
                let name = reply.unwrap().message.queries[0].name().to_string();
                assert_eq!(name, format!("n{key}.test."));
                keys.push(key);
            }
        }
        assert_eq!(keys, (0..100).rev().collect::<Vec<_>>());
        assert!(pipeline.is_empty());
    }

    #[test]
    fn what_answers_nothing_is_passed_over_within_a_limit() {
        let mut pipeline = Pipeline::new(4);
        let query = ask(&mut pipeline, 1).unwrap();
        let mut other = answer(&query);
        other[3] ^= 1;
        for _ in 0..MAX_UNEXPECTED - 1 {
            pipeline.handle_bytes(&other);
            assert!(pipeline.poll_answer().unwrap().is_none());
        }
        // The right id, another question.
        let mut swapped = answer(&query);
        swapped[16] ^= 1;
        pipeline.handle_bytes(&swapped);
        assert_eq!(pipeline.poll_answer().unwrap_err(), PipelineError::Unexpected(MAX_UNEXPECTED));
        assert_eq!(pipeline.into_waiting().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn an_answer_that_cannot_be_read_ends_its_question() {
        let mut pipeline = Pipeline::new(4);
        let query = ask(&mut pipeline, 1).unwrap();
        let mut broken = answer(&query);
        // A count of answers that are not there.
        broken[2 + 7] = 5;
        pipeline.handle_bytes(&broken);
        assert!(matches!(pipeline.poll_answer(), Ok(Some((1, Err(Mismatch::Malformed(_)))))));
    }
}
