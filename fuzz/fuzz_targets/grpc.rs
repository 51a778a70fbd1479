//! Any bytes as gRPC messages, in pieces of any size: never a panic, never more than the limits, and the same messages
//! and the same end in whatever pieces they arrive; then as the other things that peers send: time limits, base64,
//! statuses, compressed messages, questions about descriptors; and as descriptors themselves.
#![no_main]

#[allow(dead_code, reason = "shared with other targets")]
mod memory;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use memory::Memory;
use prost::Message;
use shroud_ghostwire::grpc::decoders::{decode_binary, inflate, parse_timeout, reflect, status};
use shroud_ghostwire::grpc::{
    Decoder, ExtensionRequest, Frame, FrameError, MessageRequest, MessageResponse, PREFIX_BYTES, Reflection,
    ServerReflectionRequest, ServerReflectionResponse,
};
use std::sync::OnceLock;

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
    check_status(bytes);
    check_descriptors(bytes);
});

/// Lines as the fields of trailers: what they say is sent again in the same words.
fn check_status(bytes: &[u8]) {
    let mut trailers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut words = line.splitn(2, |byte| *byte == b':');
        let name = words.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = words.next().and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            trailers.append(name, value);
        }
    }
    let Some((said, again)) = status(&trailers) else { return };
    let (heard, _) = status(&again).expect("a status");
    // Of a long message, only the beginning.
    assert!(said.message().starts_with(heard.message()));
    assert_eq!(
        (said.code(), said.details(), said.metadata()),
        (heard.code(), heard.details(), heard.metadata())
    );
}

/// Descriptors that are taken: whatever is asked of them has an answer, and the services that they list are found.
fn check_descriptors(bytes: &[u8]) {
    // Made once: it is only asked whether the node stops.
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    let runtime = &MEMORY.get_or_init(Memory::new).runtime;
    let Ok(reflection) = Reflection::new(runtime, [bytes]) else { return };
    let ask = |question| {
        let question = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let ServerReflectionResponse { message_response, .. } = reflect(&reflection, question);
        message_response.expect("an answer")
    };
    let MessageResponse::ListServicesResponse(services) = ask(MessageRequest::ListServices(String::new()))
    else {
        panic!("no list");
    };
    // A dot in front of a question says that the name is full.
    for service in services.service.into_iter().filter(|service| !service.name.starts_with('.')) {
        let found = ask(MessageRequest::FileContainingSymbol(service.name.clone()));
        let MessageResponse::FileDescriptorResponse(files) = found else { panic!("no {}", service.name) };
        assert!(!files.file_descriptor_proto.is_empty());
    }
    let word = String::from_utf8_lossy(bytes.get(..8).unwrap_or_default()).into_owned();
    ask(MessageRequest::FileByFilename(word.clone()));
    ask(MessageRequest::AllExtensionNumbersOfType(word.clone()));
    let extension = ExtensionRequest { containing_type: word, extension_number: 1 };
    ask(MessageRequest::FileContainingExtension(extension));
}
