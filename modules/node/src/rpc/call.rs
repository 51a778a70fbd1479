//! The call object of `eth_call`, `eth_estimateGas` and `shroud_viewCall`.

use super::params::wrong;
use serde::Deserialize;
use shroud_covenant::{ContractCall, Draft};
use shroud_crypto::Address;
use shroud_ghostwire::rpc::RpcError;
use shroud_ledger::transaction::{AccessListSize, Action, Kind};
use shroud_ledger::{GCC, Gas};
use shroud_wire::hex;

/// A transaction that nobody has signed. Fields that only matter to a signed one are accepted and ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallRequest {
    pub(super) from: Option<Address>,
    pub(super) to: Option<Address>,
    gas: Option<String>,
    value: Option<String>,
    data: Option<String>,
    input: Option<String>,
    access_list: Option<Vec<AccessListItem>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessListItem {
    storage_keys: Vec<serde::de::IgnoredAny>,
}

impl CallRequest {
    /// The bytes for the contract: `input`, or its older name `data`; both when they agree.
    fn bytes(&self) -> Result<Vec<u8>, RpcError> {
        let text = match (&self.input, &self.data) {
            (Some(input), Some(data)) if input != data => {
                return Err(wrong("call", "input and data differ; give one of them"));
            }
            (Some(text), _) | (None, Some(text)) => text,
            (None, None) => return Ok(Vec::new()),
        };
        hex::parse_data(text).map_err(|error| wrong("data", error))
    }

    fn value(&self) -> Result<u128, RpcError> {
        self.value
            .as_deref()
            .map_or(Ok(0), |text| hex::parse_quantity(text).map_err(|error| wrong("value", error)))
    }

    fn to(&self) -> Result<Address, RpcError> {
        self.to.ok_or_else(|| {
            wrong("to", "contracts are deployed by native transactions; name a contract to call")
        })
    }

    /// The call of a contract.
    pub(super) fn contract_call(&self) -> Result<ContractCall, RpcError> {
        let gas = self
            .gas
            .as_deref()
            .map(|text| hex::parse_quantity_u64(text).map_err(|error| wrong("gas", error)));
        Ok(ContractCall {
            contract: self.to()?,
            caller: self.from.unwrap_or(Address::ZERO),
            asset: GCC,
            value: self.value()?,
            input: self.bytes()?,
            gas_limit: gas.transpose()?.map(Gas),
        })
    }

    /// The transaction to be.
    pub(super) fn draft(&self) -> Result<Draft, RpcError> {
        let list = self.access_list.as_deref().unwrap_or_default();
        let action =
            Action::Call { contract: self.to()?, asset: GCC, value: self.value()?, input: self.bytes()? };
        Ok(Draft {
            sender: self.from.unwrap_or(Address::ZERO),
            kind: Kind::Ethereum,
            action,
            access_list: AccessListSize {
                addresses: list.len(),
                keys: list.iter().map(|item| item.storage_keys.len()).sum(),
            },
        })
    }
}
