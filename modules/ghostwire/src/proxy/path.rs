//! Hosts and paths: which route a request takes, and what the server sees of its path.

use super::config::Route;
use http::HeaderValue;

/// The hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostPattern {
    /// All.
    #[default]
    Any,
    /// This one.
    Exact(String),
    /// All below this one: `*.example.com` has `a.example.com` and `a.b.example.com`, not `example.com`.
    Below(String),
}

/// What a server sees of the path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Rewrite {
    /// All of it.
    #[default]
    Keep,
    /// What follows the route's path.
    Strip,
    /// The same, after this.
    Replace(String),
}

/// What a server sees as `Host` or `:authority`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostField {
    /// What the client has sent.
    #[default]
    Keep,
    /// The server's own host and port.
    Server,
    /// This.
    Name(HeaderValue),
}

impl HostPattern {
    /// `*.example.com`, or a name; case and a port do not matter.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let valid =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
        if !valid {
            return Err(format!("`{text}` is no host; write a name, *.name or leave it out for all hosts"));
        }
        let lower = name.to_ascii_lowercase();
        Ok(if name.len() == text.len() { Self::Exact(lower) } else { Self::Below(lower) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(name) => {
                let end = host.len().checked_sub(name.len());
                let (start, end) = end.and_then(|end| host.split_at_checked(end)).unwrap_or(("", ""));
                end.eq_ignore_ascii_case(name) && start.len() > 1 && start.ends_with('.')
            }
        }
    }

    /// The larger, the more specific.
    fn rank(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Below(name) => (1, name.len()),
            Self::Exact(_) => (2, 0),
        }
    }
}

/// Orders routes so that the first that matches is the one to take.
pub(super) fn by_precedence(routes: &mut [Route]) {
    routes.sort_by(|a, b| b.host.rank().cmp(&a.host.rank()).then(b.path.len().cmp(&a.path.len())));
}

/// Whether a route is for this host (without its port) and path.
pub(super) fn matches(route: &Route, host: &str, path: &str) -> bool {
    below(path, &route.path).is_some() && route.host.matches(host)
}

/// What follows `prefix` in `path`, from its slash on; `None` when the path is not at or below it.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The path as the server sees it.
pub(super) fn rewritten(route: &Route, path: &str) -> String {
    let rest = below(path, &route.path).unwrap_or(path);
    let prefix = match &route.rewrite {
        Rewrite::Keep => return path.to_owned(),
        Rewrite::Strip => "",
        Rewrite::Replace(prefix) => prefix.trim_end_matches('/'),
    };
    let whole = format!("{prefix}{rest}");
    if whole.is_empty() { "/".into() } else { whole }
}

/// Whether a path begins with a slash and has no `.` and `..` segments, however they are written: a server would take such
/// a path for another one than the route was chosen for.
pub(super) fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && !path.split(['/', '\\']).any(is_dots)
}

fn is_dots(segment: &str) -> bool {
    // A parameter (RFC 3986, 3.3) does not make it another segment for every server.
    let name = segment.split(';').next().unwrap_or(segment);
    if name.len() > 6 || name.is_empty() {
        return false;
    }
    let plain = name.replace("%2e", ".").replace("%2E", ".");
    matches!(plain.as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(host: &str, path: &str, rewrite: Rewrite) -> Route {
        let host = if host.is_empty() { HostPattern::Any } else { HostPattern::parse(host).unwrap() };
        Route { host, path: path.into(), rewrite, ..Route::to("u") }
    }

    #[test]
    fn the_most_specific_host_then_the_longest_path() {
        let mut routes: Vec<Route> = [
            ("", "/"),
            ("", "/api"),
            ("*.example.com", "/"),
            ("a.example.com", "/"),
            ("a.example.com", "/api/v2"),
        ]
        .into_iter()
        .map(|(host, path)| route(host, path, Rewrite::Keep))
        .collect();
        by_precedence(&mut routes);
        let take = |host: &str, path: &str| {
            let route = routes.iter().find(|route| matches(route, host, path)).unwrap();
            (route.host.clone(), route.path.clone())
        };
        let exact = HostPattern::Exact("a.example.com".into());
        assert_eq!(take("A.Example.com", "/api/v2/x"), (exact.clone(), "/api/v2".into()));
        assert_eq!(take("a.example.com", "/api/v20"), (exact, "/".into()));
        let below = HostPattern::Below("example.com".into());
        assert_eq!(take("b.c.example.com", "/api"), (below, "/".into()));
        assert_eq!(take("example.com", "/api/"), (HostPattern::Any, "/api".into()));
        assert_eq!(take("notexample.com", "/apiary"), (HostPattern::Any, "/".into()));
        assert_eq!(take(".example.com", "/"), (HostPattern::Any, "/".into()));
    }

    #[test]
    fn prefixes() {
        let strip = route("", "/api/", Rewrite::Strip);
        let replace = route("", "/api", Rewrite::Replace("/v2/".into()));
        for (path, stripped, replaced) in [
            ("/api", "/", "/v2"),
            ("/api/", "/", "/v2/"),
            ("/api/x/y", "/x/y", "/v2/x/y"),
            ("/api//x", "//x", "/v2//x"),
        ] {
            assert_eq!(rewritten(&strip, path), stripped);
            assert_eq!(rewritten(&replace, path), replaced);
        }
        assert_eq!(rewritten(&route("", "/", Rewrite::Replace("/v2".into())), "/x"), "/v2/x");
    }

    #[test]
    fn dot_segments_however_written() {
        for path in ["/", "/a", "/a/.b/..c/...", "/a%2eb/", "/.well-known/x", "//a"] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "/..",
            "/a/../b",
            "/a/.",
            "/%2e%2E/b",
            "/.%2e",
            "/a/..;x=1/b",
            "/a\\..\\b",
            "/%2E/",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_rewritten_path_is_a_path(path in "/[a-z/%.]{0,20}", prefix in "(/[a-z]{1,3}){0,3}/?") {
            let route = route("", if prefix.is_empty() { "/" } else { &prefix }, Rewrite::Strip);
            if matches(&route, "h", &path) {
                prop_assert!(rewritten(&route, &path).starts_with('/'));
            }
        }
    }
}
