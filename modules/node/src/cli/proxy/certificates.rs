//! Where the listeners' certificates come from.

use super::super::Failure;
use super::super::acme::Directory;
use super::super::tls;
use crate::node::LoadCertificate;
use shroud_ghostwire::acme::Renewal;
use shroud_ghostwire::proxy::{ListenAcme, ListenTls};
use shroud_ghostwire::tls::Certificates;
use shroud_runtime::Runtime;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is obtained by ACME: listeners that ask for the same share it, as any of them may be asked for the proof.
#[derive(Default)]
pub(super) struct Obtained {
    known: Mutex<Vec<(ListenAcme, Arc<Certificates>)>>,
}

impl Obtained {
    /// A listener's, and what keeps it in order once it is served, unless another listener has that already.
    pub(super) async fn of<R: Runtime>(
        &self,
        runtime: &R,
        acme: &ListenAcme,
    ) -> Result<(Arc<Certificates>, Option<Renewal<R>>), Failure> {
        if let Some((_, certificates)) = self.known().iter().find(|(other, _)| other == acme) {
            return Ok((Arc::clone(certificates), None));
        }
        let certificates = Certificates::by_acme();
        let options = acme.options().map_err(Failure::new)?;
        let keep = Directory::lock(acme.cache.clone())?;
        let renewal = Renewal::begin(runtime.clone(), options, keep, Arc::clone(&certificates)).await;
        self.known().push((acme.clone(), Arc::clone(&certificates)));
        Ok((certificates, Some(renewal)))
    }

    fn known(&self) -> MutexGuard<'_, Vec<(ListenAcme, Arc<Certificates>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is loaded, off the executor's threads.
pub(super) async fn loaded<R: Runtime>(
    runtime: &R,
    source: &ListenTls,
) -> Result<Arc<Certificates>, Failure> {
    let load = certificate(source);
    let (now, entropy) = (runtime.unix_time(), runtime.clone());
    let certificate = runtime
        .offload(move || load(now, &mut |out: &mut [u8]| entropy.fill(out)))
        .await
        .map_err(Failure::new)?
        .map_err(Failure::new)?;
    Certificates::new(vec![certificate]).map_err(Failure::new)
}

/// Where a listener's certificate is loaded from.
pub(super) fn certificate(source: &ListenTls) -> LoadCertificate {
    match source {
        ListenTls::Files { certificate, key } => tls::from_files(certificate.clone(), key.clone()),
        ListenTls::Development(directory) => tls::development(directory.clone()),
        _ => Arc::new(|_: Duration, _: &mut dyn FnMut(&mut [u8])| Err("no such kind of certificate".into())),
    }
}
