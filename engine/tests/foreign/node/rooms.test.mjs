// Rooms whose members are spread over the shards: everyone gets every message exactly once, in its publisher's order,
// and nobody gets another room's.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { METRICS } from './support/contract.mjs';
import { until } from './support/deadline.mjs';
import { Publisher, untilComplete, Witness } from './support/publications.mjs';

/** Opens a room: publishers first, then members who witness all of them. */
async function openRoom(engine, room, publisherCount, memberCount) {
  const url = engine.url(`/raw/${room}`);
  const publishers = (await Client.openMany(publisherCount, url, () => ({ onMessage: () => {} }))).map(
    (client, i) => new Publisher(`${room}-p${i}`, client),
  );
  const witnesses = Array.from({ length: memberCount }, (_, i) => new Witness(`${room}-m${i}`, publishers));
  const members = await Client.openMany(memberCount, url, (i) => ({ onMessage: witnesses[i].onMessage }));
  return { publishers, witnesses, members, clients: [...publishers.map(({ client }) => client), ...members] };
}

onEachBackend('rooms', {}, (engine) => {
  it('reach members on several shards, exactly once and in order', async () => {
    const before = await engine().metrics();
    const rooms = await Promise.all(Array.from({ length: 8 }, (_, i) => openRoom(engine(), `spread-${i}`, 2, 6)));
    const clients = rooms.flatMap((room) => room.clients);
    await engine().membersAre(clients.length);

    const during = await engine().metrics();
    assert.ok(during.shardsWith(METRICS.members) >= 2, 'all members are on one shard: SO_REUSEPORT does not spread them');
    assert.ok(during.sum(METRICS.rooms) >= rooms.length, 'fewer rooms are counted than there are');

    for (let i = 0; i < 100; i += 1) for (const { publishers } of rooms) for (const one of publishers) one.publish();
    const witnesses = rooms.flatMap((room) => room.witnesses);
    await untilComplete(witnesses);

    // Both publishers of a room are members of it too, and get what the other one sends.
    const published = 8 * 2 * 100;
    const delivered = published * 7;
    await until(async () => {
      const now = await engine().metrics();
      return now.sum(METRICS.messages_in) - before.sum(METRICS.messages_in) === published
        && now.sum(METRICS.messages_out) - before.sum(METRICS.messages_out) === delivered;
    }, `the metrics showed ${published} messages in and ${delivered} out`);
    const after = await engine().metrics();
    const meshFrames = (metrics) => metrics.sum(METRICS.mesh_frames_out, { lane: 'data' });
    assert.ok(meshFrames(after) > meshFrames(during), 'no data frame went from shard to shard');
    assert.equal(after.sum(METRICS.drops), before.sum(METRICS.drops), 'something was dropped');

    await Client.closeAll(clients);
    for (const witness of witnesses) witness.assertComplete();
    await engine().membersAre(0);
    await until(async () => (await engine().metrics()).sum(METRICS.rooms) === 0, 'all rooms were freed');
  });

  it('send nothing back to the sender, unless it asked with ?self=1', async () => {
    const url = engine().url('/raw/self');
    const plain = await Client.open(url);
    const own = await Client.open(`${url}?self=1`);
    const other = await Client.open(url);
    plain.send('from plain');
    assert.equal((await own.next()).data.toString(), 'from plain');
    assert.equal((await other.next()).data.toString(), 'from plain');
    own.send('from own');
    assert.equal((await plain.next()).data.toString(), 'from own');
    assert.equal((await own.next()).data.toString(), 'from own');
    assert.equal((await other.next()).data.toString(), 'from own');
    await Client.closeAll([plain, own, other]);
    for (const client of [plain, own, other]) assert.deepEqual(client.unread, []);
  });

  it('return to a ?self=1 sender its own messages in order and once each', async () => {
    const publisher = new Publisher('self', null);
    const witness = new Witness('self', [publisher]);
    publisher.client = await Client.open(engine().url('/raw/own-order?self=1'), { onMessage: witness.onMessage });
    publisher.publishMany(500);
    await untilComplete([witness]);
    await publisher.client.close();
    witness.assertComplete();
    assert.equal(witness.received, 500);
  });

  it('keep messages of a room from all other rooms', async () => {
    const names = ['a', 'b', 'A', 'a%2Fb', 'a%20b', '%C3%A4'];
    const members = await Client.openMany(names.length, (i) => engine().url(`/raw/${names[i]}`));
    const senders = await Client.openMany(names.length, (i) => engine().url(`/raw/${names[i]}`));
    senders.forEach((sender, i) => sender.send(`for ${names[i]}`));
    for (const [i, member] of members.entries()) assert.equal((await member.next()).data.toString(), `for ${names[i]}`);
    await Client.closeAll([...members, ...senders]);
    for (const member of members) assert.deepEqual(member.unread, []);
  });

  it('are the same room however their name is percent-encoded', async () => {
    const spellings = [
      ['room', 'r%6Fom'], ['a/b', 'a%2Fb'], ['%c3%a4', '%C3%A4'], ['%F0%9F%98%80', '%f0%9f%98%80'],
      ['x'.repeat(255), 'x'.repeat(254) + '%78'], ['%E2%82%AC'.repeat(85), '%e2%82%ac'.repeat(85)],
    ];
    for (const [one, two] of spellings) {
      const sender = await Client.open(engine().url(`/raw/${one}`));
      const member = await Client.open(engine().url(`/raw/${two}`));
      sender.send('hello');
      assert.equal((await member.next(`a message from /raw/${one} at /raw/${two}`)).data.toString(), 'hello');
      await Client.closeAll([sender, member]);
    }
  });

  it('carry empty messages and keep each opcode', async () => {
    const url = engine().url('/raw/opcodes');
    const sender = await Client.open(url);
    const members = await Client.openMany(8, url);
    const sent = [['', false], ['', true], ['text', false], ['bytes', true], ['', false]];
    for (const [body, binary] of sent) sender.send(body, { binary });
    for (const member of members) {
      for (const [body, binary] of sent) {
        const { data, isBinary } = await member.next();
        assert.deepEqual([data.toString(), isBinary], [body, binary]);
      }
    }
    await Client.closeAll([sender, ...members]);
  });
});
