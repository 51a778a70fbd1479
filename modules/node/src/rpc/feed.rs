//! What a shard tells its subscribers: each durable block once, formatted once, however many there are.

use super::format;
use crate::node::Ledger;
use shroud_crypto::{Address, Hash};
use shroud_ghostwire::rpc::Json;
use shroud_ledger::Height;
use shroud_ledger::state::ChainParameters;
use shroud_runtime::sync::{Notify, broadcast};
use shroud_runtime::{Class, Runtime};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks that a subscriber may be behind before it is dropped.
const BEHIND: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// A durable block, as subscribers see it.
#[derive(Debug)]
pub(crate) struct News {
    /// `newHeads`.
    pub(crate) head: Json,
    /// The hashes of its transactions.
    pub(crate) transactions: Vec<Hash>,
    pub(crate) logs: Vec<Log>,
}

/// One event of it.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) contract: Address,
    pub(crate) topics: Vec<Hash>,
    pub(crate) shown: Json,
}

/// The shard's feed. Works only while somebody is subscribed.
#[derive(Clone)]
pub(crate) struct Feed<R: Runtime> {
    ledger: Ledger<R>,
    shared: Arc<Shared>,
}

struct Shared {
    sender: broadcast::Sender<Arc<News>>,
    /// Somebody subscribed, when this was the last durable block.
    since: AtomicU64,
    subscribed: Notify,
}

impl<R: Runtime> Feed<R> {
    /// Starts the feed as a child of the current task.
    pub(crate) fn start(runtime: &R, ledger: Ledger<R>, parameters: ChainParameters) -> Self {
        let (sender, _) = broadcast::channel(BEHIND);
        let shared = Shared { sender, since: AtomicU64::new(0), subscribed: Notify::new() };
        let feed = Self { ledger, shared: Arc::new(shared) };
        runtime.spawn_in(Class::Network, "subscription-feed", feed.clone().run(parameters)).detach();
        feed
    }

    /// All blocks from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<News>> {
        let receiver = self.shared.sender.subscribe();
        self.shared.since.store(self.ledger.snapshot().header.height.0, Ordering::SeqCst);
        self.shared.subscribed.notify_one();
        receiver
    }

    async fn run(self, parameters: ChainParameters) {
        loop {
            self.shared.subscribed.notified().await;
            let mut last = Height(self.shared.since.load(Ordering::SeqCst));
            while self.tell_next(&mut last, &parameters).await {}
        }
    }

    /// Tells of the blocks after `last`; false when nobody is subscribed any more.
    async fn tell_next(&self, last: &mut Height, parameters: &ChainParameters) -> bool {
        self.ledger.block_after(*last).await;
        let newest = self.ledger.snapshot().header.height;
        while *last < newest {
            *last = Height(last.0.saturating_add(1));
            let Some(news) = self.news(*last, parameters).await else { continue };
            if self.shared.sender.send(Arc::new(news)).is_err() {
                return false;
            }
        }
        true
    }

    async fn news(&self, height: Height, parameters: &ChainParameters) -> Option<News> {
        let look = async {
            let block = self.ledger.block_at(height).await?;
            Ok::<_, shroud_keystone::QueryError>((block, self.ledger.receipts_at(height).await?))
        };
        let (info, receipts) = match look.await {
            Ok((Some(info), receipts)) => (info, receipts),
            Ok((None, _)) => return None,
            Err(error) => {
                tracing::warn!(%height, %error, "subscribers miss a block that cannot be read");
                return None;
            }
        };
        let head = format::head(&info, &receipts, parameters);
        let mut logs = Vec::new();
        for receipt in &receipts {
            for event in &receipt.events {
                let shown = Json::new(&format::log(receipt, event, info.hash, logs.len())).ok()?;
                logs.push(Log { contract: event.contract, topics: event.topics.clone(), shown });
            }
        }
        Some(News { head: Json::new(&head).ok()?, transactions: info.hashes, logs })
    }
}
