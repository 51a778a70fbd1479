//! The same HTTP/1.1 server, written several times: over the seam, and on each runtime's own API.
//!
//! All use hyper with the same settings, one thread, and the same thirteen bytes. What differs is who accepts, spawns, reads and
//! writes: that difference is the seam's cost.

mod glommio;
mod seam;
mod smol;
mod tokio;

use clap::ValueEnum;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

pub(crate) use seam::{Program, available, run_on};

/// The body of every response.
pub(crate) const BODY: &[u8] = b"Hello, world!";

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arm {
    /// Tokio's work-stealing runtime with one worker
    Tokio,
    /// Tokio's current-thread runtime
    TokioCurrentThread,
    /// smol's executor and reactor on one thread
    Smol,
    /// glommio on one thread
    Glommio,
    /// The seam on backend `tokio`
    SeamTokio,
    /// The seam on backend `tokio-per-core`
    SeamTokioPerCore,
    /// The seam on backend `smol`
    SeamSmol,
    /// The seam on backend `smol-per-core`
    SeamSmolPerCore,
    /// The seam on backend `tokio+async-io`
    SeamTokioAsyncIo,
    /// The seam on backend `glommio`
    SeamGlommio,
}

/// Runtime's own API, and the backend that does the same over the seam.
pub(crate) const PAIRS: [(Arm, Arm); 4] = [
    (Arm::Tokio, Arm::SeamTokio),
    (Arm::TokioCurrentThread, Arm::SeamTokioPerCore),
    (Arm::Smol, Arm::SeamSmol),
    (Arm::Glommio, Arm::SeamGlommio),
];

impl Arm {
    /// The backend's name, for arms over the seam.
    pub(crate) const fn backend(self) -> Option<&'static str> {
        match self {
            Self::SeamTokio => Some("tokio"),
            Self::SeamTokioPerCore => Some("tokio-per-core"),
            Self::SeamSmol => Some("smol"),
            Self::SeamSmolPerCore => Some("smol-per-core"),
            Self::SeamTokioAsyncIo => Some("tokio+async-io"),
            Self::SeamGlommio => Some("glommio"),
            Self::Tokio | Self::TokioCurrentThread | Self::Smol | Self::Glommio => None,
        }
    }

    /// The arm over the seam on this backend.
    pub(crate) fn over(backend: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|arm| arm.backend() == Some(backend))
    }

    /// As the command line writes it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Serves until the process is killed; says where on standard output.
    pub(crate) fn serve(self) -> Result<(), Box<dyn Error>> {
        match (self, self.backend()) {
            (_, Some(backend)) => seam::serve(backend),
            (Self::Tokio, _) => tokio::serve(true),
            (Self::TokioCurrentThread, _) => tokio::serve(false),
            (Self::Smol, _) => smol::serve(),
            (_, None) => glommio::serve(),
        }
    }
}

/// The settings of all arms: hyper's own, without timers.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(true);
    builder
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

pub(crate) fn listening(address: SocketAddr) {
    println!("listening on http://{address}");
}

pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
