//! What is the same for the requests of every HTTP version: each counts while it is in work, some are refused before a
//! handler sees them, and all responses get the fields that a server adds.

use super::super::body::Body;
use super::super::limits::Limits;
use super::super::metrics::Stripe;
use super::super::response::{refusal, status};
use super::Service;
use super::date::DateCache;
use http::header::{ALT_SVC, DATE, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Version};
use shroud_runtime::Runtime;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the requests of one connection share.
pub(crate) trait Shared {
    type Runtime: Runtime;
    type Handler;

    fn runtime(&self) -> &Self::Runtime;
    fn service(&self) -> &Service<Self::Handler>;
    fn stripe(&self) -> &Stripe;
    fn dates(&self) -> &Mutex<DateCache>;

    /// Whether clients are told where else the server is: those of HTTP/3 are there already.
    fn tells_alternatives(&self) -> bool {
        true
    }

    /// A request has ended; `finished` says whether its response was taken whole.
    fn request_ended(&self, finished: bool) {
        let _ = finished;
    }
}

/// A request that counts while it is in work, from its header to the end of its response.
pub(crate) struct InWork<C: Shared> {
    pub(super) shared: Arc<C>,
    pub(super) over_limit: bool,
    pub(super) finished: bool,
    answered: bool,
}

impl<C: Shared> InWork<C> {
    pub(super) fn enter(shared: Arc<C>) -> Self {
        let service = shared.service();
        let before = service.requests.fetch_add(1, Ordering::Relaxed);
        let over_limit = before >= service.limits.requests;
        Self { shared, over_limit, finished: false, answered: false }
    }

    /// Gives the response the fields that a server adds, and counts it.
    pub(super) fn answer(&mut self, response: &mut Response<Body>, begun: Instant) {
        let shared = &*self.shared;
        let now = shared.runtime().now();
        let mut dates = shared.dates().lock().unwrap_or_else(PoisonError::into_inner);
        let date = dates.at(now, || shared.runtime().unix_time());
        drop(dates);
        let headers = response.headers_mut();
        if let Some(date) = date {
            headers.entry(DATE).or_insert(date);
        }
        if let Some(elsewhere) = shared.service().alt_svc.as_ref().filter(|_| shared.tells_alternatives()) {
            headers.entry(ALT_SVC).or_insert_with(|| elsewhere.clone());
        }
        shared.stripe().request_answered(response.status(), now.saturating_duration_since(begun));
        self.answered = true;
    }
}

impl<C: Shared> Drop for InWork<C> {
    fn drop(&mut self) {
        self.shared.service().requests.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.shared.stripe().request_abandoned();
        }
        self.shared.request_ended(self.finished);
    }
}

/// What a handler need not see of any version, with a body of at least `length` bytes. Gives the request a `Host`, where
/// all handlers look for it.
pub(super) fn refuse<B>(
    request: &mut Request<B>,
    length: u64,
    limits: &Limits,
    over_limit: bool,
) -> Option<Response<Body>> {
    if !names_one_host(request) {
        return Some(refusal(StatusCode::BAD_REQUEST, "a request must name one host"));
    }
    if length > limits.body_bytes {
        let reason = format!("body longer than {} bytes", limits.body_bytes);
        return Some(refusal(StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    if over_limit {
        let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return Some(response);
    }
    None
}

fn names_one_host<B>(request: &mut Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    match request.version() {
        // RFC 9112, 3.2: exactly one.
        Version::HTTP_11 => host.is_some() && second.is_none(),
        // RFC 9113, 8.3.1 and RFC 9114, 4.3.1: the authority, or a host field in its place; both must agree.
        Version::HTTP_2 | Version::HTTP_3 => {
            let authority = request.uri().authority().map(|authority| authority.as_str());
            match (authority, host) {
                (_, Some(_)) if second.is_some() => false,
                (Some(authority), Some(host)) => authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()),
                (Some(authority), None) => match HeaderValue::from_str(authority) {
                    Ok(host) => {
                        request.headers_mut().insert(HOST, host);
                        true
                    }
                    Err(_) => false,
                },
                (None, host) => host.is_some(),
            }
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_named_as_each_version_wants_it() {
        use Version as V;
        for (version, uri, hosts, named) in [
            (V::HTTP_10, "/", &[][..], true),
            (V::HTTP_11, "/", &[], false),
            (V::HTTP_11, "/", &["a"], true),
            (V::HTTP_11, "/", &["a", "a"], false),
            (V::HTTP_2, "https://a/", &[], true),
            (V::HTTP_2, "https://a/", &["A"], true),
            (V::HTTP_2, "https://a/", &["b"], false),
            (V::HTTP_3, "https://a/", &["a", "a"], false),
            (V::HTTP_3, "/", &["a"], true),
            (V::HTTP_3, "/", &[], false),
        ] {
            let mut request = Request::builder().version(version).uri(uri).body(()).unwrap();
            for host in hosts {
                request.headers_mut().append(HOST, HeaderValue::from_static(host));
            }
            let refused = refuse(&mut request, 0, &Limits::default(), false);
            assert_eq!(refused.is_none(), named, "{version:?} {uri} {hosts:?}");
            if named && version >= V::HTTP_2 {
                assert!(request.headers().contains_key(HOST), "handlers find it in one place");
            }
        }
    }

    #[test]
    fn bodies_up_to_the_limit_are_let_in() {
        let mut request = Request::builder().header(HOST, "a").body(()).unwrap();
        let limits = Limits { body_bytes: 5, ..Limits::default() };
        assert!(refuse(&mut request, 5, &limits, false).is_none());
        let refused = refuse(&mut request, 6, &limits, false).unwrap();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let refused = refuse(&mut request, 0, &limits, true).unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
    }
}
