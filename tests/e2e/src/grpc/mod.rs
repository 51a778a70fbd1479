//! gRPC as well-behaved callers see it: the four kinds, metadata, statuses, deadlines, cancellation, compression,
//! back-pressure, health, reflection, services and clients that tonic's generator made, the drain.

mod support;

pub use support::*;

use crate::http::serve;
use crate::proxy::support as proxy;
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream;
use shroud::ghostwire::grpc::{
    Client, Code, ErrorResponse, ExtensionRequest, HEALTH_DESCRIPTORS, Health, HealthCheckRequest,
    HealthCheckResponse, MessageRequest, MessageResponse, Metadata, Mounted, Options, Reflection, Request,
    Response, Server, ServerReflectionRequest, ServerReflectionResponse, Service, ServingStatus, Status,
    Streaming, Transport,
};
use shroud::ghostwire::http::{self, ClientLimits, Limits, Router};
use shroud::runtime::Runtime;
use shroud::runtime::sync::channel;
use shroud::runtime::task::poll_budget;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// All four kinds, alone and many at once over one connection.
pub async fn all_kinds<R: Runtime>(runtime: R) {
    let (served, _) = serve_notes(&runtime, Options::default()).await;
    let client = client(&runtime, &served, Options::default());
    one_of_each(&client, 1).await;
    join_all((0..20).map(|n| one_of_each(&client, n))).await;
    assert_eq!(served.metrics.connections(), 1, "all share one connection");
    // An empty stream each way.
    let none: Response<Note> =
        client.client_streaming(path("Sum"), Request::new(stream::empty::<Note>())).await.expect("an answer");
    assert_eq!(none.message, number(0));
    let mut none: Response<Streaming<Note>> =
        client.server_streaming(path("Count"), Request::new(number(0))).await.expect("an answer");
    assert_eq!(none.message.message().await, Ok(None));
    assert_eq!(none.message.message().await, Ok(None), "the end stays the end");
}

async fn one_of_each<R: Runtime>(client: &Client<R>, n: u64) {
    let note = Note { text: format!("note {n}"), number: n, data: vec![7; 100].into() };
    let echo: Response<Note> =
        client.unary(path("Echo"), Request::new(note.clone())).await.expect("an answer");
    assert_eq!(echo.message, note);

    let count: Response<Streaming<Note>> =
        client.server_streaming(path("Count"), Request::new(number(n * 50))).await.expect("an answer");
    let counted: Vec<Note> = count.message.map(|note| note.expect("a note")).collect().await;
    assert_eq!(counted, (0..n * 50).map(number).collect::<Vec<_>>());

    let notes = Request::new(stream::iter((0..=n * 50).map(number)));
    let sum: Response<Note> = client.client_streaming(path("Sum"), notes).await.expect("an answer");
    assert_eq!(sum.message.number, n * 50 * (n * 50 + 1) / 2);

    // Each question is sent only once the answer before has come.
    let (ask, questions) = channel::bounded(1);
    let mut chat: Response<Streaming<Note>> =
        client.bidirectional(path("Chat"), Request::new(questions)).await.expect("an answer");
    for n in 0..20 {
        ask.try_send(number(n)).expect("room");
        assert_eq!(chat.message.message().await, Ok(Some(number(n * 2))));
    }
    drop(ask);
    assert_eq!(chat.message.message().await, Ok(None));
}

/// What goes with a call, both ways; the 17 codes, their messages and details.
pub async fn metadata_and_statuses<R: Runtime>(runtime: R) {
    let (served, _) = serve_notes(&runtime, Options::default()).await;
    goes_both_ways(&client(&runtime, &served, Options::default())).await;
    // As HTTP has it: no data, and the status in the header.
    let plain = post(&runtime, &served, path("Fail"), &[], framed(0, &[16, 5])).await;
    assert_eq!((plain.status, plain.code(), plain.body.len()), (200, (Some(Code::NotFound), true), 0));
    assert_eq!(plain.head["content-type"], "application/grpc");
    assert!(plain.trailers.is_empty());
    // And of a good end: a message, then trailers.
    let plain = post(&runtime, &served, path("Echo"), &[], framed(0, &[16, 5])).await;
    assert_eq!((plain.code(), plain.body), ((Some(Code::Ok), false), framed(0, &[16, 5])));
}

/// Through the reverse proxy it is the same: all kinds, metadata, statuses, deadlines, calls that are given up; a server
/// that is not there is `UNAVAILABLE`.
pub async fn through_the_proxy<R: Runtime>(runtime: R) {
    let (served, seen) = serve_notes(&runtime, Options::default()).await;
    let upstream = proxy::server(proxy::Speaks::H2c, served.address);
    let proxied = proxy::Proxied::start(&runtime, proxy::all_to(proxy::group(vec![upstream]))).await;
    let client = client_at(&runtime, proxied.address, Options::default());
    one_of_each(&client, 1).await;
    join_all((0..20).map(|n| one_of_each(&client, n))).await;
    goes_both_ways(&client).await;
    let late = Request::new(number(1)).with_timeout(Duration::from_millis(100));
    let late = client.unary::<_, Note>(path("Never"), late).await.expect_err("late");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    seen.dropped.recv().await.expect("the server gave it up");
    let flow: Response<Streaming<Note>> =
        client.server_streaming(path("Flow"), Request::new(number(1))).await.expect("a stream");
    drop(flow);
    seen.dropped.recv().await.expect("the server was told");
    one_of_each(&client, 2).await;

    drop(served);
    let gone = client.unary::<_, Note>(path("Echo"), Request::new(number(1))).await.expect_err("gone");
    assert_eq!(gone.code(), Code::Unavailable);
}

async fn goes_both_ways<R: Runtime>(client: &Client<R>) {
    let mut metadata = Metadata::new();
    metadata.insert("x-text", "one").expect("valid");
    metadata.insert("x-text", "two").expect("valid");
    metadata.insert_binary("x-bytes-bin", &[0, 1, 254, 255]).expect("valid");
    let request = Request::new(number(1)).with_metadata(metadata);
    let echo: Response<Note> = client.unary(path("Echo"), request).await.expect("an answer");
    assert_eq!(echo.metadata.get_all("x-text").collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(echo.metadata.get_binary("x-bytes-bin").expect("bytes"), [&[0, 1, 254, 255][..]]);
    assert_eq!(echo.trailers.get("x-after"), Some("after"));
    assert_eq!(echo.trailers.get_binary("x-after-bin").expect("bytes"), [&[0, 255][..]]);
    assert!(echo.metadata.get("user-agent").is_some_and(|name| name.starts_with("grpc-shroud/")));

    for code in Code::ALL.into_iter().skip(1) {
        let note = Note {
            number: code.number().into(),
            text: "100% \u{fc}bel\n\u{1f47b}".to_owned(),
            data: vec![8, 255, 0].into(),
        };
        let failed = client.unary::<_, Note>(path("Fail"), Request::new(note.clone())).await;
        let status = failed.expect_err("a status");
        assert_eq!((status.code(), status.message()), (code, note.text.as_str()));
        assert_eq!(status.details(), &note.data);
        assert_eq!(status.metadata().get("x-why"), Some("asked"));
    }
}

/// A deadline ends a call at the caller, and at the server by itself.
pub async fn deadlines<R: Runtime>(runtime: R) {
    let (served, seen) = serve_notes(&runtime, Options::default()).await;
    let client = client(&runtime, &served, Options::default());
    let short = Duration::from_millis(30);
    let never = client.unary::<_, Note>(path("Never"), Request::new(number(0)).with_timeout(short)).await;
    assert_eq!(never.expect_err("too late").code(), Code::DeadlineExceeded);
    seen.dropped.recv().await.expect("the server drops the call");
    let request = Request::new(number(0)).with_timeout(short);
    let mut more: Response<Streaming<Note>> =
        client.server_streaming(path("NeverMore"), request).await.expect("an answer");
    assert_eq!(more.message.message().await, Ok(Some(number(0))));
    let late = more.message.message().await.expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(more.message.message().await, Ok(None), "nothing after an error");
    seen.dropped.recv().await.expect("the server drops the stream");
    // The server needs no reminder: this caller waits.
    for (method, alone) in [("Never", true), ("NeverMore", false)] {
        let plain = post(&runtime, &served, path(method), &[("grpc-timeout", "30m")], framed(0, &[])).await;
        assert_eq!(plain.code(), (Some(Code::DeadlineExceeded), alone), "{method}");
        seen.dropped.recv().await.expect("dropped");
    }
    // A stream that never rests ends as well.
    let mut flow: Response<Streaming<Note>> = client
        .server_streaming(path("Flow"), Request::new(number(0)).with_timeout(Duration::from_millis(200)))
        .await
        .expect("an answer");
    let end = loop {
        match flow.message.message().await {
            Ok(note) => assert!(note.is_some(), "no end without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::DeadlineExceeded);
    seen.dropped.recv().await.expect("dropped");
    let over = post(&runtime, &served, path("Echo"), &[("grpc-timeout", "0n")], framed(0, &[])).await;
    assert_eq!(over.code().0, Some(Code::DeadlineExceeded));
    for wrong in ["1", "x", "1s", "123456789S", "-1S", ""] {
        let plain = post(&runtime, &served, path("Echo"), &[("grpc-timeout", wrong)], framed(0, &[])).await;
        assert_eq!(plain.code(), (Some(Code::Internal), true), "{wrong:?}");
        assert!(plain.message().starts_with("malformed grpc-timeout"), "{}", plain.message());
    }
    let request = Request::new(number(3)).with_timeout(Duration::from_secs(600));
    assert_eq!(client.unary::<_, Note>(path("Echo"), request).await.expect("in time").message, number(3));
}

/// A caller that goes away ends its call at the server, and no other.
pub async fn cancellation<R: Runtime>(runtime: R) {
    let (served, seen) = serve_notes(&runtime, Options::default()).await;
    let client = client(&runtime, &served, Options::default());
    let begun = runtime.now();
    let mut other: Response<Streaming<Note>> = client
        .bidirectional(path("Chat"), Request::new(stream::iter((0..3).map(number)).chain(stream::pending())))
        .await
        .expect("an answer");
    // Dropped before its answer. A call that is answered first has let the server have this one.
    let mut never = Box::pin(client.unary::<_, Note>(path("Never"), Request::new(number(0))));
    let echo = Box::pin(client.unary::<_, Note>(path("Echo"), Request::new(number(1))));
    match futures_util::future::select(&mut never, echo).await {
        futures_util::future::Either::Left(_) => panic!("it never answers"),
        futures_util::future::Either::Right((echo, _)) => {
            assert_eq!(echo.expect("an answer").message, number(1))
        }
    }
    drop(never);
    seen.dropped.recv().await.expect("the server drops the call");
    // Dropped between two messages, with nobody left who waits for the connection.
    let mut more: Response<Streaming<Note>> =
        client.server_streaming(path("NeverMore"), Request::new(number(0))).await.expect("an answer");
    more.message.message().await.expect("one");
    drop(more);
    seen.dropped.recv().await.expect("the server drops the stream");
    // Dropped while the server sends; and the same by a task that has used up its turn, and can send nothing itself.
    for tired in [false, true] {
        let mut flow: Response<Streaming<Note>> =
            client.server_streaming(path("Flow"), Request::new(number(0))).await.expect("an answer");
        flow.message.message().await.expect("one");
        let mut flow = Some(flow);
        std::future::poll_fn(|cx| {
            while tired && poll_budget(cx).is_ready() {}
            drop(flow.take());
            std::task::Poll::Ready(())
        })
        .await;
        seen.dropped.recv().await.expect("the server drops the stream");
    }
    let moved = seen.moved.load(Ordering::SeqCst);
    // Dropped while its own stream waits, and while the server takes nothing of it.
    let mut wait: Response<Streaming<Note>> = client
        .bidirectional(path("Wait"), Request::new(stream::iter([number(1)]).chain(stream::pending())))
        .await
        .expect("an answer");
    wait.message.message().await.expect("one");
    drop(wait);
    seen.dropped.recv().await.expect("the server drops the call");
    let notes = stream::repeat_with(|| Note { data: vec![0; FLOW_BYTES].into(), ..Note::default() });
    let mut hold = Box::pin(client.client_streaming::<_, Note, _>(path("Hold"), Request::new(notes)));
    while seen.moved.load(Ordering::SeqCst) == moved {
        let echo = Box::pin(client.unary::<_, Note>(path("Echo"), Request::new(number(1))));
        match futures_util::future::select(&mut hold, echo).await {
            futures_util::future::Either::Left((held, _)) => panic!("it holds: {held:?}"),
            futures_util::future::Either::Right((echo, _)) => drop(echo.expect("an answer")),
        }
    }
    drop(hold);
    seen.dropped.recv().await.expect("the server drops the call");
    for n in 0..3 {
        assert_eq!(other.message.message().await, Ok(Some(number(n * 2))), "a bystander goes on");
    }
    // All by the caller's word: after this time the server would have ended a call by itself.
    assert!(runtime.now().saturating_duration_since(begun) < Limits::default().write_time);
}

/// Messages are compressed both ways where both sides want it.
pub async fn compression<R: Runtime>(runtime: R) {
    let (plain, compress) = (Options::default(), Options { compress: true, ..Options::default() });
    let text = Note { text: "shroud ".repeat(20_000), ..Note::default() };
    for (here, there) in [(plain, plain), (plain, compress), (compress, plain), (compress, compress)] {
        let (served, _) = serve_notes(&runtime, there).await;
        let client = client(&runtime, &served, here);
        for note in [&text, &number(1)] {
            let echo: Response<Note> =
                client.unary(path("Echo"), Request::new(note.clone())).await.expect("an answer");
            assert_eq!(echo.message, *note);
        }
        let mut chat: Response<Streaming<Note>> = client
            .bidirectional(path("Chat"), Request::new(stream::iter([text.clone(), number(4)])))
            .await
            .expect("an answer");
        assert_eq!(chat.message.message().await, Ok(Some(number(0))));
        assert_eq!(chat.message.message().await, Ok(Some(number(8))));
    }
    // As it is on the wire.
    let (served, _) = serve_notes(&runtime, compress).await;
    let question = prost::Message::encode_to_vec(&text);
    let ask = |fields: &'static [(&'static str, &str)]| {
        post(&runtime, &served, path("Echo"), fields, framed(0, &question))
    };
    let answer = ask(&[("grpc-accept-encoding", "identity, deflate,gzip")]).await;
    assert_eq!(answer.head["grpc-encoding"], "gzip");
    assert!(answer.body[0] == 1 && answer.body.len() < question.len() / 50, "{}", answer.body.len());
    let answer = ask(&[("grpc-accept-encoding", "deflate")]).await;
    assert!(!answer.head.contains_key("grpc-encoding") && answer.body[0] == 0);
    let answer = ask(&[("grpc-encoding", "snappy")]).await;
    assert_eq!(answer.code(), (Some(Code::Unimplemented), true));
    assert_eq!(answer.head["grpc-accept-encoding"], "identity,gzip");
}

/// Whoever is not read waits: neither side runs ahead of the other by more than windows and buffers.
pub async fn back_pressure<R: Runtime>(runtime: R) {
    /// The windows and buffers between the two hold less than this.
    const MOST: usize = 8 << 20;
    let (served, seen) = serve_notes(&runtime, Options::default()).await;
    let client = client(&runtime, &served, Options::default());
    let mut flow: Response<Streaming<Note>> =
        client.server_streaming(path("Flow"), Request::new(number(0))).await.expect("an answer");
    assert_eq!(flow.message.message().await.expect("one").expect("one").number, 0);
    // The connection is driven meanwhile, so that only the window holds the stream back.
    let settle = async {
        let mut before = usize::MAX;
        loop {
            for n in 0..20 {
                let echo: Response<Note> =
                    client.unary(path("Echo"), Request::new(number(n))).await.expect("an answer");
                assert_eq!(echo.message, number(n), "a bystander is served");
            }
            let now = seen.moved.load(Ordering::SeqCst);
            if now == before {
                break now;
            }
            before = now;
        }
    };
    let produced = settle.await;
    assert!(produced * FLOW_BYTES < MOST, "{produced} messages for one that was read");
    // It goes on where it was, and in order.
    for n in 1..2000 {
        assert_eq!(flow.message.message().await.expect("a note").expect("a note").number, n);
    }
    drop(flow);

    // The same for a stream of requests that the server does not read.
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let notes = stream::iter((0_u64..).map(move |n| {
        counted.fetch_add(1, Ordering::SeqCst);
        Note { number: n, data: vec![0; FLOW_BYTES].into(), ..Note::default() }
    }));
    let mut hold = Box::pin(client.client_streaming::<_, Note, _>(path("Hold"), Request::new(notes)));
    let mut before = u64::MAX;
    loop {
        let echo = Box::pin(client.unary::<_, Note>(path("Echo"), Request::new(number(1))));
        match futures_util::future::select(&mut hold, echo).await {
            futures_util::future::Either::Left((held, _)) => panic!("it holds: {held:?}"),
            futures_util::future::Either::Right((echo, _)) => drop(echo.expect("an answer")),
        }
        let now = asked.load(Ordering::SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    let sent = usize::try_from(before).expect("few") * FLOW_BYTES;
    assert!(sent < MOST, "{sent} bytes for one message that was read");
}

/// Messages that have come in one piece are not all handed over in one poll.
pub async fn messages_in_turns<R: Runtime>(runtime: R) {
    const MESSAGES: usize = 2000;
    let (taken, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let in_poll = Arc::clone(&most);
    let service = Service::new(NOTES).client_streaming("Sum", move |request: Request<Streaming<Note>>| {
        let (taken, most) = (Arc::clone(&taken), Arc::clone(&in_poll));
        let counted = Arc::clone(&taken);
        let mut work = Box::pin(async move {
            let (mut notes, mut count) = (request.message, 0);
            while notes.message().await?.is_some() {
                count += 1;
                most.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            Ok(Response::new(number(count)))
        });
        std::future::poll_fn(move |cx| {
            taken.store(0, Ordering::SeqCst);
            work.as_mut().poll(cx)
        })
    });
    let server = Server::new(&runtime, Options::default()).with(service);
    let served = serve(&runtime, server.mount(Router::new()), Limits::default()).await;
    let all = framed(0, &prost::Message::encode_to_vec(&number(1))).repeat(MESSAGES);
    let answer = post(&runtime, &served, path("Sum"), &[], all).await;
    let sum = framed(0, &prost::Message::encode_to_vec(&number(2000)));
    assert_eq!((answer.code().0, &answer.body), (Some(Code::Ok), &sum));
    let most = most.load(Ordering::SeqCst);
    assert!((2..=128).contains(&most), "{most} messages in one poll");
}

/// The answers of one call are the questions of another, over the same connection; given up together.
pub async fn relays<R: Runtime>(runtime: R) {
    let (served, seen) = serve_notes(&runtime, Options::default()).await;
    let client = client(&runtime, &served, Options::default());
    let count: Response<Streaming<Note>> =
        client.server_streaming(path("Count"), Request::new(number(3000))).await.expect("an answer");
    let questions = count.message.map(|note| note.expect("a note"));
    let mut chat: Response<Streaming<Note>> =
        client.bidirectional(path("Chat"), Request::new(questions)).await.expect("an answer");
    for n in 0..3000 {
        assert_eq!(chat.message.message().await, Ok(Some(number(n * 2))));
    }
    assert_eq!(chat.message.message().await, Ok(None));
    let flow: Response<Streaming<Note>> =
        client.server_streaming(path("Flow"), Request::new(number(0))).await.expect("an answer");
    let questions = flow.message.map(|note| note.expect("a note"));
    let mut chat: Response<Streaming<Note>> =
        client.bidirectional(path("Chat"), Request::new(questions)).await.expect("an answer");
    assert_eq!(chat.message.message().await, Ok(Some(number(0))));
    // A task whose turn is over waits for the next one, and does not drive for ever what can do no more in this one.
    let mut tired = false;
    for n in 1..500 {
        let next = std::future::poll_fn(|cx| {
            tired = !tired;
            while tired && poll_budget(cx).is_ready() {}
            chat.message.poll_message(cx)
        });
        assert_eq!(next.await.transpose(), Ok(Some(number(n * 2))));
    }
    drop(chat);
    // The other call lives in the connection's work, which the next call drives.
    let echo: Response<Note> = client.unary(path("Echo"), Request::new(number(1))).await.expect("an answer");
    assert_eq!(echo.message, number(1));
    seen.dropped.recv().await.expect("the server drops the stream");
}

/// Health, asked and watched.
pub async fn health<R: Runtime>(runtime: R) {
    let health = Health::new(&runtime);
    let server = Server::new(&runtime, Options::default()).with(health.service());
    let served = serve(&runtime, server.mount(Router::new()), Limits::default()).await;
    let client = client(&runtime, &served, Options::default());
    let method = |method: &str| format!("/{}/{method}", Health::SERVICE);
    let ask = |service: &str| Request::new(HealthCheckRequest { service: service.to_owned() });
    let check = |service: &str| {
        let (client, path, request) = (client.clone(), method("Check"), ask(service));
        async move {
            let answer: Result<Response<HealthCheckResponse>, Status> = client.unary(&path, request).await;
            answer.map(|answer| answer.message.status()).map_err(|status| status.code())
        }
    };
    assert_eq!(check("").await, Ok(ServingStatus::Serving));
    assert_eq!(check("a.B").await, Err(Code::NotFound));
    assert_eq!(check(&"x".repeat(1024)).await, Err(Code::NotFound));
    assert_eq!(check(&"x".repeat(1025)).await, Err(Code::InvalidArgument));
    let mut watch: Response<Streaming<HealthCheckResponse>> =
        client.server_streaming(&method("Watch"), ask("a.B")).await.expect("an answer");
    let watch = &mut watch.message;
    assert_eq!(next(watch).await, Ok(Some(ServingStatus::ServiceUnknown)));
    for status in [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::ServiceUnknown] {
        health.set("a.B", status);
        health.set("other", status);
        // Twice the same is told once.
        health.set("a.B", status);
        assert_eq!(next(watch).await, Ok(Some(status)));
    }
    health.set("a.B", ServingStatus::Serving);
    assert_eq!(next(watch).await, Ok(Some(ServingStatus::Serving)));
    assert_eq!(check("a.B").await, Ok(ServingStatus::Serving));
    // Who watches does not hold up the end.
    runtime.stopping().cancel();
    assert_eq!(next(watch).await, Ok(Some(ServingStatus::NotServing)));
    assert_eq!(next(watch).await.expect_err("the end").code(), Code::Unavailable);
    served.task.await.expect("the task ends").expect("an orderly end");
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Result<Option<ServingStatus>, Status> {
    watch.message().await.map(|answer| answer.map(|answer| answer.status()))
}

/// Reflection in both versions.
pub async fn reflection<R: Runtime>(runtime: R) {
    let reflection = Reflection::new(&runtime, [HEALTH_DESCRIPTORS]).expect("descriptors");
    let server = Server::new(&runtime, Options::default())
        .with(reflection.service())
        .with(reflection.service_v1alpha());
    let served = serve(&runtime, server.mount(Router::new()), Limits::default()).await;
    let client = client(&runtime, &served, Options::default());
    for service in [Reflection::SERVICE, Reflection::SERVICE_V1ALPHA] {
        let extension = ExtensionRequest {
            containing_type: "grpc.health.v1.HealthCheckRequest".to_owned(),
            extension_number: 5,
        };
        let questions = [
            Some(MessageRequest::ListServices(String::new())),
            Some(MessageRequest::FileContainingSymbol("grpc.health.v1.Health.Watch".to_owned())),
            Some(MessageRequest::FileByFilename("grpc/health/v1/health.proto".to_owned())),
            Some(MessageRequest::FileContainingSymbol("grpc.health.v1.Hearth".to_owned())),
            Some(MessageRequest::FileByFilename("none.proto".to_owned())),
            Some(MessageRequest::FileContainingExtension(extension)),
            Some(MessageRequest::AllExtensionNumbersOfType("no.Such".to_owned())),
            Some(MessageRequest::AllExtensionNumbersOfType("grpc.health.v1.HealthCheckRequest".to_owned())),
            None,
        ];
        let requests = questions
            .map(|message_request| ServerReflectionRequest { host: "here".to_owned(), message_request });
        let asked = Request::new(stream::iter(requests.clone()));
        let answers: Response<Streaming<ServerReflectionResponse>> = client
            .bidirectional(&format!("/{service}/ServerReflectionInfo"), asked)
            .await
            .expect("an answer");
        let answers: Vec<_> = answers.message.map(|answer| answer.expect("an answer")).collect().await;
        for (answer, request) in answers.iter().zip(&requests) {
            assert_eq!(
                (answer.valid_host.as_str(), &answer.original_request),
                ("here", &Some(request.clone()))
            );
        }
        let answers: Vec<_> =
            answers.into_iter().map(|answer| answer.message_response.expect("one")).collect();
        let [list, symbol, file, errors @ .., numbers, nothing] = &answers[..] else {
            panic!("{}", answers.len())
        };
        let MessageResponse::ListServicesResponse(list) = list else { panic!("{list:?}") };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        assert_eq!(names, [Health::SERVICE, Reflection::SERVICE, Reflection::SERVICE_V1ALPHA]);
        assert_eq!(symbol, file);
        let MessageResponse::FileDescriptorResponse(file) = file else { panic!("{file:?}") };
        // A set of one file is the file with a prefix of its own.
        assert!(HEALTH_DESCRIPTORS.ends_with(&file.file_descriptor_proto[0]));
        let error = |code: Code, text: &str| {
            let (error_code, error_message) = (code.number().into(), text.to_owned());
            MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })
        };
        let expected = [
            "no symbol grpc.health.v1.Hearth",
            "no file none.proto",
            "no extension 5 of grpc.health.v1.HealthCheckRequest",
            "no message no.Such",
        ]
        .map(|text| error(Code::NotFound, text));
        assert_eq!(errors, expected);
        assert!(
            matches!(numbers, MessageResponse::AllExtensionNumbersResponse(numbers) if numbers.extension_number.is_empty())
        );
        assert_eq!(*nothing, error(Code::InvalidArgument, "nothing is asked for"));
    }
}

/// A server and a client that tonic's generator made, over our HTTP/2 and without tonic's transport.
pub async fn tonic_generated<R: Runtime>(runtime: R) {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let (reporter, service) = tonic_health::server::health_reporter();
    let router = Mounted::new(&runtime, service).mount(Health::SERVICE, Router::new());
    let served = serve(&runtime, router, Limits::default()).await;
    let http = http::Client::new(runtime.clone(), ClientLimits::default());
    let transport = Transport::new(&http, format!("http://{}", served.address).parse().expect("an address"));
    let mut theirs = HealthClient::new(transport);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let answer = theirs.check(ask("")).await.expect("an answer").into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);
    assert_eq!(theirs.check(ask("none")).await.expect_err("a status").code(), tonic::Code::NotFound);
    reporter.set_service_status("a.B", tonic_health::ServingStatus::NotServing).await;
    let mut watch = theirs.watch(ask("a.B")).await.expect("an answer").into_inner();
    assert_eq!(
        watch.message().await.expect("a message").expect("one").status,
        ServingStatus::NotServing as i32
    );
    reporter.set_service_status("a.B", tonic_health::ServingStatus::Serving).await;
    assert_eq!(watch.message().await.expect("a message").expect("one").status, ServingStatus::Serving as i32);
    // Deadlines hold for it, though its transport would have seen to them.
    let path = format!("/{}/Watch", Health::SERVICE);
    let plain = post(&runtime, &served, path.as_str(), &[("grpc-timeout", "50m")], framed(0, &[])).await;
    assert_eq!(plain.code(), (Some(Code::DeadlineExceeded), false));
    // Our client with their server.
    let ours = client(&runtime, &served, Options::default());
    let request = shroud::ghostwire::grpc::HealthCheckRequest { service: "a.B".to_owned() };
    let answer: Response<HealthCheckResponse> =
        ours.unary(&format!("/{}/Check", Health::SERVICE), Request::new(request)).await.expect("an answer");
    assert_eq!(answer.message.status(), ServingStatus::Serving);
}

/// A stop lets calls in work finish.
pub async fn draining_finishes_calls<R: Runtime>(runtime: R) {
    let (served, _) = serve_notes(&runtime, Options::default()).await;
    let client = client(&runtime, &served, Options::default());
    let (ask, questions) = channel::bounded(1);
    let mut chat: Response<Streaming<Note>> =
        client.bidirectional(path("Chat"), Request::new(questions)).await.expect("an answer");
    ask.send(number(1)).await.expect("sent");
    assert_eq!(chat.message.message().await, Ok(Some(number(2))));
    runtime.stopping().cancel();
    let rest = async {
        for n in 2..10 {
            ask.send(number(n)).await.expect("sent");
        }
        drop(ask);
    };
    let answers = async {
        let mut answers = Vec::new();
        while let Some(note) = chat.message.message().await.expect("the call goes on") {
            answers.push(note.number);
        }
        answers
    };
    assert_eq!(join(rest, answers).await.1, (2..10).map(|n| n * 2).collect::<Vec<_>>());
    // The server's side of the connection ends once it has been told goodbye; nothing is left of it.
    served.task.await.expect("the task ends").expect("an orderly end");
    let late = client.unary::<_, Note>(path("Echo"), Request::new(number(1))).await;
    assert_eq!(late.expect_err("nobody is there").code(), Code::Unavailable);
}
