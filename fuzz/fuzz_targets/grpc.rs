//! Any bytes as gRPC messages, in pieces of any size: never a panic, never more than the limits, and the same messages
//! and the same end in whatever pieces they arrive; then as the other things that peers send: time limits, base64,
//! statuses, compressed messages, questions about descriptors.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use shroud_ghostwire::grpc::decoders::{decode_binary, inflate, parse_timeout};
use shroud_ghostwire::grpc::{Decoder, Frame, FrameError, PREFIX_BYTES, ServerReflectionRequest};

const LIMIT: usize = 5000;

fn run(bytes: &[u8], step: usize) -> (Vec<Frame>, Result<(), FrameError>) {
    let (mut decoder, mut frames) = (Decoder::new(LIMIT), Vec::new());
    for piece in bytes.chunks(step) {
        decoder.handle_data(Bytes::copy_from_slice(piece));
        loop {
            match decoder.poll_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.poll_frame(), Err(error), "an error stays");
                    return (frames, Err(error));
                }
            }
        }
    }
    (frames, decoder.finish())
}

fuzz_target!(|data: &[u8]| {
    let Some((&[step], bytes)) = data.split_first_chunk::<1>() else { return };
    let whole = run(bytes, bytes.len().max(1));
    assert_eq!(whole, run(bytes, usize::from(step).max(1)));
    let (frames, end) = whole;
    let framed: usize = frames.iter().map(|frame| PREFIX_BYTES + frame.bytes.len()).sum();
    assert!(framed <= bytes.len());
    assert!(end.is_err() || framed == bytes.len(), "all bytes belong to a message");
    for Frame { compressed, bytes } in frames {
        assert!(bytes.len() <= LIMIT);
        if compressed {
            assert!(inflate(&bytes, LIMIT).is_none_or(|message| message.len() <= LIMIT));
        }
        let _ = ServerReflectionRequest::decode(bytes);
    }
    let _ = parse_timeout(bytes);
    let _ = decode_binary(bytes);
});
