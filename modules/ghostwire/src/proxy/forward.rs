//! One request from the client to a server and its response back.

use super::MAX_HOPS;
use super::answer::Answer;
use super::balance::{HashKey, stable_hash};
use super::config::Route;
use super::connector::{Connector, Failure, LeavesBy};
use super::fields::{Origin, client, forward_request, forward_response, has_token, hops};
use super::path::{HostField, is_plain_path, rewritten};
use super::shard::{Group, Table};
use super::source::Source;
use super::tunnel;
use super::upstream::{Lease, Unavailable};
use crate::http::{
    Body, ConnectionInfo, Method, Opened, Request, Response, StatusCode, refusal, status, upgrade,
};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Uri, Version, request};
use hyper::ext::Protocol;
use shroud_runtime::Runtime;
use shroud_websocket::handshake::Challenge;
use shroud_wire::proxy_protocol::Addresses;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The one protocol that connections are handed over to. Not `h2c`: requests inside of it would pass by every rule here.
const WEBSOCKET: &str = "websocket";

/// A request that is not forwarded, or came to nothing.
struct Refused {
    status: StatusCode,
    reason: String,
    retry_after: Option<Duration>,
    /// What follows on the connection is not to be taken for a request.
    last: bool,
}

impl Refused {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None, last: false }
    }

    fn unavailable(why: Unavailable, group: &str) -> Self {
        let (reason, pause) = match why {
            Unavailable::Busy => (format!("all servers of {group} are busy"), Duration::from_secs(1)),
            Unavailable::Down(pause) => (format!("no server of {group} takes requests"), pause),
        };
        Self { retry_after: Some(pause), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
    }

    fn into_response(self) -> Response<Body> {
        let mut response = refusal(self.status, self.reason);
        if let Some(pause) = self.retry_after {
            // Whole seconds, rounded up; at once makes no sense.
            let seconds = pause.as_millis().div_ceil(1000).clamp(1, 3600);
            let seconds = HeaderValue::from(u64::try_from(seconds).unwrap_or(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        if self.last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What all attempts to send a request have in common.
struct Job<'a> {
    route: &'a Route,
    head: request::Parts,
    /// The connection that it came on.
    ends: Option<Addresses>,
    authority: Option<Authority>,
    target: PathAndQuery,
    source: Source,
    handover: Handover,
    proxy: &'a str,
    /// Times it may be sent.
    attempts: u32,
}

/// Whether the client's connection, or its stream, is to leave HTTP for WebSocket.
enum Handover {
    No,
    /// By `Upgrade` (RFC 6455, 4.1): the handshake is the client's own, unless the server is asked by extended CONNECT; then
    /// the proxy answers its key, if it has one.
    Upgrade(Option<Challenge>),
    /// By extended CONNECT (RFC 8441, 5), which a server of HTTP/1.1 gets as an upgrade with a key of the proxy's.
    Extended(Challenge),
}

pub(super) async fn forward<R: Runtime>(
    runtime: &R,
    table: &Table<R>,
    request: Request<Body>,
) -> Response<Body> {
    if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        // RFC 9110, 9.3.7: about the server itself.
        return status(StatusCode::NO_CONTENT);
    }
    match prepare(runtime, table, request) {
        Ok((job, group, key)) => match exchange(runtime, &job, group, key).await {
            Ok(response) => response,
            Err(refused) => refused.into_response(),
        },
        Err(refused) => refused.into_response(),
    }
}

/// Checks a request, finds its route, and makes its head the server's.
fn prepare<'a, R: Runtime>(
    runtime: &R,
    table: &'a Table<R>,
    request: Request<Body>,
) -> Result<(Job<'a>, &'a Group<R>, u64), Refused> {
    let config = &table.config;
    let method = request.method();
    let extended = upgrade::is_extended_for(&request, WEBSOCKET);
    if method == Method::CONNECT && !extended || method == Method::TRACE {
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "neither CONNECT nor TRACE is forwarded"));
    }
    if hops(request.headers(), &config.name) >= MAX_HOPS {
        return Err(Refused::new(StatusCode::LOOP_DETECTED, "the request goes in circles"));
    }
    if !is_plainly_framed(&request) {
        let reason = "chunked is the only transfer coding, and only once";
        return Err(Refused { last: true, ..Refused::new(StatusCode::BAD_REQUEST, reason) });
    }
    let path = request.uri().path();
    if !is_plain_path(path) {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "the path must have no dot segments"));
    }
    let authority = authority(&request)?;
    let host = authority.as_ref().map_or("", Authority::host);
    let (route, group) = table
        .route(host, path)
        .ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "no route for this host and path"))?;
    let target = target(route, request.uri())?;
    let info = ConnectionInfo::of(&request);
    let (peer, secure) = (info.map(|info| info.peer), info.is_some_and(|info| info.tls.is_some()));
    let ends = info.map(|info| ends(info.peer, info.local));
    let key = group.upstream.hash_key().map_or(0, |key| {
        let by_client = || client(request.headers(), peer, config).map(|address| address.to_string());
        match key {
            HashKey::Client => stable_hash(by_client().unwrap_or_default().as_bytes()),
            HashKey::Path => stable_hash(path.as_bytes()),
            HashKey::Header(name) => match request.headers().get(name) {
                Some(value) => stable_hash(value.as_bytes()),
                None => stable_hash(by_client().unwrap_or_default().as_bytes()),
            },
        }
    });
    let mut handover = handover(runtime, &request, extended)?;
    let retry = &group.upstream.config.retry;
    let keep = if request.method().is_idempotent() && retry.attempts > 1 { retry.body_bytes } else { 0 };
    let attempts = retry.attempts;
    let (mut head, body) = request.into_parts();
    let source = Source::new(body, declared(&head.headers), keep);
    let shown = authority.as_ref().map_or("", Authority::as_str);
    let origin = Origin { peer, secure, host: shown, version: head.version };
    forward_request(&mut head.headers, origin, config);
    match &handover {
        Handover::Extended(challenge) => {
            head.method = Method::GET;
            head.headers.insert(SEC_WEBSOCKET_KEY, challenge.key().clone());
        }
        Handover::Upgrade(_) if !source.is_empty() => handover = Handover::No,
        Handover::Upgrade(_) | Handover::No => {}
    }
    let job = Job { route, head, ends, authority, target, source, handover, proxy: &config.name, attempts };
    Ok((job, group, key))
}

fn handover<R: Runtime>(runtime: &R, request: &Request<Body>, extended: bool) -> Result<Handover, Refused> {
    if !extended {
        let key = || request.headers().get(SEC_WEBSOCKET_KEY).and_then(Challenge::of);
        return Ok(if wants_websocket(request) { Handover::Upgrade(key()) } else { Handover::No });
    }
    let mut nonce = [0; 16];
    runtime.fill(&mut nonce);
    let wrong = || Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "no key could be made");
    Challenge::new(&nonce).map(Handover::Extended).ok_or_else(wrong)
}

/// A connection, for servers that are told of it.
fn ends(peer: SocketAddr, local: Option<SocketAddr>) -> Addresses {
    let unknown = || match peer.ip().to_canonical() {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    Addresses::new(peer, local.unwrap_or_else(unknown))
}

/// Whether a request's transfer coding has one meaning for everybody (RFC 9112, 6.1).
fn is_plainly_framed(request: &Request<Body>) -> bool {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            request.version() == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whom a request is for (RFC 9112, 3.2.2: of its target, if that has one).
fn authority(request: &Request<Body>) -> Result<Option<Authority>, Refused> {
    let wrong = || Refused::new(StatusCode::BAD_REQUEST, "the host is none");
    let named = match (request.uri().authority(), request.headers().get(HOST)) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => Authority::try_from(host.as_bytes()).map_err(|_| wrong())?,
        // HTTP/1.0 has requests without.
        (None, None) => return Ok(None),
    };
    if named.host().is_empty() || named.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(Some(named))
}

fn target(route: &Route, uri: &Uri) -> Result<PathAndQuery, Refused> {
    let wrong = |_| Refused::new(StatusCode::BAD_REQUEST, "the path is none");
    let mut target = rewritten(route, uri.path());
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::try_from(target).map_err(wrong)
}

/// The length that a request declares, of those whose framing does not tell it (HTTP/3).
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn wants_websocket(request: &Request<Body>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, WEBSOCKET)
}

/// Sends the request to servers until one answers.
async fn exchange<R: Runtime>(
    runtime: &R,
    job: &Job<'_>,
    group: &Group<R>,
    key: u64,
) -> Result<Response<Body>, Refused> {
    let Group { upstream, connectors } = group;
    let retry = &upstream.config.retry;
    let mut tried: Vec<usize> = Vec::new();
    let mut last: Option<Refused> = None;
    upstream.budget.deposit();
    loop {
        let mut lease = match (upstream.acquire(runtime, key, &tried).await, last.take()) {
            (Ok(lease), _) => lease,
            // What a server did says more than that there is no other.
            (Err(_), Some(last)) => return Err(last),
            (Err(why), None) => return Err(Refused::unavailable(why, &upstream.name)),
        };
        let Some(connector) = connectors.get(lease.index()) else {
            return Err(Refused::new(StatusCode::BAD_GATEWAY, "the server is gone"));
        };
        tried.push(lease.index());
        let left = u32::try_from(tried.len()).is_ok_and(|sent| sent < job.attempts);
        let begun = runtime.now();
        let answer = job.send(runtime, connector).await;
        let took = runtime.now().saturating_duration_since(begun);
        let refused = match answer {
            Ok(opened) => {
                let code = opened.status();
                let unwanted = retry.statuses.contains(&code);
                lease.answered(took, !(unwanted || is_failure(code)));
                let again = unwanted && left && job.may_repeat(false) && upstream.may_retry();
                if !again {
                    return Ok(job.answer(opened, lease, upstream.config.tunnel_idle_time));
                }
                Refused::new(code, format!("{} answered {code}", connector.address))
            }
            Err(failure) => {
                if let Some(status) = job.source.fault() {
                    return Err(Refused::new(status, "the request's body was broken off or malformed"));
                }
                if failure.status == StatusCode::GATEWAY_TIMEOUT && job.source.waits_for_client() {
                    return Err(Refused::new(
                        StatusCode::REQUEST_TIMEOUT,
                        "the request's body took too long",
                    ));
                }
                lease.failed();
                tracing::debug!(reason = failure.reason, "a request to an upstream server failed");
                let again = left && job.may_repeat(failure.unsent) && upstream.may_retry();
                let refused = Refused::new(failure.status, failure.reason);
                if !again {
                    return Err(refused);
                }
                refused
            }
        };
        last = Some(refused);
    }
}

/// Answers that say that the server, or what is behind it, does not work.
fn is_failure(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// What a server has answered.
enum Answered {
    Response(Response<Body>),
    Switched(Box<Opened>),
}

impl Answered {
    fn status(&self) -> StatusCode {
        match self {
            Self::Response(response) => response.status(),
            Self::Switched(_) => StatusCode::SWITCHING_PROTOCOLS,
        }
    }
}

impl Job<'_> {
    fn may_repeat(&self, unsent: bool) -> bool {
        self.source.can_repeat() && (unsent || self.head.method.is_idempotent())
    }

    async fn send<R: Runtime>(&self, runtime: &R, connector: &Connector<R>) -> Result<Answered, Failure> {
        let mut request = self.request(connector)?;
        let by = match (&self.handover, connector.handover()) {
            (Handover::Extended(_), None) => {
                // Nothing was asked of it, and nothing is wrong with it.
                let reason =
                    format!("{} is reached over HTTP/3, which has no WebSocket here", connector.address);
                return Ok(Answered::Response(refusal(StatusCode::NOT_IMPLEMENTED, reason)));
            }
            (Handover::Upgrade(None), Some(LeavesBy::Extended)) => {
                return Ok(Answered::Response(refusal(StatusCode::BAD_REQUEST, "the key is none")));
            }
            (Handover::Upgrade(_) | Handover::Extended(_), Some(by)) => by,
            (Handover::No, _) | (Handover::Upgrade(_), None) => {
                let response = connector.send(request, self.source.length()).await?;
                return self.final_response(connector, response);
            }
        };
        match by {
            LeavesBy::Upgrade => {
                request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                request.headers_mut().insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
            }
            LeavesBy::Extended => {
                *request.method_mut() = Method::CONNECT;
                request.extensions_mut().insert(Protocol::from_static(WEBSOCKET));
                request.headers_mut().remove(SEC_WEBSOCKET_KEY);
            }
        }
        let wrong = |what: &str| Failure {
            status: StatusCode::BAD_GATEWAY,
            unsent: false,
            reason: format!("{}: {what}", connector.address),
        };
        let opened = connector.leave(runtime, by, request).await?;
        match (&opened, &self.handover) {
            // Its success says that the stream is the other protocol's.
            (Opened::Switched { .. }, _) if by == LeavesBy::Extended => {
                Ok(Answered::Switched(Box::new(opened)))
            }
            (Opened::Switched { head, .. }, _) if !has_token(head.headers(), &UPGRADE, WEBSOCKET) => {
                Err(wrong("it switched to a protocol that nobody asked for"))
            }
            (Opened::Switched { head, .. }, Handover::Extended(key))
                if !key.is_answered_by(head.headers()) =>
            {
                Err(wrong("it switched without the answer to the key"))
            }
            (Opened::Switched { .. }, _) => Ok(Answered::Switched(Box::new(opened))),
            (Opened::Unable, _) => {
                // Nothing was asked of it, and nothing is wrong with it.
                let reason = format!("{} does not announce extended CONNECT", connector.address);
                Ok(Answered::Response(refusal(StatusCode::NOT_IMPLEMENTED, reason)))
            }
            (Opened::Refused(_), _) => {
                let Opened::Refused(response) = opened else { return Err(wrong("no response")) };
                // To a client of HTTP/2 a success would say that the stream is open.
                if matches!(self.handover, Handover::Extended(_)) && response.status().is_success() {
                    return Err(wrong("it answered a request for WebSocket as any other"));
                }
                self.final_response(connector, response)
            }
        }
    }

    /// A response that ends the exchange: 101 without having been asked for it does not.
    fn final_response<R: Runtime>(
        &self,
        connector: &Connector<R>,
        response: Response<Body>,
    ) -> Result<Answered, Failure> {
        let code = response.status();
        if code.is_informational() {
            let reason = format!("{}: {code} answers nothing", connector.address);
            return Err(Failure { status: StatusCode::BAD_GATEWAY, unsent: false, reason });
        }
        Ok(Answered::Response(response))
    }

    /// The request as this server gets it: made anew from what the client's was parsed to.
    fn request<R: Runtime>(&self, connector: &Connector<R>) -> Result<Request<Body>, Failure> {
        let wrong = || Failure {
            status: StatusCode::BAD_GATEWAY,
            unsent: true,
            reason: format!("{}: no address can be made for it", connector.address),
        };
        let server = || Authority::try_from(connector.address.authority()).ok();
        let authority = match &self.route.host_field {
            HostField::Keep => self.authority.clone().or_else(server),
            HostField::Server => server(),
            HostField::Name(name) => Authority::try_from(name.as_bytes()).ok(),
        };
        let uri = Uri::builder()
            .scheme(connector.scheme())
            .authority(authority.ok_or_else(wrong)?)
            .path_and_query(self.target.clone())
            .build()
            .map_err(|_| wrong())?;
        let mut request = Request::new(self.source.attempt());
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.head.headers.clone();
        if connector.is_http1() && request.headers().contains_key(TE) {
            // RFC 9110, 10.1.4: it is for this connection.
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("te"));
        }
        if connector.introduces
            && let Some(ends) = self.ends
        {
            request.extensions_mut().insert(ends);
        }
        Ok(request)
    }

    /// The response as the client gets it, which holds on to the server until it has ended.
    fn answer<R: Runtime>(&self, answered: Answered, lease: Lease<R>, idle: Duration) -> Response<Body> {
        match answered {
            Answered::Response(response) => {
                let (head, body) = response.into_parts();
                let mut response = Response::new(Body::empty());
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers;
                forward_response(response.headers_mut(), head.version, self.proxy);
                let bodiless = self.head.method == Method::HEAD
                    || head.status == StatusCode::NO_CONTENT
                    || head.status == StatusCode::NOT_MODIFIED;
                let declared = declared(response.headers());
                let length = if bodiless { None } else { declared };
                // Said once, or not at all.
                response.headers_mut().remove(CONTENT_LENGTH);
                if let Some(declared) = declared.filter(|_| head.status != StatusCode::NO_CONTENT) {
                    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(declared));
                }
                response.map(|_| Answer::body(body, length, lease))
            }
            Answered::Switched(opened) => {
                let Opened::Switched { head, io, read } = *opened else {
                    return status(StatusCode::BAD_GATEWAY);
                };
                let mut response = Response::new(Body::empty());
                let extended = head.status() != StatusCode::SWITCHING_PROTOCOLS;
                *response.headers_mut() = head.headers().clone();
                forward_response(response.headers_mut(), Version::HTTP_11, self.proxy);
                response.headers_mut().remove(CONTENT_LENGTH);
                if matches!(self.handover, Handover::Extended(_)) {
                    response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
                } else {
                    if let (Handover::Upgrade(Some(key)), true) = (&self.handover, extended) {
                        // The server was asked for none.
                        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, key.answer().clone());
                    }
                    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
                }
                let takeover = move |client| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
                    Box::pin(async move {
                        tunnel::run(client, io, read, idle).await;
                        drop(lease);
                    })
                };
                upgrade::attach(&mut response, Box::new(takeover));
                response
            }
        }
    }
}
