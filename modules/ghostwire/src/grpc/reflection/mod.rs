//! Server reflection, `grpc.reflection.v1` and `v1alpha`: what services there are, and their descriptors.
//!
//! | file | what is inside |
//! |---|---|
//! | `messages` | the protocol's messages, which both versions share |
//! | `descriptor` | what is read of descriptors |
//! | `index` | which file declares what |

mod descriptor;
mod index;
mod messages;

pub use index::InvalidDescriptors;
pub use messages::{
    ErrorResponse, ExtensionNumberResponse, ExtensionRequest, FileDescriptorResponse, ListServiceResponse,
    MessageRequest, MessageResponse, ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};

use super::code::Code;
use super::message::{Request, Response};
use super::service::Service;
use super::status::Status;
use super::streaming::Streaming;
use futures_util::future::{Either, select};
use futures_util::stream::unfold;
use index::Index;
use shroud_runtime::{CancellationToken, Runtime};
use std::pin::pin;
use std::sync::Arc;

/// The encoded `FileDescriptorSet` of `grpc/reflection/v1/reflection.proto`.
pub const REFLECTION_DESCRIPTORS: &[u8] = include_bytes!("../../../proto/grpc/reflection/v1/reflection.bin");

/// The encoded `FileDescriptorSet` of `grpc/reflection/v1alpha/reflection.proto`.
pub const REFLECTION_V1ALPHA_DESCRIPTORS: &[u8] =
    include_bytes!("../../../proto/grpc/reflection/v1alpha/reflection.bin");

/// Answers what services there are, from encoded `FileDescriptorSet`s. Clones share them.
///
/// A file is answered with all files that it depends on. What is not there is answered `NOT_FOUND` inside the stream, which
/// goes on. When the node is asked to stop the streams end, so that the drain need not wait for them.
#[derive(Debug, Clone)]
pub struct Reflection {
    index: Arc<Index>,
    stopping: CancellationToken,
}

impl Reflection {
    /// The full name of its service, version 1.
    pub const SERVICE: &str = "grpc.reflection.v1.ServerReflection";

    /// The full name of the same service in the version before.
    pub const SERVICE_V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

    /// Knows these descriptor sets and its own. A file may be in several of them.
    ///
    /// # Errors
    /// [`InvalidDescriptors`] when a set cannot be decoded, or two files have one name and differ.
    pub fn new<'a, R: Runtime>(
        runtime: &R,
        sets: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, InvalidDescriptors> {
        let own = [REFLECTION_DESCRIPTORS, REFLECTION_V1ALPHA_DESCRIPTORS];
        let index = Index::new(sets.into_iter().chain(own))?;
        Ok(Self { index: Arc::new(index), stopping: runtime.stopping() })
    }

    /// The service, version 1.
    #[must_use]
    pub fn service(&self) -> Service {
        self.named(Self::SERVICE)
    }

    /// The service, as older clients know it.
    #[must_use]
    pub fn service_v1alpha(&self) -> Service {
        self.named(Self::SERVICE_V1ALPHA)
    }

    fn named(&self, name: &str) -> Service {
        let own = self.clone();
        Service::new(name).bidirectional(
            "ServerReflectionInfo",
            move |request: Request<Streaming<ServerReflectionRequest>>| {
                let own = own.clone();
                let answers = unfold(Some(request.message), move |requests| {
                    let own = own.clone();
                    async move {
                        let mut requests = requests?;
                        let next = {
                            let stopped = pin!(own.stopping.cancelled());
                            match select(pin!(requests.message()), stopped).await {
                                Either::Left((next, _)) => next,
                                Either::Right(_) => Err(Status::new(Code::Unavailable, "the server stops")),
                            }
                        };
                        match next.transpose()? {
                            Ok(request) => Some((Ok(own.answer(request)), Some(requests))),
                            Err(status) => Some((Err(status), None)),
                        }
                    }
                });
                async move { Ok(Response::new(answers)) }
            },
        )
    }

    pub(super) fn answer(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = match &request.message_request {
            Some(MessageRequest::FileByFilename(name)) => self.index.file(name).map(files),
            Some(MessageRequest::FileContainingSymbol(symbol)) => self.index.symbol(symbol).map(files),
            Some(MessageRequest::FileContainingExtension(extension)) => {
                self.index.extension(&extension.containing_type, extension.extension_number).map(files)
            }
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                self.index.extension_numbers(name).map(|numbers| {
                    MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name: name.clone(),
                        extension_number: numbers,
                    })
                })
            }
            Some(MessageRequest::ListServices(_)) => {
                let service = self.index.services().map(|name| ServiceResponse { name: name.to_owned() });
                Ok(MessageResponse::ListServicesResponse(ListServiceResponse { service: service.collect() }))
            }
            None => Err((Code::InvalidArgument, "nothing is asked for".to_owned())),
        };
        let answer = answer.unwrap_or_else(|(code, error_message)| {
            MessageResponse::ErrorResponse(ErrorResponse { error_code: code.number().into(), error_message })
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }
}

fn files(file_descriptor_proto: Vec<bytes::Bytes>) -> MessageResponse {
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
}
