//! HTTP/1.1 read as strictly as it can be: a message has one meaning for everybody, or the target fails (RFC 9112).

/// A whole message.
pub struct Message {
    /// The request line or the status line.
    pub line: String,
    /// Names in lower case, values without the space around them.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Message {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| &value[..]).collect()
    }

    /// The only value of a field.
    pub fn one(&self, name: &str) -> Option<&[u8]> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} is there twice");
        all.first().copied()
    }

    /// The code of a response.
    pub fn code(&self) -> u16 {
        self.line.get(9..12).and_then(|code| code.parse().ok()).expect("a code")
    }
}

/// Takes a request from the front; `None` while it is not complete.
pub fn request(bytes: &mut &[u8]) -> Option<Message> {
    let (mut message, rest) = head(bytes)?;
    let words: Vec<&str> = message.line.split(' ').collect();
    let &[method, target, "HTTP/1.1"] = &words[..] else { panic!("no request line: {:?}", message.line) };
    assert!(is_token(method.as_bytes()), "no method: {method:?}");
    assert!(target.starts_with(['/', '*']) || target.starts_with("http://"), "no target: {target:?}");
    assert!(!target.contains(['#', '\u{7f}']), "no target: {target:?}");
    assert!(message.one("host").is_some_and(|host| !host.is_empty()), "no host");
    let (body, rest) = match framing(&message) {
        Framing::Length(length) => rest.split_at_checked(length)?,
        Framing::Chunked => chunked(rest, &mut message.body)?,
        Framing::Unsaid => rest.split_at(0),
    };
    message.body.extend_from_slice(body);
    *bytes = rest;
    Some(message)
}

/// Takes a response (not one to `HEAD`) from the front; `None` while it is not complete.
pub fn response(bytes: &mut &[u8]) -> Option<Message> {
    let (mut message, rest) = head(bytes)?;
    assert!(message.line.starts_with("HTTP/1."), "no status line: {:?}", message.line);
    let bodiless = matches!(message.code(), 100..=199 | 204 | 304);
    let (body, rest) = match framing(&message) {
        _ if bodiless => rest.split_at(0),
        Framing::Length(length) => rest.split_at_checked(length)?,
        Framing::Chunked => chunked(rest, &mut message.body)?,
        // To the end of the connection.
        Framing::Unsaid => (rest, &[][..]),
    };
    message.body.extend_from_slice(body);
    *bytes = rest;
    Some(message)
}

/// How long a body is.
enum Framing {
    Length(usize),
    Chunked,
    Unsaid,
}

fn framing(message: &Message) -> Framing {
    match (message.one("content-length"), message.one("transfer-encoding")) {
        (None, None) => Framing::Unsaid,
        (Some(length), None) => {
            assert!(!length.is_empty() && length.iter().all(u8::is_ascii_digit), "no length: {length:?}");
            Framing::Length(std::str::from_utf8(length).expect("digits").parse().expect("a length"))
        }
        (None, Some(coding)) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"), "a coding: {coding:?}");
            Framing::Chunked
        }
        both => panic!("length and coding: {both:?}"),
    }
}

/// Reads chunks into `body`; what is left, with an empty slice of it.
fn chunked<'a>(mut rest: &'a [u8], body: &mut Vec<u8>) -> Option<(&'a [u8], &'a [u8])> {
    loop {
        let size = line(&mut rest)?;
        assert!((1..=8).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit), "no size: {size:?}");
        let size = usize::from_str_radix(std::str::from_utf8(size).expect("digits"), 16).expect("a size");
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after;
        if rest.len() >= 2 {
            assert!(rest.starts_with(b"\r\n"), "a chunk is longer than it says");
        }
        rest = rest.get(2..)?;
    }
    loop {
        match line(&mut rest)? {
            [] => return Some((&rest[..0], rest)),
            trailer => {
                let (name, _) = field(trailer);
                let framing = ["content-length", "transfer-encoding", "host", "trailer", "connection"];
                assert!(!framing.contains(&&name[..]), "a trailer that frames: {name}");
            }
        }
    }
}

fn head<'a>(bytes: &&'a [u8]) -> Option<(Message, &'a [u8])> {
    let mut rest = *bytes;
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    let first = line(&mut rest)?;
    let first = String::from_utf8_lossy(first).into_owned();
    let mut fields = Vec::new();
    loop {
        match line(&mut rest)? {
            [] => break,
            text => fields.push(field(text)),
        }
    }
    assert_eq!(bytes.len() - rest.len(), end + 4, "the head ends elsewhere");
    Some((Message { line: first, fields, body: Vec::new() }, rest))
}

/// A line without its end, in which nothing could be taken for another one.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let (line, after) = rest.split_at(end);
    let is_clean = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    assert!(line.iter().all(is_clean), "control characters: {:?}", String::from_utf8_lossy(line));
    *rest = &after[2..];
    Some(line)
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
    let (name, value) = line.split_at(colon);
    assert!(is_token(name), "no name: {:?}", String::from_utf8_lossy(line));
    let name = String::from_utf8(name.to_ascii_lowercase()).expect("ASCII");
    (name, value[1..].trim_ascii().to_vec())
}

fn is_token(bytes: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_allowed)
}
