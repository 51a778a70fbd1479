//! Zones kept in memory, and their answers (RFC 1034, 4.3.2; RFC 2308, 4592, 8482).

mod text;

use crate::query::Question;
use crate::{DNSClass, Name, RData, Record, RecordType, Response, ResponseCode};
use hickory_proto::rr::LowerName;
use hickory_proto::rr::rdata::HINFO;
use std::collections::BTreeMap;

/// Aliases that are followed for one answer.
const MAX_ALIASES: usize = 8;

/// Time to live of the answer to `ANY`, in seconds.
const ANY_TTL: u32 = 3600;

/// A text that is no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// A line that cannot be read.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, the first is 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// There is no SOA record, or more than one.
    #[error("a zone has exactly one SOA record, and this one has {0}")]
    Soa(usize),
    /// A record that does not belong.
    #[error("{0} is not within the zone")]
    Outside(String),
    /// A name with an alias has other records too (RFC 2181, 10.1).
    #[error("{0} has a CNAME record and others")]
    Alias(String),
}

/// The records of one zone.
#[derive(Debug, Clone)]
pub struct Zone {
    origin: Name,
    soa: Record,
    nodes: BTreeMap<LowerName, Node>,
}

type Node = BTreeMap<RecordType, Vec<Record>>;

impl Zone {
    /// A zone from text in the master format (RFC 1035, 5; no `$INCLUDE`). `origin` is what relative names are relative to,
    /// until `$ORIGIN` says otherwise.
    ///
    /// # Errors
    /// [`ZoneError`], with the line.
    pub fn parse(text: &str, origin: &Name) -> Result<Self, ZoneError> {
        Self::new(text::records(text, origin)?)
    }

    /// A zone of these records, one of which is its SOA.
    ///
    /// # Errors
    /// [`ZoneError`].
    pub fn new(records: Vec<Record>) -> Result<Self, ZoneError> {
        let mut soas = records.iter().filter(|record| record.record_type() == RecordType::SOA);
        let (Some(soa), 0) = (soas.next().cloned(), soas.count()) else {
            let count = records.iter().filter(|record| record.record_type() == RecordType::SOA).count();
            return Err(ZoneError::Soa(count));
        };
        let origin = soa.name.clone();
        let mut nodes: BTreeMap<LowerName, Node> = BTreeMap::new();
        for record in records {
            if !origin.zone_of(&record.name) {
                return Err(ZoneError::Outside(record.name.to_string()));
            }
            let node = nodes.entry(LowerName::new(&record.name)).or_default();
            node.entry(record.record_type()).or_default().push(record);
        }
        for (name, node) in &nodes {
            if node.get(&RecordType::CNAME).is_some_and(|aliases| aliases.len() > 1 || node.len() > 1) {
                return Err(ZoneError::Alias(name.to_string()));
            }
        }
        Ok(Self { origin, soa, nodes })
    }

    /// The zone's name.
    #[must_use]
    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// How many names have records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none, which cannot be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Answers a question about a name of this zone; others are refused.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Response {
        if question.class != DNSClass::IN || !self.origin.zone_of(&question.name) {
            return Response::error(ResponseCode::Refused);
        }
        let mut response = Response { authoritative: true, ..Response::new(Vec::new()) };
        let mut name = question.name.clone();
        for _ in 0..=MAX_ALIASES {
            if let Some(cut) = self.cut(&name, question.kind) {
                return self.refer(response, cut);
            }
            let Some(node) = self.find(&name) else {
                if !self.has_descendants(&name) {
                    response.code = ResponseCode::NXDomain;
                }
                return self.nothing(response);
            };
            if question.kind == RecordType::ANY {
                // Not all there is, which would only serve those who amplify (RFC 8482, 4.2).
                let data = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
                response.answers.push(Record::from_rdata(name, ANY_TTL, data));
                return response;
            }
            if let Some(records) = node.get(&question.kind) {
                response.answers.extend(records.iter().map(|record| named(record, &name)));
                return response;
            }
            let Some(alias) = node.get(&RecordType::CNAME).and_then(|aliases| aliases.first()) else {
                return self.nothing(response);
            };
            response.answers.push(named(alias, &name));
            match &alias.data {
                RData::CNAME(target) if self.origin.zone_of(target) => name = target.0.clone(),
                _ => return response,
            }
        }
        // Aliases in a circle, or nearly.
        Response::error(ResponseCode::ServFail)
    }

    /// The records of a name, its own or by a wildcard (RFC 4592).
    fn find(&self, name: &Name) -> Option<&Node> {
        if let Some(node) = self.nodes.get(&LowerName::new(name)) {
            return Some(node);
        }
        if self.has_descendants(name) {
            return None;
        }
        let mut encloser = name.base_name();
        while self.origin.zone_of(&encloser) {
            let exists =
                self.nodes.contains_key(&LowerName::new(&encloser)) || self.has_descendants(&encloser);
            if exists {
                let wildcard = encloser.prepend_label("*").ok()?;
                return self.nodes.get(&LowerName::new(&wildcard));
            }
            if encloser.is_root() {
                break;
            }
            encloser = encloser.base_name();
        }
        None
    }

    /// Whether there are names below this one. (Names sort from the root down.)
    fn has_descendants(&self, name: &Name) -> bool {
        let lower = LowerName::new(name);
        let mut after = self.nodes.range(&lower..).map(|(name, _)| name).filter(|next| **next != lower);
        after.next().is_some_and(|next| lower.zone_of(next))
    }

    /// The name servers to whom this name was given away.
    fn cut(&self, name: &Name, kind: RecordType) -> Option<&Vec<Record>> {
        let mut found = None;
        let mut above = name.clone();
        while self.origin.num_labels() < above.num_labels() {
            let at_cut = above == *name && kind == RecordType::DS;
            if !at_cut
                && let Some(servers) =
                    self.nodes.get(&LowerName::new(&above)).and_then(|node| node.get(&RecordType::NS))
            {
                found = Some(servers);
            }
            above = above.base_name();
        }
        found
    }

    fn refer(&self, mut response: Response, servers: &[Record]) -> Response {
        response.authoritative = !response.answers.is_empty();
        response.authorities = servers.to_vec();
        for server in servers {
            let RData::NS(name) = &server.data else { continue };
            let Some(node) = self.nodes.get(&LowerName::new(name)) else { continue };
            for kind in [RecordType::A, RecordType::AAAA] {
                response.additionals.extend(node.get(&kind).into_iter().flatten().cloned());
            }
        }
        response
    }

    /// A negative answer: its SOA says for how long (RFC 2308, 5).
    fn nothing(&self, mut response: Response) -> Response {
        let mut soa = self.soa.clone();
        if let RData::SOA(data) = &soa.data {
            soa.ttl = soa.ttl.min(data.minimum);
        }
        response.authorities.push(soa);
        response
    }
}

/// A record under the name that was asked for: what a wildcard stands for, in the client's letters.
fn named(record: &Record, name: &Name) -> Record {
    let mut named = record.clone();
    named.name = name.clone();
    named
}

/// Several zones.
#[derive(Debug, Clone, Default)]
pub struct Zones {
    zones: Vec<Zone>,
}

impl Zones {
    /// These zones.
    #[must_use]
    pub fn new(zones: Vec<Zone>) -> Self {
        Self { zones }
    }

    /// Answers from the closest zone; refuses what belongs to none.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Response {
        let within = self.zones.iter().filter(|zone| zone.origin.zone_of(&question.name));
        match within.max_by_key(|zone| zone.origin.num_labels()) {
            Some(zone) => zone.answer(question),
            None => Response::error(ResponseCode::Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
$ORIGIN zone.test.
$TTL 1h
@       IN SOA  ns hostmaster.zone.test. ( 2026 3600 ; a comment
                600 86400 60 )
        IN NS   ns
        IN MX   10 mail
ns      IN A    192.0.2.53
www     300 IN A 192.0.2.1
        IN A    192.0.2.2
        AAAA    2001:db8::1
alias   CNAME   www
far     CNAME   www.elsewhere.test.
circle  CNAME   round
round   CNAME   circle
deep.er TXT     "two words" one "a \"quote\" and ; no comment"
*.wild  TXT     "anything"
not.wild A      192.0.2.9
child   NS      ns.child
ns.child A      192.0.2.54
_sip._tcp SRV   1 2 5060 www
"#;

    fn zone() -> Zone {
        Zone::parse(TEXT, &Name::root()).unwrap()
    }

    fn ask(name: &str, kind: RecordType) -> Response {
        zone().answer(&Question::new(Name::from_ascii(name).unwrap(), kind))
    }

    fn shown(records: &[Record]) -> Vec<String> {
        records.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn records_are_found_whatever_the_case() {
        let answer = ask("WwW.zone.test", RecordType::A);
        assert!(answer.authoritative);
        assert_eq!(
            shown(&answer.answers),
            ["WwW.zone.test. 300 IN A 192.0.2.1", "WwW.zone.test. 3600 IN A 192.0.2.2"]
        );
        assert_eq!(
            shown(&ask("zone.test", RecordType::MX).answers),
            ["zone.test. 3600 IN MX 10 mail.zone.test."]
        );
        assert_eq!(
            shown(&ask("_sip._tcp.zone.test", RecordType::SRV).answers),
            ["_sip._tcp.zone.test. 3600 IN SRV 1 2 5060 www.zone.test."]
        );
        let RData::TXT(text) = &ask("deep.er.zone.test", RecordType::TXT).answers[0].data else { panic!() };
        let parts: Vec<&[u8]> = text.txt_data.iter().map(|part| &part[..]).collect();
        assert_eq!(parts, [&b"two words"[..], b"one", b"a \"quote\" and ; no comment"]);
    }

    #[test]
    fn aliases_are_followed_within_the_zone() {
        let answer = ask("alias.zone.test", RecordType::AAAA);
        assert_eq!(
            shown(&answer.answers),
            ["alias.zone.test. 3600 IN CNAME www.zone.test.", "www.zone.test. 3600 IN AAAA 2001:db8::1"]
        );
        assert_eq!(ask("far.zone.test", RecordType::A).answers.len(), 1);
        assert_eq!(ask("alias.zone.test", RecordType::CNAME).answers.len(), 1);
        assert_eq!(ask("circle.zone.test", RecordType::A).code, ResponseCode::ServFail);
    }

    #[test]
    fn nothing_has_an_soa_that_says_for_how_long() {
        for (name, kind, code) in [
            ("none.zone.test", RecordType::A, ResponseCode::NXDomain),
            ("below.www.zone.test", RecordType::A, ResponseCode::NXDomain),
            ("www.zone.test", RecordType::MX, ResponseCode::NoError),
            ("er.zone.test", RecordType::A, ResponseCode::NoError),
            ("not.wild.zone.test", RecordType::TXT, ResponseCode::NoError),
        ] {
            let answer = ask(name, kind);
            assert_eq!((answer.code, answer.answers.len()), (code, 0), "{name}");
            assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
            assert_eq!(answer.least_ttl(), 60);
        }
    }

    #[test]
    fn wildcards_stand_for_what_does_not_exist() {
        let answer = ask("any.thing.wild.zone.test", RecordType::TXT);
        assert_eq!(answer.answers[0].name.to_string(), "any.thing.wild.zone.test.");
        assert_eq!(ask("x.not.wild.zone.test", RecordType::TXT).code, ResponseCode::NXDomain);
    }

    #[test]
    fn children_are_referred_to_and_strangers_refused() {
        for name in ["child.zone.test", "www.child.zone.test"] {
            let answer = ask(name, RecordType::A);
            assert!(!answer.authoritative && answer.answers.is_empty());
            assert_eq!(shown(&answer.authorities), ["child.zone.test. 3600 IN NS ns.child.zone.test."]);
            assert_eq!(shown(&answer.additionals), ["ns.child.zone.test. 3600 IN A 192.0.2.54"]);
        }
        assert_eq!(ask("elsewhere.test", RecordType::A).code, ResponseCode::Refused);
        assert_eq!(ask(".", RecordType::A).code, ResponseCode::Refused);
        let chaos =
            Question { class: DNSClass::CH, ..Question::parse("zone.test", RecordType::TXT).unwrap() };
        assert_eq!(zone().answer(&chaos).code, ResponseCode::Refused);
        assert_eq!(ask("zone.test", RecordType::ANY).answers.len(), 1);
    }

    #[test]
    fn faults_name_their_line() {
        let parse = |text: &str| Zone::parse(text, &Name::root()).unwrap_err();
        assert_eq!(parse("a. A 192.0.2.1"), ZoneError::Soa(0));
        for (text, line) in [
            ("\n\nwww.zone.test. IN A not-an-address", 3),
            ("a. NOTATYPE x", 1),
            ("a. 5 IN", 1),
            ("a. IN TXT \"open", 1),
            ("a. IN SOA ( a. b.\n1 2 3", 1),
            ("$INCLUDE /etc/passwd", 1),
            ("$TTL never", 1),
            ("  A 192.0.2.1", 1),
        ] {
            assert!(matches!(parse(text), ZoneError::Line { line: at, .. } if at == line), "{text}");
        }
        let with = |more: &str| parse(&format!("{TEXT}\n{more}"));
        assert!(matches!(with("x.elsewhere. A 192.0.2.1"), ZoneError::Outside(_)));
        assert!(matches!(with("alias A 192.0.2.1"), ZoneError::Alias(_)));
        assert_eq!(with("@ SOA a. b. 1 2 3 4 5"), ZoneError::Soa(2));
    }

    #[test]
    fn the_closest_zone_answers() {
        let child = "child.zone.test. 60 SOA a. b. 1 2 3 4 5\nwww.child.zone.test. 60 A 192.0.2.77";
        let child = Zone::parse(child, &Name::root()).unwrap();
        let zones = Zones::new(vec![zone(), child]);
        let ask = |name: &str| zones.answer(&Question::parse(name, RecordType::A).unwrap());
        assert_eq!(ask("www.child.zone.test").answers.len(), 1);
        assert_eq!(ask("www.zone.test").answers.len(), 2);
        assert_eq!(ask("nowhere.test").code, ResponseCode::Refused);
    }
}
