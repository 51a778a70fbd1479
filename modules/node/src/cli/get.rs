//! `shroud get`: a small curl.

use super::Failure;
use super::node::write_whole;
use super::trust::TrustFlags;
use clap::Args;
use shroud_ghostwire::http::{
    Alternatives, Body, Client, ClientLimits, Cookies, HeaderName, HeaderValue, Http3Client, Method, Proxy,
    Request, Response, Uri, UseHttp3, Version,
};
use shroud_ghostwire::tls::{ClientOptions, SeamClock, Trust, alpn, provider};
use shroud_quic::{ClientConfig, Endpoint, EndpointConfig, Transport, VarInt};
use shroud_runtime::{Runtime, RuntimeExt as _};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// H3_NO_ERROR (RFC 9114, 8.1).
pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0x100);

/// How long the server may take to hear that the connection is closed.
pub(super) const GOODBYE: Duration = Duration::from_millis(200);

/// Ask an HTTP server, over HTTP/1.1, HTTP/2 or HTTP/3, with TLS or without; print the answer's body
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to ask for: http://HOST[:PORT]/PATH or https://...
    url: Uri,
    /// HTTP/1.1 only
    #[arg(short = '1', long, conflicts_with_all = ["http2", "http3"])]
    http1: bool,
    /// HTTP/2 only; to an http:// address without asking first whether the server knows it
    #[arg(short = '2', long, conflicts_with = "http3")]
    http2: bool,
    /// HTTP/3 only (over QUIC, to https:// addresses)
    #[arg(short = '3', long, conflicts_with = "proxy")]
    http3: bool,
    /// Use HTTP/3 where a server has announced it (Alt-Svc), and remember that in this file for the next time
    #[arg(long, value_name = "FILE", conflicts_with_all = ["http1", "http2", "http3"])]
    alt_svc: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustFlags,
    /// Write the body to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A header field to send, such as "Accept: text/html"; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The method [default: GET, or POST with --data]
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<Method>,
    /// A body to send; @FILE sends a file's content
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// Print the answer's status and header before its body
    #[arg(short, long)]
    include: bool,
    /// Follow redirects, up to ten
    #[arg(short = 'L', long)]
    location: bool,
    /// Take cookies, and send them back to who has set them along redirects (-L); -H "Cookie: NAME=VALUE" sends one's own
    #[arg(short = 'b', long)]
    cookies: bool,
    /// Go through this proxy: http://HOST:PORT
    #[arg(short = 'x', long, value_name = "URL")]
    proxy: Option<Uri>,
    /// Print to standard error the version of HTTP, and how long the answer's header and its body took
    #[arg(short, long)]
    timing: bool,
    /// Give up when nothing arrives for so long
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30)]
    max_wait: u64,
}

/// What an exchange came to.
struct Took {
    version: Version,
    header: Duration,
    whole: Duration,
    bytes: u64,
}

impl Get {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = self.to_send()?;
        let trust = if self.url.scheme_str() == Some("https") || self.location {
            Some(self.trust.trust()?)
        } else {
            None
        };
        let proxy = self.proxy.as_ref().map(Proxy::new).transpose().map_err(Failure::usage)?;
        let timing = self.timing;
        let took =
            super::block_on(
                move |runtime| async move { self.exchange(&runtime, request, trust, proxy).await },
            )??;
        if timing {
            eprintln!(
                "{:?}: header after {:.3} ms, all {} bytes after {:.3} ms",
                took.version,
                took.header.as_secs_f64() * 1e3,
                took.bytes,
                took.whole.as_secs_f64() * 1e3
            );
        }
        Ok(())
    }

    async fn exchange<R: Runtime>(
        &self,
        runtime: &R,
        request: Request<Body>,
        trust: Option<Trust>,
        proxy: Option<Proxy>,
    ) -> Result<Took, Failure> {
        let wait = Duration::from_secs(self.max_wait);
        let limits = ClientLimits { request_time: wait, read_time: wait, ..ClientLimits::default() };
        let mut client = Client::new(runtime.clone(), limits.clone());
        let alternatives = self.alternatives()?;
        let mut quic = None;
        if let Some(trust) = trust {
            let protocols: &[&[u8]] = match (self.http1, self.http2) {
                (true, _) => &[alpn::HTTP_1_1],
                (_, true) => &[alpn::H2],
                _ => &[alpn::H2, alpn::HTTP_1_1],
            };
            let options = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust);
            let config = options.clone().protocols(protocols).config().map_err(Failure::new)?;
            client = client.with_tls(config.into());
            let when = alternatives.clone().map(UseHttp3::WhenAnnounced);
            if let Some(when) = when.or_else(|| self.http3.then_some(UseHttp3::Always)) {
                let endpoint = self.endpoint(runtime).await?;
                let config = options.protocols(&[alpn::H3]).only_tls_13().config().map_err(Failure::new)?;
                let config = ClientConfig::new(config.into(), &Transport::default()).map_err(Failure::new)?;
                let http3 = Http3Client::new(runtime.clone(), endpoint.clone(), config, limits);
                client = client.with_http3(http3, when);
                quic = Some(endpoint);
            }
        } else if self.http3 {
            return Err(Failure::usage("HTTP/3 needs an https:// address"));
        }
        if self.http2 {
            client = client.with_http2_in_clear();
        }
        if self.location {
            client = client.with_redirects(10);
        }
        if self.cookies {
            client = client.with_cookies(Cookies::new());
        }
        if let Some(proxy) = proxy {
            client = client.with_proxy(proxy);
        }
        let took = self.fetch(runtime, &client, request, alternatives.as_ref()).await;
        // However that ended, the server is told.
        if let Some(endpoint) = quic {
            endpoint.close(NO_ERROR, b"");
            let _ = runtime.timeout(GOODBYE, endpoint.wait_idle()).await;
        }
        took
    }

    async fn fetch<R: Runtime>(
        &self,
        runtime: &R,
        client: &Client<R>,
        request: Request<Body>,
        alternatives: Option<&Alternatives>,
    ) -> Result<Took, Failure> {
        let begun = runtime.now();
        let response = client.fetch(request).await.map_err(Failure::of(&self.url))?;
        let (version, header) = (response.version(), since(runtime.now(), begun));
        let bytes = self.print(runtime, response).await?;
        let whole = since(runtime.now(), begun);
        if let (Some(path), Some(known)) = (&self.alt_svc, alternatives) {
            write_whole(path, &known.to_text()).map_err(Failure::of(path.display()))?;
        }
        Ok(Took { version, header, whole, bytes })
    }

    /// What earlier answers have announced.
    fn alternatives(&self) -> Result<Option<Alternatives>, Failure> {
        let Some(path) = &self.alt_svc else { return Ok(None) };
        match std::fs::read_to_string(path) {
            Ok(text) => Alternatives::from_text(&text).map(Some).map_err(Failure::of(path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Some(Alternatives::new())),
            Err(error) => Err(Failure::of(path.display())(error)),
        }
    }

    /// A socket of the address family that the server has.
    async fn endpoint<R: Runtime>(&self, runtime: &R) -> Result<Endpoint<R>, Failure> {
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']);
        let found = runtime.lookup(host, 0).await.map_err(Failure::of(&self.url))?;
        let any: IpAddr = match found.first() {
            Some(address) if address.is_ipv6() => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        let config = EndpointConfig::default();
        Endpoint::client(runtime, SocketAddr::new(any, 0), &config).await.map_err(Failure::new)
    }

    /// Prints the answer as it comes; says how long its body was.
    async fn print<R: Runtime>(&self, runtime: &R, response: Response<Body>) -> Result<u64, Failure> {
        let mut out: Box<dyn Write + Send> = match &self.output {
            Some(path) => Box::new(std::fs::File::create(path).map_err(Failure::of(path.display()))?),
            None => Box::new(std::io::stdout()),
        };
        let mut print = |bytes: &[u8]| match out.write_all(bytes).and_then(|()| out.flush()) {
            // A reader that has had enough, as other tools take it.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            written => written.map_err(Failure::of("writing the answer")),
        };
        if self.include {
            print(format!("{:?} {}\r\n", response.version(), response.status()).as_bytes())?;
            for (name, value) in response.headers() {
                print(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat())?;
            }
            print(b"\r\n")?;
        }
        let mut body = response.into_body();
        let mut length = 0;
        let wait = Duration::from_secs(self.max_wait);
        let late = |_| Failure::new(format_args!("{}: nothing came for {wait:?}", self.url));
        loop {
            let piece = runtime.timeout(wait, body.data()).await.map_err(late)?;
            let Some(piece) = piece.map_err(Failure::of(&self.url))? else { break };
            length += piece.len() as u64;
            print(&piece)?;
        }
        Ok(length)
    }

    fn to_send(&self) -> Result<Request<Body>, Failure> {
        let body = match &self.data {
            None => None,
            Some(text) => Some(match text.strip_prefix('@') {
                Some(path) => std::fs::read(path).map_err(Failure::of(path))?,
                None => text.clone().into_bytes(),
            }),
        };
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::new(body.map_or_else(Body::empty, Body::from));
        *request.method_mut() = self.request.clone().unwrap_or(method);
        *request.uri_mut() = self.url.clone();
        for text in &self.headers {
            let wrong =
                || Failure::usage(format_args!("{text:?} is no header field; write it as NAME: VALUE"));
            let (name, value) = text.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
            let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }
}

fn since(now: Instant, begun: Instant) -> Duration {
    now.saturating_duration_since(begun)
}
