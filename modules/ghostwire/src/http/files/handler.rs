//! The handler.

use super::body::{FileBody, Part};
use super::condition::{Validators, Verdict, judge, range_applies};
use super::range::{Wanted, parse};
use super::{content_type, path};
use crate::http::middleware::encoding::{Coding, accepted};
use crate::http::{Body, Handler, Request, Response, StatusCode, refusal, status};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, RANGE, VARY,
};
use http::{Method, Uri};
use shroud_runtime::{BlockFile, FileKind, FileStatus, OpenOptions, Runtime};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How a directory is served.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// What stands for a directory, the preferred first. Default `index.html`.
    pub index: Vec<String>,
    /// Serve `NAME.zst`, `NAME.br` or `NAME.gz` for `NAME` to clients that take that coding. Default true.
    pub precompressed: bool,
    /// Serve names that begin with a dot. Default false.
    pub hidden: bool,
    /// `Cache-Control` of all files. Default `no-cache`: kept, and asked about each time.
    pub cache_control: HeaderValue,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            index: vec!["index.html".into()],
            precompressed: true,
            hidden: false,
            cache_control: HeaderValue::from_static("no-cache"),
        }
    }
}

/// Serves the files below a directory to `GET` and `HEAD` requests: ranges, conditional requests, precompressed siblings,
/// index files. Files are read as the client takes them.
///
/// No request's path leads out of the directory, in whatever way it is spelled. Symbolic links in it are followed: what
/// they lead to is served. Pipes and devices are not served.
pub struct Files<R> {
    runtime: R,
    directory: PathBuf,
    options: FileOptions,
}

/// A file that is there.
struct Found<F> {
    file: F,
    status: FileStatus,
    /// The name that its type follows from.
    name: String,
    coding: Option<Coding>,
}

impl<R: Runtime> Files<R> {
    /// Serves what is below `directory`.
    pub fn new(runtime: R, directory: impl Into<PathBuf>, options: FileOptions) -> Self {
        Self { runtime, directory: directory.into(), options }
    }

    async fn answer(&self, request: &Request<()>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let uri = request.uri().path();
        let Some(relative) = path::relative(uri, self.options.hidden) else {
            return status(StatusCode::NOT_FOUND);
        };
        let path = self.directory.join(&relative);
        match self.find(&path, uri.ends_with('/'), request.headers()).await {
            Ok(Some(found)) => self.serve(request, found),
            // Relative links in an index file are relative to the directory.
            Ok(None) => redirect(request.uri()),
            Err(error) => failure(&path, &error),
        }
    }

    /// The file at `path` or the index of the directory there; `None` for a directory whose path lacks the last slash.
    async fn find(
        &self,
        path: &Path,
        slash: bool,
        headers: &HeaderMap,
    ) -> io::Result<Option<Found<R::File>>> {
        let (file, status) = self.open(path).await?;
        match status.kind {
            FileKind::Regular if slash => Err(io::ErrorKind::NotFound.into()),
            FileKind::Regular => Ok(Some(self.best(path, file, status, headers).await)),
            FileKind::Directory if !slash => Ok(None),
            FileKind::Directory => {
                drop(file);
                for index in &self.options.index {
                    let path = path.join(index);
                    match self.open(&path).await {
                        Ok((file, status)) if status.kind == FileKind::Regular => {
                            return Ok(Some(self.best(&path, file, status, headers).await));
                        }
                        _ => {}
                    }
                }
                Err(io::ErrorKind::NotFound.into())
            }
            FileKind::Other => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    async fn open(&self, path: &Path) -> io::Result<(R::File, FileStatus)> {
        let file = self.runtime.open(path, OpenOptions::reading()).await?;
        let status = file.status().await?;
        Ok((file, status))
    }

    /// The file, or a compressed form of it that the client prefers.
    async fn best(
        &self,
        path: &Path,
        file: R::File,
        status: FileStatus,
        headers: &HeaderMap,
    ) -> Found<R::File> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if self.options.precompressed {
            for coding in accepted(headers, &[Coding::Zstandard, Coding::Brotli, Coding::Gzip]) {
                let mut sibling = path.as_os_str().to_owned();
                sibling.push(".");
                sibling.push(coding.ending());
                match self.open(Path::new(&sibling)).await {
                    // One that is older than the file was made of another version of it.
                    Ok((file, compressed))
                        if compressed.kind == FileKind::Regular && compressed.modified >= status.modified =>
                    {
                        return Found { file, status: compressed, name, coding: Some(coding) };
                    }
                    _ => {}
                }
            }
        }
        Found { file, status, name, coding: None }
    }

    fn serve(&self, request: &Request<()>, found: Found<R::File>) -> Response<Body> {
        let Found { file, status, name, coding } = found;
        let validators = Validators {
            etag: format!("\"{:x}-{:x}\"", status.modified.as_nanos(), status.length),
            modified: Duration::from_secs(status.modified.as_secs()),
        };
        let verdict = judge(request.headers(), &validators);
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        self.describe(headers, &validators, coding);
        match verdict {
            Verdict::NotModified => {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return response;
            }
            Verdict::Failed => {
                *response.status_mut() = StatusCode::PRECONDITION_FAILED;
                return response;
            }
            Verdict::Proceed => {}
        }
        let kind = HeaderValue::from_static(content_type::of(&name));
        // Ranges are for GET only (RFC 9110 14.2).
        let range = request.headers().get(RANGE).filter(|_| request.method() == Method::GET);
        let wanted = match range.and_then(|range| range.to_str().ok()) {
            Some(range) if range_applies(request.headers(), &validators) => parse(range, status.length),
            _ => Wanted::Whole,
        };
        let body = match wanted {
            Wanted::Whole => {
                headers.insert(CONTENT_TYPE, kind);
                FileBody::new(file, [Part::Range(0..status.length)])
            }
            Wanted::Nothing => {
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                insert(response.headers_mut(), CONTENT_RANGE, format!("bytes */{}", status.length));
                return response;
            }
            Wanted::Parts(parts) => {
                let body = ranges(headers, file, parts, kind, &status, &validators);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                body
            }
        };
        response.headers_mut().insert(CONTENT_LENGTH, body.length().into());
        if request.method() == Method::GET {
            *response.body_mut() = Body::stream(body);
        }
        response
    }

    /// What every answer about the file carries, also 304 (RFC 9110 15.4.5).
    fn describe(&self, headers: &mut HeaderMap, validators: &Validators, coding: Option<Coding>) {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, self.options.cache_control.clone());
        insert(headers, ETAG, validators.etag.clone());
        if let Some(modified) = SystemTime::UNIX_EPOCH.checked_add(validators.modified) {
            insert(headers, LAST_MODIFIED, httpdate::fmt_http_date(modified));
        }
        if self.options.precompressed {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
    }
}

/// One range as it is, several as `multipart/byteranges` (RFC 9110 14.6).
fn ranges<F: BlockFile>(
    headers: &mut HeaderMap,
    file: F,
    parts: Vec<std::ops::Range<u64>>,
    kind: HeaderValue,
    status: &FileStatus,
    validators: &Validators,
) -> FileBody<F> {
    let place = |part: &std::ops::Range<u64>| {
        format!("bytes {}-{}/{}", part.start, part.end.saturating_sub(1), status.length)
    };
    if let [part] = &parts[..] {
        insert(headers, CONTENT_RANGE, place(part));
        headers.insert(CONTENT_TYPE, kind);
        return FileBody::new(file, parts.into_iter().map(Part::Range));
    }
    // Between parts of a file that nobody can choose for this version of it.
    let boundary = format!("shroud-{}", validators.etag.trim_matches('"'));
    let mut body = Vec::new();
    for part in parts {
        let kind = kind.to_str().unwrap_or("application/octet-stream");
        let head =
            format!("\r\n--{boundary}\r\ncontent-type: {kind}\r\ncontent-range: {}\r\n\r\n", place(&part));
        body.push(Part::Text(Bytes::from(head)));
        body.push(Part::Range(part));
    }
    body.push(Part::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    insert(headers, CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}"));
    FileBody::new(file, body)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn redirect(uri: &Uri) -> Response<Body> {
    // Relative to the host: a path that begins with two slashes would name another one, and is not found before.
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = status(StatusCode::PERMANENT_REDIRECT);
    insert(response.headers_mut(), LOCATION, format!("{}/{query}", uri.path()));
    response
}

fn failure(path: &Path, error: &io::Error) -> Response<Body> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            status(StatusCode::NOT_FOUND)
        }
        io::ErrorKind::PermissionDenied => status(StatusCode::FORBIDDEN),
        _ => {
            tracing::warn!(path = %path.display(), %error, "a file cannot be served");
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

impl<R: Runtime> Handler for Files<R> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        self.answer(&request.map(|_| ())).await
    }
}

impl<R> std::fmt::Debug for Files<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("directory", &self.directory).finish_non_exhaustive()
    }
}
