//! Whom a request is for, and what it is called there.

use super::super::body::Body;
use super::{Client, ClientError, Options, UseHttp3};
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Uri, Version};
use shroud_runtime::Runtime;
use shroud_wire::proxy_protocol;

/// Who is asked, whatever a request's address says.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    /// That its certificate must be for.
    pub(super) name: String,
}

/// Whom a request is for.
pub(super) struct Target {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// That a certificate must be for.
    pub(super) name: String,
    /// Of the connections that serve it.
    pub(super) key: String,
    /// The whole address, and the `Host` of it.
    pub(super) address: Uri,
    pub(super) named: HeaderValue,
    /// What its connection begins with, which then serves nobody else.
    pub(super) introduction: Option<Vec<u8>>,
    /// A proxy is asked by the whole address, a server of HTTP/1.1 by the path.
    pub(super) by_address: bool,
}

impl Target {
    /// Gives a request its address, as an HTTP/2 server wants it.
    pub(super) fn name(&self, request: &mut Request<Body>) {
        request.uri_mut().clone_from(&self.address);
        request.headers_mut().remove(HOST);
        *request.version_mut() = Version::HTTP_2;
    }

    /// Gives a request its address, as an HTTP/1.1 server wants it (RFC 9112, 3.2).
    pub(super) fn name_for_http1(&self, request: &mut Request<Body>) {
        *request.uri_mut() = match self.address.path_and_query() {
            Some(path) if !self.by_address => Uri::from(path.clone()),
            _ => self.address.clone(),
        };
        request.headers_mut().insert(HOST, self.named.clone());
        *request.version_mut() = Version::HTTP_11;
    }
}

impl<R: Runtime> Client<R> {
    /// Whom a request is for.
    pub(super) fn address(&self, mut request: Request<Body>) -> Result<(Target, Request<Body>), ClientError> {
        let Options { tls, proxy, http3, server, introduced, .. } = &self.shared.options;
        let uri = std::mem::take(request.uri_mut());
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let able = tls.is_some() || matches!(http3, Some((_, UseHttp3::Always)));
        let known = uri.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP) || (secure && able);
        let Some(authority) = uri.authority().filter(|authority| known && !authority.host().is_empty())
        else {
            return Err(ClientError::Address(uri));
        };
        let default = if secure { 443 } else { 80 };
        let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(default));
        let named = match authority.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let address = Uri::builder().scheme(scheme).authority(named.as_str()).path_and_query(path).build();
        let (Ok(named), Ok(address)) = (HeaderValue::try_from(named), address) else {
            return Err(ClientError::Address(uri));
        };
        let (host, port, name) = match server {
            Some(Server { host, port, name }) => (host.clone(), *port, name.clone()),
            None => (host.clone(), port, bare(&host).to_owned()),
        };
        let key = match proxy {
            Some(proxy) if !secure => {
                if let Some(value) = &proxy.authorization {
                    request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
                }
                format!("{}:{}", proxy.host, proxy.port)
            }
            _ if secure => format!("https://{host}:{port}"),
            _ => format!("{host}:{port}"),
        };
        let by_address = !secure && proxy.is_some();
        let addresses = request.extensions_mut().remove::<proxy_protocol::Addresses>();
        let introduction = introduced.map(|version| proxy_protocol::encode(version, addresses.as_ref()));
        Ok((Target { secure, host, port, name, key, address, named, introduction, by_address }, request))
    }
}

/// An address's host without the brackets of IPv6.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}
