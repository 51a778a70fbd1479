//! DNS over HTTPS (RFC 8484) as a handler of HTTP.

use super::super::MEDIA_TYPE;
use super::super::handler::{Handler, QueryInfo, Transport};
use super::{Shared, ask, encode};
use crate::http::{
    Body, ConnectionInfo, Handler as HttpHandler, HeaderValue, Method, Request, Response, StatusCode, header,
    refusal,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;
use shroud_dns::request::MAX_REQUEST;
use shroud_dns::{Received, receive};
use shroud_runtime::Runtime;
use std::sync::Arc;

/// Answers DNS questions over HTTP. Made by [`Server::https`](super::Server::https).
pub struct Https<R, H> {
    runtime: R,
    shared: Arc<Shared<H>>,
}

impl<R: Runtime, H: Handler> Https<R, H> {
    pub(super) fn new(runtime: R, shared: Arc<Shared<H>>) -> Self {
        Self { runtime, shared }
    }

    async fn respond(&self, request: Request<Body>) -> Result<Response<Body>, Response<Body>> {
        let peer = ConnectionInfo::of(&request).map(|info| info.peer);
        let info = QueryInfo { peer, transport: Transport::Https };
        let message = message(request).await?;
        let (answer, age) = match receive(&message) {
            Received::Question(request) => {
                let response = ask(&self.runtime, &self.shared, &request, &info).await;
                (encode(&self.shared, &response, &request, Transport::Https), response.least_ttl())
            }
            Received::Refused(answer) => {
                self.shared.metrics.count_refused();
                (answer, 0)
            }
            _ => {
                self.shared.metrics.count_ignored();
                return Err(refusal(StatusCode::BAD_REQUEST, "this is no DNS query"));
            }
        };
        let mut response = Response::new(Body::from(answer));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        // An answer is not kept longer than its records (RFC 8484, 5.1).
        if let Ok(value) = HeaderValue::try_from(format!("max-age={age}")) {
            headers.insert(header::CACHE_CONTROL, value);
        }
        Ok(response)
    }
}

/// The message that a request carries: as its body, or in its address.
async fn message(request: Request<Body>) -> Result<Bytes, Response<Body>> {
    match *request.method() {
        Method::POST => {
            let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
            if !kind.is_some_and(is_media_type) {
                let reason = "the body must be application/dns-message";
                return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
            }
            let body = request.into_body().bytes(MAX_REQUEST as u64).await;
            body.map_err(|error| refusal(error.status(), error.to_string()))
        }
        Method::GET | Method::HEAD => {
            let mut fields = request.uri().query().unwrap_or("").split('&');
            let Some(text) = fields.find_map(|field| field.strip_prefix("dns=")) else {
                return Err(refusal(StatusCode::BAD_REQUEST, "the address has no parameter dns"));
            };
            if text.len() > MAX_REQUEST.saturating_mul(4) / 3 + 1 {
                return Err(refusal(StatusCode::URI_TOO_LONG, "longer than any DNS query"));
            }
            let decoded = Base64UrlUnpadded::decode_vec(text.trim_end_matches('='));
            let reason = "the parameter dns is not base64url";
            decoded.map(Bytes::from).map_err(|_| refusal(StatusCode::BAD_REQUEST, reason))
        }
        _ => {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "GET and POST only");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            Err(response)
        }
    }
}

/// Whether a content type is ours, whatever its parameters.
pub(in crate::dns) fn is_media_type(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
}

impl<R: Runtime, H: Handler> HttpHandler for Https<R, H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        self.respond(request).await.unwrap_or_else(|refused| refused)
    }
}

impl<R, H> std::fmt::Debug for Https<R, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::is_media_type;

    #[test]
    fn media_types_may_have_parameters() {
        assert!(is_media_type(b"application/dns-message"));
        assert!(is_media_type(b"Application/DNS-Message ; charset=none"));
        assert!(!is_media_type(b"application/dns-json"));
        assert!(!is_media_type(b""));
    }
}
