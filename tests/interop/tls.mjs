// npm's ws and undici over TLS, unmodified: WebSocket, HTTP/1.1 and HTTP/2. The secure URL; the certificate by NODE_EXTRA_CA_CERTS.
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";
import { Agent, WebSocket as Undici, fetch, request } from "undici";

const url = process.argv[2];
for (const perMessageDeflate of [true, false]) {
  const socket = new WebSocket(url.replace("https:", "wss:") + "/ws", { perMessageDeflate });
  await once(socket, "open");
  for (const sent of ["häßlich".repeat(1000), "", "x".repeat(200_000)]) {
    socket.send(sent);
    const [data] = await once(socket, "message");
    assert.equal(data.toString(), sent);
  }
  socket.close(4001);
  const [code] = await once(socket, "close");
  assert.equal(code, 4001);
}
const socket = new Undici(url.replace("https:", "wss:") + "/ws");
await once(socket, "open");
socket.send("from undici");
assert.equal((await once(socket, "message"))[0].data, "from undici");
socket.close(1000);
assert.ok((await once(socket, "close"))[0].wasClean);

for (const [allowH2, version] of [[false, "HTTP/1.1"], [true, "HTTP/2.0"]]) {
  const dispatcher = new Agent({ allowH2 });
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(url + "/version", { dispatcher })));
  for (const answer of answers) assert.equal(await answer.text(), version);
  const body = "0123456789".repeat(100_000);
  const echoed = await request(url + "/echo", { method: "POST", body, dispatcher });
  assert.equal(echoed.statusCode, 200);
  assert.equal(await echoed.body.text(), body);
  await dispatcher.close();
}
console.log("ok");
