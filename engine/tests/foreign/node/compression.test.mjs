// permessage-deflate with npm `ws`: many sets of parameters, messages of all kinds, and one compression for a room.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { CLOSE_REASONS, METRICS } from './support/contract.mjs';
import { until } from './support/deadline.mjs';

const MEMBERS = 200;

/** What a client may offer; `threshold: 0` compresses whatever it sends. */
const OFFERS = [
  {},
  { clientMaxWindowBits: 10 },
  { clientMaxWindowBits: 15 },
  { serverMaxWindowBits: 9 },
  { serverMaxWindowBits: 12, clientMaxWindowBits: 9 },
  { serverMaxWindowBits: 15 },
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 11, clientMaxWindowBits: 11 },
].map((offer) => ({ threshold: 0, ...offer }));

/** Rows as a program sends them, at least `bytes` long. */
function json(bytes, seed = 0) {
  const rows = [];
  for (let n = seed, length = 0; length < bytes; n += 1) {
    rows.push({ id: 100000 + n, symbol: `ABC${(n * 7) % 50}`, price: ((n * 7919) % 100000) / 100, side: n % 3 ? 'buy' : 'sell' });
    length += JSON.stringify(rows.at(-1)).length + 1;
  }
  return Buffer.from(JSON.stringify(rows));
}

const MESSAGES = [
  [Buffer.alloc(0), false],
  [Buffer.from('short'), false],
  [json(300), false],
  [json(300), false],
  [json(20_000), false],
  [Buffer.from('grün€😀'.repeat(500)), false],
  [randomBytes(5000), true],
  [Buffer.alloc(65536), true],
  [json(300, 3), true],
];

/** The parameters of an answer, as `ws` has them. */
const parameters = (client) => client.socket._receiver._extensions['permessage-deflate']?.params;

const open = (url, offer, more = {}) => Client.open(url, { options: { perMessageDeflate: offer }, ...more });

async function exchange(client) {
  for (const [body, binary] of [...MESSAGES, ...MESSAGES]) {
    client.send(body, { binary });
    const { data, isBinary } = await client.next();
    assert.equal(isBinary, binary);
    assert.ok(body.equals(data), `${body.length} bytes came back as ${data.length} bytes, or changed`);
  }
}

for (const takeover of [false, true]) {
  const args = takeover ? ['--compression', '--compression-takeover'] : ['--compression'];
  onEachBackend(`compression ${takeover ? 'with' : 'without'} context takeover`, { args }, (engine) => {
    for (const offer of OFFERS) {
      it(`echoes with ${JSON.stringify(offer)}`, async () => {
        const client = await open(engine().url('/echo'), offer);
        assert.equal(client.socket.extensions, 'permessage-deflate');
        const answer = parameters(client);
        assert.equal(answer.server_no_context_takeover ?? false, !takeover || !!offer.serverNoContextTakeover);
        assert.equal(answer.client_no_context_takeover ?? false, !takeover || !!offer.clientNoContextTakeover);
        assert.equal(answer.server_max_window_bits, offer.serverMaxWindowBits);
        await exchange(client);
        await client.close();
      });
    }

    it('takes fragments of compressed messages', async () => {
      const client = await open(engine().url('/echo'), OFFERS[0]);
      const whole = json(5000);
      for (let round = 0; round < 3; round += 1) {
        for (let at = 0; at < whole.length; at += 700) {
          client.send(whole.subarray(at, at + 700), { binary: false, fin: at + 700 >= whole.length });
        }
        const { data } = await client.next();
        assert.ok(whole.equals(data));
      }
      await client.close();
    });

    it('closes a bomb with 1009', async () => {
      const before = await engine().metrics();
      const client = await open(engine().url('/echo'), OFFERS[0]);
      client.send(Buffer.alloc(30 << 20), { binary: true });
      assert.equal((await client.ended()).code, 1009);
      await until(async () => {
        const reason = { reason: CLOSE_REASONS['1009'] };
        return (await engine().metrics()).sum(METRICS.closes, reason) - before.sum(METRICS.closes, reason) === 1;
      }, 'the bomb was counted');
    });

    it('reaches members with other parameters and without compression alike', async () => {
      const url = engine().url('/raw/mixed');
      const members = await Promise.all([false, ...OFFERS].flatMap((offer) => [open(url, offer), open(url, offer)]));
      await engine().membersAre(members.length);
      for (const publisher of [members[0], members[2], members.at(-1)]) {
        for (const [body, binary] of MESSAGES) publisher.send(body, { binary });
        for (const member of members) {
          if (member === publisher) continue;
          for (const [body, binary] of MESSAGES) {
            const { data, isBinary } = await member.next();
            assert.equal(isBinary, binary);
            assert.ok(body.equals(data), `${body.length} bytes arrived as ${data.length} bytes, or changed`);
          }
        }
      }
      await Client.closeAll(members);
      await engine().membersAre(0);
      await until(async () => (await engine().metrics()).sum(METRICS.compression_context_bytes) === 0, 'contexts were let go');
    });
  });
}

onEachBackend('compression of publications', { args: ['--compression'] }, (engine) => {
  it(`compresses once a shard for ${MEMBERS} members`, async () => {
    const url = engine().url('/raw/crowd');
    const members = await Client.openMany(MEMBERS, url, () => ({ options: { perMessageDeflate: {} } }));
    const publisher = await open(url, false);
    await engine().membersAre(MEMBERS + 1);
    const before = await engine().metrics();
    const shards = before.shardsWith(METRICS.members);
    assert.ok(shards >= 2, 'all members are on one shard');
    const message = json(3000);
    publisher.send(message, { binary: false });
    for (const member of members) assert.ok(message.equals((await member.next()).data));
    const after = await engine().metrics();
    const grown = (name) => after.sum(name) - before.sum(name);
    const compressions = grown(METRICS.deflated_messages);
    assert.ok(compressions >= 1 && compressions <= shards, `${compressions} compressions on ${shards} shards`);
    assert.equal(grown(METRICS.deflated_bytes_in), compressions * message.length);
    assert.ok(grown(METRICS.bytes_out) < (MEMBERS * message.length) / 2, `${grown(METRICS.bytes_out)} bytes`);
    await Client.closeAll([...members, publisher]);
  });
});

onEachBackend('compression by default', {}, (engine) => {
  it('is off, and offers are declined', async () => {
    const client = await open(engine().url('/echo'), OFFERS[0]);
    assert.equal(client.socket.extensions, '');
    await exchange(client);
    await client.close();
    assert.equal((await engine().metrics()).sum(METRICS.deflated_messages), 0);
  });
});
