//! Sending a request over TCP, and sending it again when that is allowed and worth it.

use super::super::body::{Body, BodyError};
use super::connect::Fresh;
use super::exclusive::Failure;
use super::pool::Taken;
use super::target::Target;
use super::{Client, ClientError};
use http::{Request, Response};
use shroud_hyper::HyperTimer;
use shroud_runtime::Runtime;
use std::io;

/// What came of a request on one connection, or the request when nothing of it was sent.
type Answered = Result<Result<Response<Body>, ClientError>, Box<Request<Body>>>;

impl<R: Runtime> Client<R> {
    pub(super) async fn over_tcp(
        &self,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, ClientError> {
        self.shared.retries.deposit();
        let (mut new, mut repeated) = (false, false);
        loop {
            let copy = copy_of(&request);
            let (kept, answer) = match self.take(&target.key, new).await? {
                Taken::Kept(connection) => (true, self.ask(connection, target, request).await),
                Taken::Place(place) => {
                    let connection = Box::pin(self.connect(target, place)).await?;
                    (false, self.ask(connection, target, request).await)
                }
            };
            let error = match answer {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => error,
                Err(unsent) if kept => {
                    request = *unsent;
                    continue;
                }
                Err(_) => {
                    let source = io::ErrorKind::ConnectionAborted.into();
                    return Err(ClientError::Connect { host: target.key.clone(), source });
                }
            };
            let unprocessed = error.is_unprocessed();
            let failed = unprocessed || matches!(error, ClientError::Connection(_));
            let again = copy.filter(|copy| failed && (unprocessed || copy.method().is_idempotent()));
            let Some(again) = again else { return Err(error) };
            if kept && !new && !unprocessed {
                // It may have ended meanwhile, which is no failure of the server's. On a new one: a request that ends
                // connections would end all that are kept.
                new = true;
            } else if !self.shared.options.once && !repeated && self.shared.retries.withdraw() {
                repeated = true;
            } else {
                return Err(error);
            }
            request = again;
        }
    }

    async fn ask(&self, connection: Fresh<R>, target: &Target, request: Request<Body>) -> Answered {
        match connection {
            Fresh::Multiplexed(mut shared) => {
                let mut request = request;
                target.name(&mut request);
                let timer = HyperTimer::new(self.shared.runtime.clone());
                let read_time = self.shared.limits.read_time;
                let answer = shared.ask(request, move || hyper::rt::Timer::sleep(&timer, read_time)).await;
                let failed = match &answer {
                    Ok(Ok(_)) => false,
                    Ok(Err(_)) => !shared.is_open(),
                    Err(_) => true,
                };
                if failed {
                    self.forget(&target.key, &shared);
                }
                Ok(answer?.map_err(ClientError::Connection))
            }
            Fresh::Exclusive(open) => Ok(match open.ask(self, target, request).await? {
                Ok(response) => Ok(response),
                Err(Failure::Connection(error)) => Err(ClientError::Connection(error)),
                Err(Failure::Ended) => Err(BodyError::TimedOut.into()),
            }),
        }
    }
}

/// A copy of a request that has no body.
fn copy_of(request: &Request<Body>) -> Option<Request<Body>> {
    if !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
