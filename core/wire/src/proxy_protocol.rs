//! The PROXY protocol, versions 1 and 2: what a balancer says about a connection before its first byte.
//!
//! By the specification that HAProxy publishes ("The PROXY protocol", sections 2.1 and 2.2). A header says where the client
//! connected from and to. Nothing in it proves that it is true: it is for connections from balancers only, and from those always.
//!
//! Stricter than most in what has two readings: numbers have no sign and no leading zero, nothing precedes or follows, and a header
//! that is longer than it may be is refused as soon as that can be told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Bytes of a header of version 1, with its line's end (2.1).
pub const MAX_V1: usize = 107;

/// Bytes of a header of version 2, with all that it says beyond addresses. The specification allows 65,551; balancers send a few hundred.
pub const MAX_V2: usize = 4096;

/// What every header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2's signature, version, family and length.
const FIXED: usize = 16;

/// `PROXY UNKNOWN` and `PROXY TCP6 :: :: 1 1`, with the ends of their lines: no header of version 1 is shorter.
const SHORTEST_UNKNOWN: usize = 15;
const SHORTEST_TCP: usize = 22;

/// The two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Where a connection comes from, and where to, as the balancer saw it. Both of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addresses {
    source: SocketAddr,
    destination: SocketAddr,
}

impl Addresses {
    /// A connection from `source` to `destination`. When they are of different families, both become IPv6 ones (RFC 4291, 2.5.5.2);
    /// IPv4 addresses mapped to IPv6 become IPv4 ones.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let (mut from, mut to) = (source.ip().to_canonical(), destination.ip().to_canonical());
        if from.is_ipv4() != to.is_ipv4() {
            (from, to) = (mapped(from), mapped(to));
        }
        let source = SocketAddr::new(from, source.port());
        Self { source, destination: SocketAddr::new(to, destination.port()) }
    }

    /// The client's.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        self.source
    }

    /// The one that it connected to.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        other => other,
    }
}

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header, which is so many bytes longer at least. Whoever reads no more than that takes none of what follows it.
    Incomplete(usize),
    /// A header, of so many bytes.
    Complete {
        /// `None`: the connection is the balancer's own (a health check), or it does not know where it comes from.
        addresses: Option<Addresses>,
        /// Bytes.
        length: usize,
    },
}

/// What is no header. The connection is to be closed (section 2: a receiver must not guess).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not even its beginning.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// A line that cannot be read.
    #[error("the PROXY header's line is malformed")]
    Line,
    /// Longer than [`MAX_V1`].
    #[error("the PROXY header's line is longer than {MAX_V1} bytes")]
    LongLine,
    /// Neither LOCAL nor PROXY of version 2.
    #[error("the PROXY header is of an unknown version or command: {0:#04x}")]
    Command(u8),
    /// Of no family or transport that is known.
    #[error("the PROXY header's family is unknown: {0:#04x}")]
    Family(u8),
    /// Too few bytes for its addresses.
    #[error("the PROXY header has {0} bytes, too few for its addresses")]
    Short(usize),
    /// Longer than [`MAX_V2`].
    #[error("the PROXY header has {0} bytes, more than {MAX_V2}")]
    Long(usize),
}

/// Reads a header off the beginning of `bytes`.
///
/// # Errors
/// [`HeaderError`], as soon as no further byte could make a header of it.
pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    if bytes.is_empty() {
        return Ok(Parsed::Incomplete(SHORTEST_UNKNOWN));
    }
    let is_either = |prefix: &[u8]| {
        let common = bytes.len().min(prefix.len());
        bytes.get(..common) == prefix.get(..common)
    };
    if is_either(SIGNATURE) {
        return parse_v2(bytes);
    }
    if is_either(b"PROXY ") {
        return parse_v1(bytes);
    }
    Err(HeaderError::Absent)
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let end = bytes.iter().take(MAX_V1).position(|byte| *byte == b'\n');
    let line = bytes.get(..end.unwrap_or(bytes.len().min(MAX_V1))).unwrap_or(bytes);
    let plain = line.strip_suffix(b"\r").unwrap_or(line);
    // Wherever the line is cut when it is looked at, it is refused for the same.
    if !plain.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(HeaderError::Line);
    }
    let Some(end) = end else {
        if bytes.len() >= MAX_V1 {
            return Err(HeaderError::LongLine);
        }
        let shortest = if bytes.starts_with(b"PROXY T") { SHORTEST_TCP } else { SHORTEST_UNKNOWN };
        let ends = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return Ok(Parsed::Incomplete(shortest.saturating_sub(bytes.len()).max(ends)));
    };
    let length = end.saturating_add(1);
    let line = line.strip_suffix(b"\r").ok_or(HeaderError::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Line)?;
    let said = line.strip_prefix("PROXY ").ok_or(HeaderError::Line)?;
    if said == "UNKNOWN" || said.starts_with("UNKNOWN ") {
        // What follows is to be ignored.
        return Ok(Parsed::Complete { addresses: None, length });
    }
    let mut words = said.split(' ');
    let family = words.next().unwrap_or_default();
    let mut next = || words.next().unwrap_or_default();
    let (source, destination) = match family {
        "TCP4" => (address::<Ipv4Addr>(next())?, address::<Ipv4Addr>(next())?),
        "TCP6" => (address::<Ipv6Addr>(next())?, address::<Ipv6Addr>(next())?),
        _ => return Err(HeaderError::Line),
    };
    let (from, to) = (port(next())?, port(next())?);
    if words.next().is_some() {
        return Err(HeaderError::Line);
    }
    let addresses = Addresses::new(SocketAddr::new(source, from), SocketAddr::new(destination, to));
    Ok(Parsed::Complete { addresses: Some(addresses), length })
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, HeaderError> {
    text.parse::<A>().map(Into::into).map_err(|_| HeaderError::Line)
}

/// Decimal, without a sign and without leading zeros (2.1).
fn port(text: &str) -> Result<u16, HeaderError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(HeaderError::Line)
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let missing = FIXED.saturating_sub(bytes.len());
    // The command is judged as soon as it is there.
    let command = bytes.get(SIGNATURE.len()).copied();
    if let Some(other) = command.filter(|command| !matches!(command, 0x20 | 0x21)) {
        return Err(HeaderError::Command(other));
    }
    let Some([_, family, high, low]) = bytes.get(SIGNATURE.len()..FIXED) else {
        return Ok(Parsed::Incomplete(missing));
    };
    let block = usize::from(u16::from_be_bytes([*high, *low]));
    let length = FIXED.saturating_add(block);
    if length > MAX_V2 {
        return Err(HeaderError::Long(length));
    }
    let local = command == Some(0x20);
    let needed = match family {
        // LOCAL: the family is to be ignored.
        _ if local => 0,
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        other => return Err(HeaderError::Family(*other)),
    };
    if block < needed {
        return Err(HeaderError::Short(length));
    }
    if bytes.len() < length {
        return Ok(Parsed::Incomplete(length.saturating_sub(bytes.len())));
    }
    let said = bytes.get(FIXED..length).unwrap_or(&[]);
    let addresses = match family {
        _ if local => None,
        0x11 => pair::<4>(said).map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))).zip(ports(said, 8)),
        0x21 => pair::<16>(said).map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))).zip(ports(said, 32)),
        // UDP has no connections, and files no addresses: as good as unknown.
        _ => None,
    };
    let addresses = addresses
        .map(|((from, to), (a, b))| Addresses::new(SocketAddr::new(from, a), SocketAddr::new(to, b)));
    Ok(Parsed::Complete { addresses, length })
}

fn pair<const N: usize>(said: &[u8]) -> Option<([u8; N], [u8; N])> {
    let (first, rest) = said.split_first_chunk::<N>()?;
    Some((*first, *rest.first_chunk::<N>()?))
}

fn ports(said: &[u8], at: usize) -> Option<(u16, u16)> {
    let (from, to) = pair::<2>(said.get(at..)?)?;
    Some((u16::from_be_bytes(from), u16::from_be_bytes(to)))
}

/// A header for a connection between these addresses; `None`: for one of the balancer's own.
#[must_use]
pub fn encode(version: Version, addresses: Option<&Addresses>) -> Vec<u8> {
    match version {
        Version::V1 => encode_v1(addresses),
        Version::V2 => encode_v2(addresses),
    }
}

fn encode_v1(addresses: Option<&Addresses>) -> Vec<u8> {
    let Some(Addresses { source, destination }) = addresses else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn encode_v2(addresses: Option<&Addresses>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(Addresses { source, destination }) = addresses else {
        header.extend_from_slice(&[0x20, 0x00, 0, 0]);
        return header;
    };
    header.extend_from_slice(if source.is_ipv4() { &[0x21, 0x11, 0, 12] } else { &[0x21, 0x21, 0, 36] });
    for address in [source.ip(), destination.ip()] {
        match address {
            IpAddr::V4(address) => header.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => header.extend_from_slice(&address.octets()),
        }
    }
    header.extend_from_slice(&source.port().to_be_bytes());
    header.extend_from_slice(&destination.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests;
