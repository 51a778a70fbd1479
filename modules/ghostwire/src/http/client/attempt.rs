//! Sending a request over TCP, and sending it again when that is allowed and worth it.

use super::super::body::{Body, BodyError};
use super::connect::Fresh;
use super::exclusive::Failure;
use super::multiplexed::Multiplexed;
use super::target::Target;
use super::{Client, ClientError};
use http::{Request, Response};
use hyper::rt::Timer as _;
use shroud_hyper::HyperTimer;
use shroud_runtime::Runtime;
use std::io;

impl<R: Runtime> Client<R> {
    pub(super) async fn over_tcp(
        &self,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, ClientError> {
        self.shared.retries.deposit();
        if let Some(shared) = self.take_shared(&target.key) {
            let copy = repeatable(&request);
            request = match self.ask_shared(shared, target, request).await {
                Err(unsent) => *unsent,
                Ok(Err(ClientError::Connection(error))) => copy.ok_or(ClientError::Connection(error))?,
                Ok(response) => return response,
            };
        }
        while let Some(open) = self.take_idle(&target.key).await {
            let copy = repeatable(&request);
            request = match open.ask(self, target, request).await {
                Err(unsent) => *unsent,
                Ok(Err(Failure::Connection(error))) => {
                    // On a new one: a request that ends connections would end all that are kept.
                    request = copy.ok_or(ClientError::Connection(error))?;
                    break;
                }
                Ok(Err(Failure::Ended)) => return Err(BodyError::TimedOut.into()),
                Ok(Ok(response)) => return Ok(response),
            };
        }
        let copy = repeatable(&request);
        match (self.on_fresh(target, request).await, copy) {
            (Err(ClientError::Connection(_)), Some(again))
                if !self.shared.options.once && self.shared.retries.withdraw() =>
            {
                self.on_fresh(target, again).await
            }
            (result, _) => result,
        }
    }

    async fn on_fresh(&self, target: &Target, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let unsent = || ClientError::Connect {
            host: target.key.clone(),
            source: io::ErrorKind::ConnectionAborted.into(),
        };
        match Box::pin(self.connect(target)).await? {
            Fresh::Multiplexed(shared) => {
                self.ask_shared(shared, target, request).await.unwrap_or_else(|_| Err(unsent()))
            }
            Fresh::Exclusive(open) => match open.ask(self, target, request).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(Failure::Connection(error))) => Err(ClientError::Connection(error)),
                Ok(Err(Failure::Ended)) => Err(BodyError::TimedOut.into()),
                Err(_) => Err(unsent()),
            },
        }
    }

    async fn ask_shared(
        &self,
        mut shared: Multiplexed,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Result<Response<Body>, ClientError>, Box<Request<Body>>> {
        target.name(&mut request);
        let timer = HyperTimer::new(self.shared.runtime.clone());
        let read_time = self.shared.limits.read_time;
        let answer = shared.ask(request, move || timer.sleep(read_time)).await?;
        Ok(answer.map_err(ClientError::Connection))
    }
}

/// A copy of a request that may be sent twice.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_idempotent() || !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
