//! `keep-segments` in a configuration file: the word `"all"`, or a number.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};
use shroud_keystone::KeepSegments;
use std::fmt;

pub(super) fn serialize<S: Serializer>(
    value: &Option<KeepSegments>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        None => serializer.serialize_none(),
        Some(KeepSegments::Last(count)) => serializer.serialize_u32(*count),
        Some(all) => serializer.collect_str(all),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<KeepSegments>, D::Error> {
    deserializer.deserialize_any(Setting).map(Some)
}

struct Setting;

impl Visitor<'_> for Setting {
    type Value = KeepSegments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\", or a number from 0 to {}", KeepSegments::ALL, u32::MAX)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<KeepSegments, E> {
        let count = u32::try_from(number);
        count.map(KeepSegments::Last).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KeepSegments, E> {
        match text {
            KeepSegments::ALL => Ok(KeepSegments::All),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}
