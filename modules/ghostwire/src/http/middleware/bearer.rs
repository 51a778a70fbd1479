//! Bearer tokens (RFC 6750).

use super::super::body::Body;
use super::super::handler::Handler;
use super::super::response::refusal;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use std::fmt;
use std::sync::Arc;

type Judge = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Lets through only requests with a known token in `Authorization: Bearer`; others are answered 401, malformed ones 400.
/// Handlers behind it do not see the token.
#[derive(Clone)]
pub struct Bearer<H> {
    handler: H,
    judge: Judge,
}

impl<H: Handler> Bearer<H> {
    /// Lets requests with one of `tokens` through to `handler`. Comparing takes the same time for every token of a length.
    pub fn new<T: Into<String>>(handler: H, tokens: impl IntoIterator<Item = T>) -> Self {
        let tokens: Vec<String> = tokens.into_iter().map(Into::into).collect();
        Self::judged(handler, move |given| {
            // All of them, whether one has matched or not.
            tokens.iter().fold(false, |known, token| known | is_same(token.as_bytes(), given.as_bytes()))
        })
    }

    /// Lets requests through whose token `judge` says yes to.
    pub fn judged(handler: H, judge: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { handler, judge: Arc::new(judge) }
    }

    fn refusal_of(&self, request: &Request<Body>) -> Option<(StatusCode, &'static str)> {
        let mut all = request.headers().get_all(AUTHORIZATION).iter();
        let Some(first) = all.next() else { return Some((StatusCode::UNAUTHORIZED, "Bearer")) };
        if all.next().is_some() {
            return Some((StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""));
        }
        let credentials = first.to_str().ok().and_then(|text| text.split_once(' '));
        match credentials {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                let good = (self.judge)(token.trim());
                (!good).then_some((StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""))
            }
            _ => Some((StatusCode::UNAUTHORIZED, "Bearer")),
        }
    }
}

/// Compares without stopping at the first difference.
fn is_same(known: &[u8], given: &[u8]) -> bool {
    let difference = known.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
    known.len() == given.len() && std::hint::black_box(difference) == 0 && !known.is_empty()
}

impl<H: Handler> Handler for Bearer<H> {
    async fn handle(&self, mut request: Request<Body>) -> Response<Body> {
        if let Some((status, challenge)) = self.refusal_of(&request) {
            let mut response = refusal(status, status.canonical_reason().unwrap_or_default());
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            return response;
        }
        request.headers_mut().remove(AUTHORIZATION);
        self.handler.handle(request).await
    }
}

impl<H> fmt::Debug for Bearer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::handler::handler_fn;
    use super::super::super::response::text;
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn tokens() {
        let seen = handler_fn(|request: Request<Body>| async move {
            text(if request.headers().contains_key(AUTHORIZATION) { "token" } else { "none" })
        });
        let bearer = Bearer::new(seen, ["first", "second", ""]);
        for (fields, status, challenge) in [
            (&[][..], 401, Some("Bearer")),
            (&["Bearer first"][..], 200, None),
            (&["bearer  second "], 200, None),
            (&["Bearer third"], 401, Some("Bearer error=\"invalid_token\"")),
            (&["Bearer fir"], 401, Some("Bearer error=\"invalid_token\"")),
            (&["Bearer firsts"], 401, Some("Bearer error=\"invalid_token\"")),
            (&["Bearer "], 401, Some("Bearer error=\"invalid_token\"")),
            (&["Bearer"], 401, Some("Bearer")),
            (&["Basic first"], 401, Some("Bearer")),
            (&["Bearer first", "Bearer first"], 400, Some("Bearer error=\"invalid_request\"")),
        ] {
            let mut request = Request::get("/");
            for field in fields {
                request = request.header(AUTHORIZATION, *field);
            }
            let response = block_on(bearer.handle(request.body(Body::empty()).unwrap()));
            let told =
                response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!((response.status().as_u16(), told.as_deref()), (status, challenge), "{fields:?}");
            if status == 200 {
                assert_eq!(block_on(response.into_body().bytes(10)).unwrap(), "none");
            }
        }
    }
}
