// Echo: what is sent comes back with the same bytes and the same opcode, at every length form of a frame's header,
// up to the limit and not beyond.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { LIMITS, METRICS } from './support/contract.mjs';
import { until } from './support/deadline.mjs';

const LIMIT = LIMITS.message_bytes_max_default;
const SIZES = [0, 1, 125, 126, 127, 65535, LIMIT];
const BIG = 32 * 1024 * 1024;

// Characters of one, two, three and four bytes, filled up with ASCII to the exact size.
function textOf(bytes) {
  const unit = 'aß€😀';
  const text = unit.repeat(Math.floor(bytes / Buffer.byteLength(unit)));
  return Buffer.from(text.padEnd(text.length + (bytes % Buffer.byteLength(unit)), 'z'));
}

onEachBackend('echo', {}, (engine) => {
  for (const size of SIZES) {
    it(`returns ${size} bytes of text and of binary unchanged`, async () => {
      const client = await Client.open(engine().url('/echo'));
      for (const [body, binary] of [[textOf(size), false], [randomBytes(size), true]]) {
        assert.equal(body.length, size);
        client.send(body, { binary });
        const { data, isBinary } = await client.next();
        assert.equal(isBinary, binary);
        assert.ok(body.equals(data), `${size} bytes came back as ${data.length} bytes, or changed`);
      }
      await client.close();
    });
  }

  it('closes with 1009 at one byte above the limit, after it has echoed what came before', async () => {
    for (const binary of [false, true]) {
      const client = await Client.open(engine().url('/echo'));
      client.send('before');
      client.send(Buffer.alloc(LIMIT + 1, 'a'), { binary });
      assert.equal((await client.next()).data.toString(), 'before');
      assert.equal((await client.ended()).code, 1009);
      assert.deepEqual(client.unread, []);
    }
  });

  it('keeps the order of many messages of mixed sizes that are in flight together', async () => {
    const client = await Client.open(engine().url('/echo'));
    const bodies = Array.from({ length: 400 }, (_, i) => randomBytes((i * i * 7) % 3000));
    for (const body of bodies) client.send(body);
    for (const [i, body] of bodies.entries()) {
      const { data } = await client.next(`echo ${i}`);
      assert.ok(body.equals(data), `echo ${i} of ${bodies.length} is not what was sent`);
    }
    await client.close();
  });

  it('serves many connections at a time, on several shards, each with its own bytes', async () => {
    const clients = await Client.openMany(64, engine().url('/echo'));
    await until(async () => (await engine().metrics()).shardsWith(METRICS.connections) >= 2, 'two shards had connections');
    for (let round = 0; round < 10; round += 1) {
      clients.forEach((client, i) => client.send(`client ${i} round ${round}`));
      const echoes = await Promise.all(clients.map((client) => client.next()));
      echoes.forEach(({ data }, i) => assert.equal(data.toString(), `client ${i} round ${round}`));
    }
    await Client.closeAll(clients);
  });
});

onEachBackend('echo with a raised limit', { args: ['--message-bytes-max', String(BIG)] }, (engine) => {
  it('returns 32 MiB unchanged, as text and as binary', async () => {
    const client = await Client.open(engine().url('/echo'));
    for (const [body, binary] of [[textOf(BIG), false], [randomBytes(BIG), true]]) {
      client.send(body, { binary });
      const { data, isBinary } = await client.next('an echo of 32 MiB');
      assert.equal(isBinary, binary);
      assert.ok(body.equals(data), `32 MiB came back as ${data.length} bytes, or changed`);
    }
    await client.close();
  });

  it('closes with 1009 at one byte above 32 MiB', async () => {
    const client = await Client.open(engine().url('/echo'));
    client.send(Buffer.alloc(BIG + 1));
    assert.equal((await client.ended()).code, 1009);
  });
});
