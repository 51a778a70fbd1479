//! So many requests a second for each client.

use super::super::body::Body;
use super::super::handler::Handler;
use super::super::info::ConnectionInfo;
use super::super::network::client as network;
use super::super::response::refusal;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use shroud_runtime::Runtime;
use shroud_runtime::flow::{RateError, RateLimiter, RateLimits};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are told apart at a time. Further ones share one allowance until earlier ones have rested.
const CLIENTS: usize = 65_536;

/// Which client a request is from; `None`: not limited.
pub type RateLimitedBy = fn(&Request<Body>) -> Option<IpAddr>;

/// Answers 429 with `Retry-After` to a client that is over its rate (RFC 6585 4).
///
/// A client is an IPv4 address or an IPv6 network of 64 bits, the peer's unless [`RateLimited::by`] says otherwise. Memory
/// is bounded: 65,536 clients are told apart.
#[derive(Debug)]
pub struct RateLimited<R: Runtime, H> {
    runtime: R,
    handler: H,
    limits: RateLimits,
    by: RateLimitedBy,
    clients: Mutex<Clients<R>>,
}

#[derive(Debug)]
struct Clients<R> {
    known: BTreeMap<u128, Client<R>>,
    most: usize,
    /// For those that there is no room for.
    others: RateLimiter<R>,
    /// When room was last looked for.
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Client<R> {
    limiter: RateLimiter<R>,
    seen: Instant,
}

impl<R: Runtime, H: Handler> RateLimited<R, H> {
    /// Lets each client send requests to `handler` within `limits`.
    pub fn new(runtime: R, handler: H, limits: RateLimits) -> Self {
        let others = RateLimiter::new(runtime.clone(), limits);
        let clients = Clients { known: BTreeMap::new(), most: CLIENTS, others, swept: None };
        Self {
            runtime,
            handler,
            limits,
            by: |request| ConnectionInfo::of(request).map(|info| info.peer.ip()),
            clients: Mutex::new(clients),
        }
    }

    /// Tells clients apart in another way, such as by what a trusted proxy says.
    #[must_use]
    pub fn by(self, by: RateLimitedBy) -> Self {
        Self { by, ..self }
    }

    fn take(&self, client: IpAddr) -> Result<(), RateError> {
        let now = self.runtime.now();
        let rest = self.limits.period.saturating_mul(self.limits.burst.get()) / self.limits.count.get();
        let limiter = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients
                .limiter(network(client), now, rest, || RateLimiter::new(self.runtime.clone(), self.limits))
        };
        limiter.try_acquire(1)
    }
}

impl<R: Runtime> Clients<R> {
    fn limiter(
        &mut self,
        client: u128,
        now: Instant,
        rest: Duration,
        fresh: impl FnOnce() -> RateLimiter<R>,
    ) -> RateLimiter<R> {
        if let Some(known) = self.known.get_mut(&client) {
            known.seen = now;
            return known.limiter.clone();
        }
        if self.known.len() >= self.most
            && self.swept.is_none_or(|at| now.saturating_duration_since(at) >= rest)
        {
            // Whoever has rested so long has a full allowance again: nothing is lost by forgetting it.
            self.known.retain(|_, client| now.saturating_duration_since(client.seen) < rest);
            self.swept = Some(now);
        }
        if self.known.len() >= self.most {
            return self.others.clone();
        }
        let limiter = fresh();
        self.known.insert(client, Client { limiter: limiter.clone(), seen: now });
        limiter
    }
}

impl<R: Runtime, H: Handler> Handler for RateLimited<R, H> {
    async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let Some(client) = (self.by)(&request) else { return self.handler.handle(request).await };
        match self.take(client) {
            Ok(()) => self.handler.handle(request).await,
            Err(error) => {
                let seconds = match error {
                    RateError::Later(wait) => {
                        wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
                    }
                    _ => 1,
                };
                let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_client() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("2001:db8::1", "2001:db8::ffff:0:0:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    }
}
