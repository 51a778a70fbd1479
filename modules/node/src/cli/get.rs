//! `shroud get`: a small curl.

use super::Failure;
use clap::Args;
use shroud_ghostwire::http::{
    Body, Client, ClientLimits, HeaderName, HeaderValue, Method, Proxy, Request, Response, Uri,
};
use shroud_ghostwire::tls::{ClientOptions, SeamClock, Trust, alpn, provider};
use shroud_runtime::Runtime;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where systems keep the certificates of the authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Ask an HTTP server, over HTTP/1.1 or HTTP/2, with TLS or without; print the answer's body
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to ask for: http://HOST[:PORT]/PATH or https://...
    url: Uri,
    /// HTTP/1.1 only
    #[arg(short = '1', long, conflicts_with = "http2")]
    http1: bool,
    /// HTTP/2 only; to an http:// address without asking first whether the server knows it
    #[arg(short = '2', long)]
    http2: bool,
    /// Accept any certificate: whoever sits in between can read and change everything
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Trust the authorities in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
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
    /// Go through this proxy: http://HOST:PORT
    #[arg(short = 'x', long, value_name = "URL")]
    proxy: Option<Uri>,
    /// Print to standard error how long the answer's header and its body took
    #[arg(short, long)]
    timing: bool,
    /// Give up when nothing arrives for so long
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30)]
    max_wait: u64,
}

/// What an exchange came to.
struct Took {
    header: Duration,
    whole: Duration,
    bytes: u64,
}

impl Get {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let request = self.to_send()?;
        let trust = if self.url.scheme_str() == Some("https") || self.location {
            Some(trust(self.insecure, self.cacert.as_deref())?)
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
                "header after {:.3} ms, all {} bytes after {:.3} ms",
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
        let mut client = Client::new(runtime.clone(), limits);
        if let Some(trust) = trust {
            let protocols: &[&[u8]] = match (self.http1, self.http2) {
                (true, _) => &[alpn::HTTP_1_1],
                (_, true) => &[alpn::H2],
                _ => &[alpn::H2, alpn::HTTP_1_1],
            };
            let options = ClientOptions::new(provider(), SeamClock::new(runtime.clone()), trust);
            let config = options.protocols(protocols).config().map_err(Failure::new)?;
            client = client.with_tls(config.into());
        }
        if self.http2 {
            client = client.with_http2_in_clear();
        }
        if self.location {
            client = client.with_redirects(10);
        }
        if let Some(proxy) = proxy {
            client = client.with_proxy(proxy);
        }
        let begun = runtime.now();
        let response = client.fetch(request).await.map_err(Failure::of(&self.url))?;
        let header = since(runtime.now(), begun);
        let bytes = self.print(response).await?;
        Ok(Took { header, whole: since(runtime.now(), begun), bytes })
    }

    /// Prints the answer as it comes; says how long its body was.
    async fn print(&self, response: Response<Body>) -> Result<u64, Failure> {
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
        while let Some(piece) = body.data().await.map_err(Failure::of(&self.url))? {
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

/// Whom to trust: everybody, the authorities of a file, or the system's.
pub(super) fn trust(insecure: bool, cacert: Option<&Path>) -> Result<Trust, Failure> {
    if insecure {
        return Ok(Trust::InsecureAnyone);
    }
    if let Some(path) = cacert {
        let text = std::fs::read(path).map_err(Failure::of(path.display()))?;
        return Trust::from_pem(&text).map_err(Failure::of(path.display()));
    }
    let found = BUNDLES.iter().find(|path| Path::new(path).exists());
    let Some(path) = found else {
        return Err(Failure::new(
            "this system has no list of trusted authorities where one is looked for; name one with --cacert FILE",
        ));
    };
    let text = std::fs::read(path).map_err(Failure::of(path))?;
    Trust::from_bundle(&text).map_err(Failure::of(path))
}

fn since(now: Instant, begun: Instant) -> Duration {
    now.saturating_duration_since(begun)
}
