//! Content codings and `Accept-Encoding` (RFC 9110 8.4.1, 12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap};

/// Members of the list that are looked at.
const MEMBERS: usize = 32;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Brotli,
    Zstandard,
}

impl Coding {
    /// As `Content-Encoding` names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
        }
    }

    /// What file names end with.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Brotli => "br",
            Self::Zstandard => "zst",
        }
    }
}

/// Which of `offered` the client takes rather than none at all, the most welcome first; of equals, the first offered.
pub(crate) fn accepted(headers: &HeaderMap, offered: &[Coding]) -> Vec<Coding> {
    let members: Vec<(&str, u16)> = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(MEMBERS)
        .filter_map(member)
        .collect();
    let weight = |name: &str| {
        let find = |wanted: &str| {
            members.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted)).map(|(_, weight)| *weight)
        };
        find(name).or_else(|| if name == "gzip" { find("x-gzip") } else { None }).or_else(|| find("*"))
    };
    // Acceptable unless it is ruled out, and then any coding is better (RFC 9110 12.5.3).
    let plain = members
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("identity"))
        .map_or(0, |(_, weight)| *weight);
    let mut taken: Vec<(Coding, u16)> = offered
        .iter()
        .filter_map(|coding| weight(coding.name()).map(|weight| (*coding, weight)))
        .filter(|(_, weight)| *weight > 0 && *weight >= plain)
        .collect();
    taken.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    taken.into_iter().map(|(coding, _)| coding).collect()
}

/// A name and its weight in thousandths; `None` when it is malformed.
fn member(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        if key.trim().eq_ignore_ascii_case("q") {
            weight = thousandths(value.trim())?;
        }
    }
    Some((name, weight))
}

/// `0`, `1`, and up to three digits behind the point (RFC 9110 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{rest:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Coding::{Brotli, Gzip, Zstandard};
    use super::*;

    #[test]
    fn weights() {
        let all = [Zstandard, Brotli, Gzip];
        let cases: &[(&str, &[Coding])] = &[
            ("", &[]),
            ("gzip", &[Gzip]),
            ("x-gzip", &[Gzip]),
            ("GZIP, br", &[Brotli, Gzip]),
            ("gzip, br;q=0.5, zstd;q=0.9", &[Gzip, Zstandard, Brotli]),
            ("*", &[Zstandard, Brotli, Gzip]),
            ("*;q=0.1, gzip", &[Gzip, Zstandard, Brotli]),
            ("*, gzip;q=0", &[Zstandard, Brotli]),
            ("gzip;q=0", &[]),
            ("gzip;q=0.000", &[]),
            ("gzip;q=0.001", &[Gzip]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip", &[Gzip]),
            ("identity;q=0, gzip;q=0.1", &[Gzip]),
            ("gzip;q=2, br", &[Brotli]),
            ("gzip;q=1.001, br", &[Brotli]),
            ("gzip;q=0.0001, br", &[Brotli]),
            ("gzip;q, br", &[Brotli]),
            ("deflate", &[]),
        ];
        for (text, expected) in cases {
            let headers = [(ACCEPT_ENCODING, text.parse().unwrap())].into_iter().collect();
            assert_eq!(accepted(&headers, &all), *expected, "{text}");
        }
        assert_eq!(accepted(&HeaderMap::new(), &all), []);
    }
}
