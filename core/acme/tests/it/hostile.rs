use crate::authority::Authority;
use crate::pair::{Key, Pair};
use proptest::prelude::*;
use shroud_acme::{Order, Output, Response};
use std::time::{Duration, Instant};

fn response() -> impl Strategy<Value = Response> {
    let status = prop_oneof![Just(200_u16), Just(201), Just(400), any::<u16>()];
    let address = || proptest::option::of(prop_oneof![Just("https://ca.test/x".to_owned()), any::<String>()]);
    let body = prop_oneof![
        any::<Vec<u8>>(),
        Just(br#"{"status":"pending","authorizations":["https://ca.test/a"],"finalize":"https://ca.test/f"}"#.to_vec()),
        Just(br#"{"status":"ready","authorizations":[],"finalize":"https://ca.test/f"}"#.to_vec()),
        Just(br#"{"status":"valid","authorizations":[],"finalize":"https://ca.test/f","certificate":"https://ca.test/c"}"#.to_vec()),
        Just(br#"{"status":"pending","identifier":{"value":"a.test","type":"dns"},"challenges":[{"type":"tls-alpn-01","url":"https://ca.test/h","token":"t"}]}"#.to_vec()),
        Just(br#"{"status":"valid","identifier":{"value":"a.test","type":"dns"}}"#.to_vec()),
        Just(br#"{"type":"urn:ietf:params:acme:error:badNonce"}"#.to_vec()),
    ];
    (status, proptest::option::of("[a-z]{0,3}"), address(), any::<Option<Duration>>(), body).prop_map(
        |(status, nonce, location, retry_after, body)| Response {
            status,
            nonce,
            location,
            retry_after,
            body,
        },
    )
}

proptest! {
    /// Whatever a server answers, and whenever: there is one end at most, and proofs are withdrawn by then.
    #[test]
    fn any_answers_lead_to_an_end(answers: Vec<(u8, u32)>, responses in proptest::collection::vec(response(), 0..40)) {
        let (mut now, pair) = (Instant::now(), Pair::new(&["a.test"]));
        let mut order = Order::new(pair.config, Box::new(Key::new()), now).unwrap();
        let mut honest = Authority::default();
        let (mut ended, mut presented) = (0, 0_i32);
        let mut waits = answers.into_iter().cycle().take(200);
        let mut responses = responses.into_iter();
        loop {
            let mut sent = None;
            while let Some(output) = order.poll_output() {
                prop_assert_eq!(ended, 0);
                match output {
                    Output::Present { .. } => presented += 1,
                    Output::Withdraw { .. } => presented -= 1,
                    Output::Done(_) | Output::Failed(_) => ended += 1,
                    Output::Send(request) => sent = Some(request),
                    _ => {}
                }
                prop_assert!((0..=1).contains(&presented));
            }
            let Some(deadline) = order.deadline() else { break };
            let (whole, wait) = waits.next().unwrap_or((0, 60_000));
            now += Duration::from_millis((wait % 60_000).into());
            match sent {
                // The first steps as they should be, so that later ones are reached.
                Some(request) if request.url.ends_with("/directory") => order.handle_response(honest.answer(&request), now),
                Some(_) => match responses.next() {
                    Some(response) => order.handle_response(response, now),
                    None => { now = now.max(deadline); order.handle_time(now); }
                },
                None if whole % 4 == 0 => order.handle_response(Response::default(), now),
                None => { now = now.max(deadline); order.handle_time(now); }
            }
        }
        prop_assert_eq!((ended, presented), (1, 0));
    }
}
