//! Why there is no certificate.

use crate::jws::SignError;
use crate::limits::{MAX_CONTACTS, MAX_NAMES, MAX_NONCES, MAX_POLLS, MAX_RESPONSE, MAX_TIME, MAX_URL};
use crate::problem::Problem;
use std::time::Duration;

/// What a server is asked for (RFC 8555, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The directory, which says where all else is.
    Directory,
    /// A nonce.
    Nonce,
    /// The account of our key.
    Account,
    /// A new order.
    NewOrder,
    /// An authorization, of a name.
    Authorization,
    /// To check a challenge.
    Challenge,
    /// To issue the certificate.
    Finalize,
    /// How the order is.
    Order,
    /// The certificate.
    Certificate,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "the directory",
            Self::Nonce => "a nonce",
            Self::Account => "an account",
            Self::NewOrder => "a new order",
            Self::Authorization => "an authorization",
            Self::Challenge => "a challenge to be checked",
            Self::Finalize => "the order to be finalized",
            Self::Order => "the order",
            Self::Certificate => "the certificate",
        })
    }
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory's address.
    #[error("the directory must be an https:// address of at most {MAX_URL} bytes: {0}")]
    Directory(String),
    /// Too few or too many names.
    #[error("a certificate is for 1 to {MAX_NAMES} names, not {0}")]
    Names(usize),
    /// A name that cannot be proved, or is there twice.
    #[error(
        "`{0}` is no host name or is there twice (wildcards and addresses cannot be proved by TLS-ALPN-01)"
    )]
    Name(String),
    /// A contact that is no address.
    #[error("`{0}` is no contact: write it as mailto:NAME@HOST")]
    Contact(String),
    /// Too many contacts.
    #[error("an account has at most {MAX_CONTACTS} contacts, not {0}")]
    Contacts(usize),
    /// The operator must agree first.
    #[error("the server has terms of service, which you must agree to: read {0}")]
    Terms(String),
    /// The server wants accounts to be bound to others of its own, which this does not do (RFC 8555, 7.3.4).
    #[error("the server wants accounts bound to external ones, which is not supported")]
    ExternalAccount,
    /// The account's key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A response is too long.
    #[error("asked for {0}, the server answered more than {MAX_RESPONSE} bytes")]
    TooLong(Step),
    /// A response that is not what RFC 8555 says.
    #[error("asked for {step}, the server's answer cannot be understood: {reason}")]
    Malformed {
        /// What it was asked for.
        step: Step,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refuses.
    #[error("asked for {step}, the server answered {status}: {problem}")]
    Refused {
        /// What it was asked for.
        step: Step,
        /// The status of HTTP.
        status: u16,
        /// Why.
        problem: Problem,
        /// When to try again, if the server says.
        retry_after: Option<Duration>,
    },
    /// Too much was asked for lately (RFC 8555, 6.6).
    #[error("asked for {step}, the server's limit is reached ({}): {problem}", again(.retry_after))]
    RateLimited {
        /// What it was asked for.
        step: Step,
        /// Which limit.
        problem: Problem,
        /// When to try again, if the server says.
        retry_after: Option<Duration>,
    },
    /// The server takes no nonce, although it gave them.
    #[error("asked for {0}, the server refused {MAX_NONCES} of its own nonces")]
    Nonces(Step),
    /// The server does not offer TLS-ALPN-01 for a name.
    #[error("{0}: the server does not offer the challenge tls-alpn-01")]
    NoChallenge(String),
    /// The server does not believe that a name is ours.
    #[error("{name}: the server could not verify it: {problem}")]
    Unauthorized {
        /// The name.
        name: String,
        /// Why.
        problem: Problem,
    },
    /// The order has failed.
    #[error("the order has failed: {0}")]
    Invalid(Problem),
    /// It was looked at too often.
    #[error("the server has not come to an end after {MAX_POLLS} looks")]
    Polls,
    /// It took too long.
    #[error("the server has not come to an end within {MAX_TIME:?}")]
    Overdue,
}

impl Error {
    /// When the server wants to be asked again, if it has said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn again(after: &Option<Duration>) -> String {
    after.map_or_else(
        || "it does not say until when".into(),
        |after| format!("try again in {} s", after.as_secs()),
    )
}
