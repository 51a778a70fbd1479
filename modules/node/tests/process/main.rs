//! The `shroud` command as a user runs it: a process that serves, is stopped, is killed, and comes back.
//!
//! `SHROUD_KILLS=50 cargo test -p shroud --test process kill` makes the kill loop as long as wanted (default 3).

mod command_line;
mod dns;
mod failed;
mod kill;
mod node;
mod proxy;
mod rpc;
mod serve;
mod sign;
mod subscribe;
mod transport;
mod wallet;
