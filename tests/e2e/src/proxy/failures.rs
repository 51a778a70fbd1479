//! Servers that fail: retries and their budget, the circuit, health checks, limits; and changes while requests run.

use super::support::{ALL, Identity, OK, Proxied, Scripted, Speaks, Step, all_to, group, server};
use super::through::piped;
use crate::http::{Raw, get, post};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body::Frame;
use serde_json::Value;
use shroud::ghostwire::http::{
    Body, BodyError, Client, ClientLimits, Limits, Request, Response, StatusCode, handler_fn,
};
use shroud::ghostwire::proxy::{
    BreakerOptions, Config, HealthCheck, Policy, ReloadError, RetryOptions, UpstreamConfig,
};
use shroud::runtime::flow::{Either, select};
use shroud::runtime::net::{ListenOptions, Listener};
use shroud::runtime::sync::Notify;
use shroud::runtime::{Runtime, RuntimeExt};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// An address where nobody listens.
async fn nobody<R: Runtime>(runtime: &R) -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // Bound, but gone by the time of the test.
    let listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    listener.local_addr().expect("its address")
}

fn app(stats: &Value) -> &Value {
    &stats["upstreams"]["app"]
}

fn once(servers: UpstreamConfig) -> UpstreamConfig {
    UpstreamConfig { retry: RetryOptions { attempts: 1, ..RetryOptions::default() }, ..servers }
}

async fn ask<R: Runtime>(runtime: &R, at: SocketAddr, request: &str) -> crate::http::Answer {
    let mut client = Raw::<R>::connect(runtime, at).await;
    client.send(request).await;
    client.answer().await.expect("an answer")
}

/// A piece, then a failure.
struct Torn(u8);

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0 += 1;
        if self.0 > 1 && self.0 < 5 {
            // What came before is written meanwhile.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(match self.0 {
            1 => Ok(Frame::data(Bytes::from_static(b"a piece"))),
            _ => Err(BodyError::Stream("the source has failed".into())),
        }))
    }
}

/// A response that breaks off never looks whole, whatever protocols it has come by; and counts as a failure.
pub async fn a_server_that_dies_in_the_middle<R: Runtime>(runtime: R) {
    let identity = Identity::generate(&runtime);
    for out in ALL {
        let torn = handler_fn(|_| async { Response::new(Body::stream(Torn(0))) });
        let (address, _task) = identity.serve(&runtime, out, torn, Limits::default()).await;
        let breaker = BreakerOptions { failures: 0, ..BreakerOptions::default() };
        let config = all_to(UpstreamConfig { breaker, ..group(vec![server(out, address)]) });
        let proxied = Proxied::start(&runtime, config).await;
        let forward = proxied.proxy.on_shard(&runtime).await.expect("prepared");
        for inward in ALL {
            let (door, _task) = identity.serve(&runtime, inward, forward.clone(), Limits::default()).await;
            let client = identity.client(&runtime, inward).await;
            let request = client.request("GET", door.port(), "/", Body::empty());
            let broken = match client.fetch(request).await {
                // Where nothing of it was sent before it broke, there is no response at all.
                Ok(response) => {
                    response.status() == StatusCode::BAD_GATEWAY
                        || response.into_body().bytes(1000).await.is_err()
                }
                Err(_) => true,
            };
            assert!(broken, "{inward:?} in, {out:?} out");
        }
        let stats = proxied.stats(&runtime).await;
        let server = &app(&stats)["servers"][0];
        assert!(server["failures"].as_u64() >= Some(5), "{out:?}: {stats}");
        assert_eq!(server["in_flight"], 0, "{out:?}");
    }
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npartial";
    let upstream = Scripted::start(&runtime, move |_| Step::Last(short)).await;
    let config = all_to(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, config).await;
    let client = Client::new(runtime.clone(), ClientLimits::default());
    // No method that this client would repeat by itself.
    let request =
        Request::post(format!("http://{}/", proxied.address)).body(Body::empty()).expect("a request");
    assert!(client.send(request).await.is_err());
    assert_eq!(upstream.requests(), 1, "what has begun is not repeated");
}

/// 502 and 504, each for its reason; and 4xx when it was the client.
pub async fn gateway_errors<R: Runtime>(runtime: R) {
    let short = Duration::from_millis(50);
    for (step, status) in [
        (Step::Hang, 504),
        (Step::Close, 502),
        (Step::Last("this is no HTTP at all\r\n\r\n"), 502),
        (Step::Last("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"), 502),
        (Step::Last("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"), 502),
    ] {
        let script = step.clone();
        let upstream = Scripted::start(&runtime, move |_| script.clone()).await;
        let servers = once(group(vec![server(Speaks::Http1, upstream.address)]));
        let late = if status == 504 { short } else { Duration::from_secs(60) };
        let config = all_to(UpstreamConfig { response_time: late, ..servers });
        let proxied = Proxied::start(&runtime, config).await;
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, status, "{step:?}");
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(ask(&runtime, proxied.address, upgrade).await.status, status, "{step:?}, as an upgrade");
    }
    for speaks in [Speaks::Http1, Speaks::H2c, Speaks::Https1] {
        let config = all_to(once(group(vec![server(speaks, nobody(&runtime).await)])));
        let proxied = Proxied::start(&runtime, config).await;
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 502, "{speaks:?}");
    }
    // Nobody answers in UDP.
    let servers = once(group(vec![server(Speaks::Http3, nobody(&runtime).await)]));
    let proxied = Proxied::start(&runtime, all_to(UpstreamConfig { connect_time: short, ..servers })).await;
    assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 504);
    // The client is slow, the server only waits for it.
    let upstream = Scripted::start(&runtime, |_| OK).await;
    let servers = once(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, all_to(UpstreamConfig { response_time: short, ..servers })).await;
    let started = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345";
    assert_eq!(ask(&runtime, proxied.address, started).await.status, 408);
    let wrong = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n";
    assert_eq!(ask(&runtime, proxied.address, wrong).await.status, 400);
    assert_eq!(app(&proxied.stats(&runtime).await)["servers"][0]["failures"], 0, "it was not the server");
}

/// What can be sent again is, to another server; what cannot is not.
pub async fn retries<R: Runtime>(runtime: R) {
    let breaker = BreakerOptions { failures: 0, ..BreakerOptions::default() };
    let good = Scripted::start(&runtime, |_| OK).await;
    // Nobody there: every method, and its body.
    let dead = server(Speaks::Http1, nobody(&runtime).await);
    let servers = vec![dead, server(Speaks::Http1, good.address)];
    let config = all_to(UpstreamConfig { breaker: breaker.clone(), ..group(servers) });
    let proxied = Proxied::start(&runtime, config).await;
    for _ in 0..4 {
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 200);
        assert_eq!(ask(&runtime, proxied.address, &post("/", "body")).await.status, 200);
    }
    assert!(
        good.parsed().iter().filter(|(head, _)| head.starts_with("post")).all(|(_, body)| body == b"body")
    );
    assert_eq!(
        app(&proxied.stats(&runtime).await)["retries"],
        4,
        "every second one began at the dead server"
    );

    // One that took the request and closed: idempotent methods only.
    let bad = Scripted::start(&runtime, |_| Step::Close).await;
    let servers = vec![server(Speaks::Http1, bad.address), server(Speaks::Http1, good.address)];
    let config = all_to(UpstreamConfig { breaker: breaker.clone(), ..group(servers) });
    let proxied = Proxied::start(&runtime, config).await;
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    for request in [&get("/"), put] {
        for _ in 0..2 {
            assert_eq!(ask(&runtime, proxied.address, request).await.status, 200, "{request}");
        }
    }
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(ask(&runtime, proxied.address, &post("/", "x")).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    let sizes: Vec<usize> = good
        .parsed()
        .iter()
        .filter(|(head, _)| head.starts_with("put"))
        .map(|(_, body)| body.len())
        .collect();
    assert_eq!(sizes, [4, 4], "bodies are whole the second time, too");

    // Beyond what is kept of a body it cannot be sent again.
    let retry = RetryOptions { body_bytes: 1000, ..RetryOptions::default() };
    let servers = vec![server(Speaks::Http1, bad.address), server(Speaks::Http1, good.address)];
    let config = all_to(UpstreamConfig { breaker: breaker.clone(), retry, ..group(servers) });
    let proxied = Proxied::start(&runtime, config).await;
    let long = "x".repeat(100_000);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let put = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{long}", long.len());
        statuses.push(ask(&runtime, proxied.address, &put).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);

    // Answers that the configuration takes for failures.
    let sorry = Scripted::start(&runtime, |_| {
        Step::Reply("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let retry = RetryOptions { statuses: vec![StatusCode::SERVICE_UNAVAILABLE], ..RetryOptions::default() };
    let servers = vec![server(Speaks::Http1, sorry.address), server(Speaks::Http1, good.address)];
    let config = all_to(UpstreamConfig { breaker, retry, ..group(servers) });
    let proxied = Proxied::start(&runtime, config).await;
    for _ in 0..4 {
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 200);
    }
    assert!(sorry.requests() >= 2);
}

/// A request that ends the connections it is sent over goes over one that was kept and a new one, not over all that were.
pub async fn a_request_that_ends_connections<R: Runtime>(runtime: R) {
    const KEPT: usize = 4;
    let upstream = Scripted::start(&runtime, |number| if number < KEPT { OK } else { Step::Close }).await;
    let config = all_to(once(group(vec![server(Speaks::Http1, upstream.address)])));
    let proxied = Proxied::start(&runtime, config).await;
    // All at a time, so that each has a connection of its own.
    let mut clients = Vec::new();
    for _ in 0..KEPT {
        let mut client = Raw::connect(&runtime, proxied.address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo").await;
        clients.push(client);
    }
    while upstream.seen.lock().expect("bytes").len() < KEPT {
        runtime.sleep(Duration::from_millis(1)).await;
    }
    for client in &mut clients {
        client.send("dy").await;
        assert_eq!(client.answer().await.expect("an answer").status, 200);
    }
    assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 502);
    assert_eq!(upstream.requests(), KEPT + 2);
}

/// Retries stay a small part of all requests.
pub async fn the_retry_budget<R: Runtime>(runtime: R) {
    let bad = Scripted::start(&runtime, |_| Step::Close).await;
    let retry =
        RetryOptions { attempts: 2, budget_percent: 10, budget_reserve: 3, ..RetryOptions::default() };
    let breaker = BreakerOptions { failures: 0, ..BreakerOptions::default() };
    let config = all_to(UpstreamConfig { retry, breaker, ..group(vec![server(Speaks::Http1, bad.address)]) });
    let proxied = Proxied::start(&runtime, config).await;
    for _ in 0..30 {
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 502);
    }
    let stats = proxied.stats(&runtime).await;
    let retries = app(&stats)["retries"].as_u64().expect("a number");
    // The reserve and a tenth; the first deposits find it full.
    assert!((3..=6).contains(&retries), "{stats}");
    assert_eq!(app(&stats)["retries_denied"], 30 - retries);
    assert_eq!(bad.requests() as u64, 30 + retries);
}

/// A server that fails is left alone, and is used again once it has healed.
pub async fn the_circuit_opens_and_heals<R: Runtime>(runtime: R) {
    let healthy = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&healthy);
    let upstream =
        Scripted::start(&runtime, move |_| if state.load(Ordering::SeqCst) { OK } else { Step::Close }).await;
    let breaker = BreakerOptions {
        failures: 3,
        open_time: Duration::from_millis(100),
        longest_open_time: Duration::from_millis(100),
        trials: 1,
        successes: 2,
    };
    let servers = once(group(vec![server(Speaks::Http1, upstream.address)]));
    let proxied = Proxied::start(&runtime, all_to(UpstreamConfig { breaker, ..servers })).await;
    for _ in 0..3 {
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 502);
    }
    // Open: not asked, and the client is told when to come back.
    let refused = ask(&runtime, proxied.address, &get("/")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{}", refused.head);
    let circuit = |stats: &Value| app(stats)["servers"][0]["circuit"].as_str().map(str::to_owned);
    proxied.until(&runtime, |stats| circuit(stats).as_deref() == Some("half-open")).await;
    assert_eq!(upstream.requests(), 3);
    // A trial that fails opens it again.
    assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 502);
    assert_eq!(upstream.requests(), 4);
    healthy.store(true, Ordering::SeqCst);
    proxied.until(&runtime, |stats| circuit(stats).as_deref() == Some("half-open")).await;
    for _ in 0..2 {
        assert_eq!(ask(&runtime, proxied.address, &get("/")).await.status, 200);
    }
    assert_eq!(circuit(&proxied.stats(&runtime).await).as_deref(), Some("closed"));
}

/// Servers that say they are not well get nothing until they say otherwise.
pub async fn health_checks<R: Runtime>(runtime: R) {
    let identity = Identity::generate(&runtime);
    let well = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&well);
    let checked = handler_fn(move |request: Request<Body>| {
        let well = request.uri().path() != "/health" || state.load(Ordering::SeqCst);
        async move {
            let mut response = Response::new(Body::from("first"));
            if !well {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
    });
    let (first, _first) = identity.serve(&runtime, Speaks::Https2, checked, Limits::default()).await;
    let other = handler_fn(|_| async { Response::new(Body::from("second")) });
    let (second, _second) = identity.serve(&runtime, Speaks::Https2, other, Limits::default()).await;
    let health = HealthCheck {
        interval: Duration::from_millis(10),
        ..HealthCheck::new("/health".parse().expect("a path"))
    };
    let servers = group(vec![server(Speaks::Https2, first), server(Speaks::Https2, second)]);
    let proxied = Proxied::start(&runtime, all_to(UpstreamConfig { health: Some(health), ..servers })).await;
    let up = |wanted: bool| move |stats: &Value| app(stats)["servers"][0]["up"] == wanted;
    let answers = || async {
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(ask(&runtime, proxied.address, "GET / HTTP/1.0\r\n\r\n").await.body);
        }
        seen
    };
    proxied.until(&runtime, |stats| app(stats)["servers"][0]["checks"].as_u64() > Some(0)).await;
    assert!(answers().await.contains(&b"first".to_vec()));
    well.store(false, Ordering::SeqCst);
    proxied.until(&runtime, up(false)).await;
    assert_eq!(answers().await, vec![b"second".to_vec(); 4]);
    well.store(true, Ordering::SeqCst);
    proxied.until(&runtime, up(true)).await;
    assert!(answers().await.contains(&b"first".to_vec()));
}

/// Requests over a server's number wait in the queue; over the queue's length, or for too long, they are told to come back.
pub async fn limits<R: Runtime>(runtime: R) {
    let identity = Identity::generate(&runtime);
    let (go, most, now) =
        (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (waiting, highest, current) = (Arc::clone(&go), Arc::clone(&most), Arc::clone(&now));
    let slow = handler_fn(move |_| {
        let (go, most, now) = (Arc::clone(&waiting), Arc::clone(&highest), Arc::clone(&current));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            go.notified().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Response::new(Body::from("done"))
        }
    });
    let (address, _task) = identity.serve(&runtime, Speaks::Http1, slow, Limits::default()).await;
    let mut one = server(Speaks::Http1, address);
    one.max_requests = 2;
    let queue_time = Duration::from_secs(3600);
    let servers = UpstreamConfig { queue: 3, queue_time, ..group(vec![one.clone()]) };
    let proxied = Proxied::start(&runtime, all_to(servers)).await;
    let request = get("/");
    let five = join_all((0..5).map(|_| ask(&runtime, proxied.address, &request)));
    let sixth = async {
        proxied.until(&runtime, |stats| app(stats)["waiting"] == 3).await;
        let refused = ask(&runtime, proxied.address, &request).await;
        assert_eq!(refused.status, 503);
        assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{}", refused.head);
        // One that gives up leaves its place.
        for _ in 0..5 {
            while now.load(Ordering::SeqCst) == 0 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
            let before = proxied.metrics.requests();
            go.notify_one();
            while proxied.metrics.requests() == before {
                runtime.sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let (answers, ()) = futures_util::future::join(five, sixth).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(most.load(Ordering::SeqCst), 2, "never more than it may have");
    let stats = proxied.stats(&runtime).await;
    assert_eq!((&app(&stats)["refused_busy"], &app(&stats)["waiting"]), (&Value::from(1), &Value::from(0)));

    let queue_time = Duration::from_millis(50);
    one.max_requests = 1;
    let servers = UpstreamConfig { queue: 3, queue_time, ..group(vec![one]) };
    let proxied = Proxied::start(&runtime, all_to(servers)).await;
    let both = futures_util::future::join(
        async {
            let answer = ask(&runtime, proxied.address, &request).await;
            assert_eq!(answer.status, 200);
        },
        async {
            proxied.until(&runtime, |stats| app(stats)["servers"][0]["in_flight"] == 1).await;
            assert_eq!(ask(&runtime, proxied.address, &request).await.status, 503, "waited for too long");
            go.notify_one();
        },
    );
    both.await;
}

/// Clients that go away give their server back. (Over HTTP/1.1 that is seen when the answer is written: a client that has
/// closed its side may still read.)
pub async fn clients_that_vanish<R: Runtime>(runtime: R) {
    let upstream = Scripted::start(&runtime, |_| Step::Hang).await;
    let mut one = server(Speaks::Http1, upstream.address);
    one.max_requests = 1;
    let proxied = Proxied::start(&runtime, all_to(group(vec![one]))).await;
    let in_flight = |wanted: u64| move |stats: &Value| app(stats)["servers"][0]["in_flight"] == wanted;
    let identity = Identity::generate(&runtime);
    for _ in 0..3 {
        let client = identity.client(&runtime, Speaks::H2c).await;
        let asked = client.fetch(client.request("GET", proxied.address.port(), "/", Body::empty()));
        let given_up = select(asked, proxied.until(&runtime, in_flight(1))).await;
        assert!(matches!(given_up, Either::Right(())));
        drop(client);
        proxied.until(&runtime, in_flight(0)).await;
    }
    assert_eq!(app(&proxied.stats(&runtime).await)["servers"][0]["failures"], 0);
}

/// Another configuration while a request runs: it ends as it began, new ones go the new way, what cannot be is refused.
pub async fn reload_while_requests_run<R: Runtime>(runtime: R) {
    let identity = Identity::generate(&runtime);
    let echo = || handler_fn(|request: Request<Body>| async { Response::new(request.into_body()) });
    let (old, _old) = identity.serve(&runtime, Speaks::H2c, echo(), Limits::default()).await;
    let other = handler_fn(|_| async { Response::new(Body::from("new")) });
    let (new, _new) = identity.serve(&runtime, Speaks::Http3, other, Limits::default()).await;
    let before = all_to(group(vec![server(Speaks::H2c, old)]));
    let proxied = Proxied::start(&runtime, before.clone()).await;

    let client = identity.client(&runtime, Speaks::H2c).await;
    let port = proxied.address.port();
    let (sender, body) = piped();
    let running = client.request("POST", port, "/", body);
    sender.send(Frame::data(Bytes::from_static(b"one "))).await.expect("taken");
    let mut running = client.fetch(running).await.expect("a head").into_body();
    assert_eq!(running.data().await.expect("a piece").expect("one"), "one ");
    // An idle connection from before, which must live on.
    let mut kept = Raw::<R>::connect(&runtime, proxied.address).await;
    kept.send(post("/", "kept")).await;
    let answer = kept.answer().await.expect("an answer");
    assert_eq!(answer.status, 200);

    let refused = proxied.proxy.reload(Config { routes: Vec::new(), ..before.clone() });
    assert!(matches!(refused, Err(ReloadError::Invalid(_))));
    let refused = proxied.proxy.reload(Config { admin: Some(proxied.admin), ..before.clone() });
    assert!(matches!(refused, Err(ReloadError::Fixed("`admin`"))));
    let after = all_to(group(vec![server(Speaks::Http3, new)]));
    proxied.proxy.reload(after.clone()).expect("taken");
    // Each shard takes it when it gets to run.
    loop {
        kept.send(get("/")).await;
        if kept.answer().await.expect("an answer on the same connection").body == b"new" {
            break;
        }
        runtime.sleep(Duration::from_millis(1)).await;
    }
    sender.send(Frame::data(Bytes::from_static(b"two"))).await.expect("taken");
    drop(sender);
    assert_eq!(running.bytes(100).await.expect("the rest"), "two");
    let stats = proxied.stats(&runtime).await;
    assert_eq!(
        (&stats["generation"], &stats["reloads"], &stats["reloads_rejected"]),
        (&2.into(), &1.into(), &2.into())
    );
    // A group that has not changed keeps what it has counted.
    let requests = app(&stats)["servers"][0]["requests"].clone();
    proxied.proxy.reload(Config { name: "other".into(), ..after }).expect("taken");
    assert_eq!(app(&proxied.stats(&runtime).await)["servers"][0]["requests"], requests);
}

/// Requests land where each policy says, in the counts that the statistics show.
pub async fn policies_and_statistics<R: Runtime>(runtime: R) {
    let servers = [Scripted::start(&runtime, |_| OK).await, Scripted::start(&runtime, |_| OK).await];
    let counts = || [servers[0].requests(), servers[1].requests()];
    for (policy, weights, expected) in [
        (Policy::RoundRobin, [3, 1], Some([10, 10])),
        (Policy::Weighted, [3, 1], Some([15, 5])),
        (Policy::LeastConnections, [1, 1], Some([10, 10])),
        (Policy::RandomTwo, [1, 1], None),
        (Policy::Hash(shroud::ghostwire::proxy::HashKey::Path), [1, 1], None),
    ] {
        let mut configured =
            [server(Speaks::Http1, servers[0].address), server(Speaks::Http1, servers[1].address)];
        (configured[0].weight, configured[1].weight) = (weights[0], weights[1]);
        let hashes = matches!(policy, Policy::Hash(_));
        let config = all_to(UpstreamConfig { balance: policy.clone(), ..group(configured.to_vec()) });
        let proxied = Proxied::start(&runtime, config).await;
        let before = counts();
        let mut client = Raw::<R>::connect(&runtime, proxied.address).await;
        for _ in 0..20 {
            client.send(get("/same")).await;
            assert_eq!(client.answer().await.expect("an answer").status, 200);
        }
        let got = [counts()[0] - before[0], counts()[1] - before[1]];
        assert_eq!(got[0] + got[1], 20);
        if let Some(expected) = expected {
            assert_eq!(got, expected, "{policy:?}");
        }
        if hashes {
            assert!(got == [20, 0] || got == [0, 20], "{got:?}");
        }
        let stats = proxied.stats(&runtime).await;
        for (index, count) in got.iter().enumerate() {
            let server = &app(&stats)["servers"][index];
            assert_eq!(
                (&server["requests"], &server["answered"]),
                (&Value::from(*count), &Value::from(*count))
            );
        }
        let metrics = ask(&runtime, proxied.admin, &get("/metrics")).await;
        let text = String::from_utf8(metrics.body).expect("text");
        let label = format!("upstream=\"app\",server=\"http://{}\"", servers[0].address);
        for line in [
            format!("shroud_proxy_requests_total{{{label}}} {}", got[0]),
            format!("shroud_proxy_response_seconds_count{{{label}}} {}", got[0]),
            format!("shroud_proxy_circuit{{{label}}} 0"),
        ] {
            assert!(text.lines().any(|got| got == line), "no {line} in\n{text}");
        }
        assert_eq!(ask(&runtime, proxied.admin, &get("/ready")).await.status, 200);
    }
}
