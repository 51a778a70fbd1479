//! Going through a proxy (RFC 9110, 7.3.2 and 9.3.6).

use super::ClientError;
use futures_util::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use http::header::HeaderValue;
use http::uri::Scheme;
use http::{StatusCode, Uri};
use std::io;

/// The longest answer to a `CONNECT`, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// An HTTP proxy: `http` requests are sent to it with their whole address, `https` connections go through it by `CONNECT`.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy at `address`, as `http://host:port`.
    ///
    /// # Errors
    /// [`ClientError::Address`] when it is not such an address.
    pub fn new(address: &Uri) -> Result<Self, ClientError> {
        let host = address.host().filter(|host| !host.is_empty());
        match host {
            Some(host) if address.scheme() == Some(&Scheme::HTTP) => Ok(Self {
                host: host.to_owned(),
                port: address.port_u16().unwrap_or(80),
                authorization: None,
            }),
            _ => Err(ClientError::Address(address.clone())),
        }
    }

    /// With a `Proxy-Authorization`.
    #[must_use]
    pub fn with_authorization(self, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { authorization: Some(value), ..self }
    }

    /// Asks for a tunnel to `target` (host and port) on a connection to the proxy.
    pub(super) async fn tunnel<S>(&self, stream: &mut S, target: &str) -> Result<(), ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let failed = |source| ClientError::Connect { host: format!("{}:{}", self.host, self.port), source };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER {
                return Err(ClientError::Proxy { target: target.to_owned(), status: None });
            }
            // One by one, so that nothing of the tunnel is taken.
            let mut byte = [0];
            if stream.read(&mut byte).await.map_err(failed)? == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            answer.extend_from_slice(&byte);
        }
        match status(&answer) {
            Some(status) if status.is_success() => Ok(()),
            status => Err(ClientError::Proxy { target: target.to_owned(), status }),
        }
    }
}

fn status(answer: &[u8]) -> Option<StatusCode> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let code = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5))?;
    StatusCode::from_bytes(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(StatusCode::OK));
        assert_eq!(status(b"HTTP/1.0 407 x\r\na: b\r\n\r\n").map(|code| code.as_u16()), Some(407));
        for bad in [&b"HTTP/2 200\r\n\r\n"[..], b"", b"HTTP/1.1", b"HTTP/1.1 2x0 \r\n\r\n"] {
            assert_eq!(status(bad), None);
        }
    }
}
