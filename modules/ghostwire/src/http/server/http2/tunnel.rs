//! A stream that leaves HTTP: extended CONNECT (RFC 8441), for WebSocket.

use super::super::super::body::Body;
use super::super::super::response::refusal;
use super::super::super::upgrade::{self, Seam, Upgraded};
use super::streams::Spawner;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use shroud_hyper::FuturesIo;
use shroud_runtime::Runtime;

/// The stream of a CONNECT request, once its response is sent.
pub(super) struct Tunnel(OnUpgrade);

impl Tunnel {
    /// That of `request`, when it is such a request.
    pub(super) fn of(request: &mut Request<Body>) -> Option<Self> {
        request.extensions_mut().remove().map(Self)
    }

    /// Hands the stream to whoever the handler has named. A response that opens a tunnel for nobody becomes 405: its client
    /// would take it for an open one.
    pub(super) fn settle<R: Runtime>(self, response: &mut Response<Body>, runtime: &R, spawner: &Spawner<R>) {
        let takeover = upgrade::detach(response);
        if !response.status().is_success() {
            return;
        }
        let Some(takeover) = takeover else {
            *response = refusal(StatusCode::METHOD_NOT_ALLOWED, "nothing here takes a tunnel");
            return;
        };
        let seam = Seam::of(runtime);
        spawner.run(async move {
            // Fails when the stream or its connection has ended before.
            if let Ok(stream) = self.0.await {
                takeover(Upgraded { io: Box::new(FuturesIo(stream)), read: Bytes::new(), seam }).await;
            }
        });
    }
}
