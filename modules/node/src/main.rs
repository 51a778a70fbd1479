//! The `shroud` command.
fn main() {}
