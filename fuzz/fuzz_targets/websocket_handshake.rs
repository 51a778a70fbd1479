//! Any header fields to both sides of the WebSocket handshake: never a panic; what a server agrees to, its client accepts.
#![no_main]

use http::header::{SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Request, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use shroud_websocket::deflate::Compression;
use shroud_websocket::handshake::{Opening, Policy, accept};

fuzz_target!(|data: &[u8]| {
    let Some((&[mode], text)) = data.split_first_chunk::<1>() else { return };
    let Ok(value) = HeaderValue::from_bytes(text) else { return };
    let compression = Compression { window_bits: 8 + (mode >> 4) % 8, ..Compression::default() };
    let opening = Opening::new(&[7; 16], vec!["a".into()], Some(compression.clone())).expect("a token");
    let mut request = Request::get("/").body(()).expect("valid");
    *request.headers_mut() = opening.headers();
    let name = if mode & 1 == 0 { SEC_WEBSOCKET_EXTENSIONS } else { SEC_WEBSOCKET_PROTOCOL };
    let policy = Policy { protocols: vec!["a".into()], compression: Some(compression), ..Policy::default() };
    let plain = accept(&request, &policy).expect("its own client is accepted");
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = plain.headers;
    opening.accept(&response).expect("and accepts");
    request.headers_mut().append(name.clone(), value.clone());
    let _ = accept(&request, &policy);
    response.headers_mut().insert(name, value);
    let _ = opening.accept(&response);
});
