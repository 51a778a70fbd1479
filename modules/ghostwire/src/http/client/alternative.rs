//! Where else servers say they are: HTTP Alternative Services (RFC 7838), of which HTTP/3 is used.

use http::{HeaderMap, header::ALT_SVC};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Origins remembered at most; the one that ends first makes room.
const MAX_ORIGINS: usize = 256;

/// The longest field that is read, in bytes.
const MAX_FIELD: usize = 4096;

/// The longest time that is believed; without one it is a day (RFC 7838, 3.1).
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const USUAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long one is left alone that could not be reached.
const BROKEN: Duration = Duration::from_secs(5 * 60);

/// The HTTP/3 alternatives that servers have announced, 256 at most. Clones are the same memory, which several clients may
/// share. Times are the wall clock's, since the Unix epoch, so that they hold over restarts.
#[derive(Debug, Clone, Default)]
pub struct Alternatives {
    known: Arc<Mutex<BTreeMap<String, Alternative>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    /// Empty: the origin's own host.
    host: String,
    port: u16,
    until: Duration,
    broken_until: Duration,
}

/// A line that is none of a memory's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not of the form ORIGIN HOST:PORT UNTIL")]
pub struct InvalidAlternatives(pub usize);

impl Alternatives {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What [`Alternatives::to_text`] has written. Of more than 256 lines the rest is left out.
    ///
    /// # Errors
    /// [`InvalidAlternatives`] with the number of the first bad line.
    pub fn from_text(text: &str) -> Result<Self, InvalidAlternatives> {
        let mut known = BTreeMap::new();
        for (line, number) in text.lines().zip(1..).take(MAX_ORIGINS) {
            let (origin, alternative) = read_line(line).ok_or(InvalidAlternatives(number))?;
            known.insert(origin, alternative);
        }
        Ok(Self { known: Arc::new(Mutex::new(known)) })
    }

    /// A line for each: origin, host and port of the alternative, and when it ends (seconds since the Unix epoch).
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (origin, Alternative { host, port, until, .. }) in &*self.lock() {
            let _ = writeln!(text, "{origin} {host}:{port} {}", until.as_secs());
        }
        text
    }

    /// Host and port of `origin`'s alternative; an empty host is the origin's own.
    pub(super) fn find(&self, origin: &str, now: Duration) -> Option<(String, u16)> {
        let mut known = self.lock();
        let found = known.get(origin)?;
        if found.until <= now {
            known.remove(origin);
            return None;
        }
        (found.broken_until <= now).then(|| (found.host.clone(), found.port))
    }

    /// It could not be reached.
    pub(super) fn is_broken(&self, origin: &str, now: Duration) {
        if let Some(found) = self.lock().get_mut(origin) {
            found.broken_until = now.saturating_add(BROKEN);
        }
    }

    /// Takes note of what `origin` says in its response's header.
    pub(super) fn learn(&self, origin: &str, headers: &HeaderMap, now: Duration) {
        let mut announced = false;
        for value in headers.get_all(ALT_SVC) {
            let Some(text) = value.to_str().ok().filter(|text| text.len() <= MAX_FIELD) else { continue };
            if text.trim() == "clear" {
                self.lock().remove(origin);
                return;
            }
            // The first that is understood is the one the server prefers.
            let found = if announced { None } else { services(text).find_map(http3) };
            let Some((host, port, time)) = found else { continue };
            announced = true;
            let mut known = self.lock();
            if !known.contains_key(origin) && known.len() >= MAX_ORIGINS {
                let first = known.iter().min_by_key(|(_, other)| other.until).map(|(name, _)| name.clone());
                first.map(|first| known.remove(&first));
            }
            let before = known.get(origin).filter(|before| before.host == host && before.port == port);
            let broken_until = before.map_or(Duration::ZERO, |before| before.broken_until);
            let until = now.saturating_add(time.min(LONGEST));
            known.insert(origin.to_owned(), Alternative { host, port, until, broken_until });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Alternative>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_line(line: &str) -> Option<(String, Alternative)> {
    let mut words = line.split(' ');
    let (origin, place, until, None) = (words.next()?, words.next()?, words.next()?, words.next()) else {
        return None;
    };
    let (host, port) = authority(place)?;
    let until = Duration::from_secs(until.parse().ok()?);
    Some((origin.to_owned(), Alternative { host, port, until, broken_until: Duration::ZERO }))
}

/// The values of a list, whose quoted strings may hold commas.
fn services(text: &str) -> impl Iterator<Item = &str> {
    split_outside_quotes(text, ',')
}

fn split_outside_quotes(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |letter| {
        quoted ^= letter == '"';
        !quoted && letter == at
    })
    .map(str::trim)
}

/// Host, port and time of a service that is HTTP/3.
fn http3(service: &str) -> Option<(String, u16, Duration)> {
    let mut parts = split_outside_quotes(service, ';');
    let (protocol, place) = parts.next()?.split_once('=')?;
    if protocol.trim() != "h3" {
        return None;
    }
    let place = place.trim().strip_prefix('"')?.strip_suffix('"')?;
    let (host, port) = authority(place)?;
    let times = parts.filter_map(|parameter| parameter.strip_prefix("ma=")?.trim_matches('"').parse().ok());
    Some((host, port, times.last().map_or(USUAL, Duration::from_secs)))
}

/// `[host]:port`
fn authority(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:%".contains(&byte));
    plain.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const ORIGIN: &str = "https://a:443";

    fn after(fields: &[&'static str], at: u64) -> Option<(String, u16)> {
        let alternatives = Alternatives::new();
        for field in fields {
            let mut headers = HeaderMap::new();
            headers.insert(ALT_SVC, HeaderValue::from_static(field));
            alternatives.learn(ORIGIN, &headers, Duration::from_secs(1000));
        }
        alternatives.find(ORIGIN, Duration::from_secs(at))
    }

    #[test]
    fn the_first_http3_service_is_taken_for_its_time() {
        let own = Some((String::new(), 443));
        assert_eq!(after(&["h3=\":443\""], 1000 + 86_399), own);
        assert_eq!(after(&["h3=\":443\""], 1000 + 86_400), None, "a day unless told otherwise");
        assert_eq!(after(&["h3=\":443\"; ma=60; persist=1"], 1059), own);
        assert_eq!(after(&["h3=\":443\";ma=60"], 1060), None);
        assert_eq!(
            after(&["h2=\":1\", h3-29=\":2\" , h3=\"b.test:8443\", h3=\":5\""], 1001),
            Some(("b.test".into(), 8443))
        );
        assert_eq!(after(&["h3=\"[::1]:443\""], 1001), Some(("[::1]".into(), 443)));
        assert_eq!(after(&["h3=\":443\"", "clear"], 1001), None);
        assert_eq!(after(&["h3=\":443\"", "h3=\":444\""], 1001), Some((String::new(), 444)));
        for nonsense in
            ["", "h3", "h3=:443", "h3=\"443\"", "h3=\":0\"", "h3=\":65536\"", "h3=\"a b:1\"", "x=\"h3=:1\""]
        {
            assert_eq!(after(&[Box::leak(nonsense.to_owned().into_boxed_str())], 1001), None, "{nonsense}");
        }
    }

    #[test]
    fn one_that_is_broken_is_left_alone_for_a_while() {
        let alternatives = Alternatives::new();
        let mut headers = HeaderMap::new();
        headers.insert(ALT_SVC, HeaderValue::from_static("h3=\":443\""));
        let at = Duration::from_secs;
        alternatives.learn(ORIGIN, &headers, at(1000));
        alternatives.is_broken(ORIGIN, at(1000));
        alternatives.learn(ORIGIN, &headers, at(1001));
        assert_eq!(alternatives.find(ORIGIN, at(1299)), None, "saying it again does not mend it");
        assert!(alternatives.find(ORIGIN, at(1300)).is_some());
    }

    #[test]
    fn no_more_origins_are_remembered_than_allowed() {
        let alternatives = Alternatives::new();
        let mut headers = HeaderMap::new();
        headers.insert(ALT_SVC, HeaderValue::from_static("h3=\":443\""));
        for n in 0..=MAX_ORIGINS as u64 {
            alternatives.learn(&format!("https://{n}:443"), &headers, Duration::from_secs(n));
        }
        assert_eq!(alternatives.lock().len(), MAX_ORIGINS);
        assert_eq!(alternatives.find("https://0:443", Duration::ZERO), None, "the first to end went");
        let text = alternatives.to_text();
        assert_eq!(Alternatives::from_text(&text).unwrap().to_text(), text);
        assert_eq!(Alternatives::from_text("https://a:443 :443 5\nx\n").unwrap_err(), InvalidAlternatives(2));
    }

    proptest! {
        #[test]
        fn no_field_panics(text: String) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::try_from(text.clone()) {
                headers.insert(ALT_SVC, value);
            }
            Alternatives::new().learn(ORIGIN, &headers, Duration::MAX);
            let _ = Alternatives::from_text(&text);
        }
    }
}
