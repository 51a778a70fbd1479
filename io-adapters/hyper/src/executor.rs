//! Background tasks that hyper starts (HTTP/2 connections and streams).

use hyper::rt::Executor;
use shroud_runtime::{Class, Runtime};
use std::future::Future;

/// Spawns hyper's background futures as detached tasks of one name and class. They end with the task that was
/// current when hyper spawned them.
#[derive(Clone, Debug)]
pub struct HyperExecutor<R> {
    runtime: R,
    class: Class,
    name: &'static str,
}

impl<R: Runtime> HyperExecutor<R> {
    /// An executor whose tasks are called `name` in the metrics.
    pub fn new(runtime: R, class: Class, name: &'static str) -> Self {
        Self { runtime, class, name }
    }
}

impl<R, F> Executor<F> for HyperExecutor<R>
where
    R: Runtime,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.runtime.spawn_in(self.class, self.name, future).detach();
    }
}
