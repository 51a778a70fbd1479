//! Tasks polled by glommio, one io_uring a shard.
