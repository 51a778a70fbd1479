//! Values that are written as text.

use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// A time as `250ms`, `5s`, `2m` or `1h`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Time(pub(super) Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time; write it as 250ms, 5s, 2m or 1h");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(millis).map(|millis| Self(Duration::from_millis(millis))).ok_or_else(wrong)
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerProtocol {
    /// `http://`: HTTP/1.1.
    Http,
    /// `https://`: TLS, with HTTP/2 when the server chooses it (ALPN), else HTTP/1.1.
    Https,
    /// `h2c://`: HTTP/2 in the clear (RFC 9113, 3.3).
    H2c,
    /// `h3://`: HTTP/3.
    H3,
}

/// Where a server is: `http://host:port`, `https://`, `h2c://` or `h3://`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerAddress {
    /// How it is spoken to.
    pub protocol: ServerProtocol,
    /// Its name or address, without the brackets of IPv6.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl ServerAddress {
    /// Whether it speaks TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        matches!(self.protocol, ServerProtocol::Https | ServerProtocol::H3)
    }

    /// Host and port, as in a `Host` field.
    #[must_use]
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            ServerProtocol::Http => "http",
            ServerProtocol::Https => "https",
            ServerProtocol::H2c => "h2c",
            ServerProtocol::H3 => "h3",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no server; write it as http://HOST:PORT, https://HOST:PORT, h2c://HOST:PORT or h3://HOST:PORT"
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (protocol, port) = match scheme {
            "http" => (ServerProtocol::Http, 80),
            "https" => (ServerProtocol::Https, 443),
            "h2c" => (ServerProtocol::H2c, 80),
            "h3" => (ServerProtocol::H3, 443),
            _ => return Err(wrong()),
        };
        let authority: http::uri::Authority =
            rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| wrong())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port != 0).ok_or_else(wrong)?,
            None => port,
        };
        Ok(Self { protocol, host, port })
    }
}

impl std::str::FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        let time = |text: &str| Time::try_from(text.to_owned()).map(|time| time.0);
        assert_eq!(time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "5", "s", "-1s", "1.5s", "5 s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(time(wrong).unwrap_err().contains("5s"), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_servers() {
        for (text, shown) in [
            ("http://a", "http://a:80"),
            ("https://a/", "https://a:443"),
            ("h2c://[::1]:9", "h2c://[::1]:9"),
            ("h3://b.example:8443", "h3://b.example:8443"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown);
        }
        for wrong in
            ["", "a:80", "ftp://a", "http://", "http://:80", "http://a/path", "http://u@a", "http://a:0"]
        {
            assert!(wrong.parse::<ServerAddress>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = (text.parse::<ServerAddress>(), Time::try_from(text));
        }
    }
}
