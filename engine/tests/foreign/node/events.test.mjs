// Event streams (npm `eventsource`) and messages by HTTP (fetch) beside WebSocket (npm `ws`), in the same rooms.

import assert from 'node:assert/strict';
import { afterEach, it } from 'node:test';
import { BACKENDS, onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { METRICS } from './support/contract.mjs';
import { until, within } from './support/deadline.mjs';
import { Engine } from './support/engine.mjs';
import { Publisher, untilComplete, Witness } from './support/publications.mjs';
import { HttpSender, httpUrl, post, Stream } from './support/stream.mjs';

afterEach(() => Stream.closeAll());

onEachBackend('event streams', {}, (engine) => {
  it('hear members and requests, as sockets do: exactly once and in order, on all shards', async () => {
    const room = 'mixed';
    const url = engine().url(`/raw/${room}`);
    const sockets = await Client.openMany(3, url, () => ({ onMessage: () => {} }));
    const senders = Array.from({ length: 4 }, () => new HttpSender(engine(), room));
    const publishers = [...sockets, ...senders].map((client, i) => new Publisher(`p${i}`, client));
    const witnesses = Array.from({ length: 100 }, (_, i) => new Witness(`m${i}`, publishers));
    const streams = await Stream.openMany(80, engine(), room, (i) => witnesses[i].onMessage);
    const members = await Client.openMany(20, url, (i) => ({ onMessage: witnesses[80 + i].onMessage }));
    await engine().membersAre(103);
    const metrics = await engine().metrics();
    assert.equal(metrics.sum(METRICS.event_streams), 80);
    assert.ok(metrics.shardsWith(METRICS.event_streams) >= 2, 'all streams are on one shard');

    for (let i = 0; i < 100; i += 1) for (const publisher of publishers) publisher.publish();
    await Promise.all(senders.map((sender) => sender.done()));
    await untilComplete(witnesses);
    const ids = senders.flatMap((sender) => sender.ids);
    assert.equal(new Set(ids).size, 400, 'every message has an id of its own');

    for (const stream of streams) stream.close();
    await Client.closeAll([...sockets, ...members]);
    for (const witness of witnesses) witness.assertComplete();
    await engine().membersAre(0);
    await until(async () => (await engine().metrics()).sum(METRICS.rooms) === 0, 'all rooms were freed');
  });

  it('carry every kind of text', async () => {
    const got = [];
    await Stream.open(engine(), 'texts', (data, isBinary) => got.push([data.toString(), isBinary]));
    const sent = ['', ' leading', 'two\nlines', 'end\n', 'a\r\nb\rc', ':colon', 'data: x', 'ä€😀', '\0'];
    for (const text of sent) {
      assert.equal((await post(engine(), 'texts', text, { 'content-type': 'text/plain' })).status, 202);
    }
    await until(() => got.length === sent.length, () => `all texts came: ${JSON.stringify(got)}`);
    const expected = sent.map((text) => [text.replaceAll('\r\n', '\n').replaceAll('\r', '\n'), false]);
    assert.deepEqual(got, expected);
  });

  it('notice at once that their client is gone', async () => {
    const streams = await Stream.openMany(12, engine(), 'gone', () => () => {});
    await engine().membersAre(12);
    for (const stream of streams) stream.close();
    await engine().membersAre(0);
  });
});

onEachBackend('messages by HTTP', {}, (engine) => {
  it('are accepted for a room without members, and answered with an id', async () => {
    const ids = new Set();
    for (let i = 0; i < 50; i += 1) {
      const answer = await post(engine(), `empty-${i}`, 'x');
      assert.equal(answer.status, 202, answer.text);
      assert.equal(answer.headers.get('content-type'), 'application/json');
      ids.add(JSON.parse(answer.text).id);
    }
    assert.equal(ids.size, 50);
    await until(async () => (await engine().metrics()).sum(METRICS.rooms) === 0, 'all rooms were freed');
  });

  it('reach who joined before, from whatever shard takes them', async () => {
    for (let round = 0; round < 20; round += 1) {
      const member = await Client.open(engine().url(`/raw/round-${round}`));
      const answers = await Promise.all(
        Array.from({ length: 16 }, (_, i) => post(engine(), `round-${round}`, `${i}`, { 'content-type': 'text/plain' })),
      );
      for (const answer of answers) assert.equal(answer.status, 202, answer.text);
      const got = [];
      for (let i = 0; i < 16; i += 1) got.push(Number((await member.next()).data.toString()));
      assert.deepEqual(got.sort((a, b) => a - b), Array.from({ length: 16 }, (_, i) => i));
      await member.close();
      assert.deepEqual(member.unread, []);
    }
  });
});

onEachBackend('origins', { args: ['--origins', 'same-host,https://*.example.com'] }, (engine) => {
  const listed = 'https://app.example.com';
  const foreign = 'https://example.com.evil.org';

  const ask = async (path, options) => within(fetch(httpUrl(engine(), path), options), `the answer to ${path}`);

  it('are asked of every page that would connect, publish or listen', async () => {
    const own = `http://${engine().host}:${engine().port}`;
    for (const origin of [listed, own]) {
      const client = await Client.open(engine().url('/raw/x'), { options: { origin } });
      await client.close();
      assert.equal((await post(engine(), 'x', 'x', { origin })).status, 202);
    }
    await assert.rejects(Client.open(engine().url('/raw/x'), { options: { origin: foreign } }), /403/);
    await assert.rejects(Client.open(engine().url('/echo'), { options: { origin: foreign } }), /403/);
    const refused = await post(engine(), 'x', 'x', { origin: foreign });
    assert.equal(refused.status, 403);
    assert.match(refused.text, /https:\/\/example\.com\.evil\.org.*`origins`/);
    assert.equal(refused.headers.get('access-control-allow-origin'), null);
    assert.equal((await ask('/sse/x', { headers: { origin: foreign } })).status, 403);
    assert.equal((await engine().metrics()).sum(METRICS.origins_refused), 4);
    // The first refusal is logged, and says what would allow it.
    await until(() => /example\.com\.evil\.org/.test(engine().output), 'the refusal was in the log');
    assert.match(engine().output, /add it to `origins`/);
  });

  it('are answered by the protocol for cross-origin requests', async () => {
    for (const [path, methods] of [['/sse/x', 'GET, HEAD, OPTIONS'], ['/rooms/x/messages', 'POST, OPTIONS']]) {
      const preflight = await ask(path, {
        method: 'OPTIONS',
        headers: {
          origin: listed,
          'access-control-request-method': path === '/sse/x' ? 'GET' : 'POST',
          'access-control-request-headers': 'content-type, authorization',
        },
      });
      assert.equal(preflight.status, 204);
      assert.equal(preflight.headers.get('access-control-allow-origin'), listed);
      assert.equal(preflight.headers.get('access-control-allow-credentials'), 'true');
      assert.equal(preflight.headers.get('access-control-allow-methods'), methods);
      assert.match(preflight.headers.get('access-control-allow-headers'), /authorization.*content-type/);
      assert.equal(preflight.headers.get('vary'), 'origin');
    }
    const stream = await ask('/sse/x', { headers: { origin: listed } });
    assert.equal(stream.headers.get('access-control-allow-origin'), listed);
    assert.equal(stream.headers.get('vary'), 'origin');
    await stream.body.cancel();
    // A page may read why it was refused.
    const wrong = await ask('/rooms/x/messages', { method: 'POST', body: 'x', headers: { origin: listed, 'content-type': 'text/plain; charset=latin1' } });
    assert.equal(wrong.status, 415);
    assert.equal(wrong.headers.get('access-control-allow-origin'), listed);
  });
});

for (const backend of BACKENDS) {
  it(`a stream that ends with the engine is told why and comes back [${backend}]`, async () => {
    const engine = await Engine.start({ backend });
    const streams = await Stream.openMany(8, engine, 'last', () => () => {});
    await engine.stop();
    for (const stream of streams) {
      const reason = await within(stream.closing, 'the last event');
      assert.deepEqual(reason, { reason: 'stopping', message: 'server restarts, reconnect', reconnect: 'now' });
      // 0 is CONNECTING: it waits to come back.
      await until(() => stream.source.readyState === 0, 'the stream wanted to come back');
    }
  });
}
