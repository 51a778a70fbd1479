//! Responses that many handlers give.

use super::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

/// A response with this status and its reason as text.
#[must_use]
pub fn status(status: StatusCode) -> Response<Body> {
    let reason = status.canonical_reason().unwrap_or("");
    let mut response = text(Bytes::from_static(reason.as_bytes()));
    *response.status_mut() = status;
    response
}

/// 200 with plain text.
#[must_use]
pub fn text(body: impl Into<Body>) -> Response<Body> {
    with_type(body.into(), HeaderValue::from_static("text/plain; charset=utf-8"))
}

/// 200 with JSON.
#[must_use]
pub fn json(body: impl Into<Body>) -> Response<Body> {
    with_type(body.into(), HeaderValue::from_static("application/json"))
}

/// A refusal with its reason for people.
#[must_use]
pub fn refusal(status: StatusCode, reason: impl Into<Body>) -> Response<Body> {
    let mut response = text(reason);
    *response.status_mut() = status;
    response
}

fn with_type(body: Body, content_type: HeaderValue) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
