//! Amounts and lists of balances as the genesis file writes them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Base units, written as a decimal string (or as a plain number below 2^64).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;

        impl Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount in base units as a decimal string below 2^128")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number.into()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                let amount: Option<u128> = text.parse().ok();
                // Only the form that is written: no sign, no leading zeros.
                amount
                    .filter(|amount| amount.to_string() == text)
                    .map(Amount)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(AmountVisitor)
    }
}

/// Balances by symbol. A symbol that is listed twice is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Balances(pub BTreeMap<String, Amount>);

impl<'de> Deserialize<'de> for Balances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BalancesVisitor;

        impl<'de> Visitor<'de> for BalancesVisitor {
            type Value = Balances;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from asset symbols to amounts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Balances, A::Error> {
                let mut balances = BTreeMap::new();
                while let Some((symbol, amount)) = map.next_entry::<String, Amount>()? {
                    if balances.contains_key(&symbol) {
                        return Err(A::Error::custom(format_args!(
                            "the balance of {symbol} is listed twice"
                        )));
                    }
                    balances.insert(symbol, amount);
                }
                Ok(Balances(balances))
            }
        }

        deserializer.deserialize_map(BalancesVisitor)
    }
}
