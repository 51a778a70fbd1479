//! Reading a method's parameters, with errors that name the parameter.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use shroud_crypto::{Address, Hash};
use shroud_wire::hex;
use shroud_wire::jsonrpc::RpcError;

/// Positional parameters, each still unread.
pub(crate) struct Params<'a> {
    values: Vec<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// Reads the outer array: at least `least` and at most `most` entries. Trailing `null`s count as absent.
    pub(crate) fn read(raw: Option<&'a RawValue>, least: usize, most: usize) -> Result<Self, RpcError> {
        let mut values: Vec<&'a RawValue> = match raw {
            None => Vec::new(),
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|_| RpcError::invalid_params("parameters must be an array"))?,
        };
        while values.last().is_some_and(|value| value.get() == "null") {
            values.pop();
        }
        if (least..=most).contains(&values.len()) {
            return Ok(Self { values });
        }
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        Err(RpcError::invalid_params(format!("expected {expected} parameters, got {}", values.len())))
    }

    /// A parameter of any shape; `None` when absent.
    pub(crate) fn get<T: DeserializeOwned>(&self, index: usize, name: &str) -> Result<Option<T>, RpcError> {
        let Some(value) = self.values.get(index) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|error| wrong(name, error))
    }

    fn text(&self, index: usize, name: &str) -> Result<String, RpcError> {
        self.get::<String>(index, name)?.ok_or_else(|| wrong(name, "it is missing"))
    }

    /// An address.
    pub(crate) fn address(&self, index: usize, name: &str) -> Result<Address, RpcError> {
        self.text(index, name)?.parse().map_err(|error| wrong(name, error))
    }

    /// A 32-byte hash.
    pub(crate) fn hash(&self, index: usize, name: &str) -> Result<Hash, RpcError> {
        self.text(index, name)?.parse().map_err(|error| wrong(name, error))
    }

    /// Bytes as `0x` and hex digits. Borrowed from the request: the hot path of sending.
    pub(crate) fn data(&self, index: usize, name: &str) -> Result<Vec<u8>, RpcError> {
        let value = self.values.get(index).ok_or_else(|| wrong(name, "it is missing"))?;
        let text: std::borrow::Cow<'_, str> =
            serde_json::from_str(value.get()).map_err(|error| wrong(name, error))?;
        hex::parse_data(&text).map_err(|error| wrong(name, error))
    }
}

/// An `invalid params` error that names the parameter.
pub(crate) fn wrong(name: &str, error: impl std::fmt::Display) -> RpcError {
    RpcError::invalid_params(format!("{name}: {error}"))
}

/// Which block a caller means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockTag {
    /// `latest`, `safe`, `finalized`, `pending`: here they are the same, for an acknowledged block is final.
    Latest,
    /// `earliest`.
    Earliest,
    /// A number.
    Number(u64),
    /// EIP-1898's block hash.
    Hash(Hash),
}

impl BlockTag {
    /// Reads the parameter at `index`; absent means latest.
    pub(crate) fn read(params: &Params<'_>, index: usize) -> Result<Self, RpcError> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Tag {
            Text(String),
            #[serde(rename_all = "camelCase")]
            Object {
                block_number: Option<String>,
                block_hash: Option<String>,
            },
        }
        const NAME: &str = "block";
        let number =
            |text: &str| hex::parse_quantity_u64(text).map(Self::Number).map_err(|error| wrong(NAME, error));
        match params.get::<Tag>(index, NAME)? {
            None => Ok(Self::Latest),
            Some(Tag::Text(text)) => match text.as_str() {
                "latest" | "safe" | "finalized" | "pending" => Ok(Self::Latest),
                "earliest" => Ok(Self::Earliest),
                text => number(text),
            },
            Some(Tag::Object { block_number: Some(text), block_hash: None }) => number(&text),
            Some(Tag::Object { block_number: None, block_hash: Some(text) }) => {
                text.parse().map(Self::Hash).map_err(|error| wrong(NAME, error))
            }
            Some(Tag::Object { .. }) => Err(wrong(NAME, "give either blockNumber or blockHash")),
        }
    }
}
