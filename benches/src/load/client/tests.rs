use super::*;
use crate::load::Expected;
use crate::load::work::get;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A server that answers each request of each connection with its path, in pieces of `piece` bytes.
fn echo_server(piece: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut chunk) {
                    input.extend_from_slice(&chunk[..read]);
                    let mut out = Vec::new();
                    while let Some(end) = input.windows(4).position(|w| w == b"\r\n\r\n") {
                        let request: Vec<u8> = input.drain(..end + 4).collect();
                        let text = String::from_utf8(request).unwrap();
                        let path = text.split(' ').nth(1).unwrap();
                        out.extend(
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len())
                                .into_bytes(),
                        );
                    }
                    for part in out.chunks(piece) {
                        stream.write_all(part).unwrap();
                    }
                }
            });
        }
    });
    address
}

fn work(lanes: usize, operations: usize) -> Work {
    let lane = |lane: usize| {
        let mut requests = Lane::default();
        for operation in 0..operations {
            let path = format!("/{lane}/{operation}");
            requests.push(&get(&path), Expected::Body(path.into_bytes()));
        }
        requests
    };
    Work { lanes: (0..lanes).map(lane).collect() }
}

#[test]
fn a_closed_loop_gets_every_answer_at_any_depth_and_split() {
    for (piece, depth) in [(4096, 1), (7, 1), (4096, 8), (11, 5)] {
        let mut client = Client::connect(echo_server(piece), 4).unwrap();
        for _ in 0..2 {
            let outcome = client.closed_loop(&work(4, 50), depth).unwrap();
            assert_eq!((outcome.operations, outcome.errors), (200, 0), "{:?}", outcome.first_error);
            assert_eq!(outcome.latencies.count(), 200);
        }
    }
}

#[test]
fn repeated_requests_wrap() {
    let mut work = work(2, 3);
    work.lanes.iter_mut().for_each(|lane| lane.repeat(100));
    let outcome = Client::connect(echo_server(4096), 2).unwrap().closed_loop(&work, 4).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (200, 0), "{:?}", outcome.first_error);
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let mut client = Client::connect(echo_server(4096), 8).unwrap();
    let outcome = client.open_loop(&work(8, 50), 2_000.0, &mut Rng::new(3)).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (400, 0), "{:?}", outcome.first_error);
    // 400 Poisson arrivals at 2,000 a second take 0.2 s, give or take 5% at one deviation; never less than half of it.
    assert!(outcome.elapsed > Duration::from_millis(100), "{:?}", outcome.elapsed);
}

#[test]
fn wrong_answers_are_counted_and_described() {
    let mut wrong = work(1, 3);
    wrong.lanes[0].push(&get("/x"), Expected::Body(b"/y".to_vec()));
    let outcome = Client::connect(echo_server(4096), 1).unwrap().closed_loop(&wrong, 1).unwrap();
    assert_eq!((outcome.operations, outcome.errors), (4, 1));
    assert!(outcome.first_error.unwrap().contains("/y"));
}

#[test]
fn a_server_that_closes_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
    });
    let error = Client::connect(address, 1).unwrap().closed_loop(&work(1, 2), 1).unwrap_err();
    assert!(matches!(error, LoadError::Connection { connection: 0, done: 0, .. }), "{error}");
}

#[test]
fn more_lanes_than_connections_are_refused() {
    let mut client = Client::connect(echo_server(4096), 1).unwrap();
    assert!(matches!(client.closed_loop(&work(2, 1), 1), Err(LoadError::Lanes { lanes: 2, connections: 1 })));
}
