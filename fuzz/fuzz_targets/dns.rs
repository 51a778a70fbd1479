//! Any bytes as a DNS message: to a server, which answers, refuses or ignores it within its limits and never talks to a response; to
//! a client, over UDP and over a stream, which believes only what answers its question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_dns::lookup::{Lookup, LookupOptions, Output};
use shroud_dns::{
    Message, Name, Pipeline, Query, QueryOptions, Question, Received, RecordType, Zone, Zones, receive,
};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

const ZONE: &str = "$ORIGIN zone.test.\n@ 60 SOA ns host 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nwww CNAME ns\n\
    *.wild TXT \"text\"\nchild NS ns.child\nns.child A 192.0.2.2\na CNAME b\nb CNAME a\n";

static ZONES: LazyLock<Zones> =
    LazyLock::new(|| Zones::new(vec![Zone::parse(ZONE, &Name::root()).expect("a zone")]));

fn serve(bytes: &[u8]) {
    match receive(bytes) {
        Received::Question(request) => {
            let response = ZONES.answer(&request.question);
            let limit = request.udp_limit(1232);
            for (limit, padded) in [(limit, false), (65_535, true)] {
                let answer = response.encode(&request, limit, padded);
                assert!(answer.len() <= limit, "{} bytes of {limit}", answer.len());
                let message = Message::from_vec(&answer).expect("an answer");
                assert_eq!(message.id, request.id);
                assert!(matches!(receive(&answer), Received::Ignored(_)));
            }
        }
        Received::Refused(answer) => {
            assert!(answer.len() <= bytes.len().max(12), "amplified");
            assert!(matches!(receive(&answer), Received::Ignored(_)));
        }
        _ => {}
    }
}

fn believe(mode: u8, bytes: &[u8]) {
    let question = Question::parse("www.zone.test", RecordType::A).expect("a question");
    let server = SocketAddr::from(([192, 0, 2, 1], 53));
    let mut lookup = Lookup::new(question.clone(), vec![server], LookupOptions::default());
    let mut chance = |out: &mut [u8]| out.fill(mode);
    let now = Instant::now();
    lookup.handle_start(now, &mut chance);
    let Some(Output::Send { datagram, .. }) = lookup.poll_output() else { panic!("nothing sent") };
    // The bytes as they are, and behind a beginning that fits.
    let mut fits = datagram.clone();
    fits[2] |= 0x80;
    fits.truncate(fits.len() - 11);
    fits.splice(6..12, bytes.iter().copied().chain([0; 6]).take(6));
    fits.extend(bytes.get(6..).unwrap_or_default());
    for message in [bytes, &fits] {
        lookup.handle_datagram(now, server, message, &mut chance);
        while let Some(output) = lookup.poll_output() {
            if let Output::Answered(_, reply) = output {
                assert_eq!(reply.message.queries.len(), 1);
                assert_eq!(message[..2], datagram[..2]);
            }
        }
    }
    let query = Query::encode(&question, &QueryOptions::default(), 0x0101, &mut chance).expect("a query");
    let _ = (query.check(bytes), query.check_stream(bytes));
    let mut pipeline = Pipeline::new(4);
    for key in 0..4 {
        pipeline.handle_question(&question, &QueryOptions::default(), key, &mut chance).expect("taken");
    }
    let mut answered = 0;
    'stream: for piece in bytes.chunks(usize::from(mode).max(1)) {
        pipeline.handle_bytes(piece);
        loop {
            match pipeline.poll_answer() {
                Ok(Some(_)) => answered += 1,
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    assert_eq!(answered + pipeline.len(), 4);
}

fuzz_target!(|data: &[u8]| {
    let Some((&mode, bytes)) = data.split_first() else { return };
    serve(bytes);
    believe(mode, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Zone::parse(text, &Name::root());
    }
});
