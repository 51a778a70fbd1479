//! What a contract may not exceed. Each limit has an error or a trap of its own for when it is reached.

/// Bytes of a module, before compilation. Compiled code takes about ten times as much memory.
pub const MAX_MODULE_BYTES: usize = 10 * 1024 * 1024;

/// Pages of 64 KiB that a contract's memory may reach: 64 MiB, so that a hundred concurrent calls fit a small server.
pub const MAX_MEMORY_PAGES: u64 = 1024;

/// Bytes of a contract's memory, from [`MAX_MEMORY_PAGES`].
pub const MAX_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// Tables of a module: `call_indirect` needs one.
pub const MAX_TABLES: usize = 1;

/// Elements of a table: they are allocated on each call.
pub const MAX_TABLE_ELEMENTS: usize = 10_000;

/// Imports of a module. The interface has fewer functions; a module may import one twice, but has no reason to do so often.
pub const MAX_IMPORTS: usize = 64;

/// Exports of a module: they are allocated on each call.
pub const MAX_EXPORTS: usize = 64;

/// Local variables of a function, without its parameters. They are cleared on each call of it, which the fuel of a `call`
/// must cover.
pub const MAX_LOCALS: u32 = 512;

/// Calls on the stack at once.
pub const MAX_CALL_DEPTH: usize = 1024;

/// Bytes of the value stack of a call.
pub const MAX_STACK_BYTES: usize = 1024 * 1024;

/// Bytes of a call's input. A transaction is smaller; view calls meet this limit.
pub const MAX_INPUT_BYTES: usize = 1024 * 1024;

/// Bytes of a call's output.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Bytes of a revert or abort reason: it stays in the receipt.
pub const MAX_REASON_BYTES: usize = 1024;

/// Bytes of a storage key.
pub const MAX_STORAGE_KEY_BYTES: usize = 64;

/// Bytes of a storage value: it is read and written whole.
pub const MAX_STORAGE_VALUE_BYTES: usize = 16 * 1024;

/// Events of one call.
pub const MAX_EVENTS: usize = 256;

/// Topics of one event, as in Ethereum's logs.
pub const MAX_EVENT_TOPICS: usize = 4;

/// Bytes of one event's data.
pub const MAX_EVENT_DATA_BYTES: usize = 16 * 1024;

/// Bytes of data of all events of one call.
pub const MAX_EVENTS_DATA_BYTES: usize = 256 * 1024;

/// Lines of debug log that a call keeps. Further lines are paid for and dropped.
pub const MAX_DEBUG_LINES: usize = 64;

/// Bytes of one line of debug log.
pub const MAX_DEBUG_LINE_BYTES: usize = 512;

/// Bytes that one hash or signature check reads: a host function runs to its end, so this bounds how long a slice can
/// overrun (about a millisecond).
pub const MAX_HASH_INPUT_BYTES: usize = 256 * 1024;
