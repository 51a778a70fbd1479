//! Headers of the PROXY protocol: what is read is written again as something with the same meaning; a beginning is never more certain
//! than the whole, and no more is asked for than a header needs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shroud_wire::proxy_protocol::{MAX_V2, Parsed, Version, encode, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    match whole {
        Ok(Parsed::Incomplete(more)) => assert!(more > 0 && bytes.len() + more <= MAX_V2),
        Ok(Parsed::Complete { addresses, length }) => {
            assert_eq!(parse(&bytes[..length]), whole, "what follows does not matter");
            for version in [Version::V1, Version::V2] {
                let header = encode(version, addresses.as_ref());
                assert_eq!(parse(&header), Ok(Parsed::Complete { addresses, length: header.len() }));
            }
        }
        Err(_) => {}
    }
    // A reader that takes no more than it is told to comes to the same end.
    let mut read = 0;
    let end = loop {
        match parse(&bytes[..read]) {
            Ok(Parsed::Incomplete(more)) if read + more <= bytes.len() => read += more,
            Ok(Parsed::Incomplete(_)) => break None,
            Ok(Parsed::Complete { length, .. }) => {
                assert_eq!(length, read, "it has read beyond the header");
                break Some(true);
            }
            Err(_) => break Some(false),
        }
    };
    match whole {
        Ok(Parsed::Complete { .. }) => assert_eq!(end, Some(true)),
        Ok(Parsed::Incomplete(_)) => assert_eq!(end, None),
        Err(_) => assert_ne!(end, Some(true)),
    }
});
