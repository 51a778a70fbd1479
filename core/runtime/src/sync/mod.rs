//! Channels, locks and notification for tasks: runtime-neutral, so the same on every backend.
//!
//! | need | use | cancel safety |
//! |---|---|---|
//! | bounded queue, many to many | [`channel::bounded`] | send and receive are cancel safe |
//! | one value, once | [`oneshot::channel`] | cancel safe |
//! | every receiver gets every value | [`broadcast::channel`] | cancel safe |
//! | the latest value | [`watch::channel`] | cancel safe |
//! | wake without a value | [`Notify`] | cancel safe: a notification is not lost with a dropped waiter |
//! | mutual exclusion across await points | [`Mutex`], [`RwLock`] | waiting is cancel safe, but gives up the place in the queue |
//! | counting | [`Semaphore`] | as above |
//! | initialise once | [`OnceCell`] | a dropped initialiser lets the next caller try |
//! | to build such things | [`Event`] | a listener that is dropped passes its notification on |

pub mod broadcast;
mod notify;
pub mod watch;

pub use async_channel as channel;
pub use async_lock::{Barrier, Mutex, OnceCell, RwLock, Semaphore};
pub use event_listener::Event;
pub use futures_util::task::AtomicWaker;
pub use notify::Notify;

/// One value, sent once, from any thread.
pub mod oneshot {
    pub use futures_channel::oneshot::{Canceled, Receiver, Sender, channel};
}
