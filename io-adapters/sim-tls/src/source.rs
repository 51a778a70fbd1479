//! Where the provider's chance comes from.
//!
//! rustls wants its random source and its groups to live for ever, a simulated host does not. So sources are made once,
//! lent to one provider after the other, and refuse to draw in between: there are never more of them than providers that were
//! alive at the same time.

use rustls::crypto::{GetRandomFailed, SecureRandom};
use shroud_io_sim::SimIo;
use shroud_runtime::Io;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Sources that nobody has.
static FREE: Mutex<Vec<&'static Source>> = Mutex::new(Vec::new());

/// The entropy of a simulated host, while somebody has it.
pub(crate) struct Source {
    io: Mutex<Option<SimIo>>,
}

impl Source {
    /// A source that draws from `io`.
    pub(crate) fn take(io: SimIo) -> &'static Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let source: &'static Self =
            free.unwrap_or_else(|| Box::leak(Box::new(Self { io: Mutex::new(None) })));
        *source.io.lock().unwrap_or_else(PoisonError::into_inner) = Some(io);
        source
    }

    /// Draws no more until it is taken again.
    pub(crate) fn give_back(&'static self) {
        *self.io.lock().unwrap_or_else(PoisonError::into_inner) = None;
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}

impl SecureRandom for Source {
    fn fill(&self, out: &mut [u8]) -> Result<(), GetRandomFailed> {
        let io = self.io.lock().unwrap_or_else(PoisonError::into_inner).clone();
        io.ok_or(GetRandomFailed)?.fill(out);
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entropy of a simulated host")
    }
}
