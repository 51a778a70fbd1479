"""web3.py's WebSocketProvider, unmodified: calls and subscriptions."""
import asyncio
import os

from eth_account import Account
from web3 import AsyncWeb3, Web3
from web3.providers.persistent import WebSocketProvider

URL = os.environ["SHROUD_URL"].replace("http://", "ws://")
TO = Web3.to_checksum_address("0x0000000000000000000000000000000000e3b302")


async def main():
    async with AsyncWeb3(WebSocketProvider(URL)) as w3:
        assert await w3.eth.chain_id == int(os.environ["SHROUD_CHAIN"])
        subscription = await w3.eth.subscribe("newHeads")
        account = Account.from_key(os.environ["SHROUD_KEY"])
        price = await w3.eth.gas_price
        signed = account.sign_transaction(
            {
                "to": TO,
                "value": 1,
                "nonce": await w3.eth.get_transaction_count(account.address),
                "gas": 21000,
                "gasPrice": price,
                "chainId": await w3.eth.chain_id,
            }
        )
        await w3.eth.send_raw_transaction(signed.raw_transaction)
        async for told in w3.socket.process_subscriptions():
            assert told["subscription"] == subscription
            assert told["result"]["number"] > 0 and told["result"]["hash"]
            break
        assert await w3.eth.unsubscribe(subscription)


asyncio.run(asyncio.wait_for(main(), 60))
print("subscriptions of web3.py ok")
