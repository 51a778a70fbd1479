//! `grpc.health.v1`: whether services serve, asked once or watched.

use super::code::Code;
use super::message::{Request, Response};
use super::service::Service;
use super::status::Status;
use futures_util::future::{Either, select};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use shroud_runtime::sync::watch;
use shroud_runtime::{CancellationToken, Runtime};
use std::collections::BTreeMap;
use std::pin::pin;

/// The encoded `FileDescriptorSet` of `grpc/health/v1/health.proto`, for [`Reflection`](super::Reflection).
pub const HEALTH_DESCRIPTORS: &[u8] = include_bytes!("../../proto/grpc/health/v1/health.bin");

/// Bytes of a service's name that is asked for: `INVALID_ARGUMENT` beyond.
pub const HEALTH_NAME_BYTES: usize = 1024;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckRequest {
    /// The full name of a service; empty for the server as a whole.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HealthCheckResponse {
    /// The answer.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// Whether a service serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Nobody knows.
    Unknown = 0,
    /// It serves.
    Serving = 1,
    /// It does not.
    NotServing = 2,
    /// There is no such service; only who watches is told so.
    ServiceUnknown = 3,
}

/// Tells callers whether services serve. Clones tell the same.
///
/// When the node is asked to stop, nothing serves any more, and who watches is told that and let go (`UNAVAILABLE`), so that
/// the drain need not wait for them.
#[derive(Debug, Clone)]
pub struct Health {
    statuses: watch::Sender<BTreeMap<String, ServingStatus>>,
    stopping: CancellationToken,
}

impl Health {
    /// The full name of its service.
    pub const SERVICE: &str = "grpc.health.v1.Health";

    /// The server as a whole serves; of services nothing is known.
    pub fn new<R: Runtime>(runtime: &R) -> Self {
        let all = BTreeMap::from([(String::new(), ServingStatus::Serving)]);
        Self { statuses: watch::channel(all).0, stopping: runtime.stopping() }
    }

    /// From now on `service` (empty: the server as a whole) has this status; with [`ServingStatus::ServiceUnknown`] it is
    /// forgotten.
    pub fn set(&self, service: &str, status: ServingStatus) {
        self.statuses.send_if(|all| {
            let before = if status == ServingStatus::ServiceUnknown {
                all.remove(service)
            } else {
                all.insert(service.to_owned(), status)
            };
            before.unwrap_or(ServingStatus::ServiceUnknown) != status
        });
    }

    /// The status of a service.
    #[must_use]
    pub fn get(&self, service: &str) -> ServingStatus {
        self.statuses.subscribe().with(|all| look(all, service, &self.stopping))
    }

    /// The service, for a [`Server`](super::Server).
    #[must_use]
    pub fn service(&self) -> Service {
        let (checked, watched) = (self.clone(), self.clone());
        Service::new(Self::SERVICE)
            .unary("Check", move |request: Request<HealthCheckRequest>| {
                let answer = checked.check(&request.message.service);
                async { answer }
            })
            .server_streaming("Watch", move |request: Request<HealthCheckRequest>| {
                let answer = named(&request.message.service)
                    .map(|()| watched.watch(request.message.service))
                    .map(Response::new);
                async { answer }
            })
    }

    fn check(&self, service: &str) -> Result<Response<HealthCheckResponse>, Status> {
        named(service)?;
        match self.get(service) {
            ServingStatus::ServiceUnknown => {
                Err(Status::new(Code::NotFound, format!("unknown service {service}")))
            }
            status => Ok(HealthCheckResponse { status: status.into() }.into()),
        }
    }

    /// The status now, and each that differs from the one before.
    fn watch(
        &self,
        service: String,
    ) -> impl Stream<Item = Result<HealthCheckResponse, Status>> + Send + use<> {
        let (receiver, stopping) = (self.statuses.subscribe(), self.stopping.clone());
        let statuses = unfold(Some((receiver, None)), move |state| {
            let (service, stopping) = (service.clone(), stopping.clone());
            async move {
                let (mut receiver, last) = state?;
                loop {
                    let status = look(&receiver.get(), &service, &stopping);
                    if last != Some(status) {
                        let answer = HealthCheckResponse { status: status.into() };
                        return Some((Ok(answer), Some((receiver, Some(status)))));
                    }
                    if stopping.is_cancelled() {
                        return Some((Err(Status::new(Code::Unavailable, "the server stops")), None));
                    }
                    let changed = pin!(receiver.changed());
                    let stopped = pin!(stopping.cancelled());
                    if let Either::Left((Err(watch::Closed), _)) = select(changed, stopped).await {
                        return None;
                    }
                }
            }
        });
        statuses.boxed()
    }
}

fn named(service: &str) -> Result<(), Status> {
    if service.len() > HEALTH_NAME_BYTES {
        return Err(Status::new(Code::InvalidArgument, "no service has so long a name"));
    }
    Ok(())
}

fn look(all: &BTreeMap<String, ServingStatus>, service: &str, stopping: &CancellationToken) -> ServingStatus {
    match all.get(service) {
        Some(_) if stopping.is_cancelled() => ServingStatus::NotServing,
        Some(status) => *status,
        None => ServingStatus::ServiceUnknown,
    }
}
