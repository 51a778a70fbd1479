use super::*;
use proptest::prelude::*;

fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses::new(source.parse().unwrap(), destination.parse().unwrap())
}

fn complete(bytes: &[u8]) -> (Option<Addresses>, usize) {
    match parse(bytes) {
        Ok(Parsed::Complete { addresses, length }) => (addresses, length),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// The examples of section 2.1.
#[test]
fn lines() {
    let found = complete(b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n");
    assert_eq!(found, (Some(addresses("192.168.0.1:56324", "192.168.0.11:443")), 47));
    let long = b"PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
    assert_eq!(parse(long), Err(HeaderError::Line));
    let whole = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY TCP6 {whole} {whole} 65535 65535\r\n");
    assert_eq!(complete(longest.as_bytes()).1, 104);
    assert_eq!(complete(b"PROXY UNKNOWN\r\n"), (None, 15));
    let longest = format!("PROXY UNKNOWN {whole} {whole} 65535 65535\r\n");
    assert_eq!(complete(longest.as_bytes()), (None, MAX_V1));
}

#[test]
fn a_reader_takes_nothing_that_follows_the_shortest_lines() {
    for line in [
        "PROXY UNKNOWN\r\n",
        "PROXY TCP6 :: :: 0 0\r\n",
        "PROXY TCP6 ::1 :: 1 1\r\n",
        "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    ] {
        let mut read = 0;
        while let Ok(Parsed::Incomplete(more)) = parse(&line.as_bytes()[..read]) {
            read += more;
            assert!(read <= line.len(), "{line:?}: {read}");
        }
        assert_eq!(complete(line.as_bytes()).1, read);
    }
}

#[test]
fn a_line_at_its_limit_and_one_past_it() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
    assert_eq!(complete(&line(MAX_V1)), (None, MAX_V1));
    assert_eq!(parse(&line(MAX_V1 + 1)), Err(HeaderError::LongLine));
    assert_eq!(parse(&line(MAX_V1)[..MAX_V1 - 1]), Ok(Parsed::Incomplete(1)));
}

#[test]
fn lines_with_two_readings_are_refused() {
    for wrong in [
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n",
        "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN a\0b\r\n",
        "PROXY UNKNOWN a\rb\r\n",
        "PROXY UNKNOWN \u{e9}\r\n",
        "PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n",
    ] {
        assert_eq!(parse(wrong.as_bytes()), Err(HeaderError::Line), "{wrong:?}");
    }
    for absent in
        ["GET / HTTP/1.1\r\n", "PROXYTCP4", "PROXX", " PROXY", "\r\n\r\n\0\r\nQUIT\r", "\x16\x03\x01"]
    {
        assert_eq!(parse(absent.as_bytes()), Err(HeaderError::Absent), "{absent:?}");
    }
    assert_eq!(parse(b"PROXY TCP4 \x16"), Err(HeaderError::Line), "before its end");
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&u16::try_from(block.len()).unwrap().to_be_bytes());
    header.extend_from_slice(block);
    header
}

#[test]
fn binary_headers() {
    let four = [10, 0, 0, 1, 10, 0, 0, 2, 0xdc, 0x04, 0x01, 0xbb];
    let expected = Some(addresses("10.0.0.1:56324", "10.0.0.2:443"));
    assert_eq!(complete(&v2(0x21, 0x11, &four)), (expected, 28));
    let more: Vec<u8> = four.iter().copied().chain([0x04, 0, 1, 0xff]).collect();
    assert_eq!(complete(&v2(0x21, 0x11, &more)), (expected, 32), "what else it says is passed over");
    // LOCAL, whatever follows (2.2).
    for family in [0x00, 0x11, 0x99] {
        assert_eq!(complete(&v2(0x20, family, &[1, 2, 3])), (None, 19));
    }
    assert_eq!(complete(&v2(0x21, 0x00, &[])), (None, 16));
    assert_eq!(complete(&v2(0x21, 0x12, &four)), (None, 28), "UDP");
    assert_eq!(complete(&v2(0x21, 0x31, &[0; 216])), (None, 232), "a file");
    assert_eq!(parse(&v2(0x22, 0x11, &four)), Err(HeaderError::Command(0x22)));
    assert_eq!(parse(&v2(0x11, 0x11, &four)), Err(HeaderError::Command(0x11)));
    assert_eq!(parse(&v2(0x21, 0x41, &four)), Err(HeaderError::Family(0x41)));
    assert_eq!(parse(&v2(0x21, 0x11, &four[..11])), Err(HeaderError::Short(27)));
    assert_eq!(parse(&v2(0x21, 0x21, &[0; 35])), Err(HeaderError::Short(51)));
}

#[test]
fn a_binary_header_at_its_limit_and_one_past_it() {
    assert_eq!(complete(&v2(0x21, 0x11, &[0; MAX_V2 - FIXED])).1, MAX_V2);
    let long = v2(0x21, 0x11, &[0; MAX_V2 - FIXED + 1]);
    assert_eq!(parse(&long), Err(HeaderError::Long(MAX_V2 + 1)));
    assert_eq!(parse(&long[..FIXED]), Err(HeaderError::Long(MAX_V2 + 1)), "before it has come");
}

#[test]
fn families_are_made_one() {
    let both = addresses("[::ffff:10.0.0.1]:1", "10.0.0.2:2");
    assert_eq!(both, addresses("10.0.0.1:1", "10.0.0.2:2"));
    let mixed = addresses("[2001:db8::1]:1", "10.0.0.2:2");
    assert_eq!(mixed.destination(), "[::ffff:10.0.0.2]:2".parse().unwrap());
}

fn any_addresses() -> impl Strategy<Value = Option<Addresses>> {
    proptest::option::of((any::<SocketAddr>(), any::<SocketAddr>()).prop_map(|(a, b)| Addresses::new(a, b)))
}

proptest! {
    /// What is written is read, byte by byte too, and nothing that follows is asked for or taken.
    #[test]
    fn round_trip(addresses in any_addresses(), binary: bool, rest: Vec<u8>) {
        let header = encode(if binary { Version::V2 } else { Version::V1 }, addresses.as_ref());
        let mut read = 0;
        loop {
            match parse(&header[..read]).unwrap() {
                Parsed::Incomplete(more) => {
                    prop_assert!(more > 0 && read + more <= header.len(), "{more} after {read}");
                    for part in read..read + more {
                        prop_assert!(matches!(parse(&header[..part]), Ok(Parsed::Incomplete(_))));
                    }
                    read += more;
                }
                Parsed::Complete { addresses: found, length } => {
                    // Mapped addresses are read as what they are.
                    let expected = addresses.map(|a| Addresses::new(a.source(), a.destination()));
                    prop_assert_eq!((found, length), (expected, header.len()));
                    break;
                }
            }
        }
        let mut whole = header.clone();
        whole.extend_from_slice(&rest);
        prop_assert_eq!(parse(&whole), parse(&header));
    }

    /// However a line is cut, it is taken or refused as the whole is.
    #[test]
    fn cuts_do_not_matter(line in "PROXY (UNKNOWN|TCP4 1.1.1.1 2.2.2.2)[ -~\r\0é]{0,40}\r\n") {
        let bytes = line.as_bytes();
        let refused = (1..bytes.len()).any(|cut| parse(&bytes[..cut]).is_err());
        if refused {
            prop_assert!(parse(bytes).is_err());
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes: Vec<u8>, kind in 0..3, at in 0..30_usize, byte: u8) {
        let start = match kind {
            0 => Vec::new(),
            1 => b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n".to_vec(),
            _ => v2(0x21, 0x11, &[1; 12]),
        };
        bytes.splice(..0, start);
        if let Some(target) = bytes.get_mut(at) {
            *target = byte;
        }
        match parse(&bytes) {
            Ok(Parsed::Complete { length, .. }) => prop_assert!(length <= bytes.len()),
            Ok(Parsed::Incomplete(more)) => prop_assert!(more > 0 && bytes.len() + more <= MAX_V2),
            Err(_) => {}
        }
    }
}
