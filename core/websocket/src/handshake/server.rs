//! The server's side.

use super::tokens::{self, holds_token, is_token};
use super::{Agreed, VERSION, key};
use crate::deflate::{Compression, accept_offers};
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, StatusCode, Version};
use std::fmt;
use std::sync::Arc;

/// What a server agrees to.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Subprotocols it speaks, the preferred first. A client that names none of them gets none.
    pub protocols: Vec<String>,
    /// Which pages may open connections.
    pub origins: Origins,
    /// The compression it agrees to. Default none.
    pub compression: Option<Compression>,
}

/// Which pages a browser may open connections from. Programs that send no `Origin` are not restricted by it.
#[derive(Clone, Default)]
pub enum Origins {
    /// Those that the same host and port served: `Origin` names what `Host` names (RFC 6455 10.2).
    #[default]
    SameHost,
    /// All.
    Any,
    /// These: scheme, host and port as browsers write them, e.g. `https://example.com`.
    Listed(Vec<String>),
    /// Those for which the function, given `Origin`, says so.
    Judged(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameHost => f.write_str("SameHost"),
            Self::Any => f.write_str("Any"),
            Self::Listed(listed) => f.debug_tuple("Listed").field(listed).finish(),
            Self::Judged(_) => f.write_str("Judged"),
        }
    }
}

/// A request that opens no connection. [`Refusal::status`] is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It asks for no upgrade to `websocket`.
    #[error("this address speaks WebSocket: the request must ask for an upgrade to websocket")]
    NoUpgrade,
    /// RFC 6455 4.1.
    #[error("a WebSocket handshake is a GET request of HTTP/1.1")]
    Method,
    /// RFC 6455 4.4.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// RFC 6455 4.1.
    #[error("sec-websocket-key must be there once, with 16 bytes in base64")]
    Key,
    /// RFC 6455 4.1.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// [`Policy::origins`].
    #[error("connections from this origin are not accepted")]
    Origin,
}

impl Refusal {
    /// What to answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Key | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }

    /// Header fields that the answer must have.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::NoUpgrade | Self::Version => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Self::Method => {
                headers.insert(http::header::ALLOW, HeaderValue::from_static("GET"));
            }
            _ => {}
        }
        headers
    }
}

/// Judges a handshake over HTTP/1.1. When agreed, the answer is 101 with [`Agreed::headers`].
///
/// # Errors
/// [`Refusal`].
pub fn accept<B>(request: &Request<B>, policy: &Policy) -> Result<Agreed, Refusal> {
    let headers = request.headers();
    if !holds_token(headers, &UPGRADE, "websocket") || !holds_token(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::NoUpgrade);
    }
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(Refusal::Method);
    }
    let key = once(headers, &SEC_WEBSOCKET_KEY).filter(|key| key::is_valid(key.as_bytes()));
    let key = key.ok_or(Refusal::Key)?;
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let mut agreed = agree(headers, host, policy)?;
    let accept = key::accept(key.as_bytes()).ok_or(Refusal::Key)?;
    agreed.headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    agreed.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    agreed.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    Ok(agreed)
}

/// Judges a handshake by extended CONNECT whose `:protocol` is `websocket` (RFC 8441 5, RFC 9220). When agreed, the
/// answer is 200 with [`Agreed::headers`].
///
/// # Errors
/// [`Refusal`].
pub fn accept_extended<B>(request: &Request<B>, policy: &Policy) -> Result<Agreed, Refusal> {
    if request.method() != Method::CONNECT {
        return Err(Refusal::NoUpgrade);
    }
    let host = request.uri().authority().map(http::uri::Authority::as_str);
    agree(request.headers(), host, policy)
}

fn agree(headers: &HeaderMap, host: Option<&str>, policy: &Policy) -> Result<Agreed, Refusal> {
    let version = once(headers, &SEC_WEBSOCKET_VERSION).ok_or(Refusal::Version)?;
    if version.as_bytes() != VERSION.as_bytes() {
        return Err(Refusal::Version);
    }
    if !is_allowed(headers, host, &policy.origins) {
        return Err(Refusal::Origin);
    }
    let mut answer = HeaderMap::new();
    let protocol = protocol(headers, &policy.protocols)?;
    if let Some(protocol) = &protocol {
        let value =
            HeaderValue::try_from(protocol).map_err(|_| Refusal::Malformed("sec-websocket-protocol"))?;
        answer.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let compression = compression(headers, policy, &mut answer)?;
    Ok(Agreed { headers: answer, protocol, compression })
}

fn compression(
    headers: &HeaderMap,
    policy: &Policy,
    answer: &mut HeaderMap,
) -> Result<Option<crate::deflate::Negotiated>, Refusal> {
    const MALFORMED: Refusal = Refusal::Malformed("sec-websocket-extensions");
    let mut offers = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
        let text = value.to_str().map_err(|_| MALFORMED)?;
        offers.extend(tokens::extensions(text).ok_or(MALFORMED)?);
    }
    let agreed = policy.compression.as_ref().and_then(|wanted| accept_offers(&offers, wanted));
    let Some((text, agreed)) = agreed else { return Ok(None) };
    answer.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::try_from(text).map_err(|_| MALFORMED)?);
    Ok(Some(agreed))
}

fn protocol(headers: &HeaderMap, spoken: &[String]) -> Result<Option<String>, Refusal> {
    const MALFORMED: Refusal = Refusal::Malformed("sec-websocket-protocol");
    let mut offered = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let text = value.to_str().map_err(|_| MALFORMED)?;
        offered.extend(text.split(',').map(str::trim).filter(|item| !item.is_empty()));
    }
    if !offered.iter().all(|item| is_token(item)) {
        return Err(MALFORMED);
    }
    Ok(spoken.iter().find(|protocol| offered.contains(&protocol.as_str())).cloned())
}

fn is_allowed(headers: &HeaderMap, host: Option<&str>, origins: &Origins) -> bool {
    let mut all = headers.get_all(ORIGIN).iter();
    let Some(origin) = all.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), all.next()) else { return false };
    match origins {
        Origins::Any => true,
        Origins::Listed(listed) => listed.iter().any(|item| item.eq_ignore_ascii_case(origin)),
        Origins::Judged(judge) => judge(origin),
        Origins::SameHost => {
            let from =
                origin.split_once("://").map(|(scheme, host)| (scheme, without_default_port(host, scheme)));
            match (from, host) {
                (Some((scheme, from)), Some(host)) => {
                    without_default_port(host, scheme).eq_ignore_ascii_case(from)
                }
                _ => false,
            }
        }
    }
}

/// Browsers leave a scheme's own port out.
fn without_default_port<'a>(host: &'a str, scheme: &str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

fn once<'a>(headers: &'a HeaderMap, field: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(field).iter();
    let first = all.next()?;
    all.next().is_none().then_some(first)
}
