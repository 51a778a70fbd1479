//! Static files and middleware as clients see them.

use crate::http::{Answer, Raw, Served, serve};
use shroud::ghostwire::http::{
    Bearer, Compressed, FileOptions, Files, Limits, RateLimited, Request, Response, Router, SecurityHeaders,
    TimeLimited, handler_fn, text,
};
use shroud::runtime::flow::RateLimits;
use shroud::runtime::{BlockFile, OpenOptions, Runtime, RuntimeExt};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Bytes of `large`: no multiple of anything.
const LARGE: usize = 3_000_017;

async fn write<R: Runtime>(runtime: &R, path: &Path, bytes: &[u8]) {
    let file =
        runtime.open(path, OpenOptions { create: true, ..OpenOptions::writing() }).await.expect("created");
    file.write_at(bytes.to_vec(), 0).await.result.expect("written");
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|n| (n % 251) as u8).collect()
}

/// A directory with files, served; a secret lies beside it.
async fn site<R: Runtime>(runtime: &R) -> (TempDir, Served) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("site");
    runtime.create_dir_all(&root.join("folder")).await.expect("made");
    write(runtime, &directory.path().join("secret"), b"secret").await;
    write(runtime, &root.join("index.html"), b"<h1>hello</h1>").await;
    write(runtime, &root.join("folder/index.html"), b"inner").await;
    write(runtime, &root.join("ten.txt"), b"0123456789").await;
    write(runtime, &root.join("empty.css"), b"").await;
    write(runtime, &root.join(".hidden"), b"hidden").await;
    write(runtime, &root.join("large"), &large()).await;
    write(runtime, &root.join("script.js"), b"plain").await;
    write(runtime, &root.join("script.js.gz"), b"zipped").await;
    write(runtime, &root.join("script.js.br"), b"brotli").await;
    let made = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let files = Files::new(runtime.clone(), &root, FileOptions::default());
    let router = Router::new().any("/*", files);
    (directory, serve(runtime, router, Limits::default()).await)
}

/// Sends one request of a method, with further header lines, and reads the answer.
async fn ask<R: Runtime>(raw: &mut Raw<R>, method: &str, path: &str, lines: &str) -> Answer {
    raw.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
    raw.answer_to(method).await.expect("an answer")
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Files, index files, types, redirects, methods.
pub async fn files_are_served<R: Runtime>(runtime: R) {
    let (_directory, served) = site(&runtime).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    for (path, status, body, kind) in [
        ("/", 200, "<h1>hello</h1>", Some("text/html; charset=utf-8")),
        ("/index.html", 200, "<h1>hello</h1>", Some("text/html; charset=utf-8")),
        ("/folder/", 200, "inner", Some("text/html; charset=utf-8")),
        ("/ten.txt?query", 200, "0123456789", Some("text/plain; charset=utf-8")),
        ("/ten%2Etxt", 200, "0123456789", Some("text/plain; charset=utf-8")),
        ("/empty.css", 200, "", Some("text/css; charset=utf-8")),
        ("/pipe", 403, "Forbidden", None),
        ("/none", 404, "Not Found", None),
        ("/ten.txt/", 404, "Not Found", None),
        ("/ten.txt/below", 404, "Not Found", None),
        ("/.hidden", 404, "Not Found", None),
        ("/../secret", 404, "Not Found", None),
        ("/%2e%2e/secret", 404, "Not Found", None),
        ("/folder/..%2f..%2fsecret", 404, "Not Found", None),
        ("/ten.txt%00", 404, "Not Found", None),
        ("//etc/passwd", 404, "Not Found", None),
    ] {
        let answer = ask(&mut raw, "GET", path, "").await;
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{path}");
        if kind.is_some() {
            assert_eq!(field(&answer, "content-type"), kind, "{path}");
            assert_eq!(field(&answer, "accept-ranges"), Some("bytes"));
        }
    }
    let answer = ask(&mut raw, "GET", "/folder?a=b", "").await;
    assert_eq!((answer.status, field(&answer, "location")), (308, Some("/folder/?a=b")));
    let answer = ask(&mut raw, "HEAD", "/large", "").await;
    assert_eq!((answer.status, field(&answer, "content-length")), (200, Some(&*LARGE.to_string())));
    let answer = ask(&mut raw, "POST", "/ten.txt", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status, field(&answer, "allow")), (405, Some("get, head")));
    // In pieces, whole, and again over the same connection.
    for _ in 0..2 {
        assert!(ask(&mut raw, "GET", "/large", "").await.body == large());
    }
}

/// Single and multiple ranges.
pub async fn ranges<R: Runtime>(runtime: R) {
    let (_directory, served) = site(&runtime).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    for (range, status, body, place) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=8-100", 206, "89", Some("bytes 8-9/10")),
        ("bytes=10-", 416, "", Some("bytes */10")),
        ("bytes=x", 200, "0123456789", None),
        ("bytes=0-,0-,0-", 200, "0123456789", None),
    ] {
        let answer = ask(&mut raw, "GET", "/ten.txt", &format!("Range: {range}\r\n")).await;
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()), "{range}");
        assert_eq!(field(&answer, "content-range"), place, "{range}");
    }
    let answer = ask(&mut raw, "GET", "/large", "Range: bytes=1000000-2999999\r\n").await;
    assert!(answer.status == 206 && answer.body == large()[1_000_000..3_000_000]);
    let answer = ask(&mut raw, "GET", "/ten.txt", "Range: bytes=0-1,5-5,-1\r\n").await;
    let boundary =
        field(&answer, "content-type").expect("a type").strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.expect("multipart");
    let part = |place: &str, body: &str| {
        format!(
            "\r\n--{boundary}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-range: bytes {place}/10\r\n\r\n{body}"
        )
    };
    let expected =
        [part("0-1", "01"), part("5-5", "5"), part("9-9", "9"), format!("\r\n--{boundary}--\r\n")].concat();
    assert_eq!((answer.status, String::from_utf8_lossy(&answer.body)), (206, expected.into()));
    let answer = ask(&mut raw, "HEAD", "/ten.txt", "Range: bytes=0-1\r\n").await;
    assert_eq!((answer.status, field(&answer, "content-length")), (200, Some("10")), "ranges are for GET");
}

/// A date as it was before [`Answer`] made it lower case.
fn date(lower: &str) -> String {
    let word = |word: &str| match word {
        "gmt" => "GMT".to_owned(),
        word => word[..1].to_uppercase() + &word[1..],
    };
    lower.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// ETag, Last-Modified, and the conditions over them.
pub async fn conditions<R: Runtime>(runtime: R) {
    let (directory, served) = site(&runtime).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    let first = ask(&mut raw, "GET", "/ten.txt", "").await;
    let etag = field(&first, "etag").expect("a tag").to_owned();
    let modified = date(field(&first, "last-modified").expect("a date"));
    for (lines, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 200),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 412),
        (format!("If-Range: {etag}\r\nRange: bytes=0-1\r\n"), 206),
        ("If-Range: \"x\"\r\nRange: bytes=0-1\r\n".to_owned(), 200),
    ] {
        let answer = ask(&mut raw, "GET", "/ten.txt", &lines).await;
        assert_eq!(answer.status, status, "{lines}");
        assert_eq!(field(&answer, "etag"), Some(&*etag));
    }
    // The file system dates by ticks of the kernel.
    runtime.sleep(Duration::from_millis(20)).await;
    write(&runtime, &directory.path().join("site/ten.txt"), b"abcdefghij").await;
    let answer = ask(&mut raw, "GET", "/ten.txt", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"abcdefghij"[..]), "another version");
}

/// Compressed siblings, by what the client likes best.
pub async fn precompressed<R: Runtime>(runtime: R) {
    let (_directory, served) = site(&runtime).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    for (accept, body, coding) in [
        ("identity", "plain", None),
        ("gzip", "zipped", Some("gzip")),
        ("gzip, br, zstd", "brotli", Some("br")),
        ("gzip, br;q=0.9", "zipped", Some("gzip")),
        ("gzip;q=0", "plain", None),
    ] {
        let answer = ask(&mut raw, "GET", "/script.js", &format!("Accept-Encoding: {accept}\r\n")).await;
        assert_eq!(&answer.body[..], body.as_bytes(), "{accept}");
        assert_eq!(field(&answer, "content-encoding"), coding, "{accept}");
        assert_eq!(field(&answer, "content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(field(&answer, "vary"), Some("accept-encoding"));
    }
}

/// A client that reads slowly gets the whole file, and only what it reads is read from the disk.
pub async fn slow_readers<R: Runtime>(runtime: R) {
    let (_directory, served) = site(&runtime).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    raw.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (mut total, mut pauses) = (0, 0);
    loop {
        let count = raw.take(40_000).await;
        if count == 0 {
            break;
        }
        total += count;
        if pauses < 20 {
            pauses += 1;
            runtime.sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(total > LARGE);
}

/// Bearer tokens, rates, time limits, compression and security fields, around each other.
pub async fn middleware<R: Runtime>(runtime: R) {
    let clock = runtime.clone();
    let routes = Router::new().get("/", handler_fn(|_| async { text("x".repeat(5000)) })).get(
        "/slow",
        handler_fn(move |_: Request<_>| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(60)).await;
                Response::new("never".into())
            }
        }),
    );
    let limited = TimeLimited::new(runtime.clone(), routes, Duration::from_millis(50));
    let limits = RateLimits {
        count: NonZeroU32::MIN,
        period: Duration::from_secs(3600),
        burst: NonZeroU32::MIN.saturating_add(4),
    };
    let handler = SecurityHeaders::new(RateLimited::new(
        runtime.clone(),
        Compressed::new(Bearer::new(limited, ["token"])),
        limits,
    ));
    let served = serve(&runtime, handler, Limits::default()).await;
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    let answer = ask(&mut raw, "GET", "/", "").await;
    assert_eq!((answer.status, field(&answer, "www-authenticate")), (401, Some("bearer")));
    let answer = ask(&mut raw, "GET", "/", "Authorization: Bearer token\r\n").await;
    assert_eq!((answer.status, answer.body.len()), (200, 5000));
    assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"));
    let answer = ask(&mut raw, "GET", "/slow", "Authorization: Bearer token\r\n").await;
    assert_eq!(answer.status, 503);
    let answer = ask(&mut raw, "HEAD", "/", "Authorization: Bearer token\r\nAccept-Encoding: gzip\r\n").await;
    assert_eq!((answer.status, field(&answer, "content-encoding")), (200, Some("gzip")));
    assert_eq!(ask(&mut raw, "GET", "/none", "Authorization: Bearer token\r\n").await.status, 404);
    let answer = ask(&mut raw, "GET", "/", "Authorization: Bearer token\r\n").await;
    assert_eq!(answer.status, 429);
    let wait: u64 = field(&answer, "retry-after").expect("when").parse().expect("seconds");
    assert!((1..=3600).contains(&wait), "{wait}");
    assert_eq!(field(&answer, "x-frame-options"), Some("deny"), "refusals carry them too");
}
