//! gRPC as broken and hostile peers speak it: messages that are too long, cut short or wrongly marked, bombs, calls that
//! are none, answers that are none. After each, a bystander is served.

use crate::grpc::{Note, client, framed, notes, number, path, post, serve_notes, sized};
use crate::http::serve;
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use prost::Message;
use shroud::ghostwire::grpc::{Client, Code, Options, Request, Response, Server};
use shroud::ghostwire::http::{
    self, Body, BodyError, ClientLimits, HeaderMap, HeaderValue, Limits, Method, Router, StatusCode,
    handler_fn, refusal,
};
use shroud::runtime::{Runtime, RuntimeExt};
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

const LIMIT: usize = 10_000;

async fn bystander<R: Runtime>(client: &Client<R>) {
    let echo: Response<Note> = client.unary(path("Echo"), Request::new(number(7))).await.expect("an answer");
    assert_eq!(echo.message, number(7));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

/// The limit and one byte past it, to a server and to a client, plain and compressed.
pub async fn message_limits<R: Runtime>(runtime: R) {
    let (served, _) = serve_notes(&runtime, Options { message_bytes: LIMIT, ..Options::default() }).await;
    for compress in [false, true] {
        let unlimited = client(&runtime, &served, Options { compress, ..Options::default() });
        let echo: Response<Note> =
            unlimited.unary(path("Echo"), Request::new(sized(LIMIT))).await.expect("at the limit");
        assert_eq!(echo.message, sized(LIMIT));
        let past = unlimited.unary::<_, Note>(path("Echo"), Request::new(sized(LIMIT + 1))).await;
        let status = past.expect_err("past the limit");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        bystander(&unlimited).await;
        // In the middle of a stream.
        let notes = stream::iter([number(1), sized(LIMIT), sized(LIMIT + 1), number(2)]);
        let past = unlimited.client_streaming::<_, Note, _>(path("Sum"), Request::new(notes)).await;
        assert_eq!(past.expect_err("past the limit").code(), Code::ResourceExhausted);
        bystander(&unlimited).await;
    }
    // What a client takes.
    let (served, _) = serve_notes(&runtime, Options::default()).await;
    let limited = client(&runtime, &served, Options { message_bytes: LIMIT, ..Options::default() });
    let echo: Response<Note> =
        limited.unary(path("Echo"), Request::new(sized(LIMIT))).await.expect("at the limit");
    assert_eq!(echo.message, sized(LIMIT));
    let past = limited.unary::<_, Note>(path("Echo"), Request::new(sized(LIMIT + 1))).await;
    assert_eq!(past.expect_err("past the limit").code(), Code::ResourceExhausted);
    bystander(&limited).await;
    // The default.
    let (served, _) = serve_notes(&runtime, Options::default()).await;
    let large = client(&runtime, &served, Options { message_bytes: usize::MAX, ..Options::default() });
    let echo: Response<Note> = large.unary(path("Echo"), Request::new(sized(4 << 20))).await.expect("4 MiB");
    assert_eq!(echo.message.encoded_len(), 4 << 20);
    let past = large.unary::<_, Note>(path("Echo"), Request::new(sized((4 << 20) + 1))).await;
    assert_eq!(past.expect_err("past the limit").code(), Code::ResourceExhausted);
}

/// Messages that are none.
pub async fn bad_messages<R: Runtime>(runtime: R) {
    let (served, _) = serve_notes(&runtime, Options { message_bytes: LIMIT, ..Options::default() }).await;
    let client = client(&runtime, &served, Options::default());
    let good = framed(0, &number(5).encode_to_vec());
    let gz = ("grpc-encoding", "gzip");
    let mut cut = gzip(&number(5).encode_to_vec());
    cut.truncate(cut.len() - 1);
    type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], Vec<u8>, Code, &'a str);
    let cases: [Case<'_>; 14] = [
        ("nothing", &[], vec![], Code::Unimplemented, "none came"),
        ("two", &[], [good.clone(), good.clone()].concat(), Code::Unimplemented, "more came"),
        ("a flag of 2", &[], framed(2, &[]), Code::Internal, "flag 2"),
        ("a flag of 255", &[], vec![255], Code::Internal, "flag 255"),
        ("part of a prefix", &[], good[..3].to_vec(), Code::Internal, "3 of 5"),
        ("a prefix alone", &[], good[..5].to_vec(), Code::Internal, "5 of 7"),
        ("part of a message", &[], good[..6].to_vec(), Code::Internal, "6 of 7"),
        ("4 GiB", &[], vec![0, 255, 255, 255, 255], Code::ResourceExhausted, "4294967295"),
        ("compressed, by nothing", &[], framed(1, &gzip(b"")), Code::Internal, "without grpc-encoding"),
        ("no gzip", &[gz], framed(1, b"hello"), Code::Internal, "not gzip"),
        ("half of gzip", &[gz], framed(1, &cut), Code::Internal, "not gzip"),
        (
            "a bomb",
            &[gz],
            framed(1, &gzip(&vec![0; 8 << 20])),
            Code::ResourceExhausted,
            "decompresses to more",
        ),
        ("no protobuf", &[], framed(0, &[0xff; 11]), Code::Internal, "cannot be decoded"),
        ("text that is none", &[], framed(0, &[10, 1, 0xff]), Code::Internal, "cannot be decoded"),
    ];
    for (what, fields, body, code, text) in cases {
        let plain = post(&runtime, &served, path("Echo"), fields, body).await;
        assert_eq!((plain.status, plain.code()), (200, (Some(code), true)), "{what}");
        assert!(plain.message().contains(text), "{what}: {}", plain.message());
        bystander(&client).await;
    }
    let plain =
        post(&runtime, &served, path("Echo"), &[gz], framed(1, &gzip(&number(5).encode_to_vec()))).await;
    assert_eq!(plain.body, good);
    let plain = post(&runtime, &served, path("Echo"), &[gz], good.clone()).await;
    assert_eq!(plain.body, good, "not all messages need be compressed");
}

/// Calls that are none, or of something that is not there.
pub async fn bad_calls<R: Runtime>(runtime: R) {
    let (service, _) = notes();
    let server = Server::new(&runtime, Options::default()).with(service);
    let served = serve(&runtime, Router::new().any("/*", server), Limits::default()).await;
    let client = client(&runtime, &served, Options::default());
    for (path, text) in [
        ("/test.Notes/None", "unknown method /test.Notes/None"),
        ("/test.Note/Echo", "unknown service test.Note"),
        ("/Echo", "unknown method /Echo"),
        ("/", "unknown method /"),
        ("/a/test.Notes/Echo", "unknown service a/test.Notes"),
        ("/test.Notes/Echo/", "unknown service test.Notes/Echo"),
    ] {
        let plain = post(&runtime, &served, path, &[], framed(0, &[])).await;
        assert_eq!((plain.code(), plain.message()), ((Some(Code::Unimplemented), true), text), "{path}");
    }
    for (content_type, status) in [
        ("application/grpc+proto", 200),
        ("application/grpc;charset=utf-8", 200),
        ("application/grpc+json", 415),
        ("application/grpc-web", 415),
        ("application/json", 415),
        ("", 415),
    ] {
        let fields = [("content-type", content_type)];
        assert_eq!(post(&runtime, &served, path("Echo"), &fields, framed(0, &[])).await.status, status);
    }
    let http = http::Client::new(runtime.clone(), ClientLimits::default());
    let ask = |http: http::Client<R>, method: Method| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{}", served.address, path("Echo")))
            .header("content-type", "application/grpc")
            .body(Body::empty())
            .expect("a request");
        async move { http.send(request).await.expect("an answer") }
    };
    let answer = ask(http.clone().with_http2_in_clear(), Method::GET).await;
    assert_eq!(
        (answer.status(), &answer.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().expect("one"))
    );
    assert_eq!(ask(http, Method::POST).await.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    bystander(&client).await;
    // Where other paths are somebody else's, 404 means the same.
    let (served, _) = serve_notes(&runtime, Options::default()).await;
    let client = self::client(&runtime, &served, Options::default());
    let unknown = client.unary::<_, Note>("/none.Such/Echo", Request::new(number(1))).await;
    assert_eq!(unknown.expect_err("not there").code(), Code::Unimplemented);
    let wrong = client.unary::<_, Note>("no path", Request::new(number(1))).await;
    assert_eq!(wrong.expect_err("no path").code(), Code::Internal);
}

/// Frames of a body, then nothing, an end or an error.
struct Frames(Vec<Option<Result<Frame<Bytes>, BodyError>>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.pop() {
            Some(Some(frame)) => Poll::Ready(Some(frame)),
            Some(None) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Answers that are none: the client names what is wrong.
pub async fn bad_answers<R: Runtime>(runtime: R) {
    let answer = |response: fn() -> http::Response<Body>| handler_fn(move |_| async move { response() });
    fn grpc(fields: &[(&'static str, &'static str)], body: Body) -> http::Response<Body> {
        let mut response = http::Response::new(body);
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        for (name, value) in fields {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        response
    }
    fn ok() -> HeaderMap {
        HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))])
    }
    fn broken() -> BodyError {
        BodyError::Stream("broken".into())
    }
    let router = Router::new()
        .any("/401", answer(|| refusal(StatusCode::UNAUTHORIZED, "who?")))
        .any("/403", answer(|| refusal(StatusCode::FORBIDDEN, "no")))
        .any("/429", answer(|| refusal(StatusCode::TOO_MANY_REQUESTS, "no")))
        .any("/503", answer(|| refusal(StatusCode::SERVICE_UNAVAILABLE, "no")))
        .any("/500", answer(|| refusal(StatusCode::INTERNAL_SERVER_ERROR, "no")))
        .any("/400", answer(|| refusal(StatusCode::BAD_REQUEST, "no")))
        .any("/text", answer(|| http::Response::new(Body::from("hello"))))
        .any("/none", answer(|| grpc(&[], Body::from(framed(0, &[])))))
        .any("/cut", answer(|| grpc(&[], Body::from(framed(0, &[1, 2])[..6].to_vec()).with_trailers(ok()))))
        .any("/flag", answer(|| grpc(&[], Body::from(vec![9; 5]).with_trailers(ok()))))
        .any(
            "/two",
            answer(|| grpc(&[], Body::from([framed(0, &[]), framed(0, &[])].concat()).with_trailers(ok()))),
        )
        .any("/zero", answer(|| grpc(&[("grpc-status", "0")], Body::empty())))
        .any("/odd", answer(|| grpc(&[("grpc-status", "99")], Body::empty())))
        .any(
            "/zip",
            answer(|| grpc(&[("grpc-encoding", "br")], Body::from(framed(1, &[])).with_trailers(ok()))),
        )
        .any(
            "/reset",
            answer(|| {
                grpc(
                    &[],
                    Body::stream(Frames(vec![
                        Some(Err(broken())),
                        Some(Ok(Frame::data(framed(0, &[]).into()))),
                    ])),
                )
            }),
        );
    let served = serve(&runtime, router, Limits::default()).await;
    let client = client(&runtime, &served, Options::default());
    for (path, code) in [
        ("/401", Code::Unauthenticated),
        ("/403", Code::PermissionDenied),
        ("/404", Code::Unimplemented),
        ("/429", Code::Unavailable),
        ("/503", Code::Unavailable),
        ("/500", Code::Unknown),
        ("/400", Code::Internal),
        ("/text", Code::Unknown),
        ("/none", Code::Internal),
        ("/cut", Code::Internal),
        ("/flag", Code::Internal),
        ("/two", Code::Unimplemented),
        ("/zero", Code::Unimplemented),
        ("/odd", Code::Unknown),
        ("/zip", Code::Internal),
        ("/reset", Code::Internal),
    ] {
        let status = client.unary::<_, Note>(path, Request::new(number(1))).await.expect_err(path);
        assert_eq!(status.code(), code, "{path}: {status}");
    }
    // Nobody is there.
    let _ = served.task.cancel().await;
    let gone = client.unary::<_, Note>("/zero", Request::new(number(1))).await;
    assert_eq!(gone.expect_err("gone").code(), Code::Unavailable);
}

/// A message that begins and does not end is not waited for, while a stream without messages is.
pub async fn slow_messages<R: Runtime>(runtime: R) {
    let options = Options { message_time: Duration::from_millis(50), ..Options::default() };
    let (served, _) = serve_notes(&runtime, options).await;
    let http = http::Client::new(runtime.clone(), ClientLimits::default()).with_http2_in_clear();
    let body = Body::stream(Frames(vec![Some(Ok(Frame::data(framed(0, &[1, 2])[..6].to_vec().into())))]));
    let request = http::Request::post(format!("http://{}{}", served.address, path("Sum")))
        .header("content-type", "application/grpc")
        .body(body)
        .expect("a request");
    let answer = http.send(request).await.expect("an answer");
    assert_eq!(answer.headers()["grpc-status"], "4");
    let client = client(&runtime, &served, Options::default());
    let pause = runtime.clone();
    let notes = stream::unfold(0, move |n| {
        let pause = pause.clone();
        async move {
            if n == 1 {
                pause.sleep(Duration::from_millis(150)).await;
            }
            (n < 2).then(|| (number(n + 1), n + 1))
        }
    });
    let sum: Response<Note> = client.client_streaming(path("Sum"), Request::new(notes)).await.expect("a sum");
    assert_eq!(sum.message, number(3));
}
