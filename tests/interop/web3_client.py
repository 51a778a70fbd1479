"""web3.py, unmodified."""
import os

from eth_account import Account
from web3 import Web3

w3 = Web3(Web3.HTTPProvider(os.environ["SHROUD_URL"]))
account = Account.from_key(os.environ["SHROUD_KEY"])
to = Web3.to_checksum_address("0x0000000000000000000000000000000000e3b301")

assert w3.is_connected()
assert w3.eth.chain_id == int(os.environ["SHROUD_CHAIN"])
assert w3.client_version.startswith("shroud/"), w3.client_version
assert w3.net.version == os.environ["SHROUD_CHAIN"]
before = w3.eth.get_balance(to)
value = Web3.to_wei("0.125", "ether")
signed = account.sign_transaction(
    {
        "to": to,
        "value": value,
        "nonce": w3.eth.get_transaction_count(account.address),
        "gas": w3.eth.estimate_gas({"from": account.address, "to": to, "value": value}),
        "maxFeePerGas": w3.eth.gas_price * 2,
        "maxPriorityFeePerGas": w3.eth.max_priority_fee,
        "chainId": w3.eth.chain_id,
    }
)
tx_hash = w3.eth.send_raw_transaction(signed.raw_transaction)
receipt = w3.eth.wait_for_transaction_receipt(tx_hash)
assert receipt.status == 1 and receipt.gasUsed == 21000
assert w3.eth.get_balance(to) - before == value
assert w3.eth.get_transaction(tx_hash).value == value
block = w3.eth.get_block(receipt.blockNumber, full_transactions=True)
assert any(tx.hash == tx_hash for tx in block.transactions)
assert w3.eth.get_code(to) == b""
# The same bytes again: acknowledged or refused as known, never applied twice.
try:
    w3.eth.send_raw_transaction(signed.raw_transaction)
except Exception as error:  # the exception's type differs between web3.py releases
    assert "already known" in str(error) or "nonce too low" in str(error), error
assert w3.eth.get_balance(to) - before == value
print("web3.py ok")
