// ethers v6, unmodified: connect, read, send a value transfer, get its receipt, read blocks, be refused precisely.
import assert from "node:assert/strict";
import { JsonRpcProvider, Wallet, parseEther, isError } from "ethers";

// ethers caches answers for 250 ms, longer than a block takes here: its own option switches that off.
const provider = new JsonRpcProvider(process.env.SHROUD_URL, undefined, { cacheTimeout: -1 });
const wallet = new Wallet(process.env.SHROUD_KEY, provider);
const to = "0x00000000000000000000000000000000000e7435";

const network = await provider.getNetwork();
assert.equal(network.chainId, BigInt(process.env.SHROUD_CHAIN));
const before = await provider.getBalance(to);
const nonce = await wallet.getNonce();

// The default is EIP-1559; then a legacy (EIP-155) and an access-list (EIP-2930) transaction.
for (const extra of [{}, { type: 0 }, { type: 1, accessList: [] }]) {
  const sent = await wallet.sendTransaction({ to, value: parseEther("0.5"), ...extra });
  const receipt = await sent.wait();
  assert.equal(receipt.status, 1);
  assert.equal(receipt.hash, sent.hash);
  assert.equal(receipt.gasUsed, 21000n);
  assert.equal(receipt.to.toLowerCase(), to);
  const found = await provider.getTransaction(sent.hash);
  assert.equal(found.value, parseEther("0.5"));
  assert.equal(found.from, wallet.address);
  const block = await provider.getBlock(receipt.blockNumber, true);
  assert.equal(block.hash, receipt.blockHash);
  assert.ok(block.transactions.includes(sent.hash));
  const byHash = await provider.getBlock(receipt.blockHash);
  assert.equal(byHash.number, receipt.blockNumber);
}
assert.equal((await provider.getBalance(to)) - before, parseEther("1.5"));
assert.equal(await wallet.getNonce(), nonce + 3);
assert.equal(await provider.getCode(to), "0x");
const fees = await provider.getFeeData();
assert.ok(fees.gasPrice > 0n && fees.maxFeePerGas > 0n);
assert.equal(await provider.call({ to, data: "0x" }), "0x");

// More than there is: refused with ethers' own name for it.
await assert.rejects(
  wallet.sendTransaction({ to, value: parseEther("1000000000000"), gasLimit: 21000 }),
  (error) => isError(error, "INSUFFICIENT_FUNDS"),
);
assert.equal(await provider.getTransactionReceipt("0x" + "11".repeat(32)), null);
console.log("ethers ok");
provider.destroy();
