// npm's ws and undici, unmodified, as clients of the node.
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";
import { WebSocket as Undici } from "undici";

const url = process.env.SHROUD_URL.replace("http://", "ws://");
const chain = "0x" + Number(process.env.SHROUD_CHAIN).toString(16);
const call = (id, method, ...params) => JSON.stringify({ jsonrpc: "2.0", id, method, params });

for (const perMessageDeflate of [true, false, { threshold: 0, clientMaxWindowBits: 10, serverMaxWindowBits: 10 }]) {
  const socket = new WebSocket(url, { perMessageDeflate });
  await once(socket, "open");
  assert.equal(socket.extensions.includes("permessage-deflate"), perMessageDeflate !== false);
  socket.send(call(1, "eth_chainId"));
  const [data, binary] = await once(socket, "message");
  assert.equal(binary, false);
  assert.equal(JSON.parse(data).result, chain);
  // Fragments, with a ping between them.
  const text = call(2, "net_version");
  socket.send(text.slice(0, 10), { fin: false });
  socket.ping("between");
  socket.send(text.slice(10), { fin: true });
  const [[pong], [answer]] = await Promise.all([once(socket, "pong"), once(socket, "message")]);
  assert.equal(pong.toString(), "between");
  assert.equal(JSON.parse(answer).result, process.env.SHROUD_CHAIN);
  // An answer that is long enough to be compressed.
  socket.send(`[${Array.from({ length: 50 }, (_, n) => call(n, "eth_getBlockByNumber", "latest", true)).join()}]`);
  const [long] = await once(socket, "message");
  assert.equal(JSON.parse(long).length, 50);
  socket.close(4001, "bye");
  const [code, reason] = await once(socket, "close");
  assert.deepEqual([code, reason.toString()], [4001, ""]);
}

const socket = new Undici(url);
await once(socket, "open");
socket.send(call(1, "eth_chainId"));
const message = await once(socket, "message");
assert.equal(JSON.parse(message[0].data).result, chain);
socket.close(1000);
const [closed] = await once(socket, "close");
assert.ok(closed.wasClean && closed.code === 1000);

// A browser's page of another site may not open what is not made for it, but the node's RPC is for everybody.
const page = new WebSocket(url, { origin: "https://dapp.example" });
await once(page, "open");
page.terminate();
console.log("ws and undici ok");
