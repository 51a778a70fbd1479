//! A node over JSON-RPC: what a wallet asks of it.

use crate::amount::{self, AmountError};
use crate::payment::{Fees, Payment, PaymentError, TRANSFER_GAS};
use serde::{Deserialize, Deserializer};
use shroud_crypto::keystore::{KeyKind, Secret};
use shroud_crypto::{Address, Hash};
use shroud_ghostwire::http::{Client, ClientLimits, Uri};
use shroud_ghostwire::rpc::{self, CallError};
use shroud_ledger::{AssetId, ChainId, Gas, Height, Nonce};
use shroud_runtime::Runtime;
use shroud_wire::hex::{data, parse_quantity, parse_quantity_u64, quantity};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A node that cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Not the address of a node.
    #[error("{0:?} is not an address like http://127.0.0.1:8545/")]
    Address(String),
    /// A call failed; a refusal says why.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A payment that was not made, or of which that is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The account holds nothing of this asset, or there is none.
    #[error("{address} holds no {asset}; it holds {held}")]
    Asset {
        /// Who pays.
        address: Address,
        /// What was asked for.
        asset: String,
        /// What there is, as a list.
        held: String,
    },
    /// The amount does not fit the asset.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// It cannot be signed.
    #[error(transparent)]
    Payment(#[from] PaymentError),
    /// The node cannot be asked. When sending itself failed, the payment may have been made: look at the nonce before
    /// trying again.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// What an account holds of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Balance {
    /// Which.
    #[serde(deserialize_with = "asset_id")]
    pub asset: AssetId,
    /// Its symbol, such as `GCC`.
    pub symbol: Option<String>,
    /// Its decimals.
    pub decimals: Option<u8>,
    /// In base units.
    #[serde(deserialize_with = "number")]
    pub amount: u128,
}

impl std::fmt::Display for Balance {
    /// The amount in whole units with its symbol: `1.5 GCC`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let amount = amount::format(self.amount, self.decimals.unwrap_or(0));
        match &self.symbol {
            Some(symbol) => write!(f, "{amount} {symbol}"),
            None => write!(f, "{amount} of asset {}", self.asset),
        }
    }
}

/// An account as the node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Whose.
    pub address: Address,
    /// Its next nonce.
    #[serde(deserialize_with = "nonce")]
    pub nonce: Nonce,
    /// All that it holds.
    pub balances: Vec<Balance>,
}

/// What became of a transaction; the node answers once it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Its hash.
    pub hash: Hash,
    /// Whether it did what it should.
    #[serde(rename = "status", deserialize_with = "flag")]
    pub success: bool,
    /// The block it is in.
    #[serde(rename = "blockNumber", deserialize_with = "height")]
    pub height: Height,
    /// What it used.
    #[serde(deserialize_with = "gas")]
    pub gas_used: Gas,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A node over JSON-RPC.
#[derive(Debug, Clone)]
pub struct Remote<R: Runtime> {
    rpc: rpc::Client<R>,
}

impl<R: Runtime> Remote<R> {
    /// The node at `address`, such as `http://127.0.0.1:8545/`; nothing is sent yet.
    ///
    /// # Errors
    /// [`RemoteError::Address`].
    pub fn new(runtime: R, address: &str) -> Result<Self, RemoteError> {
        Self::with_limits(runtime, address, ClientLimits::default())
    }

    /// As [`Remote::new`], with other limits than the HTTP client's defaults.
    ///
    /// # Errors
    /// [`RemoteError::Address`].
    pub fn with_limits(runtime: R, address: &str, limits: ClientLimits) -> Result<Self, RemoteError> {
        let uri: Option<Uri> = address.parse().ok();
        let uri = uri
            .filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()))
            .ok_or_else(|| RemoteError::Address(address.to_owned()))?;
        let http = Client::new(runtime, limits);
        Ok(Self { rpc: rpc::Client::new(http, uri) })
    }

    /// Which chain it serves.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn chain_id(&self) -> Result<ChainId, RemoteError> {
        let Quantity(id) = self.rpc.call("eth_chainId", &NONE).await?;
        Ok(ChainId(id))
    }

    /// What a gas costs, in base units of GCC.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn gas_price(&self) -> Result<u128, RemoteError> {
        let Wide(price) = self.rpc.call("eth_gasPrice", &NONE).await?;
        Ok(price)
    }

    /// An account with all its balances; one that was never used is empty.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn account(&self, address: Address) -> Result<Account, RemoteError> {
        Ok(self.rpc.call("shroud_getAccount", &[address]).await?)
    }

    /// Sends signed bytes of either kind; ready once the transaction is durable.
    ///
    /// Cancel safety: dropping the future leaves open whether it was included.
    ///
    /// # Errors
    /// [`RemoteError`]. Unless it is a refusal, the transaction may have been included.
    pub async fn submit(&self, bytes: &[u8]) -> Result<Outcome, RemoteError> {
        Ok(self.rpc.call("shroud_sendTransaction", &[data(bytes)]).await?)
    }

    /// Pays: asks the node for chain, nonce, asset and price, signs, sends, and waits until it is durable. `asset` is a
    /// symbol or an asset's number, `amount` decimal, as people write it.
    ///
    /// Cancel safety: as [`Remote::submit`].
    ///
    /// # Errors
    /// [`SendError`]. A transaction that was included and failed is an [`Outcome`], not an error.
    pub async fn pay(
        &self,
        key: &Secret,
        to: Address,
        asset: &str,
        amount: &str,
    ) -> Result<Outcome, SendError> {
        let from = key.address();
        let account = self.account(from).await?;
        let held = find(&account, asset)?;
        let amount = amount::parse(amount, held.decimals.unwrap_or(0))?;
        let gas_limit = match key.kind() {
            KeyKind::Ed25519 => TRANSFER_GAS,
            // The receiver may be a contract, whose code an Ethereum transfer runs.
            _ => self.estimate(from, to, amount).await?,
        };
        let payment = Payment {
            chain_id: self.chain_id().await?,
            nonce: account.nonce,
            to,
            asset: held.asset,
            amount,
            fees: Fees { gas_limit, gas_price: self.gas_price().await? },
        };
        Ok(self.submit(&payment.sign(key)?).await?)
    }

    async fn estimate(&self, from: Address, to: Address, value: u128) -> Result<Gas, RemoteError> {
        let text = Cow::Owned;
        let call: BTreeMap<&str, Cow<'_, str>> = BTreeMap::from([
            ("from", text(from.to_string())),
            ("to", text(to.to_string())),
            ("value", text(quantity(value))),
        ]);
        let Quantity(gas) = self.rpc.call("eth_estimateGas", &[call]).await?;
        Ok(Gas(gas))
    }
}

/// No parameters.
const NONE: [u8; 0] = [];

fn find<'a>(account: &'a Account, asset: &str) -> Result<&'a Balance, SendError> {
    let number: Option<u32> = asset.parse().ok();
    let matches = |balance: &&Balance| match &balance.symbol {
        Some(symbol) if symbol.eq_ignore_ascii_case(asset) => true,
        _ => number == Some(balance.asset.0),
    };
    account.balances.iter().find(matches).ok_or_else(|| {
        let held: Vec<_> = account.balances.iter().map(ToString::to_string).collect();
        let held = if held.is_empty() { "nothing".to_owned() } else { held.join(", ") };
        SendError::Asset { address: account.address, asset: asset.to_owned(), held }
    })
}

/// A quantity of 64 bits in an answer.
#[derive(Deserialize)]
struct Quantity(#[serde(deserialize_with = "narrow")] u64);

/// A quantity of 128 bits in an answer.
#[derive(Deserialize)]
struct Wide(#[serde(deserialize_with = "number")] u128);

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
    let text = <Cow<'de, str>>::deserialize(from)?;
    parse_quantity(&text).map_err(serde::de::Error::custom)
}

fn narrow<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = <Cow<'de, str>>::deserialize(from)?;
    parse_quantity_u64(&text).map_err(serde::de::Error::custom)
}

fn nonce<'de, D: Deserializer<'de>>(from: D) -> Result<Nonce, D::Error> {
    narrow(from).map(Nonce)
}

fn height<'de, D: Deserializer<'de>>(from: D) -> Result<Height, D::Error> {
    narrow(from).map(Height)
}

fn gas<'de, D: Deserializer<'de>>(from: D) -> Result<Gas, D::Error> {
    narrow(from).map(Gas)
}

fn asset_id<'de, D: Deserializer<'de>>(from: D) -> Result<AssetId, D::Error> {
    u32::try_from(narrow(from)?).map(AssetId).map_err(serde::de::Error::custom)
}

fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match narrow(from)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(serde::de::Error::custom(format_args!("a status is 0x0 or 0x1, not {other:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = r#"{
        "address": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "nonce": "0x2a", "codeHash": null, "blockNumber": "0x7",
        "balances": [
            {"asset": "0x0", "symbol": "GCC", "decimals": 18, "amount": "0x14d1120d7b160000"},
            {"asset": "0x2", "symbol": null, "decimals": null, "amount": "0xa"}
        ]
    }"#;

    #[test]
    fn reads_accounts_and_finds_assets() {
        let account: Account = serde_json::from_str(ACCOUNT).unwrap();
        assert_eq!(account.nonce, Nonce(42));
        assert_eq!(find(&account, "gcc").unwrap().to_string(), "1.5 GCC");
        assert_eq!(find(&account, "2").unwrap().to_string(), "10 of asset 2");
        let missing = find(&account, "MANA").unwrap_err().to_string();
        assert!(missing.ends_with("holds no MANA; it holds 1.5 GCC, 10 of asset 2"), "{missing}");
        let wrong = ACCOUNT.replace("0x2a", "0x02a");
        assert!(serde_json::from_str::<Account>(&wrong).is_err());
    }

    #[test]
    fn reads_outcomes() {
        let text = format!(
            r#"{{"hash":"0x{}","status":"0x0","blockNumber":"0x10","gasUsed":"0x5208","reason":"out of gas"}}"#,
            "ab".repeat(32)
        );
        let outcome: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!((outcome.success, outcome.height, outcome.gas_used), (false, Height(16), Gas(21_000)));
        assert_eq!(outcome.reason.as_deref(), Some("out of gas"));
        assert!(serde_json::from_str::<Outcome>(&text.replace("\"0x0\"", "\"0x2\"")).is_err());
    }
}
