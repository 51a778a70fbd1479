//! The four parameters (RFC 7692 7.1), offered, accepted and checked.

use super::WINDOW_BITS;
use crate::handshake::tokens::{Extension, Parameter};

/// The extension's name.
const NAME: &str = "permessage-deflate";

/// How a side would like messages to be compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// From 1 (fast) to 9 (small). Default 1.
    pub level: u32,
    /// Shorter messages are sent as they are. Default 128.
    pub from_bytes: usize,
    /// The largest window to compress with, as a base-2 logarithm, 9 to 15. Default 15. Small windows need less memory.
    pub window_bits: u8,
    /// The largest window that the peer is asked to compress with, 8 to 15. Default 15.
    pub peer_window_bits: u8,
    /// Keep what was sent for the next message to refer to: better compression, 260 KiB for a connection that sends.
    /// Default false.
    pub context_takeover: bool,
    /// Let the peer do so: 40 KiB for every connection that ever received a compressed message. Default false.
    pub peer_context_takeover: bool,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            level: 1,
            from_bytes: 128,
            window_bits: 15,
            peer_window_bits: 15,
            context_takeover: false,
            peer_context_takeover: false,
        }
    }
}

impl Compression {
    /// With every figure within its range.
    fn clamped(&self) -> Self {
        Self {
            level: self.level.clamp(1, 9),
            window_bits: self.window_bits.clamp(super::LEAST_OWN_BITS, *WINDOW_BITS.end()),
            peer_window_bits: self.peer_window_bits.clamp(*WINDOW_BITS.start(), *WINDOW_BITS.end()),
            ..*self
        }
    }
}

/// What both sides agreed on, seen from one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The window of what is sent. With 8 bits, which zlib cannot write, all is sent uncompressed.
    pub own_bits: u8,
    /// The window of what is received.
    pub peer_bits: u8,
    /// Whether what is sent may refer to earlier messages.
    pub own_takeover: bool,
    /// Whether what is received may.
    pub peer_takeover: bool,
    /// As [`Compression::level`].
    pub level: u32,
    /// As [`Compression::from_bytes`].
    pub from_bytes: usize,
}

/// A server answered with extensions or parameters that were not offered, or that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's extensions do not fit what was offered")]
pub struct Refused;

/// The parameters of one offer or response; each at most once, each with a value that it may have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    /// Without a value in offers only.
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    fn parse(parameters: &[Parameter<'_>]) -> Option<Self> {
        let mut all = Self::default();
        for Parameter { name, value } in parameters {
            let value = value.as_deref();
            let fresh = match (*name, value) {
                ("server_no_context_takeover", None) => !std::mem::replace(&mut all.server_no_takeover, true),
                ("client_no_context_takeover", None) => !std::mem::replace(&mut all.client_no_takeover, true),
                ("server_max_window_bits", Some(bits)) => {
                    all.server_bits.replace(window_bits(bits)?).is_none()
                }
                ("client_max_window_bits", None) => all.client_bits.replace(None).is_none(),
                ("client_max_window_bits", Some(bits)) => {
                    all.client_bits.replace(Some(window_bits(bits)?)).is_none()
                }
                _ => false,
            };
            if !fresh {
                return None;
            }
        }
        Some(all)
    }
}

/// 8 to 15, without leading zeros (RFC 7692 7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    if value.starts_with('0') || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    value.parse().ok().filter(|bits| WINDOW_BITS.contains(bits))
}

/// A client's offer.
pub(crate) fn offer(wanted: &Compression) -> String {
    let wanted = wanted.clamped();
    let mut text = String::from(NAME);
    if !wanted.peer_context_takeover {
        text.push_str("; server_no_context_takeover");
    }
    if !wanted.context_takeover {
        text.push_str("; client_no_context_takeover");
    }
    if wanted.peer_window_bits < *WINDOW_BITS.end() {
        text.push_str(&format!("; server_max_window_bits={}", wanted.peer_window_bits));
    }
    if wanted.window_bits < *WINDOW_BITS.end() {
        text.push_str(&format!("; client_max_window_bits={}", wanted.window_bits));
    } else {
        text.push_str("; client_max_window_bits");
    }
    text
}

/// A server's answer to the first offer that it understands; `None` when there is none.
pub(crate) fn accept_offers(offers: &[Extension<'_>], wanted: &Compression) -> Option<(String, Negotiated)> {
    let wanted = wanted.clamped();
    let offered = offers
        .iter()
        .filter(|offer| offer.name.eq_ignore_ascii_case(NAME))
        .find_map(|offer| Parameters::parse(&offer.parameters))?;
    let agreed = Negotiated {
        own_bits: offered.server_bits.unwrap_or(*WINDOW_BITS.end()).min(wanted.window_bits),
        // A client that did not offer to limit its window cannot be asked to.
        peer_bits: match offered.client_bits {
            Some(bits) => bits.unwrap_or(*WINDOW_BITS.end()).min(wanted.peer_window_bits),
            None => *WINDOW_BITS.end(),
        },
        own_takeover: wanted.context_takeover && !offered.server_no_takeover,
        peer_takeover: wanted.peer_context_takeover && !offered.client_no_takeover,
        level: wanted.level,
        from_bytes: wanted.from_bytes,
    };
    let mut text = String::from(NAME);
    if !agreed.own_takeover {
        text.push_str("; server_no_context_takeover");
    }
    if !agreed.peer_takeover {
        text.push_str("; client_no_context_takeover");
    }
    if agreed.own_bits < *WINDOW_BITS.end() {
        text.push_str(&format!("; server_max_window_bits={}", agreed.own_bits));
    }
    if agreed.peer_bits < *WINDOW_BITS.end() {
        text.push_str(&format!("; client_max_window_bits={}", agreed.peer_bits));
    }
    Some((text, agreed))
}

/// What a client makes of the server's answer to its offer.
pub(crate) fn accept_response(
    response: &[Extension<'_>],
    wanted: Option<&Compression>,
) -> Result<Option<Negotiated>, Refused> {
    let [answer] = response else { return if response.is_empty() { Ok(None) } else { Err(Refused) } };
    let wanted = wanted.ok_or(Refused)?.clamped();
    if !answer.name.eq_ignore_ascii_case(NAME) {
        return Err(Refused);
    }
    let answer = Parameters::parse(&answer.parameters).ok_or(Refused)?;
    let most = *WINDOW_BITS.end();
    let peer_bits = answer.server_bits.unwrap_or(most);
    let own_bits = match answer.client_bits {
        None => wanted.window_bits,
        Some(Some(bits)) => bits.min(wanted.window_bits),
        Some(None) => return Err(Refused),
    };
    // What was demanded must be granted (RFC 7692 7.1.1.1, 7.1.2.1).
    if peer_bits > wanted.peer_window_bits || (!wanted.peer_context_takeover && !answer.server_no_takeover) {
        return Err(Refused);
    }
    Ok(Some(Negotiated {
        own_bits,
        peer_bits,
        own_takeover: wanted.context_takeover && !answer.client_no_takeover,
        peer_takeover: !answer.server_no_takeover,
        level: wanted.level,
        from_bytes: wanted.from_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::tokens::extensions;
    use proptest::prelude::*;

    fn serve(offers: &str, wanted: &Compression) -> Option<(String, Negotiated)> {
        accept_offers(&extensions(offers).unwrap(), wanted)
    }

    fn takeover() -> Compression {
        Compression { context_takeover: true, peer_context_takeover: true, ..Compression::default() }
    }

    #[test]
    fn a_server_takes_the_first_offer_that_it_understands() {
        let cases = [
            ("permessage-deflate", "permessage-deflate"),
            ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            (
                "permessage-deflate; server_max_window_bits=10",
                "permessage-deflate; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; server_max_window_bits=\"8\"",
                "permessage-deflate; server_max_window_bits=8",
            ),
            (
                "permessage-deflate; client_max_window_bits=9; server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover",
            ),
            // The first is not valid, the second is.
            (
                "permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=15",
                "permessage-deflate",
            ),
        ];
        for (offers, answer) in cases {
            assert_eq!(serve(offers, &takeover()).unwrap().0, answer, "{offers}");
        }
    }

    #[test]
    fn offers_that_are_not_valid_are_declined() {
        for offer in [
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "permessage-deflate; unknown",
        ] {
            assert_eq!(serve(offer, &takeover()), None, "{offer}");
        }
    }

    #[test]
    fn a_client_refuses_what_it_did_not_ask_for() {
        let check = |answer: &str, wanted: Option<&Compression>| {
            accept_response(&extensions(answer).unwrap(), wanted)
        };
        let wanted = Compression { peer_window_bits: 10, ..takeover() };
        assert_eq!(accept_response(&[], None), Ok(None));
        assert_eq!(check("permessage-deflate", None), Err(Refused));
        assert_eq!(check("permessage-deflate", Some(&wanted)), Err(Refused));
        assert_eq!(check("permessage-deflate; server_max_window_bits=11", Some(&wanted)), Err(Refused));
        assert!(check("permessage-deflate; server_max_window_bits=10", Some(&wanted)).is_ok());
        let no_bits = "permessage-deflate; server_max_window_bits=10; client_max_window_bits";
        assert_eq!(check(no_bits, Some(&wanted)), Err(Refused));
        let twice = "permessage-deflate; server_max_window_bits=10, permessage-deflate";
        assert_eq!(check(twice, Some(&wanted)), Err(Refused));
        assert_eq!(check("permessage-deflate", Some(&Compression::default())), Err(Refused));
    }

    fn any_wanted() -> impl Strategy<Value = Compression> {
        (9_u8..=15, 8_u8..=15, any::<bool>(), any::<bool>()).prop_map(
            |(own, peer, takeover, peer_takeover)| Compression {
                window_bits: own,
                peer_window_bits: peer,
                context_takeover: takeover,
                peer_context_takeover: peer_takeover,
                ..Compression::default()
            },
        )
    }

    proptest! {
        #[test]
        fn both_sides_agree(client in any_wanted(), server in any_wanted()) {
            let (answer, at_server) = serve(&offer(&client), &server).unwrap();
            let at_client = accept_response(&extensions(&answer).unwrap(), Some(&client)).unwrap().unwrap();
            prop_assert!(at_client.own_bits <= at_server.peer_bits);
            prop_assert!(at_server.own_bits <= at_client.peer_bits);
            prop_assert!(at_client.own_bits <= client.window_bits && at_client.peer_bits <= client.peer_window_bits);
            prop_assert!(at_server.own_bits <= server.window_bits);
            prop_assert!(!at_client.own_takeover || at_server.peer_takeover);
            prop_assert!(!at_server.own_takeover || at_client.peer_takeover);
            prop_assert!(client.peer_context_takeover || !at_client.peer_takeover);
        }
    }
}
