//! Over the seam: one text for all backends.

use super::{builder, hello, listening, local};
use hyper::service::service_fn;
use shroud::backends::{Visit, with_backend};
use shroud_hyper::HyperIo;
use shroud_runtime::net::{ListenOptions, Listener, ListenerExt};
use shroud_runtime::{Backend, Config, Runtime};
use std::error::Error;
use std::future::Future;
use std::marker::PhantomData;

/// Serves on this backend, one thread.
pub(super) fn serve(backend: &str) -> Result<(), Box<dyn Error>> {
    run_on(backend, Accept)
}

/// A program for any backend.
pub(crate) trait Program: Clone + Send + Sync + 'static {
    /// Runs it on a shard.
    fn main<R: Runtime>(self, runtime: R) -> impl Future<Output = std::io::Result<()>> + Send;
}

/// Runs a program on the backend with this name, one thread.
pub(crate) fn run_on<P: Program>(backend: &str, program: P) -> Result<(), Box<dyn Error>> {
    struct Run<P>(P);
    impl<P: Program> Visit for Run<P> {
        type Output = Result<(), Box<dyn Error>>;
        fn visit<B: Backend>(self, backend: B) -> Self::Output {
            backend.probe()?;
            let program = self.0;
            for result in backend.run(&Config::single(), move |runtime| program.clone().main(runtime))? {
                result??;
            }
            Ok(())
        }
    }
    with_backend(backend, Run(program))?
}

/// Why a backend cannot run here; `None` when it can.
pub(crate) fn available(backend: &str) -> Option<String> {
    struct Probe(PhantomData<()>);
    impl Visit for Probe {
        type Output = Option<String>;
        fn visit<B: Backend>(self, backend: B) -> Self::Output {
            backend.probe().err().map(|reason| reason.to_string())
        }
    }
    with_backend(backend, Probe(PhantomData)).unwrap_or_else(|error| Some(error.to_string()))
}

#[derive(Clone)]
struct Accept;

impl Program for Accept {
    async fn main<R: Runtime>(self, runtime: R) -> std::io::Result<()> {
        let mut listener = runtime.listen(local(), ListenOptions::default()).await?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let connection = async move {
                let _ = builder().serve_connection(HyperIo::new(stream), service_fn(hello)).await;
            };
            runtime.spawn("connection", connection).detach();
        }
    }
}
