//! The machine of one question over UDP (RFC 5452): each try has an id, a case of letters and a socket of its own; whatever
//! is not the answer is counted and waited past.

use crate::header::Header;
use crate::query::{Mismatch, Query, QueryOptions, Question, Reply};
use crate::{Chance, ResponseCode};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How a question is asked over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupOptions {
    /// How to ask. Default: EDNS with 1232 bytes, recursion, letters in random case.
    pub query: QueryOptions,
    /// How often to ask, over all servers in turn, at least once. Default 4.
    pub tries: u32,
    /// How long to wait for the first answer. Each further wait is twice as long, up to [`LookupOptions::longest_wait`].
    /// Default 1 s.
    pub first_wait: Duration,
    /// The longest wait. Default 5 s.
    pub longest_wait: Duration,
    /// Wrong answers to endure: somebody tries to get a forged one through, so that the question goes over a stream then.
    /// Default 16.
    pub wrong_answers: u32,
}

impl Default for LookupOptions {
    fn default() -> Self {
        Self {
            query: QueryOptions { random_case: true, ..QueryOptions::default() },
            tries: 4,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(5),
            wrong_answers: 16,
        }
    }
}

/// What arrived and was no answer, by what was wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WrongAnswers {
    /// Not from the server that was asked.
    pub source: u32,
    /// No message, or no response.
    pub shape: u32,
    /// Another id.
    pub id: u32,
    /// Another question.
    pub question: u32,
    /// The question in other letters.
    pub case: u32,
    /// Id and question were right, the rest cannot be read.
    pub malformed: u32,
}

impl WrongAnswers {
    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        let Self { source, shape, id, question, case, malformed } = *self;
        [source, shape, id, question, case, malformed].into_iter().fold(0, u32::saturating_add)
    }

    fn count(&mut self, mismatch: &Mismatch) {
        let counter = match mismatch {
            Mismatch::TooShort(_) | Mismatch::TooLong(_) | Mismatch::NoResponse => &mut self.shape,
            Mismatch::Id { .. } => &mut self.id,
            Mismatch::Question => &mut self.question,
            Mismatch::Case => &mut self.case,
            Mismatch::Malformed(_) => &mut self.malformed,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Why a question has to go over a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyStream {
    /// The answer does not fit into a datagram (TC).
    Truncated,
    /// Too many wrong answers came.
    WrongAnswers,
    /// The server answers, but never in the case of letters that was asked.
    Case,
    /// The server answers, but not so that it can be read.
    Malformed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send this from a new socket, whose port nobody can guess; let go of the last one.
    Send {
        /// To whom.
        server: SocketAddr,
        /// The query.
        datagram: Vec<u8>,
    },
    /// The end: this server answered.
    Answered(SocketAddr, Box<Reply>),
    /// The end: ask this server over a stream.
    AskOverStream(SocketAddr, WhyStream),
    /// The end: nobody answered.
    TimedOut,
    /// The end: the question cannot be encoded.
    Unencodable(String),
}

/// One question over UDP.
///
/// Begin with [`Lookup::handle_start`]; drain [`Lookup::poll_output`] after each verb; call [`Lookup::handle_timeout`] at
/// [`Lookup::deadline`].
#[derive(Debug)]
pub struct Lookup {
    question: Question,
    options: LookupOptions,
    servers: Vec<SocketAddr>,
    asked: Option<(SocketAddr, Query)>,
    tries: u32,
    edns: bool,
    deadline: Option<Instant>,
    wrong: WrongAnswers,
    outputs: VecDeque<Output>,
    over: bool,
}

impl Lookup {
    /// A question for `servers`, the preferred one first.
    #[must_use]
    pub fn new(question: Question, servers: Vec<SocketAddr>, options: LookupOptions) -> Self {
        Self {
            question,
            options,
            servers,
            asked: None,
            tries: 0,
            edns: true,
            deadline: None,
            wrong: WrongAnswers::default(),
            outputs: VecDeque::new(),
            over: false,
        }
    }

    /// Begins.
    pub fn handle_start(&mut self, now: Instant, chance: Chance<'_>) {
        self.ask(now, chance);
    }

    /// Takes a datagram that arrived on the last socket.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8], chance: Chance<'_>) {
        let (false, Some((server, query))) = (self.over, &self.asked) else { return };
        let server = *server;
        if !same_address(source, server) {
            self.wrong.source = self.wrong.source.saturating_add(1);
            return self.suspect(server);
        }
        match query.check(datagram) {
            Ok(reply) if reply.message.truncation => {
                self.end(Output::AskOverStream(server, WhyStream::Truncated));
            }
            // A server from before EDNS (RFC 6891, 6.2.2).
            Ok(reply)
                if self.edns
                    && self.options.query.payload.is_some()
                    && reply.message.edns.is_none()
                    && matches!(
                        reply.message.response_code,
                        ResponseCode::FormErr | ResponseCode::NotImp
                    ) =>
            {
                self.edns = false;
                self.tries = self.tries.saturating_sub(1);
                self.ask(now, chance);
            }
            Ok(reply) => self.end(Output::Answered(server, Box::new(reply))),
            // Cut off behind its header, as some do it instead of truncating well.
            Err(Mismatch::Malformed(_)) if Header::read(datagram).is_some_and(|header| header.truncated) => {
                self.end(Output::AskOverStream(server, WhyStream::Truncated));
            }
            Err(mismatch) => {
                self.wrong.count(&mismatch);
                self.suspect(server);
            }
        }
    }

    /// Tells the time, at the deadline or after it.
    pub fn handle_timeout(&mut self, now: Instant, chance: Chance<'_>) {
        if self.over || self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.tries < self.options.tries {
            return self.ask(now, chance);
        }
        let server = self.asked.as_ref().map(|(server, _)| *server);
        let why = if self.wrong.case > 0 {
            Some(WhyStream::Case)
        } else if self.wrong.malformed > 0 {
            Some(WhyStream::Malformed)
        } else {
            None
        };
        self.end(match (server, why) {
            (Some(server), Some(why)) => Output::AskOverStream(server, why),
            _ => Output::TimedOut,
        });
    }

    /// What is to be done next; `None` until the next verb.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Lookup::handle_timeout`]; `None` when it is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What arrived and was no answer.
    #[must_use]
    pub fn wrong_answers(&self) -> WrongAnswers {
        self.wrong
    }

    fn ask(&mut self, now: Instant, chance: Chance<'_>) {
        let count = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let turn = self.tries.checked_rem(count).and_then(|turn| usize::try_from(turn).ok());
        let Some(server) = turn.and_then(|turn| self.servers.get(turn)).copied() else {
            return self.end(Output::TimedOut);
        };
        let mut id = [0; 2];
        chance(&mut id);
        let mut options = self.options.query;
        if !self.edns {
            options.payload = None;
        }
        match Query::encode(&self.question, &options, u16::from_be_bytes(id), chance) {
            Ok(query) => {
                self.outputs.push_back(Output::Send { server, datagram: query.as_bytes().to_vec() });
                self.asked = Some((server, query));
            }
            Err(error) => return self.end(Output::Unencodable(error.to_string())),
        }
        let wait = self.options.first_wait.saturating_mul(1 << self.tries.min(16));
        self.deadline = now.checked_add(wait.min(self.options.longest_wait));
        self.tries = self.tries.saturating_add(1);
    }

    fn suspect(&mut self, server: SocketAddr) {
        if self.wrong.total() >= self.options.wrong_answers {
            self.end(Output::AskOverStream(server, WhyStream::WrongAnswers));
        }
    }

    fn end(&mut self, output: Output) {
        self.over = true;
        self.deadline = None;
        self.outputs.push_back(output);
    }
}

/// Address and port; a flow label or a scope is no other sender.
fn same_address(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, MessageType};
    use hickory_proto::rr::RecordType;

    fn server(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 53))
    }

    struct Story {
        lookup: Lookup,
        now: Instant,
        byte: u8,
    }

    impl Story {
        #[allow(clippy::disallowed_methods, reason = "any instant will do to begin with")]
        fn new(servers: &[u8], options: LookupOptions) -> Self {
            let question = Question::parse("name.test", RecordType::A).unwrap();
            let servers = servers.iter().map(|last| server(*last)).collect();
            let mut story =
                Self { lookup: Lookup::new(question, servers, options), now: Instant::now(), byte: 0 };
            let (now, mut chance) = (story.now, story.chance());
            story.lookup.handle_start(now, &mut chance);
            story
        }

        fn chance(&mut self) -> impl FnMut(&mut [u8]) + use<> {
            self.byte += 1;
            let byte = self.byte;
            move |out: &mut [u8]| out.fill(byte)
        }

        fn sent(&mut self) -> (SocketAddr, Vec<u8>) {
            match self.lookup.poll_output() {
                Some(Output::Send { server, datagram }) => (server, datagram),
                other => panic!("{other:?}"),
            }
        }

        fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Option<Output> {
            let (now, mut chance) = (self.now, self.chance());
            self.lookup.handle_datagram(now, source, datagram, &mut chance);
            self.lookup.poll_output()
        }

        fn wait(&mut self) -> Duration {
            let deadline = self.lookup.deadline().unwrap();
            let waited = deadline - self.now;
            self.now = deadline;
            let mut chance = self.chance();
            self.lookup.handle_timeout(deadline, &mut chance);
            waited
        }
    }

    fn answer(query: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::from_vec(query).unwrap();
        message.metadata.message_type = MessageType::Response;
        change(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn wrong_answers_are_counted_and_the_right_one_is_taken() {
        let mut story = Story::new(&[1], LookupOptions::default());
        let (to, query) = story.sent();
        assert_eq!(to, server(1));
        let good = answer(&query, |_| {});
        assert_eq!(story.receive(server(2), &good), None);
        assert_eq!(story.receive(SocketAddr::from(([192, 0, 2, 1], 54)), &good), None);
        assert_eq!(story.receive(server(1), &answer(&query, |message| message.metadata.id ^= 1)), None);
        assert_eq!(story.receive(server(1), &query), None);
        let lower = answer(&query, |message| {
            let name = message.queries[0].name().to_lowercase();
            message.queries[0].set_name(name);
        });
        let case = story.receive(server(1), &lower);
        let taken = story.receive(server(1), &good);
        let wrong = story.lookup.wrong_answers();
        if lower == good {
            assert!(matches!(case, Some(Output::Answered(..))));
        } else {
            assert!(matches!(taken, Some(Output::Answered(from, _)) if from == server(1)), "{taken:?}");
            assert_eq!(wrong, WrongAnswers { source: 2, id: 1, shape: 1, case: 1, ..wrong });
        }
        assert_eq!(story.lookup.deadline(), None);
        assert_eq!(story.receive(server(1), &good), None, "it is over");
    }

    #[test]
    fn tries_back_off_over_the_servers_and_end() {
        let mut story = Story::new(&[1, 2], LookupOptions::default());
        let mut ids = Vec::new();
        for (last, seconds) in [(1, 1), (2, 2), (1, 4), (2, 5)] {
            let (to, query) = story.sent();
            assert_eq!(to, server(last));
            ids.push([query[0], query[1]]);
            assert_eq!(story.wait(), Duration::from_secs(seconds));
        }
        ids.dedup();
        assert_eq!(ids.len(), 4, "each try has an id of its own");
        assert_eq!(story.lookup.poll_output(), Some(Output::TimedOut));
    }

    #[test]
    fn an_answer_to_an_earlier_try_is_none() {
        let mut story = Story::new(&[1], LookupOptions::default());
        let late = answer(&story.sent().1, |_| {});
        story.wait();
        let query = story.sent().1;
        assert_eq!(story.receive(server(1), &late), None);
        assert!(matches!(story.receive(server(1), &answer(&query, |_| {})), Some(Output::Answered(..))));
    }

    #[test]
    fn the_limit_of_wrong_answers_leads_to_a_stream() {
        let mut story = Story::new(&[1], LookupOptions { wrong_answers: 3, ..LookupOptions::default() });
        let (_, query) = story.sent();
        let forged = answer(&query, |message| message.metadata.id ^= 0x5555);
        assert_eq!(story.receive(server(1), &forged), None);
        assert_eq!(story.receive(server(1), &forged), None);
        assert_eq!(
            story.receive(server(1), &forged),
            Some(Output::AskOverStream(server(1), WhyStream::WrongAnswers))
        );
    }

    #[test]
    fn truncation_and_servers_that_change_the_case_lead_to_a_stream() {
        let mut story = Story::new(&[1], LookupOptions::default());
        let (_, query) = story.sent();
        let cut = answer(&query, |message| message.metadata.truncation = true);
        let truncated = Some(Output::AskOverStream(server(1), WhyStream::Truncated));
        assert_eq!(story.receive(server(1), &cut), truncated);

        let mut story = Story::new(&[1], LookupOptions { tries: 1, ..LookupOptions::default() });
        let (_, mut query) = story.sent();
        // Whatever case chance has chosen, this is another.
        query[13] ^= 0x20;
        assert_eq!(story.receive(server(1), &answer(&query, |_| {})), None);
        story.wait();
        assert_eq!(story.lookup.poll_output(), Some(Output::AskOverStream(server(1), WhyStream::Case)));
    }

    #[test]
    fn a_server_without_edns_is_asked_without_it() {
        let mut story = Story::new(&[1], LookupOptions::default());
        let (_, query) = story.sent();
        assert!(Message::from_vec(&query).unwrap().edns.is_some());
        let old = answer(&query, |message| {
            message.edns = None;
            message.metadata.response_code = ResponseCode::FormErr;
        });
        let Some(Output::Send { datagram, .. }) = story.receive(server(1), &old) else { panic!("not asked") };
        assert!(Message::from_vec(&datagram).unwrap().edns.is_none());
        let again = answer(&datagram, |message| message.metadata.response_code = ResponseCode::FormErr);
        assert!(matches!(story.receive(server(1), &again), Some(Output::Answered(..))), "only once");
    }
}
