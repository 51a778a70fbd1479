//! Which handler answers which path and method.

use super::body::Body;
use super::handler::{AnyHandler, Handler};
use super::response::{refusal, status};
use super::upgrade;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use std::collections::BTreeMap;
use std::future::Future;

/// Routes requests by path, then by method.
///
/// A path matches exactly, or with everything below it when it was registered with a trailing `/*`; the longest
/// match wins. An unknown path is answered 404, a known one with another method 405 and `Allow`. `HEAD` is answered
/// by the `GET` handler (its body is not sent), and so is extended `CONNECT` (WebSocket over HTTP/2, RFC 8441); `OPTIONS` by 204 and `Allow` unless the path has its own.
#[derive(Default)]
pub struct Router {
    exact: BTreeMap<String, Endpoint>,
    /// Without the `*`.
    below: BTreeMap<String, Endpoint>,
}

#[derive(Default)]
struct Endpoint {
    any: Option<Box<dyn AnyHandler>>,
    methods: Vec<(Method, Box<dyn AnyHandler>)>,
}

impl Router {
    /// No routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `method` on `path` by `handler`, which replaces an earlier one.
    #[must_use]
    pub fn route(mut self, method: Method, path: &str, handler: impl Handler) -> Self {
        let methods = &mut self.endpoint(path).methods;
        methods.retain(|(known, _)| *known != method);
        methods.push((method, Box::new(handler)));
        self
    }

    /// Answers every method on `path` that has no route of its own by `handler`.
    #[must_use]
    pub fn any(mut self, path: &str, handler: impl Handler) -> Self {
        self.endpoint(path).any = Some(Box::new(handler));
        self
    }

    /// [`Router::route`] for `GET` (and with it `HEAD`).
    #[must_use]
    pub fn get(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::GET, path, handler)
    }

    /// [`Router::route`] for `POST`.
    #[must_use]
    pub fn post(self, path: &str, handler: impl Handler) -> Self {
        self.route(Method::POST, path, handler)
    }

    fn endpoint(&mut self, path: &str) -> &mut Endpoint {
        match path.strip_suffix('*') {
            Some(base) => self.below.entry(base.to_owned()).or_default(),
            None => self.exact.entry(path.to_owned()).or_default(),
        }
    }

    fn find(&self, path: &str) -> Option<&Endpoint> {
        self.exact.get(path).or_else(|| {
            let longest = self.below.iter().filter(|(base, _)| path.starts_with(base.as_str()));
            longest.max_by_key(|(base, _)| base.len()).map(|(_, endpoint)| endpoint)
        })
    }
}

impl Handler for Router {
    /// Hands the handler's own future on: wrapping it would move each request and response twice more.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
        let endpoint = self.find(request.uri().path());
        let get = Method::GET;
        let method = if upgrade::is_extended(&request) { &get } else { request.method() };
        match endpoint.and_then(|endpoint| endpoint.handler(method)) {
            Some(handler) => handler.handle_any(request),
            None => Box::pin(std::future::ready(unanswered(endpoint, request.method()))),
        }
    }
}

/// What a request gets that nobody handles.
fn unanswered(endpoint: Option<&Endpoint>, method: &Method) -> Response<Body> {
    let Some(endpoint) = endpoint else { return status(StatusCode::NOT_FOUND) };
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    };
    response.headers_mut().insert(ALLOW, endpoint.allowed());
    response
}

impl Endpoint {
    fn handler(&self, method: &Method) -> Option<&dyn AnyHandler> {
        let find = |wanted: &Method| {
            self.methods.iter().find(|(known, _)| known == wanted).map(|(_, handler)| &**handler)
        };
        find(method)
            .or_else(|| if method == Method::HEAD { find(&Method::GET) } else { None })
            .or(self.any.as_deref())
    }

    fn allowed(&self) -> HeaderValue {
        let mut names: Vec<&str> = self.methods.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        names.sort_unstable();
        names.dedup();
        HeaderValue::from_str(&names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths = self.exact.keys().cloned().chain(self.below.keys().map(|base| format!("{base}*")));
        f.debug_list().entries(paths).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::handler::handler_fn;
    use super::super::response::text;
    use super::*;
    use futures_lite::future::block_on;

    fn says(word: &'static str) -> impl Handler {
        handler_fn(move |_| async move { text(word) })
    }

    fn ask(router: &Router, method: Method, path: &str) -> (u16, String, Option<String>) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        block_on(async {
            let response = router.handle(request).await;
            let allow = response.headers().get(ALLOW).map(|value| value.to_str().unwrap().to_owned());
            let code = response.status().as_u16();
            let body = response.into_body().bytes(1000).await.unwrap();
            (code, String::from_utf8(body.to_vec()).unwrap(), allow)
        })
    }

    fn router() -> Router {
        Router::new()
            .get("/", says("root"))
            .post("/", says("posted"))
            .get("/files/*", says("file"))
            .get("/files/deep/*", says("deep"))
            .any("/all", says("all"))
    }

    #[test]
    fn paths_and_methods() {
        let router = router();
        for (method, path, code, body) in [
            (Method::GET, "/", 200, "root"),
            (Method::GET, "/?query=1", 200, "root"),
            (Method::POST, "/", 200, "posted"),
            (Method::HEAD, "/", 200, "root"),
            (Method::GET, "/files/a/b", 200, "file"),
            (Method::GET, "/files/deep/b", 200, "deep"),
            (Method::DELETE, "/all", 200, "all"),
            (Method::GET, "/none", 404, "Not Found"),
            (Method::GET, "/files", 404, "Not Found"),
            (Method::GET, "//", 404, "Not Found"),
        ] {
            let (got, text, _) = ask(&router, method, path);
            assert_eq!((got, text.as_str()), (code, body), "{path}");
        }
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        let allow = Some("GET, HEAD, OPTIONS, POST".to_owned());
        assert_eq!(ask(&router(), Method::PUT, "/"), (405, "Method Not Allowed".to_owned(), allow.clone()));
        assert_eq!(ask(&router(), Method::OPTIONS, "/"), (204, String::new(), allow));
    }

    #[test]
    fn a_later_route_replaces_an_earlier_one() {
        let router = router().get("/", says("new"));
        assert_eq!(ask(&router, Method::GET, "/").1, "new");
    }
}
