//! Trains of datagrams that wait for the socket.

use crate::shard::EndpointStats;
use quinn_proto::{EcnCodepoint, Transmit as Planned};
use shroud_runtime::net::MAX_BATCH;
use shroud_runtime::{Datagram, Ecn, Transmit};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[derive(Default)]
pub(super) struct Outbox {
    trains: Vec<Train>,
    filled: usize,
    sent: usize,
}

struct Train {
    bytes: Vec<u8>,
    destination: SocketAddr,
    ecn: Option<Ecn>,
    segment_size: Option<usize>,
    source: Option<IpAddr>,
}

impl Outbox {
    pub(super) fn is_full(&self) -> bool {
        self.filled == MAX_BATCH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The buffer for the next train, empty; `None` when there is no room.
    pub(super) fn next(&mut self) -> Option<&mut Vec<u8>> {
        if self.is_full() {
            return None;
        }
        if self.filled == self.trains.len() {
            let empty = Train {
                bytes: Vec::new(),
                destination: NOWHERE,
                ecn: None,
                segment_size: None,
                source: None,
            };
            self.trains.push(empty);
        }
        let bytes = &mut self.trains.get_mut(self.filled)?.bytes;
        bytes.clear();
        Some(bytes)
    }

    /// The buffer last given out has become this train.
    pub(super) fn push(&mut self, planned: &Planned) {
        let Some(train) = self.trains.get_mut(self.filled) else { return };
        train.bytes.truncate(planned.size);
        train.destination = planned.destination;
        train.ecn = planned.ecn.map(|ecn| match ecn {
            EcnCodepoint::Ect0 => Ecn::Ect0,
            EcnCodepoint::Ect1 => Ecn::Ect1,
            EcnCodepoint::Ce => Ecn::Ce,
        });
        train.segment_size = planned.segment_size;
        train.source = planned.src_ip;
        self.filled += 1;
    }

    /// Hands all to the socket; pending when it takes no more for now. A train that the kernel refuses is lost, as it could
    /// be on its way.
    pub(super) fn flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &impl Datagram,
        stats: &mut EndpointStats,
    ) -> Poll<()> {
        if self.is_empty() {
            return Poll::Ready(());
        }
        let empty =
            Transmit { destination: NOWHERE, ecn: None, contents: &[], segment_size: None, source: None };
        let mut batch = [empty; MAX_BATCH];
        let trains = self.trains.get(..self.filled).unwrap_or_default();
        for (transmit, train) in batch.iter_mut().zip(trains) {
            *transmit = Transmit {
                destination: train.destination,
                ecn: train.ecn,
                contents: &train.bytes,
                segment_size: train.segment_size,
                source: train.source,
            };
        }
        while self.sent < self.filled {
            let rest = batch.get(self.sent..self.filled).unwrap_or_default();
            match socket.poll_send(cx, rest) {
                Poll::Ready(Ok(count)) => {
                    let count = count.min(rest.len());
                    stats.sent += count as u64;
                    stats.sent_bytes +=
                        rest.iter().take(count).map(|train| train.contents.len() as u64).sum::<u64>();
                    self.sent += count;
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "a datagram was not sent");
                    stats.send_errors += 1;
                    self.sent += 1;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        self.filled = 0;
        self.sent = 0;
        Poll::Ready(())
    }
}
