//! Cross-origin requests: what browsers ask before a page may talk to a node.

use super::body::Body;
use super::handler::Handler;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{Method, Request, Response, StatusCode};

/// Lets pages of other origins call a handler (the Fetch standard, section 3.2).
///
/// Credentials are never allowed, so `*` is safe for an endpoint that is public anyway. Preflight requests are
/// answered here; requests without an `Origin` pass untouched.
#[derive(Debug, Clone)]
pub struct Cors<H> {
    handler: H,
    /// Empty: any.
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
}

impl<H: Handler> Cors<H> {
    /// Any origin may send `POST` (and `GET`) requests to `handler`.
    pub fn any(handler: H) -> Self {
        Self { handler, origins: Vec::new(), methods: HeaderValue::from_static("GET, POST, OPTIONS") }
    }

    /// Only these origins may, spelled as browsers do (`https://wallet.example`). None given means any.
    #[must_use]
    pub fn origins(self, origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        Self { origins: origins.into_iter().collect(), ..self }
    }

    fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().find(|known| *known == origin).cloned()
    }

    fn preflight(&self, allowed: Option<HeaderValue>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if let Some(origin) = allowed {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
        }
        response
    }
}

impl<H: Handler> Handler for Cors<H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let Some(origin) = request.headers().get(ORIGIN) else { return self.handler.handle(request).await };
        let allowed = self.allow(origin);
        let preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let mut response =
            if preflight { self.preflight(allowed.clone()) } else { self.handler.handle(request).await };
        if let Some(origin) = allowed {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        if !self.origins.is_empty() {
            response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::super::handler::handler_fn;
    use super::super::response::text;
    use super::*;
    use futures_lite::future::block_on;

    fn ask(cors: &Cors<impl Handler>, request: http::request::Builder) -> Response<Body> {
        block_on(cors.handle(request.body(Body::empty()).unwrap()))
    }

    #[test]
    fn preflight_and_plain_requests() {
        let cors = Cors::any(handler_fn(|_| async { text("done") }));
        let preflight = Request::options("/")
            .header(ORIGIN, "https://dapp.example")
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        let response = ask(&cors, preflight);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "content-type");

        let response = ask(&cors, Request::post("/").header(ORIGIN, "https://dapp.example"));
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let response = ask(&cors, Request::post("/"));
        assert!(response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    }

    #[test]
    fn a_list_of_origins_keeps_others_out() {
        let known = HeaderValue::from_static("https://wallet.example");
        let cors = Cors::any(handler_fn(|_| async { text("done") })).origins([known.clone()]);
        let response = ask(&cors, Request::post("/").header(ORIGIN, known.clone()));
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], known);
        assert_eq!(response.headers()[VARY], "origin");
        let response = ask(&cors, Request::post("/").header(ORIGIN, "https://evil.example"));
        assert!(response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
    }
}
