//! Error objects (section 5.1).

use super::write::Json;
use std::borrow::Cow;

/// An error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub i64);

impl Code {
    /// Invalid JSON was received.
    pub const PARSE_ERROR: Self = Self(-32_700);
    /// The JSON is not a valid request object.
    pub const INVALID_REQUEST: Self = Self(-32_600);
    /// The method does not exist or is not available.
    pub const METHOD_NOT_FOUND: Self = Self(-32_601);
    /// Invalid method parameters.
    pub const INVALID_PARAMS: Self = Self(-32_602);
    /// Something failed that the caller is not to blame for.
    pub const INTERNAL_ERROR: Self = Self(-32_603);
    /// A server-defined error: the first of -32000 to -32099, used where no other code fits.
    pub const SERVER_ERROR: Self = Self(-32_000);
    /// EIP-1474: the requested resource does not exist.
    pub const RESOURCE_NOT_FOUND: Self = Self(-32_001);
    /// EIP-1474: the resource exists but is not available now.
    pub const RESOURCE_UNAVAILABLE: Self = Self(-32_002);
    /// EIP-1474: the transaction was refused.
    pub const TRANSACTION_REJECTED: Self = Self(-32_003);
    /// EIP-1474: a request or account limit was exceeded.
    pub const LIMIT_EXCEEDED: Self = Self(-32_005);
    /// A call that reverted, as Ethereum nodes report it; the data holds what the contract returned.
    pub const EXECUTION_REVERTED: Self = Self(3);
}

/// An error object: what a failed call answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {})", code.0)]
pub struct RpcError {
    /// What kind of failure.
    pub code: Code,
    /// One sentence.
    pub message: Cow<'static, str>,
    /// More, for machines.
    pub data: Option<Json>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same with data.
    #[must_use]
    pub fn with_data(self, data: Json) -> Self {
        Self { data: Some(data), ..self }
    }

    /// -32700.
    pub fn parse_error(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PARSE_ERROR, message)
    }

    /// -32600.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::INVALID_REQUEST, message)
    }

    /// -32601 for `method`, which is cut when it is very long.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        let shown: String = method.chars().take(64).collect();
        Self::new(Code::METHOD_NOT_FOUND, format!("the method {shown} does not exist"))
    }

    /// -32602.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::INVALID_PARAMS, message)
    }

    /// -32603.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::INTERNAL_ERROR, message)
    }
}
