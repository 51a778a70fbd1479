//! Two ends in memory: `support` has the pipe between them, whose pieces, room and end a test chooses.
//!
//! A recipe: `let (client, server) = pair(&client_config, &server_config, Pipe::default()).await;` then read and write
//! on either; [`support::Pipe`] says how small the pieces are, [`support::Wire`] lets a test change, add or cut bytes.
mod certificates;
mod challenges;
mod handshakes;
mod hostile;
mod streams;
mod support;
