//! GhostWire as well-behaved clients see it: keep-alive, pipelining, methods, the client, JSON-RPC, the drain.

use futures_util::future::{join, join_all};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shroud::ghostwire::http::{
    Body, Client, ClientError, ClientLimits, Cors, Handler, Limits, Metrics, Request, Response, Router,
    ServeError, Server, StatusCode, handler_fn, header, json, text,
};
use shroud::ghostwire::rpc::{CallError, Code, Json, Methods, RpcError, RpcHandler, RpcLimits};
use shroud::ghostwire::{pages, rpc};
use shroud::runtime::net::{ConnectOptions, ListenOptions, Listener};
use shroud::runtime::sync::Event;
use shroud::runtime::{Runtime, RuntimeExt, Task};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A server that runs in a task of its own.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it counts.
    pub metrics: Metrics,
    /// Its task.
    pub task: Task<Result<(), ServeError>>,
}

/// Starts a server on a port of its own.
pub async fn serve<R: Runtime>(runtime: &R, handler: impl Handler, limits: Limits) -> Served {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = Server::new(handler, limits).expect("valid limits");
    let metrics = server.metrics().clone();
    let task = {
        let runtime = runtime.clone();
        async move { server.serve(&runtime, listener).await }
    };
    Served { address, metrics, task: runtime.spawn("server", task) }
}

impl Served {
    /// Waits until no connection is left.
    pub async fn quiet(&self, runtime: &impl Runtime) {
        while self.metrics.connections() > 0 {
            runtime.sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Answers `GET /` with `hello`, `GET /n/...` with its path, `POST /echo` with its body, `GET /big` with 4 MiB.
pub fn routes() -> Router {
    Router::new()
        .get("/", handler_fn(|_| async { text("hello") }))
        .get(
            "/n/*",
            handler_fn(|request: Request<Body>| async move { text(request.uri().path().to_owned()) }),
        )
        .get("/big", handler_fn(|_| async { text(vec![b'x'; BIG]) }))
        .post("/echo", handler_fn(echo))
}

/// The length of `GET /big`'s answer.
pub const BIG: usize = 4 << 20;

async fn echo(request: Request<Body>) -> Response<Body> {
    match request.into_body().bytes(1 << 20).await {
        Ok(bytes) => json(bytes),
        Err(error) => {
            let mut response = text(error.to_string());
            *response.status_mut() = error.status();
            response
        }
    }
}

/// A client that writes and reads bytes.
pub struct Raw<R: Runtime> {
    stream: R::Stream,
    read: Vec<u8>,
}

/// A response as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its header, in lower case.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl<R: Runtime> Raw<R> {
    /// Connects.
    pub async fn connect(runtime: &R, address: SocketAddr) -> Self {
        let stream = runtime.connect(address, ConnectOptions::default()).await.expect("a connection");
        Self { stream, read: Vec::new() }
    }

    /// Sends bytes; a connection that the server has closed already takes nothing. Says whether all were taken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Closes the sending side.
    pub async fn half_close(&mut self) {
        self.stream.close().await.expect("half-close");
    }

    async fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    /// Reads some bytes, of headers or bodies alike, and says how many; none at the end.
    pub async fn take(&mut self, most: usize) -> usize {
        let mut buffer = vec![0; most];
        self.stream.read(&mut buffer).await.expect("bytes")
    }

    /// The next response, framed by its content-length; `None` at the end of the connection.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// As [`Raw::answer`]; one to `HEAD` has no body.
    pub async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            match self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if !self.more().await => {
                    assert!(self.read.is_empty(), "cut off: {:?}", String::from_utf8_lossy(&self.read));
                    return None;
                }
                None => {}
            }
        };
        let head = String::from_utf8(self.read[..end].to_vec()).expect("text").to_ascii_lowercase();
        let status = head[9..12].parse().expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = match method {
            "HEAD" => 0,
            _ => length.map_or(0, |length| length.parse().expect("a length")),
        };
        while self.read.len() < end + length {
            assert!(self.more().await, "the body is cut off");
        }
        let body = self.read[end..end + length].to_vec();
        self.read.drain(..end + length);
        Some(Answer { status, head, body })
    }

    /// Whether the server closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }
}

/// A `GET` request.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A `POST` request.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// One connection, many requests of all methods.
pub async fn keep_alive_and_methods<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let mut client = Raw::connect(&runtime, served.address).await;
    for (method, path, status) in [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/missing", 404),
        ("DELETE", "/", 405),
        ("OPTIONS", "/", 204),
        ("GET", "http://localhost/", 200),
        ("GET", "/", 200),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = client.answer_to(method).await.expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.head.contains("\r\ndate: "), "{}", answer.head);
        if status == 405 {
            assert!(answer.head.contains("\r\nallow: get, head, options\r\n"), "{}", answer.head);
        }
        if method == "HEAD" {
            assert!(answer.head.contains("\r\ncontent-length: 5\r\n"), "{}", answer.head);
        }
    }
    for body in ["", "x", &"long ".repeat(100_000)] {
        client.send(post("/echo", body)).await;
        assert_eq!(client.answer().await.expect("an echo").body, body.as_bytes());
    }
    assert_eq!(served.metrics.connections(), 1);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.expect("the last").status, 200);
    assert!(client.is_closed().await);
    client.half_close().await;
    served.quiet(&runtime).await;

    let mut old = Raw::connect(&runtime, served.address).await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.expect("an answer to HTTP/1.0").body, b"hello");
    assert!(old.is_closed().await);
}

/// Many requests at once, cut anywhere, are answered in order.
pub async fn pipelined_answers_keep_their_order<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    for piece in [1_000_000, 1000, 7] {
        let mut client = Raw::<R>::connect(&runtime, served.address).await;
        let all: String = (0..200)
            .map(|n| if n % 3 == 0 { post("/echo", &format!("{n}")) } else { get(&format!("/n/{n}")) })
            .collect();
        for piece in all.as_bytes().chunks(piece) {
            client.send(piece).await;
        }
        for n in 0..200 {
            let expected = if n % 3 == 0 { format!("{n}") } else { format!("/n/{n}") };
            assert_eq!(client.answer().await.expect("an answer").body, expected.as_bytes());
        }
    }
}

/// A client may wait for an answer with the next request half sent.
pub async fn a_started_header_does_not_hold_back_answers<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    let (first, second) = (get("/n/1"), get("/n/2"));
    let (start, rest) = second.split_at(10);
    client.send(format!("{first}{start}")).await;
    assert_eq!(client.answer().await.expect("the first").body, b"/n/1");
    client.send(rest).await;
    assert_eq!(client.answer().await.expect("the second").body, b"/n/2");
}

/// `Expect: 100-continue`, and a refusal instead of it.
pub async fn an_expected_body_is_asked_for<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits { body_bytes: 1000, ..Limits::default() }).await;
    let expect = |length: usize| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send(expect(5)).await;
    assert_eq!(client.answer().await.expect("an invitation").status, 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.expect("the echo").body, b"hello");
    client.send(expect(1001)).await;
    assert_eq!(client.answer().await.expect("a refusal").status, 413);
}

/// A client that has said all it wants to say still gets its answer.
pub async fn half_closed_clients_get_their_answer<R: Runtime>(runtime: R) {
    let slow = {
        let runtime = runtime.clone();
        handler_fn(move |_| {
            let runtime = runtime.clone();
            async move {
                runtime.sleep(Duration::from_millis(50)).await;
                text("late")
            }
        })
    };
    let served = serve(&runtime, slow, Limits::default()).await;
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    client.send(get("/") + &get("/")).await;
    client.half_close().await;
    assert_eq!(client.answer().await.expect("the first").body, b"late");
    assert_eq!(client.answer().await.expect("the second").body, b"late");
    assert!(client.is_closed().await);
    served.quiet(&runtime).await;
}

/// Answers far beyond every buffer on the way, to several clients at once.
pub async fn answers_larger_than_any_buffer<R: Runtime>(runtime: R) {
    let served = serve(&runtime, routes(), Limits::default()).await;
    join_all((0..4).map(|_| async {
        let mut client = Raw::<R>::connect(&runtime, served.address).await;
        client.send(get("/big") + &get("/") + &get("/big")).await;
        for length in [BIG, 5, BIG] {
            assert_eq!(client.answer().await.expect("an answer").body.len(), length);
        }
    }))
    .await;
}

/// The client keeps connections and survives their loss.
pub async fn client_reuses_connections<R: Runtime>(runtime: R) {
    let served =
        serve(&runtime, routes(), Limits { idle_time: Duration::from_millis(500), ..Limits::default() })
            .await;
    let client = Client::new(runtime.clone(), ClientLimits::default());
    let url = |path: &str| format!("http://{}{path}", served.address);
    for n in 0..50 {
        let request = Request::get(url(&format!("/n/{n}"))).body(Body::empty()).expect("a request");
        let response = client.send(request).await.expect("a response");
        assert_eq!(response.body(), format!("/n/{n}").as_bytes());
    }
    assert_eq!(served.metrics.connections(), 1);
    // The server closes the idle connection; the client notices and makes a new one.
    served.quiet(&runtime).await;
    let big = client
        .send(Request::get(url("/big")).body(Body::empty()).expect("a request"))
        .await
        .expect("a response");
    assert_eq!(big.body().len(), BIG);
    let ask = |body: String| {
        let request = Request::post(url("/echo")).body(Body::from(body)).expect("a request");
        client.send(request)
    };
    for (n, response) in join_all((0..20).map(|n| ask(format!("{n}")))).await.into_iter().enumerate() {
        assert_eq!(response.expect("a response").body(), n.to_string().as_bytes());
    }
}

/// What the client says when there is no response.
pub async fn client_faults<R: Runtime>(runtime: R) {
    let never = handler_fn(|_| std::future::pending::<Response<Body>>());
    let routes =
        Router::new().get("/never", never).get("/big", handler_fn(|_| async { text(vec![0; 5000]) }));
    let served = serve(&runtime, routes, Limits::default()).await;
    let limits = ClientLimits {
        request_time: Duration::from_millis(200),
        body_bytes: 4999,
        ..ClientLimits::default()
    };
    let client = Client::new(runtime.clone(), limits);
    let ask = |url: String| client.send(Request::get(url).body(Body::empty()).expect("a request"));
    let at = served.address;
    assert!(matches!(ask(format!("http://{at}/never")).await, Err(ClientError::TimedOut(_))));
    assert!(matches!(ask(format!("http://{at}/big")).await, Err(ClientError::Body(_))));
    assert!(matches!(ask(format!("https://{at}/")).await, Err(ClientError::Address(_))));
    assert!(matches!(ask("/".to_owned()).await, Err(ClientError::Address(_))));
    let closed = {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        runtime
            .listen(any, ListenOptions::default())
            .await
            .expect("a listener")
            .local_addr()
            .expect("its address")
    };
    assert!(matches!(ask(format!("http://{closed}/")).await, Err(ClientError::Connect { .. })));
}

struct Arithmetic;

impl Methods for Arithmetic {
    async fn call(&self, method: &str, params: Option<&RawValue>) -> Result<Json, RpcError> {
        let numbers: Vec<i64> = serde_json::from_str(params.map_or("[]", RawValue::get))
            .map_err(|error| RpcError::invalid_params(error.to_string()))?;
        match method {
            "sum" => {
                Json::new(&numbers.iter().sum::<i64>()).map_err(|error| RpcError::internal(error.to_string()))
            }
            other => Err(RpcError::method_not_found(other)),
        }
    }
}

/// The RPC client against the RPC server, and a browser's questions.
pub async fn json_rpc_round_trip<R: Runtime>(runtime: R) {
    let handler = Cors::any(RpcHandler::new(Arithmetic, RpcLimits::default()));
    let served = serve(&runtime, Router::new().any("/", handler), Limits::default()).await;
    let http = Client::new(runtime.clone(), ClientLimits::default());
    let client = rpc::Client::new(http, format!("http://{}/", served.address).parse().expect("an address"));
    assert_eq!(client.call::<i64>("sum", &[1, 2, 4]).await.expect("a sum"), 7);
    match client.call::<i64>("none", &[0; 0]).await {
        Err(CallError::Refused { code, .. }) => assert_eq!(code, Code::METHOD_NOT_FOUND),
        other => panic!("{other:?}"),
    }
    match client.call::<i64>("sum", &["one"]).await {
        Err(CallError::Refused { code, .. }) => assert_eq!(code, Code::INVALID_PARAMS),
        other => panic!("{other:?}"),
    }
    let mut raw = Raw::<R>::connect(&runtime, served.address).await;
    let batch: Value =
        (0..50).map(|n| json!({"jsonrpc": "2.0", "id": n, "method": "sum", "params": [n, 1]})).collect();
    raw.send(post("/", &batch.to_string())).await;
    let answer: Value = serde_json::from_slice(&raw.answer().await.expect("an answer").body).expect("JSON");
    for n in 0..50 {
        assert_eq!(answer[n], json!({"jsonrpc": "2.0", "id": n, "result": n + 1}));
    }
    raw.send("OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://dapp\r\nAccess-Control-Request-Method: POST\r\n\r\n")
        .await;
    let preflight = raw.answer().await.expect("a preflight answer");
    assert_eq!(preflight.status, 204);
    assert!(preflight.head.contains("\r\naccess-control-allow-origin: *\r\n"), "{}", preflight.head);
}

/// Health, readiness, metrics and the live task tree.
pub async fn pages_are_served<R: Runtime>(runtime: R) {
    let metrics = Metrics::new();
    let routes = Router::new()
        .get("/health", pages::health())
        .get("/ready", pages::ready(|| Err("replaying".to_owned())))
        .get("/metrics", pages::metrics(runtime.clone(), metrics.clone(), |out| out.push_str("more 1\n")))
        .get("/debug/tasks", pages::tasks(runtime.clone()));
    let served = serve(&runtime, routes, Limits::default()).await;
    let mut client = Raw::<R>::connect(&runtime, served.address).await;
    let mut ask = async |path: &str| {
        client.send(get(path)).await;
        let answer = client.answer().await.expect("an answer");
        (answer.status, String::from_utf8(answer.body).expect("text"))
    };
    assert_eq!(ask("/health").await, (200, "ok\n".to_owned()));
    assert_eq!(ask("/ready").await, (503, "replaying\n".to_owned()));
    let (status, page) = ask("/metrics").await;
    assert_eq!(status, 200);
    for part in ["shroud_tasks{shard=\"0\",class=\"network\",name=\"http-connection\"} 1\n", "\nmore 1\n"] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    let (_, tasks) = ask("/debug/tasks").await;
    assert!(tasks.contains("http-connection #"), "{tasks}");
}

/// Asked to stop, a server finishes what is in work, closes what is idle, and takes no more.
pub async fn draining_finishes_requests_in_work<R: Runtime>(runtime: R) {
    let (entered, release) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let waiting = {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        handler_fn(move |request: Request<Body>| {
            let released = (request.uri().path() == "/wait").then(|| release.listen());
            entered.notify(usize::MAX);
            async move {
                if let Some(released) = released {
                    released.await;
                }
                text("done")
            }
        })
    };
    let Served { address, metrics, task } = serve(&runtime, waiting, Limits::default()).await;
    let mut idle = Raw::<R>::connect(&runtime, address).await;
    idle.send(get("/")).await;
    assert_eq!(idle.answer().await.expect("an answer").status, StatusCode::OK.as_u16());
    let mut fresh = Raw::<R>::connect(&runtime, address).await;
    let mut busy = Raw::<R>::connect(&runtime, address).await;
    let begun = entered.listen();
    busy.send(get("/wait")).await;
    begun.await;
    runtime.stopping().cancel();
    assert!(idle.is_closed().await);
    assert!(fresh.is_closed().await);
    drop((idle, fresh));
    let refused = loop {
        // The accept loop may be a moment late.
        match runtime.connect(address, ConnectOptions::default()).await {
            Err(error) => break error,
            Ok(_) => runtime.sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!task.is_finished());
    let (answer, ()) = join(busy.answer(), async {
        release.notify(usize::MAX);
    })
    .await;
    let answer = answer.expect("the answer in work");
    assert!(answer.head.contains("\r\nconnection: close\r\n"), "{}", answer.head);
    assert!(busy.is_closed().await);
    drop(busy);
    task.await.expect("a server that ends").expect("without failure");
    assert_eq!(metrics.connections(), 0);
    assert_eq!(header::CONNECTION.as_str(), "connection");
}
