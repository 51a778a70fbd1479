// ethers' WebSocketProvider and viem's webSocket transport, unmodified: calls, transactions, subscriptions.
import assert from "node:assert/strict";
import { WebSocketProvider, Wallet, parseEther } from "ethers";
import { createPublicClient, createWalletClient, defineChain, webSocket } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const url = process.env.SHROUD_URL.replace("http://", "ws://");
const to = "0x00000000000000000000000000000000000e7436";

const provider = new WebSocketProvider(url);
assert.equal((await provider.getNetwork()).chainId, BigInt(process.env.SHROUD_CHAIN));
const wallet = new Wallet(process.env.SHROUD_KEY, provider);
const blocks = [];
await provider.on("block", (number) => blocks.push(number));
const pending = new Promise((resolve) => provider.once("pending", resolve));
// The subscriptions are confirmed before anything is sent.
await provider.send("eth_chainId", []);
const sent = await wallet.sendTransaction({ to, value: parseEther("0.5") });
const receipt = await sent.wait();
assert.equal(receipt.status, 1);
assert.equal(await pending, sent.hash);
while (!blocks.includes(receipt.blockNumber)) await new Promise((resolve) => setTimeout(resolve, 10));
// What is unsubscribed is answered before the next call is; destroying earlier would cancel it.
await provider.removeAllListeners();
await provider.send("eth_chainId", []);
await provider.destroy();

const chain = defineChain({
  id: Number(process.env.SHROUD_CHAIN),
  name: "Shroud",
  nativeCurrency: { name: "GCC", symbol: "GCC", decimals: 18 },
  rpcUrls: { default: { http: [process.env.SHROUD_URL], webSocket: [url] } },
});
const transport = webSocket(url, { reconnect: false });
const open = createPublicClient({ chain, transport });
const account = privateKeyToAccount(process.env.SHROUD_KEY);
const client = createWalletClient({ account, chain, transport });
const seen = new Map();
const failed = [];
const onError = (error) => failed.push(error);
const stop = open.watchBlocks({ onBlock: (block) => seen.set(block.hash, block), onError });
const logs = open.watchEvent({ address: to, onLogs: () => {}, onError });
await open.getChainId();
const hash = await client.sendTransaction({ to, value: parseEther("0.25") });
const mined = await open.waitForTransactionReceipt({ hash });
assert.equal(mined.status, "success");
while (!seen.has(mined.blockHash)) await new Promise((resolve) => setTimeout(resolve, 10));
assert.equal(seen.get(mined.blockHash).number, mined.blockNumber);
assert.deepEqual(failed, []);
stop();
logs();
(await open.transport.getRpcClient()).close();
console.log("subscriptions of ethers and viem ok");
process.exit(0);
