//! An order by ACME: a server that answers anything. There is one end, in time, and no proof is presented after it; requests
//! go to `https://` addresses only.
//!
//! Byte 255 stands between two answers. The first byte of each says its status and header, and whether it comes at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_acme::limits::{MAX_NONCES, MAX_POLLS, MAX_TIME};
use shroud_acme::{Method, Order, OrderConfig, Output, PublicKey, Response, SignError, Signer};
use std::time::{Duration, Instant};

struct Key;

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        PublicKey { x: [1; 32], y: [2; 32] }
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
        Ok([3; 64])
    }
}

fuzz_target!(|input: &[u8]| {
    let start = Instant::now();
    let mut now = start;
    let config = OrderConfig {
        directory: "https://ca.test/directory".into(),
        names: vec!["a.test".into(), "b.test".into()],
        contact: Vec::new(),
        terms_agreed: true,
        request: vec![0; 8],
    };
    let mut order = Order::new(config, Box::new(Key), now).expect("a good configuration");
    let mut answers = input.split(|byte| *byte == 255);
    let (mut ended, mut presented, mut requests) = (false, 0, 0_u32);
    while !ended {
        let mut sent = false;
        while let Some(output) = order.poll_output() {
            assert!(!ended);
            match output {
                Output::Send(request) => {
                    assert!(!sent && request.url.starts_with("https://"));
                    assert_eq!(request.method == Method::Post, !request.body.is_empty());
                    sent = true;
                    requests += 1;
                }
                Output::Present { .. } => presented += 1,
                Output::Withdraw { .. } => presented -= 1,
                _ => ended = true,
            }
            assert!((0..=1).contains(&presented));
        }
        if ended {
            break;
        }
        let deadline = order.deadline().expect("it goes on");
        match if sent { answers.next() } else { None } {
            Some(&[how, ref body @ ..]) if how & 0x40 == 0 => {
                now += Duration::from_millis(10);
                order.handle_response(response(how, body), now);
            }
            _ => {
                now = now.max(deadline);
                order.handle_time(now);
            }
        }
    }
    assert!(presented == 0 && order.deadline().is_none() && order.poll_output().is_none());
    assert!(now - start <= MAX_TIME + Duration::from_secs(60));
    assert!(requests <= 2 * (MAX_POLLS + 32) * MAX_NONCES);
});

fn response(how: u8, body: &[u8]) -> Response {
    let text = |bit: u8, text: &str| (how & bit != 0).then(|| text.to_owned());
    Response {
        status: [200, 201, 204, 400, 403, 429, 500, 503][usize::from(how >> 2 & 7)],
        nonce: text(1, "nonce"),
        location: text(2, "https://ca.test/made"),
        retry_after: (how & 0x20 != 0).then(|| Duration::from_secs(3)),
        body: body.to_vec(),
    }
}
