//! The messages of `grpc.reflection.v1` and `grpc.reflection.v1alpha`: the same in both.

use bytes::Bytes;

/// A question.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServerReflectionRequest {
    /// Whom it is for; repeated in the answer.
    #[prost(string, tag = "1")]
    pub host: String,
    /// What is asked.
    #[prost(oneof = "MessageRequest", tags = "3, 4, 5, 6, 7")]
    pub message_request: Option<MessageRequest>,
}

/// What may be asked.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum MessageRequest {
    /// The file of this name.
    #[prost(string, tag = "3")]
    FileByFilename(String),
    /// The file that declares this: a service, method, message, field, enumeration or one of its values, by full name.
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    /// The file that declares this extension.
    #[prost(message, tag = "5")]
    FileContainingExtension(ExtensionRequest),
    /// The numbers of all extensions of the message with this full name.
    #[prost(string, tag = "6")]
    AllExtensionNumbersOfType(String),
    /// The full names of all services; the text means nothing.
    #[prost(string, tag = "7")]
    ListServices(String),
}

/// An extension.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExtensionRequest {
    /// The message that it extends, by full name.
    #[prost(string, tag = "1")]
    pub containing_type: String,
    /// Its number.
    #[prost(int32, tag = "2")]
    pub extension_number: i32,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServerReflectionResponse {
    /// The host of the question.
    #[prost(string, tag = "1")]
    pub valid_host: String,
    /// The question.
    #[prost(message, optional, tag = "2")]
    pub original_request: Option<ServerReflectionRequest>,
    /// What is answered.
    #[prost(oneof = "MessageResponse", tags = "4, 5, 6, 7")]
    pub message_response: Option<MessageResponse>,
}

/// What may be answered.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum MessageResponse {
    /// A file, and what it depends on.
    #[prost(message, tag = "4")]
    FileDescriptorResponse(FileDescriptorResponse),
    /// Numbers of extensions.
    #[prost(message, tag = "5")]
    AllExtensionNumbersResponse(ExtensionNumberResponse),
    /// Services.
    #[prost(message, tag = "6")]
    ListServicesResponse(ListServiceResponse),
    /// That it is not there.
    #[prost(message, tag = "7")]
    ErrorResponse(ErrorResponse),
}

/// Files.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileDescriptorResponse {
    /// Encoded `FileDescriptorProto`s, the one asked for first.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub file_descriptor_proto: Vec<Bytes>,
}

/// Numbers of extensions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExtensionNumberResponse {
    /// The message, by full name.
    #[prost(string, tag = "1")]
    pub base_type_name: String,
    /// In ascending order.
    #[prost(int32, repeated, tag = "2")]
    pub extension_number: Vec<i32>,
}

/// Services.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ListServiceResponse {
    /// In the order of their names.
    #[prost(message, repeated, tag = "1")]
    pub service: Vec<ServiceResponse>,
}

/// A service.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ServiceResponse {
    /// Its full name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Why there is no other answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ErrorResponse {
    /// A [`Code`](crate::grpc::Code)'s number.
    #[prost(int32, tag = "1")]
    pub error_code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub error_message: String,
}
