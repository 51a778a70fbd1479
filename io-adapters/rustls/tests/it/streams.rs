use crate::support::*;
use futures_lite::future::{block_on, poll_once};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use futures_util::future::join;
use proptest::prelude::*;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

fn pipes() -> impl Strategy<Value = Pipe> {
    let pieces = prop::collection::vec(prop_oneof![1_usize..20, 1_usize..5000, Just(usize::MAX)], 1..6);
    let room = prop_oneof![16_usize..100, 1000_usize..100_000];
    (pieces, room).prop_map(|(pieces, room)| Pipe { pieces, room })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_byte_arrives_in_order_however_the_pieces_fall(
        pipe in pipes(),
        there in prop::collection::vec(any::<u8>(), 0..100_000),
        back in prop::collection::vec(any::<u8>(), 0..50_000),
        step in 1_usize..70_000,
    ) {
        block_on(async {
            let (mut client, mut server) = pair(pipe).await;
            let send = async {
                for part in there.chunks(step) {
                    client.write_all(part).await.unwrap();
                }
                client.close().await.unwrap();
                let mut read = Vec::new();
                client.read_to_end(&mut read).await.unwrap();
                read
            };
            let answer = async {
                let mut read = Vec::new();
                server.read_to_end(&mut read).await.unwrap();
                server.write_all(&back).await.unwrap();
                server.close().await.unwrap();
                read
            };
            let (came_back, arrived) = join(send, answer).await;
            prop_assert!(arrived == there);
            prop_assert!(came_back == back);
            Ok(())
        })?;
    }

    /// Both directions at once, from two tasks, over a pipe that is nearly always full: no wake-up may be lost.
    #[test]
    fn two_tasks_share_a_stream(pipe in pipes(), length in 1_usize..200_000) {
        block_on(async move {
            let (client, server) = pair(pipe).await;
            let (client_read, client_write) = futures_util::AsyncReadExt::split(client);
            let (server_read, server_write) = futures_util::AsyncReadExt::split(server);
            let flood = move |mut to: futures_util::io::WriteHalf<_>| async move {
                to.write_all(&vec![7; length]).await.unwrap();
                to.close().await.unwrap();
            };
            let drain = |mut from: futures_util::io::ReadHalf<_>| async move {
                let mut read = Vec::new();
                from.read_to_end(&mut read).await.unwrap();
                read.len()
            };
            let threads = [
                std::thread::spawn(move || block_on(flood(client_write))),
                std::thread::spawn(move || block_on(flood(server_write))),
            ];
            let other = std::thread::spawn(move || block_on(drain(server_read)));
            assert_eq!(drain(client_read).await, length);
            assert_eq!(other.join().unwrap(), length);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[test]
fn vectored_writes_share_records_and_one_call() {
    block_on(async {
        let (mut client, mut server) = pair(Pipe::default()).await;
        let wire = Arc::clone(&client.get_ref().output);
        let (before, logged) = {
            let wire = wire.lock().unwrap();
            (wire.writes, wire.log.len())
        };
        let parts: Vec<Vec<u8>> = (0..20).map(|n| vec![n; 1000]).collect();
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let count = futures_util::AsyncWriteExt::write_vectored(&mut client, &slices).await.unwrap();
        assert_eq!(count, 20_000);
        let (writes, length) = {
            let wire = wire.lock().unwrap();
            (wire.writes - before, wire.log.len() - logged)
        };
        assert_eq!(writes, 1, "one call");
        // 20,000 bytes in two records of at most 16 KiB, 22 bytes more each.
        assert_eq!(length, 20_000 + 2 * 22);
        let mut read = vec![0; 20_000];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(read, parts.concat());
    });
}

#[test]
fn a_reader_that_takes_nothing_holds_the_writer_back() {
    block_on(async {
        let (mut client, mut server) = pair(Pipe { room: 10_000, ..Pipe::default() }).await;
        let mut taken = 0;
        while let Some(count) = poll_once(client.write(&[1; 50_000])).await {
            taken += count.unwrap();
            assert!(taken < 200_000, "no back-pressure");
        }
        // What was taken is all delivered, pushed on by flushing.
        let read = async {
            let mut read = vec![0; taken];
            server.read_exact(&mut read).await.unwrap();
        };
        join(read, async { client.flush().await.unwrap() }).await;
    });
}

#[test]
fn a_connection_that_is_cut_is_no_end() {
    block_on(async {
        let (mut client, mut server) = pair(Pipe::default()).await;
        client.write_all(b"half a mess").await.unwrap();
        drop(client);
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((error.kind(), read.as_slice()), (io::ErrorKind::UnexpectedEof, &b"half a mess"[..]));
    });
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    block_on(async {
        let (mut client, mut server) = pair(Pipe::default()).await;
        client.write_all(b"question").await.unwrap();
        client.close().await.unwrap();
        assert_eq!(client.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"question");
        server.write_all(b"answer").await.unwrap();
        let mut read = vec![0; 6];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(read, b"answer");
    });
}

#[test]
fn a_dropped_read_loses_nothing() {
    block_on(async {
        let (mut client, mut server) = pair(Pipe::default()).await;
        for turn in 0..50_u8 {
            assert!(poll_once(server.read(&mut [0; 4])).await.is_none());
            client.write_all(&[turn; 4]).await.unwrap();
            let mut read = [0; 4];
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [turn; 4]);
        }
    });
}

#[test]
fn keys_for_a_protocol_above_are_equal_on_both_sides() {
    block_on(async {
        let (client, server) = pair(Pipe::default()).await;
        let (mut a, mut b) = ([0; 32], [0; 32]);
        client.export_keys(&mut a, b"label", Some(b"context")).unwrap();
        server.export_keys(&mut b, b"label", Some(b"context")).unwrap();
        assert_eq!(a, b);
        assert!(client.export_keys(&mut [], b"label", None).is_err());
    });
}

#[test]
fn nothing_is_written_by_an_empty_write_and_an_empty_read_is_ready() {
    block_on(async {
        let (mut client, _server) = pair(Pipe::default()).await;
        let logged = client.get_ref().output.lock().unwrap().log.len();
        assert_eq!(client.write(b"").await.unwrap(), 0);
        let empty = futures_lite::future::poll_fn(|cx| {
            Poll::Ready(futures_lite::AsyncRead::poll_read(Pin::new(&mut client), cx, &mut []))
        });
        assert!(matches!(empty.await, Poll::Ready(Ok(0))));
        assert_eq!(client.get_ref().output.lock().unwrap().log.len(), logged);
    });
}
