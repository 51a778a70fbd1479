//! A store of cookies (RFC 6265, with what its draft successor, RFC 6265bis, has made stricter).
//!
//! | file | what is inside |
//! |---|---|
//! | `set` | what a `Set-Cookie` says |
//! | `date` | the dates in it |

mod date;
mod set;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Uri};
use set::Set;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a cookie's name and value; longer ones are not kept (RFC 6265, 6.1).
pub const COOKIE_BYTES: usize = 4096;
/// Cookies that are kept for one host or domain; more drive out the oldest (RFC 6265, 6.1).
pub const COOKIES_OF_A_DOMAIN: usize = 50;
/// Cookies that are kept in all; more drive out the oldest (RFC 6265, 6.1).
pub const COOKIES: usize = 3000;

/// For how long a cookie is kept at most, whatever its server says: 400 days (RFC 6265bis, 5.5).
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// Which domains hosts may set cookies for beyond themselves.
type Spans = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A store of cookies, empty at first and forgotten with its last clone; clones share it, also between clients.
///
/// Cookies of which any byte is no visible ASCII, a space or a tab are passed over. There is no script and no page, so that
/// `HttpOnly` and `SameSite` say nothing here.
#[derive(Clone, Default)]
pub struct Cookies {
    kept: Arc<Mutex<Vec<Cookie>>>,
    spans: Option<Spans>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    path: String,
    host_only: bool,
    secure: bool,
    /// Since 1970; `None` as long as the store.
    expires: Option<Duration>,
}

/// Whom a request asks.
struct Asked {
    host: String,
    path: String,
    secure: bool,
}

impl Asked {
    fn of(uri: &Uri) -> Option<Self> {
        let host = uri.host().filter(|host| !host.is_empty())?;
        Some(Self {
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            path: uri.path().to_owned(),
            secure: uri.scheme_str() == Some("https"),
        })
    }
}

impl Cookies {
    /// An empty store in which each cookie goes back only to the host that has set it, whatever its `Domain`: which domains
    /// belong to one owner cannot be told without a list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store in which a host may set cookies for a domain that it is in, and so for all hosts there, when `spans` says
    /// that the domain (in lower case, without a dot in front) belongs to one owner: a look into the Public Suffix List, or into
    /// a list of one's own domains. Cookies for other domains are passed over.
    #[must_use]
    pub fn spanning(spans: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { spans: Some(Arc::new(spans)), ..Self::default() }
    }

    /// How many it holds, among them expired ones that were not noticed yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Cookie>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the cookies for `uri` to a request's own, which come first.
    pub(super) fn add_to(&self, uri: &Uri, fields: &mut HeaderMap, now: Duration) {
        let Some(asked) = Asked::of(uri) else { return };
        let mut kept = self.lock();
        kept.retain(|cookie| cookie.expires.is_none_or(|expires| expires > now));
        let mut fitting: Vec<_> = kept.iter().filter(|cookie| cookie.is_for(&asked)).collect();
        // The longer path first, else the older first (5.4); the store is in order of age.
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        if fitting.is_empty() {
            return;
        }
        let pairs = fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value).into_bytes());
        let own = fields.get_all(COOKIE).iter().map(|value| value.as_bytes().to_vec());
        let all = own.chain(pairs).collect::<Vec<_>>().join(&b"; "[..]);
        if let Ok(value) = HeaderValue::from_bytes(&all) {
            fields.insert(COOKIE, value);
        }
    }

    /// Takes what the response to a request for `uri` sets.
    pub(super) fn learn(&self, uri: &Uri, fields: &HeaderMap, now: Duration) {
        let Some(asked) = Asked::of(uri) else { return };
        for field in fields.get_all(SET_COOKIE) {
            if let Some(cookie) = field
                .to_str()
                .ok()
                .and_then(|text| Set::parse(text, now))
                .and_then(|set| self.judge(set, &asked))
            {
                self.keep(cookie, &asked, now);
            }
        }
    }

    /// The cookie that `set` makes, if its server may set it (5.3).
    fn judge(&self, set: Set, asked: &Asked) -> Option<Cookie> {
        let own = || (true, asked.host.clone());
        let (host_only, domain) = match set.domain {
            None => own(),
            Some(domain) if !is_in_domain(&asked.host, &domain) => return None,
            Some(domain) => match &self.spans {
                Some(spans) if spans(&domain) => (false, domain),
                Some(_) if domain != asked.host => return None,
                _ => own(),
            },
        };
        let secure = set.secure;
        // What others could have set is not taken for the host's own (RFC 6265bis, 4.1.3).
        let begins = |prefix: &str| {
            set.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let of_host = secure && set.domain_is_absent && set.path.as_deref() == Some("/");
        if (secure && !asked.secure) || (begins("__Secure-") && !secure) || (begins("__Host-") && !of_host) {
            return None;
        }
        let path = set.path.unwrap_or_else(|| default_path(&asked.path).to_owned());
        Some(Cookie {
            name: set.name,
            value: set.value,
            domain,
            path,
            host_only,
            secure,
            expires: set.expires,
        })
    }

    fn keep(&self, cookie: Cookie, asked: &Asked, now: Duration) {
        let mut kept = self.lock();
        // What came in the clear does not displace what came by TLS (RFC 6265bis, 5.7).
        let hides = |old: &Cookie| {
            old.secure
                && old.name == cookie.name
                && (is_in_domain(&old.domain, &cookie.domain) || is_in_domain(&cookie.domain, &old.domain))
                && is_in_path(&cookie.path, &old.path)
        };
        if !asked.secure && kept.iter().any(hides) {
            return;
        }
        let dead = |cookie: &Cookie| cookie.expires.is_some_and(|expires| expires <= now);
        // One that replaces another has its age.
        let place = kept.iter().position(|old| old.is_named_as(&cookie));
        match place.and_then(|place| kept.get_mut(place)) {
            Some(old) => *old = cookie,
            None if dead(&cookie) => return,
            None => kept.push(cookie),
        }
        kept.retain(|cookie| !dead(cookie));
        let Some(domain) = kept.last().map(|newest| newest.domain.clone()) else { return };
        let of_domain = kept.iter().filter(|cookie| cookie.domain == domain).count();
        let oldest = if of_domain > COOKIES_OF_A_DOMAIN {
            kept.iter().position(|cookie| cookie.domain == domain)
        } else {
            (kept.len() > COOKIES).then_some(0)
        };
        if let Some(oldest) = oldest {
            kept.remove(oldest);
        }
    }
}

impl Cookie {
    fn is_named_as(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path, self.host_only)
            == (&other.name, &other.domain, &other.path, other.host_only)
    }

    fn is_for(&self, asked: &Asked) -> bool {
        let host =
            if self.host_only { self.domain == asked.host } else { is_in_domain(&asked.host, &self.domain) };
        host && is_in_path(&asked.path, &self.path) && (asked.secure || !self.secure)
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the values, which are secrets.
        f.debug_struct("Cookies").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Whether `host` is `domain` or in it (5.1.3).
fn is_in_domain(host: &str, domain: &str) -> bool {
    host == domain
        || (host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
            && host.parse::<std::net::IpAddr>().is_err())
}

/// Whether `asked` is `path` or below it (5.1.4).
fn is_in_path(asked: &str, path: &str) -> bool {
    asked == path || asked.strip_prefix(path).is_some_and(|rest| path.ends_with('/') || rest.starts_with('/'))
}

/// The folder of what was asked for (5.1.4).
fn default_path(asked: &str) -> &str {
    match asked.rsplit_once('/') {
        Some((folder, _)) if folder.starts_with('/') => folder,
        _ => "/",
    }
}

#[cfg(test)]
mod tests;
