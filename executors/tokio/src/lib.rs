//! Tasks polled by Tokio: work-stealing, or one thread a shard.
