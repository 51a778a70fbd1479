//! Response compression with gzip (RFC 9110 8.4.1.3, RFC 1952).

use super::super::body::{Body, BodyError};
use super::super::handler::Handler;
use super::encoding::{Coding, accepted};
use bytes::{Buf as _, Bytes};
use flate2::{Compress, Compression, FlushCompress, Status};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, VARY,
};
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Shorter bodies are sent as they are.
const SHORTEST: u64 = 1024;

/// Bytes that one poll compresses, at most: about 0.3 ms at the default level.
const STEP: usize = 32 * 1024;

/// The level: fast, and most of what the best gives.
const LEVEL: u32 = 3;

/// Compresses what a handler answers when it is worth it and the client takes it.
///
/// Texts, JSON, JavaScript, XML, SVG and WebAssembly of 1 KiB or more; nothing that is compressed already, partial, or
/// marked `no-transform`. `Vary` is added wherever the request could have made a difference, and a strong `ETag` becomes a
/// weak one. A body that is a stream is compressed as it goes, and flushed whenever it pauses.
#[derive(Debug, Clone)]
pub struct Compressed<H> {
    handler: H,
}

impl<H: Handler> Compressed<H> {
    /// Compresses what `handler` answers.
    pub const fn new(handler: H) -> Self {
        Self { handler }
    }
}

impl<H: Handler> Handler for Compressed<H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let welcome = !accepted(request.headers(), &[Coding::Gzip]).is_empty();
        let mut response = self.handler.handle(request).await;
        if !is_worth_it(&response) {
            return response;
        }
        if !holds(response.headers(), &VARY, "accept-encoding") {
            response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if !welcome {
            return response;
        }
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(Coding::Gzip.name()));
        weaken(headers);
        response.map(|body| Body::stream(Gzip::new(body)))
    }
}

fn is_worth_it(response: &Response<Body>) -> bool {
    let headers = response.headers();
    let unchangeable = headers.contains_key(CONTENT_ENCODING)
        || headers.contains_key(CONTENT_RANGE)
        || holds(headers, &CACHE_CONTROL, "no-transform")
        || matches!(
            response.status(),
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
        )
        || response.status().is_informational();
    // What answers `HEAD` may say a length and have no body.
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = said.or_else(|| http_body::Body::size_hint(response.body()).upper());
    let long = length.is_none_or(|length: u64| length >= SHORTEST);
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !unchangeable && long && is_compressible(kind)
}

fn holds(headers: &HeaderMap, name: &http::HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(word))
}

fn is_compressible(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/") && kind != "text/event-stream"
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind.as_str(),
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/wasm"
                | "application/toml"
                | "application/yaml"
        )
}

/// The bytes differ now; what they mean does not (RFC 9110 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let weak = headers
        .get(ETAG)
        .and_then(|etag| etag.to_str().ok())
        .filter(|etag| !etag.starts_with("W/"))
        .and_then(|etag| HeaderValue::try_from(format!("W/{etag}")).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

/// A body on its way through the compressor.
struct Gzip {
    body: Body,
    compress: Compress,
    /// Of the last frame, not compressed yet.
    input: Bytes,
    /// Compressed bytes may be inside.
    unflushed: bool,
    ended: bool,
    done: bool,
    trailers: Option<HeaderMap>,
}

impl Gzip {
    fn new(body: Body) -> Self {
        Self {
            body,
            compress: Compress::new_gzip(Compression::new(LEVEL), 15),
            input: Bytes::new(),
            unflushed: false,
            ended: false,
            done: false,
            trailers: None,
        }
    }

    /// Compresses some of the input; gives what came out.
    fn step(&mut self, flush: FlushCompress) -> Result<Bytes, BodyError> {
        let part = self.input.get(..self.input.len().min(STEP)).unwrap_or_default();
        let mut out = Vec::with_capacity(part.len() / 2 + 256);
        let mut rest = part;
        loop {
            let before = self.compress.total_in();
            let status = self
                .compress
                .compress_vec(rest, &mut out, flush)
                .map_err(|error| BodyError::Stream(Box::new(error)))?;
            let taken = usize::try_from(self.compress.total_in().wrapping_sub(before)).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            if status == Status::StreamEnd {
                self.done = true;
                break;
            }
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
            out.reserve(out.capacity());
        }
        let length = part.len();
        self.input.advance(length);
        self.unflushed = matches!(flush, FlushCompress::None);
        Ok(out.into())
    }

    /// The next compressed bytes.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.done {
                return Poll::Ready(None);
            }
            if !self.input.is_empty() {
                match self.step(FlushCompress::None) {
                    Ok(out) if out.is_empty() => continue,
                    result => return Poll::Ready(Some(result)),
                }
            }
            if self.ended {
                return Poll::Ready(Some(self.step(FlushCompress::Finish)));
            }
            match http_body::Body::poll_frame(Pin::new(&mut self.body), cx) {
                Poll::Pending if self.unflushed => {
                    return Poll::Ready(Some(self.step(FlushCompress::Sync)));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.ended = true,
                Poll::Ready(Some(Err(error))) => {
                    self.done = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.input = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.ended = true;
                    }
                },
            }
        }
    }
}

impl http_body::Body for Gzip {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match ready!(self.poll_data(cx)) {
            Some(result) => Some(result.map(Frame::data)),
            None => self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::handler::handler_fn;
    use super::super::super::response::text;
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use http::header::ACCEPT_ENCODING;
    use std::io::Read as _;

    fn ask(
        handler: impl Fn() -> Response<Body> + Send + Sync + 'static,
        accept: &str,
    ) -> (Response<()>, Vec<u8>) {
        let handler = Compressed::new(handler_fn(move |_| std::future::ready(handler())));
        let request = Request::get("/").header(ACCEPT_ENCODING, accept).body(Body::empty()).unwrap();
        block_on(async {
            let (head, body) = handler.handle(request).await.into_parts();
            (Response::from_parts(head, ()), body.bytes(1 << 24).await.unwrap().to_vec())
        })
    }

    fn unzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    fn long() -> Vec<u8> {
        (0..200_000_u32).flat_map(|n| (n / 7).to_string().into_bytes()).collect()
    }

    #[test]
    fn long_texts_are_compressed() {
        let (head, body) = ask(
            || {
                let mut response = text(long());
                response.headers_mut().insert(ETAG, HeaderValue::from_static("\"x\""));
                response
            },
            "gzip",
        );
        assert_eq!(head.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(head.headers()[VARY], "accept-encoding");
        assert_eq!(head.headers()[ETAG], "W/\"x\"");
        assert!(body.len() < long().len() / 3);
        assert_eq!(unzip(&body), long());
    }

    #[test]
    fn what_is_left_alone() {
        let with = |name: http::HeaderName, value: &'static str| {
            let value = HeaderValue::from_static(value);
            move || {
                let mut response = text(long());
                response.headers_mut().insert(name.clone(), value.clone());
                response
            }
        };
        assert_eq!(ask(with(CONTENT_ENCODING, "br"), "gzip").1, long());
        assert_eq!(ask(with(CONTENT_TYPE, "image/png"), "gzip").1, long());
        assert_eq!(ask(with(CONTENT_TYPE, "text/event-stream"), "gzip").1, long());
        assert_eq!(ask(with(CACHE_CONTROL, "public, no-transform"), "gzip").1, long());
        let (head, body) = ask(|| text(long()), "gzip;q=0, br");
        assert!(body == long() && head.headers()[VARY] == "accept-encoding", "it could have been");
        let at = |length: usize| ask(move || text(vec![b'a'; length]), "gzip").0;
        assert!(!at(1023).headers().contains_key(CONTENT_ENCODING));
        assert!(at(1024).headers().contains_key(CONTENT_ENCODING));
    }

    /// Gives one piece, waits, gives another.
    struct Pausing(u8);

    impl http_body::Body for Pausing {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.0 += 1;
            cx.waker().wake_by_ref();
            match self.0 {
                1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first "))))),
                2 | 3 => Poll::Pending,
                4 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"second"))))),
                _ => Poll::Ready(None),
            }
        }
    }

    #[test]
    fn a_stream_is_flushed_when_it_pauses() {
        let mut gzip = Body::stream(Gzip::new(Body::stream(Pausing(0))));
        block_on(async {
            let mut early = Vec::new();
            while let Some(piece) = poll_once(gzip.data()).await {
                early.extend_from_slice(&piece.unwrap().unwrap());
            }
            let mut shown = Vec::new();
            let mut decoder = flate2::write::GzDecoder::new(&mut shown);
            std::io::Write::write_all(&mut decoder, &early).unwrap();
            std::io::Write::flush(&mut decoder).unwrap();
            drop(decoder);
            assert_eq!(shown, b"first ", "there before the second was made");
            let rest = gzip.bytes(1000).await.unwrap();
            assert_eq!(unzip(&[&early[..], &rest].concat()), b"first second");
        });
    }
}
