//! What the readiness adapters share: sockets by socket2 and quinn-udp, files on the blocking pool.
