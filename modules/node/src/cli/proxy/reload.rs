//! Reading the configuration again while the proxy runs.

use super::super::Failure;
use super::super::output::say;
use super::certificates::certificate;
use super::read;
use shroud_ghostwire::proxy::{Config, ListenTls, Proxy};
use shroud_ghostwire::tls::{Certificate, Certificates};
use shroud_runtime::flow::{Either, select};
use shroud_runtime::sync::channel;
use shroud_runtime::{Runtime, RuntimeExt};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Reads the file again when asked to by SIGHUP, or when it has changed.
pub(super) struct Renewal {
    path: PathBuf,
    /// As it was last read.
    text: Mutex<String>,
    watch: Option<Duration>,
    hangups: channel::Receiver<()>,
    /// Of the listeners with TLS, in their order; none for what renews itself (ACME).
    certificates: Mutex<Vec<Option<Arc<Certificates>>>>,
}

/// What was read: the file's text, the configuration, and a certificate for each listener with TLS that does not
/// renew itself.
type Renewed = (String, Result<(Config, Vec<Option<Certificate>>), String>);

impl Renewal {
    /// Listens for SIGHUP from now on.
    pub(super) fn on_hangup(
        path: PathBuf,
        text: String,
        watch: Option<NonZeroUsize>,
    ) -> Result<Self, Failure> {
        let failed = || Failure::of("listening for signals");
        let mut signals =
            signal_hook::iterator::Signals::new([signal_hook::consts::SIGHUP]).map_err(failed())?;
        let (sender, hangups) = channel::bounded(1);
        std::thread::Builder::new()
            .name("hangups".into())
            .spawn(move || {
                for _ in signals.forever() {
                    // One that waits already stands for both.
                    if let Err(channel::TrySendError::Closed(())) = sender.try_send(()) {
                        return;
                    }
                }
            })
            .map_err(failed())?;
        let watch =
            watch.map(|seconds| Duration::from_secs(u64::try_from(seconds.get()).unwrap_or(u64::MAX)));
        Ok(Self { path, text: Mutex::new(text), watch, hangups, certificates: Mutex::default() })
    }

    /// The next listener's. Those that are `loaded` are renewed with each reload.
    pub(super) fn keep(&self, certificates: Arc<Certificates>, loaded: bool) {
        let kept = loaded.then_some(certificates);
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }

    /// Reloads when there is reason to, until the node is asked to stop.
    pub(super) async fn run<R: Runtime>(&self, runtime: &R, proxy: &Proxy) {
        loop {
            let next = async {
                match self.watch {
                    None => self.hangups.recv().await.is_ok().then_some(true),
                    Some(pause) => match select(self.hangups.recv(), runtime.sleep(pause)).await {
                        Either::Left(asked) => asked.is_ok().then_some(true),
                        Either::Right(()) => Some(false),
                    },
                }
            };
            match runtime.until_stopping(next).await {
                Some(Some(asked)) => self.reload(runtime, proxy, asked).await,
                _ => return,
            }
        }
    }

    async fn reload<R: Runtime>(&self, runtime: &R, proxy: &Proxy, asked: bool) {
        let (path, now, entropy) = (self.path.clone(), runtime.unix_time(), runtime.clone());
        let known = self.text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let work = move || -> Option<Renewed> {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if !asked && text == known {
                return None;
            }
            let renewed = read(&path).and_then(|(_, config)| {
                let sources = config.listen.iter().filter_map(|listen| listen.tls.as_ref());
                let load = |source: &ListenTls| match source {
                    ListenTls::Acme(_) => Ok(None),
                    _ => certificate(source)(now, &mut |out: &mut [u8]| entropy.fill(out)).map(Some),
                };
                let certificates = sources.map(load).collect::<Result<Vec<_>, _>>()?;
                Ok((config, certificates))
            });
            Some((text, renewed))
        };
        let Ok(Some((text, renewed))) = runtime.offload(work).await else { return };
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
        let outcome = match renewed {
            Ok((config, certificates)) => self.take(proxy, config, certificates),
            Err(error) => {
                proxy.reload_failed();
                Err(error)
            }
        };
        match outcome {
            Ok(()) => say(format_args!("reloaded {}", self.path.display())),
            Err(error) => eprintln!("error: {error}\nthe configuration in use is kept"),
        }
    }

    fn take(&self, proxy: &Proxy, config: Config, renewed: Vec<Option<Certificate>>) -> Result<(), String> {
        proxy.reload(config).map_err(|error| error.to_string())?;
        let kept = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        for (certificates, certificate) in kept.iter().zip(renewed) {
            if let (Some(certificates), Some(certificate)) = (certificates, certificate) {
                certificates.replace(vec![certificate]).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}
