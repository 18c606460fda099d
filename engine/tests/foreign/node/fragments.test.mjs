// Fragmented messages reach a room as the whole messages that they are.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { LIMITS } from './support/contract.mjs';

async function pair(engine, room) {
  const url = engine.url(`/raw/${room}`);
  return { publisher: await Client.open(url), member: await Client.open(url) };
}

function sendFragments(client, fragments, binary) {
  fragments.forEach((fragment, i) => client.send(fragment, { binary, fin: i === fragments.length - 1 }));
}

onEachBackend('fragments', {}, (engine) => {
  const euro = Buffer.from('€');
  const cases = [
    ['two halves of a text', [Buffer.from('Hel'), Buffer.from('lo')], false],
    ['a character cut in three', [euro.subarray(0, 1), euro.subarray(1, 2), euro.subarray(2)], false],
    ['empty fragments before, between and after', ['', 'a', '', 'b', ''].map((text) => Buffer.from(text)), true],
    ['nothing but empty fragments', [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)], false],
    ['fragments of every length form', [1, 125, 126, 4000, 30000].map((size) => Buffer.alloc(size, size)), true],
  ];
  for (const [title, fragments, binary] of cases) {
    it(`joins ${title}`, async () => {
      const { publisher, member } = await pair(engine(), 'fragments');
      sendFragments(publisher, fragments, binary);
      publisher.send('and a whole one');
      const { data, isBinary } = await member.next();
      assert.equal(isBinary, binary);
      assert.deepEqual(data, Buffer.concat(fragments));
      assert.equal((await member.next()).data.toString(), 'and a whole one');
      await Client.closeAll([publisher, member]);
    });
  }

  it('answers a ping between two fragments and then joins them', async () => {
    const { publisher, member } = await pair(engine(), 'pinged');
    publisher.send('be', { fin: false });
    const pong = new Promise((resolve) => publisher.socket.once('pong', resolve));
    publisher.socket.ping('in between');
    assert.equal((await pong).toString(), 'in between');
    publisher.send('fore', { fin: true });
    assert.equal((await member.next()).data.toString(), 'before');
    await Client.closeAll([publisher, member]);
  });

  it('joins the fragments of two publishers each for itself', async () => {
    const { publisher, member } = await pair(engine(), 'interleaved');
    const other = await Client.open(engine().url('/raw/interleaved'));
    for (let i = 0; i < 50; i += 1) {
      publisher.send('p', { fin: i === 49 });
      other.send('o', { fin: i === 49 });
    }
    const texts = [await member.next(), await member.next()].map(({ data }) => data.toString()).sort();
    assert.deepEqual(texts, ['o'.repeat(50), 'p'.repeat(50)]);
    await Client.closeAll([publisher, member, other]);
  });

  it('counts fragments together towards the limit', async () => {
    const { publisher, member } = await pair(engine(), 'too-long');
    const half = Buffer.alloc(LIMITS.message_bytes_max_default / 2, 'h');
    sendFragments(publisher, [half, half], true);
    assert.equal((await member.next()).data.length, 2 * half.length);
    sendFragments(publisher, [half, half, Buffer.from('1')], true);
    assert.equal((await publisher.ended()).code, 1009);
    await member.close();
    assert.deepEqual(member.unread, []);
  });
});

onEachBackend('very many fragments', { args: ['--message-bytes-max', String(1 << 20)] }, (engine) => {
  it('joins 65,537 of them into one message', async () => {
    const { publisher, member } = await pair(engine(), 'many');
    const count = 65_537;
    for (let i = 0; i < count; i += 1) {
      publisher.send(i % 10 === 0 ? '' : String.fromCharCode(97 + (i % 26)), { fin: i === count - 1 });
    }
    const { data, isBinary } = await member.next('a message of 65,537 fragments');
    assert.equal(isBinary, false);
    let expected = '';
    for (let i = 0; i < count; i += 1) expected += i % 10 === 0 ? '' : String.fromCharCode(97 + (i % 26));
    assert.equal(data.toString(), expected);
    await Client.closeAll([publisher, member]);
  });
});
