//! Where each error becomes a JSON-RPC code: EIP-1474's, with the messages that wallets look for (`nonce too low`,
//! `insufficient funds`, `already known`).

use shroud_covenant::CallError;
use shroud_ghostwire::rpc::{Code, Json, RpcError};
use shroud_keystone::{QueryError, SubmitError};
use shroud_ledger::Height;
use shroud_ledger::apply::Rejection;
use shroud_ledger::transaction::{DecodeError, VerifyError};
use shroud_vm::{Outcome, Verdict};

/// The node refuses the transaction as it stands (EIP-1474).
const INVALID_INPUT: Code = Code(-32000);
/// What is asked for is not kept.
const RESOURCE_NOT_FOUND: Code = Code(-32001);
/// Not now: try again later.
const UNAVAILABLE: Code = Code(-32002);
/// The transaction was refused by the ledger's state.
const REJECTED: Code = Code(-32003);
/// A call was reverted; clients read the reason from `data`.
const REVERTED: Code = Code(3);

pub(crate) fn decode_error(error: &DecodeError) -> RpcError {
    RpcError::invalid_params(format!("transaction: {error}"))
}

pub(crate) fn verify_error(error: &VerifyError) -> RpcError {
    RpcError::new(INVALID_INPUT, error.to_string())
}

pub(crate) fn submit_error(error: &SubmitError) -> RpcError {
    let code = match error {
        SubmitError::Rejected(Rejection::NonceTooLow { .. } | Rejection::InsufficientFunds { .. }) => {
            INVALID_INPUT
        }
        SubmitError::Rejected(_) | SubmitError::NonceGap { .. } | SubmitError::NonceTaken { .. } => REJECTED,
        SubmitError::Overloaded { .. } | SubmitError::WaitingRoomFull { .. } | SubmitError::Stopping => {
            UNAVAILABLE
        }
        // Its reason names files of the server, and is in the log since it happened.
        SubmitError::Failed(_) => {
            return RpcError::internal(
                "the ledger has stopped: the node's log says why; it has to be started again",
            );
        }
        _ => Code::INTERNAL_ERROR,
    };
    RpcError::new(code, error.to_string())
}

pub(crate) fn query_error(error: &QueryError) -> RpcError {
    match error {
        // As above, but nobody has logged it.
        QueryError::Store(reason) => {
            tracing::error!(%reason, "the store cannot be read");
            RpcError::internal("the store cannot be read: the node's log says why")
        }
        _ => RpcError::internal(error.to_string()),
    }
}

pub(crate) fn state_not_kept(latest: Height) -> RpcError {
    RpcError::new(
        RESOURCE_NOT_FOUND,
        format!("the state of that block is not kept; ask for the latest one (now block {latest})"),
    )
}

pub(crate) fn call_error(error: &CallError) -> RpcError {
    match error {
        CallError::WouldFail(outcome) => failed_call(outcome),
        CallError::Overloaded { .. } | CallError::NoTurn => RpcError::new(UNAVAILABLE, error.to_string()),
        CallError::State(_) | CallError::Unexpected(_) | CallError::Lost(_) => {
            RpcError::internal(error.to_string())
        }
        _ => RpcError::new(INVALID_INPUT, error.to_string()),
    }
}

/// A call that ended badly, as `eth_call` and `eth_estimateGas` report it.
pub(crate) fn failed_call(outcome: &Outcome) -> RpcError {
    match &outcome.verdict {
        Verdict::Revert { reason } => {
            let text = std::str::from_utf8(reason).map(|text| format!(": {text}")).unwrap_or_default();
            RpcError::new(REVERTED, format!("execution reverted{text}"))
                .with_data(Json::string(&shroud_wire::hex::data(reason)))
        }
        Verdict::Trap { message } => RpcError::new(INVALID_INPUT, format!("execution trapped: {message}")),
        other => RpcError::new(INVALID_INPUT, format!("execution failed: {}", other.name())),
    }
}
