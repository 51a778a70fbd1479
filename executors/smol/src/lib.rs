//! Tasks polled by async-executor: work-stealing, or one thread a shard.
