//! What is read of `google/protobuf/descriptor.proto`: names, and what extends what. All else is skipped.

use bytes::Bytes;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FileDescriptorSet {
    /// `FileDescriptorProto`s, kept as they are.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) file: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FileDescriptor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) dependency: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) message_type: Vec<MessageDescriptor>,
    #[prost(message, repeated, tag = "5")]
    pub(super) enum_type: Vec<EnumDescriptor>,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<ServiceDescriptor>,
    #[prost(message, repeated, tag = "7")]
    pub(super) extension: Vec<FieldDescriptor>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct MessageDescriptor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) field: Vec<FieldDescriptor>,
    #[prost(message, repeated, tag = "3")]
    pub(super) nested_type: Vec<MessageDescriptor>,
    #[prost(message, repeated, tag = "4")]
    pub(super) enum_type: Vec<EnumDescriptor>,
    #[prost(message, repeated, tag = "6")]
    pub(super) extension: Vec<FieldDescriptor>,
    #[prost(message, repeated, tag = "8")]
    pub(super) oneof_decl: Vec<Named>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FieldDescriptor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) extendee: String,
    #[prost(int32, tag = "3")]
    pub(super) number: i32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct EnumDescriptor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) value: Vec<Named>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ServiceDescriptor {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) method: Vec<Named>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}
