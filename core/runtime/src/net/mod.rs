//! TCP streams and listeners, UDP datagrams.

mod datagram;
mod stream;

pub use datagram::{
    Datagram, DatagramCapabilities, DatagramExt, DatagramOptions, Ecn, MAX_BATCH, RecvMeta, Transmit,
};
pub use stream::{Accept, ByteStream, ConnectOptions, ListenOptions, Listener, ListenerExt, ReadUninit};
