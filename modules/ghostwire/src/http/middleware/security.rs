//! Header fields that tell browsers to be careful.

use super::super::body::Body;
use super::super::handler::Handler;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Request, Response};

/// Which fields are added.
#[derive(Debug, Clone)]
pub struct SecurityOptions {
    /// `Content-Security-Policy`. Default: everything from the same origin, in no other site's frame.
    pub content_security_policy: Option<HeaderValue>,
    /// `Strict-Transport-Security`: only where all of the host is served over TLS. Default none.
    pub strict_transport_security: Option<HeaderValue>,
}

impl Default for SecurityOptions {
    fn default() -> Self {
        let policy =
            HeaderValue::from_static("default-src 'self'; object-src 'none'; frame-ancestors 'none'");
        Self { content_security_policy: Some(policy), strict_transport_security: None }
    }
}

/// Adds `X-Content-Type-Options`, `X-Frame-Options`, `Referrer-Policy`, `Cross-Origin-Opener-Policy` and those of
/// [`SecurityOptions`] to every answer that does not have them.
#[derive(Debug, Clone)]
pub struct SecurityHeaders<H> {
    handler: H,
    options: SecurityOptions,
}

impl<H: Handler> SecurityHeaders<H> {
    /// Adds the default fields to what `handler` answers.
    pub fn new(handler: H) -> Self {
        Self::with(handler, SecurityOptions::default())
    }

    /// Adds the fields of `options`.
    pub const fn with(handler: H, options: SecurityOptions) -> Self {
        Self { handler, options }
    }

    fn add(&self, headers: &mut HeaderMap) {
        let fixed = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ];
        for (name, value) in fixed {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        let SecurityOptions { content_security_policy, strict_transport_security } = &self.options;
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, content_security_policy),
            (STRICT_TRANSPORT_SECURITY, strict_transport_security),
        ] {
            if let Some(value) = value {
                headers.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

impl<H: Handler> Handler for SecurityHeaders<H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let mut response = self.handler.handle(request).await;
        self.add(response.headers_mut());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::handler::handler_fn;
    use super::super::super::response::text;
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn fields_are_added_and_not_replaced() {
        let handler = handler_fn(|_| async {
            let mut response = text("x");
            response.headers_mut().insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
            response
        });
        let response = block_on(SecurityHeaders::new(handler).handle(Request::new(Body::empty())));
        assert_eq!(response.headers()[X_FRAME_OPTIONS], "SAMEORIGIN");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src"));
        assert!(!response.headers().contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
