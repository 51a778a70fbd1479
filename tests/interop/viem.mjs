// viem, unmodified.
import assert from "node:assert/strict";
import { createPublicClient, createWalletClient, defineChain, http, parseEther } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const chain = defineChain({
  id: Number(process.env.SHROUD_CHAIN),
  name: "Shroud",
  nativeCurrency: { name: "GCC", symbol: "GCC", decimals: 18 },
  rpcUrls: { default: { http: [process.env.SHROUD_URL] } },
});
const account = privateKeyToAccount(process.env.SHROUD_KEY);
const transport = http(process.env.SHROUD_URL, { batch: true });
const open = createPublicClient({ chain, transport, pollingInterval: 50 });
const wallet = createWalletClient({ account, chain, transport });
const to = "0x0000000000000000000000000000000000071e30";

// One HTTP batch.
const [id, number, balance] = await Promise.all([open.getChainId(), open.getBlockNumber(), open.getBalance({ address: to })]);
assert.equal(id, chain.id);
assert.ok(number >= 0n);
const hash = await wallet.sendTransaction({ to, value: parseEther("0.25") });
const receipt = await open.waitForTransactionReceipt({ hash });
assert.equal(receipt.status, "success");
assert.equal(receipt.type, "eip1559");
assert.equal((await open.getBalance({ address: to })) - balance, parseEther("0.25"));
const block = await open.getBlock({ blockHash: receipt.blockHash, includeTransactions: true });
assert.ok(block.transactions.some((transaction) => transaction.hash === hash));
assert.equal(await open.estimateGas({ account, to, value: 1n }), 21000n);
const history = await open.getFeeHistory({ blockCount: 1, rewardPercentiles: [50] });
assert.ok(history.baseFeePerGas.length >= 1);
await assert.rejects(open.request({ method: "eth_noSuchMethod" }), /not (found|exist|available|supported)/i);
console.log("viem ok");
