//! Servers that push (RFC 9113, 8.4) to a client that has said that it takes nothing of the kind.

use super::frames::*;
use shroud::ghostwire::http::{Body, Client as HttpClient, ClientError, ClientLimits, Request};
use shroud::runtime::Runtime;
use shroud::runtime::net::{ListenOptions, Listener, ListenerExt};
use std::net::{Ipv4Addr, SocketAddr};

/// SETTINGS_ENABLE_PUSH is 0 (RFC 9113, 6.5.2).
const NO_PUSH: [u8; 6] = [0, 2, 0, 0, 0, 0];

/// A promise of stream 2 on another one.
fn promise(on: u32) -> Vec<u8> {
    frame(PUSH_PROMISE, END_HEADERS, on, &[&[0, 0, 0, 2][..], &request("GET", "/pushed")].concat())
}

/// The client says that it allows no push, ends the connection with PROTOCOL_ERROR at the first sign of one, says why the
/// request has failed, and goes on with a new connection.
pub async fn pushes<R: Runtime>(runtime: R) {
    let ok = [0x88];
    let cases: [(&str, Vec<u8>); 4] = [
        ("instead of an answer", promise(1)),
        ("after the answer's head", [frame(HEADERS, END_HEADERS, 1, &ok), promise(1)].concat()),
        ("on a stream that is none", promise(0)),
        ("without a promise", frame(HEADERS, END_HEADERS | END_STREAM, 2, &ok)),
    ];
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = runtime.listen(any, ListenOptions::default()).await.expect("a listener");
    let address = listener.local_addr().expect("its address");
    let (tell, told) = shroud::runtime::sync::channel::unbounded();
    // Each odd connection is pushed on, each even one is answered.
    let pushed: Vec<_> = cases.iter().map(|(_, bytes)| bytes.clone()).collect();
    let _server = runtime.spawn("pushing server", async move {
        for bytes in pushed {
            let (stream, _) = listener.accept().await.expect("a connection");
            let (mut offender, settings) = Client::<R>::accepted(stream).await;
            assert_eq!(offender.asked().await, Some(1));
            offender.send(&bytes).await;
            let goodbye = offender.goodbye().await;
            tell.send((settings, goodbye)).await.expect("the test goes on");
            let (stream, _) = listener.accept().await.expect("a connection");
            let (mut honest, _) = Client::<R>::accepted(stream).await;
            let stream = honest.asked().await.expect("a request");
            honest.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88])).await;
            // Until the client lets go of it.
            while honest.next().await.is_some() {}
        }
    });
    for (name, _) in cases {
        let client = HttpClient::new(runtime.clone(), ClientLimits::default()).with_http2_in_clear();
        // What may have been done is not asked for again.
        let ask = || {
            let request = Request::post(format!("http://{address}/")).body(Body::empty());
            client.send(request.expect("a request"))
        };
        let error = ask().await.expect_err(name);
        assert!(matches!(error, ClientError::Connection(_) | ClientError::Body(_)), "{name}: {error:?}");
        assert_eq!(error.http2_code(), Some(PROTOCOL_ERROR), "{name}: {error:?}");
        let (settings, goodbye) = told.recv().await.expect("the server goes on");
        assert!(settings.chunks(6).any(|setting| setting == NO_PUSH), "{name}: {settings:?}");
        assert_eq!(goodbye, Some(PROTOCOL_ERROR), "{name}");
        assert_eq!(ask().await.expect("an answer").status(), 200, "{name}");
    }
}
