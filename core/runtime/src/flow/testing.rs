//! What several unit tests here need.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Notes that it was dropped.
#[derive(Debug, Default)]
pub(crate) struct NotesDrop(Arc<AtomicBool>);

/// Tells whether a [`NotesDrop`] was dropped.
#[derive(Debug, Clone)]
pub(crate) struct DropWatch(Arc<AtomicBool>);

impl NotesDrop {
    pub(crate) fn watch(&self) -> DropWatch {
        DropWatch(Arc::clone(&self.0))
    }

    /// A future that never ends and holds this.
    pub(crate) async fn forever<T>(self) -> T {
        let _held = self;
        pending().await
    }
}

impl DropWatch {
    pub(crate) fn dropped(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Drop for NotesDrop {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
