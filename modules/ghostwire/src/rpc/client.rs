//! A JSON-RPC client over the HTTP client.

use crate::http::{self, ClientError, HeaderValue, Request, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use shroud_runtime::Runtime;
use shroud_wire::jsonrpc::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A call that has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No HTTP response. The server may have received the call.
    #[error("calling {method} failed: {source}")]
    Http {
        /// What was called.
        method: String,
        /// Why.
        source: ClientError,
    },
    /// The server answered with another status than 200.
    #[error("calling {method} failed: the server answered {status}")]
    Status {
        /// What was called.
        method: String,
        /// The answer.
        status: StatusCode,
    },
    /// The server refused the call or failed at it.
    #[error("{method}: {message} (code {})", code.0)]
    Refused {
        /// What was called.
        method: String,
        /// The error's kind.
        code: Code,
        /// The error's sentence.
        message: String,
        /// The error's data.
        data: Option<Value>,
    },
    /// The parameters cannot be written, or the answer is not what was expected.
    #[error("calling {method}: {source}")]
    Json {
        /// What was called.
        method: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The answer is to another call.
    #[error("the answer to {method} carries another id or neither result nor error")]
    Mismatch {
        /// What was called.
        method: String,
    },
}

/// Calls the methods of one server.
pub struct Client<R: Runtime> {
    http: http::Client<R>,
    server: Uri,
    next: Arc<AtomicU64>,
}

impl<R: Runtime> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { http: self.http.clone(), server: self.server.clone(), next: Arc::clone(&self.next) }
    }
}

impl<R: Runtime> std::fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Call<'a, P: ?Sized> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: i64,
    message: String,
    data: Option<Value>,
}

/// Tells a result of `null` from none.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<R: Runtime> Client<R> {
    /// Calls methods of the server at `server` (`http://host:port/`).
    pub fn new(http: http::Client<R>, server: Uri) -> Self {
        Self { http, server, next: Arc::new(AtomicU64::new(1)) }
    }

    /// Calls `method` with `params`, an array or tuple by position or a struct or map by name.
    ///
    /// Cancel safety: dropping the future leaves open whether the server carries the call out.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync + ?Sized),
    ) -> Result<T, CallError> {
        let named = || method.to_owned();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let call = Call { jsonrpc: "2.0", id, method, params };
        let text = serde_json::to_vec(&call).map_err(|source| CallError::Json { method: named(), source })?;
        let mut request = Request::new(text.into());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.server.clone();
        let kind = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        let response =
            self.http.send(request).await.map_err(|source| CallError::Http { method: named(), source })?;
        if response.status() != StatusCode::OK {
            return Err(CallError::Status { method: named(), status: response.status() });
        }
        let answer: Answer<'_> = serde_json::from_slice(response.body())
            .map_err(|source| CallError::Json { method: named(), source })?;
        match (answer.error, answer.result) {
            (Some(failure), _) => Err(CallError::Refused {
                method: named(),
                code: Code(failure.code),
                message: failure.message,
                data: failure.data,
            }),
            (None, Some(result)) if answer.id == Some(id) => serde_json::from_str(result.get())
                .map_err(|source| CallError::Json { method: named(), source }),
            _ => Err(CallError::Mismatch { method: named() }),
        }
    }
}
