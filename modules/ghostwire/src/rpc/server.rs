//! JSON-RPC requests of HTTP clients.

use crate::http::{Body, Handler, HeaderMap, Request, Response, StatusCode, header, json, refusal};
use futures_util::stream::{FuturesOrdered, StreamExt};
use serde_json::value::RawValue;
use shroud_wire::jsonrpc::{
    self, BatchWriter, Code, Id, Invalid, Item, Json, Message, RpcError, write_error, write_result,
};
use std::future::Future;

/// The methods of a server.
pub trait Methods: Send + Sync + 'static {
    /// Calls `method`; `params` is an array or an object, not decoded yet.
    ///
    /// Unknown methods answer [`RpcError::method_not_found`]. Cancel safety: the future is dropped when the client
    /// goes away, at any await point.
    fn call(
        &self,
        method: &str,
        params: Option<&RawValue>,
    ) -> impl Future<Output = Result<Json, RpcError>> + Send;
}

/// What an RPC server lets its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcLimits {
    /// Bytes, batch items and nesting of a message.
    pub message: jsonrpc::Limits,
    /// Calls of one batch in work at a time. Default 16.
    pub concurrency: usize,
    /// Bytes of a batch's response: once it is longer, further results are replaced by an error. Default 16 MiB.
    pub response_bytes: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self { message: jsonrpc::Limits::default(), concurrency: 16, response_bytes: 16 * 1024 * 1024 }
    }
}

/// Serves [`Methods`] as JSON-RPC 2.0 over HTTP `POST`.
///
/// Errors of the protocol are answered 200 with an error object; 204 when there was nothing to answer (notifications
/// only); 4xx when the HTTP request itself is at fault.
#[derive(Debug, Clone)]
pub struct RpcHandler<M> {
    methods: M,
    limits: RpcLimits,
}

impl<M: Methods> RpcHandler<M> {
    /// Serves `methods` within `limits`.
    pub const fn new(methods: M, limits: RpcLimits) -> Self {
        Self { methods, limits }
    }

    pub(super) const fn methods(&self) -> &M {
        &self.methods
    }

    pub(super) const fn limits(&self) -> &RpcLimits {
        &self.limits
    }

    /// Answers one message; `None` when it holds notifications only.
    pub async fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        match jsonrpc::parse(message, &self.limits.message) {
            Ok(Message::Single(request)) => self.answer_item(Ok(request)).await,
            Ok(Message::Batch(items)) => self.answer_batch(items).await,
            Err(invalid) => self.answer_item(Err(invalid)).await,
        }
    }

    async fn answer_batch(&self, items: Vec<Item<'_>>) -> Option<Vec<u8>> {
        let mut items = items.into_iter();
        let mut running = FuturesOrdered::new();
        for item in items.by_ref().take(self.limits.concurrency.max(1)) {
            running.push_back(self.answer_item(item));
        }
        let mut batch = BatchWriter::new();
        while let Some(response) = running.next().await {
            if let Some(response) = response {
                batch.push(&response);
            }
            if let Some(item) = items.next() {
                let item =
                    if batch.len() > self.limits.response_bytes { item.and_then(too_much) } else { item };
                running.push_back(self.answer_item(item));
            }
        }
        batch.finish()
    }

    async fn answer_item(&self, item: Item<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match item {
            Err(invalid) => write_error(&mut out, invalid.id, &invalid.error),
            Ok(request) => {
                let result = self.methods.call(&request.method, request.params).await;
                match (request.id?, result) {
                    (id, Ok(result)) => write_result(&mut out, id, &result),
                    (id, Err(error)) => write_error(&mut out, id, &error),
                }
            }
        }
        Some(out)
    }
}

fn too_much(request: jsonrpc::Request<'_>) -> Item<'_> {
    let error = RpcError::new(Code::LIMIT_EXCEEDED, "the batch's response is too long");
    Err(Invalid { id: request.id.unwrap_or(Id::NULL), error })
}

impl<M: Methods> Handler for RpcHandler<M> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        if !is_json(request.headers()) {
            return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json");
        }
        let limit = u64::try_from(self.limits.message.bytes).unwrap_or(u64::MAX);
        let message = match request.into_body().bytes(limit).await {
            Ok(message) => message,
            Err(error) => return refusal(error.status(), error.to_string()),
        };
        match self.answer(&message).await {
            Some(answer) => json(answer),
            None => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        }
    }
}

/// Clients name the type in several ways, or not at all.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii();
    [&b"application/json"[..], b"application/json-rpc", b"application/jsonrequest", b"text/json"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, yield_now};
    use serde_json::{Value, json};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Counter {
        running: AtomicUsize,
        most: AtomicUsize,
        calls: AtomicUsize,
    }

    impl Methods for Counter {
        async fn call(&self, method: &str, params: Option<&RawValue>) -> Result<Json, RpcError> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            yield_now().await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            match method {
                "echo" => Ok(params.map_or(Json::NULL, Json::from)),
                "big" => Ok(Json::string(&"x".repeat(1000))),
                other => Err(RpcError::method_not_found(other)),
            }
        }
    }

    fn post(handler: &RpcHandler<Counter>, kind: Option<&str>, body: &str) -> (u16, Value) {
        let mut request = Request::post("/");
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        block_on(async {
            let response = handler.handle(request.body(Body::from(body.to_owned())).unwrap()).await;
            let status = response.status().as_u16();
            let body = response.into_body().bytes(1 << 20).await.unwrap();
            (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
        })
    }

    fn handler(limits: RpcLimits) -> RpcHandler<Counter> {
        RpcHandler::new(Counter::default(), limits)
    }

    #[test]
    fn content_types() {
        let handler = handler(RpcLimits::default());
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}"#;
        for kind in [None, Some("application/json"), Some("Application/JSON ; charset=utf-8")] {
            assert_eq!(post(&handler, kind, call), (200, json!({"jsonrpc":"2.0","id":1,"result":[1]})));
        }
        assert_eq!(post(&handler, Some("text/html"), call).0, 415);
    }

    #[test]
    fn batches_keep_order_and_bound_concurrency() {
        let handler = handler(RpcLimits { concurrency: 3, ..RpcLimits::default() });
        let batch: Vec<Value> =
            (0..20).map(|n| json!({"jsonrpc":"2.0","id":n,"method":"echo","params":[n]})).collect();
        let (status, answer) = post(&handler, None, &Value::from(batch).to_string());
        let ids: Vec<i64> =
            answer.as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect();
        assert_eq!((status, ids), (200, (0..20).collect()));
        assert_eq!(handler.methods.most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn notifications_are_called_and_not_answered() {
        let handler = handler(RpcLimits::default());
        let call = r#"{"jsonrpc":"2.0","method":"echo"}"#;
        assert_eq!(post(&handler, None, call), (204, Value::Null));
        assert_eq!(post(&handler, None, &format!("[{call},{call}]")), (204, Value::Null));
        assert_eq!(handler.methods.calls.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn faults_are_answered_in_the_body() {
        let handler = handler(RpcLimits::default());
        for (body, code) in
            [("{", -32700), ("[]", -32600), (r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#, -32601)]
        {
            let (status, answer) = post(&handler, None, body);
            assert_eq!((status, answer["error"]["code"].as_i64()), (200, Some(code)), "{body}");
        }
    }

    #[test]
    fn long_messages_and_responses_are_cut_off() {
        let message = jsonrpc::Limits { bytes: 4000, ..jsonrpc::Limits::default() };
        let handler = handler(RpcLimits { message, concurrency: 1, response_bytes: 2000 });
        assert_eq!(post(&handler, None, &" ".repeat(4001)).0, 413);
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"big"}"#;
        let (_, answer) = post(&handler, None, &format!("[{}]", [call; 5].join(",")));
        let results = answer.as_array().unwrap().iter().filter(|item| item.get("result").is_some()).count();
        assert_eq!((results, answer.as_array().unwrap().len()), (2, 5));
        assert_eq!(answer[4]["error"]["code"], json!(-32005));
    }
}
