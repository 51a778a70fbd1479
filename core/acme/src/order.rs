//! The machine: one order from the directory to the certificate (RFC 8555, 7.1).

mod steps;

use crate::config::{Checked, OrderConfig};
use crate::error::{Error, Step};
use crate::jws::{Signer, signed};
use crate::limits::{FIRST_PAUSE, LONGEST_PAUSE, MAX_NONCES, MAX_POLLS, MAX_RESPONSE, MAX_TIME};
use crate::message::{Directory, is_token};
use crate::problem::Problem;
use crate::url::Url;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One order for a certificate.
///
/// After each input, [`Order::poll_output`] is called until it gives nothing; [`Order::deadline`] says when to call
/// [`Order::handle_time`] at the latest. One request is under way at a time. After [`Output::Done`] or [`Output::Failed`]
/// nothing more comes, and no challenge is presented any longer.
///
/// ```
/// use shroud_acme::{Method, Order, OrderConfig, Output, PublicKey, SignError, Signer};
/// # struct Key;
/// # impl Signer for Key {
/// #     fn public_key(&self) -> PublicKey { PublicKey { x: [0; 32], y: [0; 32] } }
/// #     fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> { Err(SignError) }
/// # }
/// let config = OrderConfig {
///     directory: "https://ca.test/directory".into(),
///     names: vec!["example.org".into()],
///     contact: Vec::new(),
///     terms_agreed: true,
///     request: Vec::new(), // the PKCS #10 request for the certificate
/// };
/// let mut order = Order::new(config, Box::new(Key), std::time::Instant::now())?;
/// let Some(Output::Send(request)) = order.poll_output() else { panic!("it asks for the directory first") };
/// assert_eq!((request.method, request.url.as_str()), (Method::Get, "https://ca.test/directory"));
/// # Ok::<(), shroud_acme::Error>(())
/// ```
pub struct Order {
    config: OrderConfig,
    names: Vec<String>,
    signer: Box<dyn Signer>,
    started: Instant,
    outputs: VecDeque<Output>,
    waiting: Waiting,
    directory: Option<Directory>,
    /// The newest one that was not used.
    nonce: Option<String>,
    account: Option<Url>,
    order: Option<Url>,
    /// What there is to be authorized, the next one last.
    authorizations: Vec<Url>,
    /// The name whose challenge is presented.
    presented: Option<String>,
    finalized: bool,
    polls: u32,
    pause: Duration,
}

/// What is waited for.
enum Waiting {
    /// The answer to a request without a signature.
    Directory,
    /// A nonce, for this.
    Nonce(Post),
    /// The answer to this.
    Answer(Post),
    /// The time to ask for this.
    Pause(Instant, Post),
    /// Nothing: it has ended.
    Ended,
}

/// A request that is signed each time it is sent.
struct Post {
    step: Step,
    url: Url,
    /// Nothing asks for what is there (POST-as-GET, 6.3).
    payload: String,
    /// Nonces that the server refused.
    refused: u32,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send a request; its response goes to [`Order::handle_response`]. No redirects are followed.
    Send(Request),
    /// From now on, answer TLS clients that offer the protocol `acme-tls/1` alone and ask for this name with the certificate of
    /// RFC 8737, 3. That must be so before the next output is followed.
    Present {
        /// The name, in lower case.
        name: String,
        /// What the certificate has as its acmeIdentifier (SHA-256).
        digest: [u8; 32],
    },
    /// And no longer.
    Withdraw {
        /// The name, in lower case.
        name: String,
    },
    /// The certificate is there. The last output.
    Done(Issued),
    /// There will be none. The last output.
    Failed(Error),
}

/// A request to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where, an `https://` address.
    pub url: String,
    /// `Content-Type`, of a request with a body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

/// How something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status of HTTP.
    pub status: u16,
    /// `Replay-Nonce`.
    pub nonce: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `Retry-After`, as [`retry_after`](crate::retry_after) reads it.
    pub retry_after: Option<Duration>,
    /// The body: it may be cut to one byte more than [`MAX_RESPONSE`].
    pub body: Vec<u8>,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The chain as PEM, as the server gave it: not examined further.
    pub chain: String,
    /// The account's address.
    pub account: String,
}

impl Order {
    /// Begins at `now`, with the account whose key `signer` has; one that the server does not know is made.
    ///
    /// # Errors
    /// As [`OrderConfig::validate`].
    pub fn new(config: OrderConfig, signer: Box<dyn Signer>, now: Instant) -> Result<Self, Error> {
        let Checked { directory, names } = config.check()?;
        let get = request(Method::Get, &directory);
        Ok(Self {
            config,
            names,
            signer,
            started: now,
            outputs: VecDeque::from([Output::Send(get)]),
            waiting: Waiting::Directory,
            directory: None,
            nonce: None,
            account: None,
            order: None,
            authorizations: Vec::new(),
            presented: None,
            finalized: false,
            polls: 0,
            pause: FIRST_PAUSE,
        })
    }

    /// The answer to the request under way has come. One that nobody waits for is ignored.
    pub fn handle_response(&mut self, response: Response, now: Instant) {
        if let Err(error) = self.take(response, now) {
            self.fail(error);
        }
        self.handle_time(now);
    }

    /// The request under way has no answer: the connection failed. Whether it is sent again after a pause, as it asks only for how
    /// things are; if not, the order cannot go on, and is to be given up.
    pub fn handle_unanswered(&mut self, now: Instant) -> bool {
        let Waiting::Answer(post) = &self.waiting else { return false };
        if !post.payload.is_empty() {
            return false;
        }
        let (step, url) = (post.step, post.url.clone());
        if let Err(error) = self.look_again(step, url, None, now) {
            self.fail(error);
        }
        true
    }

    /// Time has passed.
    pub fn handle_time(&mut self, now: Instant) {
        if matches!(self.waiting, Waiting::Ended) {
            return;
        }
        if now.saturating_duration_since(self.started) >= MAX_TIME {
            return self.fail(Error::Overdue);
        }
        if !matches!(self.waiting, Waiting::Pause(until, _) if until <= now) {
            return;
        }
        if let Waiting::Pause(_, post) = std::mem::replace(&mut self.waiting, Waiting::Ended)
            && let Err(error) = self.post(post)
        {
            self.fail(error);
        }
    }

    /// When to call [`Order::handle_time`], if nothing else happens before. `None` when it has ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let end = self.started.checked_add(MAX_TIME);
        match &self.waiting {
            Waiting::Ended => None,
            Waiting::Pause(until, _) => Some(end.map_or(*until, |end| end.min(*until))),
            _ => end,
        }
    }

    /// What is to be done next, in this order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn take(&mut self, response: Response, now: Instant) -> Result<(), Error> {
        let step = match &self.waiting {
            Waiting::Directory => Step::Directory,
            Waiting::Nonce(_) => Step::Nonce,
            Waiting::Answer(post) => post.step,
            Waiting::Pause(..) | Waiting::Ended => return Ok(()),
        };
        if response.body.len() > MAX_RESPONSE {
            return Err(Error::TooLong(step));
        }
        if let Some(nonce) = response.nonce.as_ref().filter(|nonce| is_token(nonce)) {
            self.nonce = Some(nonce.clone());
        }
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Ended);
        let good = (200..300).contains(&response.status);
        match waiting {
            Waiting::Answer(post) if good => self.answered(post, &response, now),
            Waiting::Answer(post) => self.refused(post, &response, now),
            _ if !good => Err(refusal(step, &response)),
            Waiting::Nonce(_) if self.nonce.is_none() => {
                Err(Error::Malformed { step, reason: "there is no Replay-Nonce that can be used".into() })
            }
            Waiting::Nonce(post) => self.post(post),
            _ => self.begin(&response),
        }
    }

    /// A nonce may have grown old: the answer has a new one (6.5).
    fn refused(&mut self, mut post: Post, response: &Response, now: Instant) -> Result<(), Error> {
        let busy = response.status >= 500 || response.status == 429;
        if busy && post.payload.is_empty() {
            // It only asks for how things are.
            return self.look_again(post.step, post.url, response.retry_after, now);
        }
        if Problem::of(&response.body).kind != "badNonce" {
            return Err(refusal(post.step, response));
        }
        post.refused = post.refused.saturating_add(1);
        if post.refused >= MAX_NONCES { Err(Error::Nonces(post.step)) } else { self.post(post) }
    }

    fn ask(&mut self, step: Step, url: Url, payload: String) -> Result<(), Error> {
        self.post(Post { step, url, payload, refused: 0 })
    }

    /// Sends it, or asks for a nonce first.
    fn post(&mut self, post: Post) -> Result<(), Error> {
        let Some(nonce) = self.nonce.take() else {
            let directory = self.directory()?;
            let head = request(Method::Head, &directory.new_nonce.0);
            self.outputs.push_back(Output::Send(head));
            self.waiting = Waiting::Nonce(post);
            return Ok(());
        };
        let body = signed(&*self.signer, self.account.as_ref(), &post.url, &nonce, &post.payload)?;
        let content_type = Some("application/jose+json");
        self.outputs.push_back(Output::Send(Request {
            content_type,
            body,
            ..request(Method::Post, &post.url)
        }));
        self.waiting = Waiting::Answer(post);
        Ok(())
    }

    /// Asks for it after a pause, which the server may lengthen.
    fn look_again(
        &mut self,
        step: Step,
        url: Url,
        wanted: Option<Duration>,
        now: Instant,
    ) -> Result<(), Error> {
        self.polls = self.polls.saturating_add(1);
        if self.polls > MAX_POLLS {
            return Err(Error::Polls);
        }
        let pause = wanted.unwrap_or(self.pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        let until = now.checked_add(pause).unwrap_or(now);
        self.waiting = Waiting::Pause(until, Post { step, url, payload: String::new(), refused: 0 });
        Ok(())
    }

    fn directory(&self) -> Result<&Directory, Error> {
        self.directory.as_ref().ok_or(Error::Malformed { step: Step::Directory, reason: "none".into() })
    }

    fn withdraw(&mut self) {
        if let Some(name) = self.presented.take() {
            self.outputs.push_back(Output::Withdraw { name });
        }
    }

    fn fail(&mut self, error: Error) {
        self.withdraw();
        self.outputs.push_back(Output::Failed(error));
        self.waiting = Waiting::Ended;
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("names", &self.names).finish_non_exhaustive()
    }
}

fn request(method: Method, url: &Url) -> Request {
    Request { method, url: url.as_str().to_owned(), content_type: None, body: Vec::new() }
}

fn refusal(step: Step, response: &Response) -> Error {
    let (status, retry_after) = (response.status, response.retry_after);
    let problem = Problem::of(&response.body);
    if problem.kind == "rateLimited" {
        return Error::RateLimited { step, problem, retry_after };
    }
    Error::Refused { step, status, problem, retry_after }
}
