//! gRPC over our HTTP/2 (the protocol: "gRPC over HTTP2"): servers and clients of prost's messages, on any runtime.
//!
//! A [`Service`] names its methods, each of one of the four kinds, with the functions that answer them; a [`Server`] is the
//! [`Handler`](crate::http::Handler) that a [`Router`](crate::http::Router) routes their paths to. A [`Client`] calls
//! methods by path over the HTTP client's connections. Generated code of tonic works on both sides by [`Mounted`] and
//! [`Transport`], without tonic's own transport.
//!
//! | file | what is inside |
//! |---|---|
//! | `frame` | the framing of messages, a machine |
//! | `compression` | gzip of single messages |
//! | `code`, `status` | how a call ends, and its form in trailers |
//! | `metadata`, `timeout` | what goes with a call |
//! | `options` | limits |
//! | `streaming`, `outgoing` | messages on their way in and out |
//! | `service`, `server`, `client` | methods, who answers them and who calls them |
//! | `health`, `reflection` | the two standard services |
//! | `tower` | generated code of others |

mod client;
mod code;
mod compression;
mod frame;
mod health;
mod message;
mod metadata;
mod options;
mod outgoing;
mod reflection;
mod server;
mod service;
mod status;
mod streaming;
mod timeout;
mod tower;

pub use client::{Client, InvalidAddress};
pub use code::Code;
pub use frame::{Decoder, Frame, FrameError, PREFIX_BYTES};
pub use health::{
    HEALTH_DESCRIPTORS, HEALTH_NAME_BYTES, Health, HealthCheckRequest, HealthCheckResponse, ServingStatus,
};
pub use message::{Request, Response};
pub use metadata::{InvalidMetadata, Metadata};
pub use options::Options;
pub use reflection::{
    ErrorResponse, ExtensionNumberResponse, ExtensionRequest, FileDescriptorResponse, InvalidDescriptors,
    ListServiceResponse, MessageRequest, MessageResponse, REFLECTION_DESCRIPTORS,
    REFLECTION_V1ALPHA_DESCRIPTORS, Reflection, ServerReflectionRequest, ServerReflectionResponse,
    ServiceResponse,
};
pub use server::Server;
pub(crate) use server::is_call;
pub use service::Service;
pub use status::{STATUS_MESSAGE_BYTES, Status};
pub use streaming::Streaming;
pub use tower::{Mounted, Transport};

/// Decoders of what peers send, for the fuzz targets.
#[doc(hidden)]
pub mod decoders {
    pub use super::timeout::parse_timeout;

    /// A value of bytes, if that is one.
    #[must_use]
    pub fn decode_binary(value: &[u8]) -> Option<bytes::Bytes> {
        super::metadata::decode_binary(value).ok()
    }

    /// What these trailers say of a call's end, and the trailers that would say the same.
    #[must_use]
    pub fn status(trailers: &http::HeaderMap) -> Option<(super::Status, http::HeaderMap)> {
        super::Status::from_headers(trailers).map(|status| (status.clone(), status.into_trailers()))
    }

    /// What is answered to a question about descriptors.
    #[must_use]
    pub fn reflect(
        reflection: &super::Reflection,
        question: super::ServerReflectionRequest,
    ) -> super::ServerReflectionResponse {
        reflection.answer(question)
    }

    /// A compressed message of at most `limit` bytes, if that is one.
    #[must_use]
    pub fn inflate(bytes: &[u8], limit: usize) -> Option<bytes::Bytes> {
        super::compression::inflate(bytes, limit).ok()
    }
}
