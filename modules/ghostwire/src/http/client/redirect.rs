//! Where a redirect leads (RFC 9110, 10.2.2 and 15.4; RFC 3986, 5.2).

use super::super::body::Body;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

/// What is needed of a request to follow a redirect of its answer.
pub(super) struct Origin {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    repeatable: bool,
}

impl Origin {
    pub(super) fn of(request: &Request<Body>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            repeatable: http_body::Body::is_end_stream(request.body()),
        }
    }

    /// The request that follows, when `response` is a redirect that can be followed without sending a body twice.
    pub(super) fn follow<B>(&self, response: &Response<B>) -> Option<Request<Body>> {
        let method = match response.status() {
            // What everybody does for POST, and RFC 9110 allows.
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if self.method == Method::POST => Method::GET,
            StatusCode::SEE_OTHER if self.method != Method::HEAD => Method::GET,
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
                if self.repeatable =>
            {
                self.method.clone()
            }
            _ => return None,
        };
        let target = join(&self.uri, response.headers().get(LOCATION)?.to_str().ok()?)?;
        let mut next = Request::new(Body::empty());
        *next.headers_mut() = self.headers.clone();
        if method != self.method {
            for field in [CONTENT_TYPE, CONTENT_LENGTH] {
                next.headers_mut().remove(field);
            }
        }
        if origin(&target) != origin(&self.uri) {
            // Meant for the server that was asked, not for one that it names.
            for field in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                next.headers_mut().remove(field);
            }
        }
        *next.method_mut() = method;
        *next.uri_mut() = target;
        Some(next)
    }
}

fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let scheme = uri.scheme_str();
    let port = uri.port_u16().or(match scheme {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    });
    (scheme, uri.host().map(str::to_ascii_lowercase), port)
}

/// `location` as seen from `base`; none when it is not an http(s) address.
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str()?, base.authority()?.as_str());
    let whole = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if has_scheme(location) {
        location.to_owned()
    } else {
        let path = base.path();
        let relative = match location.chars().next() {
            None => base.path_and_query().map_or(path, |path| path.as_str()).to_owned(),
            Some('?') => format!("{path}{location}"),
            Some(_) => format!("{}/{location}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        format!("{scheme}://{authority}{relative}")
    };
    let target: Uri = whole.parse().ok()?;
    if !matches!(target.scheme_str(), Some("http" | "https")) || target.host().is_none_or(str::is_empty) {
        return None;
    }
    let (path, query) = (without_dots(target.path()), target.query());
    let path = query.map_or(path.clone(), |query| format!("{path}?{query}"));
    Uri::builder()
        .scheme(target.scheme()?.clone())
        .authority(target.authority()?.clone())
        .path_and_query(path)
        .build()
        .ok()
}

fn has_scheme(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, _)| {
        let mut letters = scheme.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    })
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// The examples of RFC 3986, 5.4, that http(s) addresses can have.
    #[test]
    fn references_are_resolved_as_the_standard_says() {
        let base: Uri = "http://a/b/c/d;p?q".parse().unwrap();
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g..", "http://a/b/c/g.."),
            ("g/./h", "http://a/b/c/g/h"),
            ("https://b/x", "https://b/x"),
        ] {
            assert_eq!(join(&base, reference).unwrap().to_string(), expected, "{reference}");
        }
        for reference in ["ftp://a/", "javascript:x", "mailto:a@b", "http:///", "//"] {
            assert_eq!(join(&base, reference), None, "{reference}");
        }
    }

    fn followed(method: Method, body: &'static str, code: u16, to: &'static str) -> Option<Request<Body>> {
        let request = Request::builder()
            .method(method)
            .uri("http://a/x")
            .header(AUTHORIZATION, "secret")
            .header(CONTENT_TYPE, "t")
            .header("other", "kept")
            .body(Body::from(body))
            .unwrap();
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
        Origin::of(&request).follow(&response)
    }

    #[test]
    fn methods_change_as_they_must_and_secrets_stay_at_home() {
        assert_eq!(followed(Method::GET, "", 302, "/y").unwrap().method(), Method::GET);
        assert_eq!(followed(Method::POST, "body", 302, "/y").unwrap().method(), Method::GET);
        assert_eq!(followed(Method::PUT, "body", 303, "/y").unwrap().method(), Method::GET);
        assert!(followed(Method::POST, "body", 307, "/y").is_none(), "a body is not sent twice");
        assert_eq!(followed(Method::DELETE, "", 308, "/y").unwrap().method(), Method::DELETE);
        assert!(followed(Method::GET, "", 304, "/y").is_none());
        let home = followed(Method::POST, "body", 303, "http://A:80/y").unwrap();
        assert!(home.headers().contains_key(AUTHORIZATION) && !home.headers().contains_key(CONTENT_TYPE));
        for away in ["https://a/y", "http://a:81/y", "//b/y"] {
            let away = followed(Method::GET, "", 302, away).unwrap();
            assert!(!away.headers().contains_key(AUTHORIZATION) && away.headers().contains_key("other"));
        }
    }
}
