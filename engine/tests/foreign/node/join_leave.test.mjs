// Members come and go while others publish. Whoever stays gets everything; whoever comes gets everything from its
// arrival to its leave, without a gap and without a duplicate.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { until } from './support/deadline.mjs';
import { Publisher, untilComplete, Witness } from './support/publications.mjs';

const RESIDENTS = 12;
const PUBLISHERS = 4;
const VISITORS = 8;
const VISITS = 30;
// Messages that a publisher has under way at most: enough to be busy, too few to fill an outbox.
const WINDOW = 16;

/** Publishes all the while, as fast as the slowest resident receives. */
function keepPublishing(publishers, residents) {
  let stopped = false;
  const loops = publishers.map(async (publisher) => {
    while (!stopped) {
      const slowest = Math.min(...residents.map((witness) => witness.nextOf(publisher)));
      if (publisher.next - slowest < WINDOW) publisher.publish();
      // Gives the event loop a turn, in which members receive and visitors come and go.
      await new Promise(setImmediate);
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(loops);
  };
}

/** One stay in the room; returns how many messages it brought. */
async function visit(url, publishers, number) {
  const witness = new Witness(`visitor ${number}`, publishers);
  const client = await Client.open(url, { onMessage: witness.onMessage });
  // Whatever is published from here on is published after the engine confirmed the join with its 101.
  const due = new Map(publishers.map((publisher) => [publisher, publisher.next]));
  const wanted = number % 25;
  await until(() => witness.received >= wanted, () => `${witness.name} had ${wanted} messages (it has ${witness.received})`);
  if (number % 5 === 0) client.abandon();
  else await client.close();
  await client.ended();
  witness.assertUnbroken();
  for (const [publisher, next] of due) {
    const first = witness.first(publisher);
    assert.ok(
      first === undefined || first <= next,
      `${witness.name} joined before ${publisher.name}:${next} was published, but its first message is number ${first}`,
    );
  }
  return witness.received;
}

onEachBackend('joining and leaving', {}, (engine) => {
  it('neither loses nor doubles a message for anyone while others publish', async () => {
    const url = engine().url('/raw/busy');
    const publishers = Array.from({ length: PUBLISHERS }, (_, i) => new Publisher(`p${i}`, null));
    const witnesses = Array.from({ length: RESIDENTS }, (_, i) => new Witness(`resident ${i}`, publishers));
    const residents = await Client.openMany(RESIDENTS, url, (i) => ({ onMessage: witnesses[i].onMessage }));
    for (const publisher of publishers) publisher.client = await Client.open(url, { onMessage: () => {} });

    const stopPublishing = keepPublishing(publishers, witnesses);
    let received = 0;
    try {
      await Promise.all(Array.from({ length: VISITORS }, async (_, visitor) => {
        for (let i = 0; i < VISITS; i += 1) received += await visit(url, publishers, visitor * VISITS + i);
      }));
    } finally {
      await stopPublishing();
    }

    await untilComplete(witnesses);
    await engine().membersAre(RESIDENTS + PUBLISHERS);
    await Client.closeAll([...residents, ...publishers.map(({ client }) => client)]);
    for (const witness of witnesses) witness.assertComplete();
    assert.ok(received > 0, 'no visitor received anything');
    await engine().membersAre(0);
  });

  it('delivers to a member what is published right after its upgrade was answered, in rooms that come and go', async () => {
    // Each round is a new room, whose shards have to learn of each other before the second 101.
    for (let round = 0; round < 150; round += 1) {
      const url = engine().url(`/raw/new-${round}`);
      const [one, two] = await Client.openMany(2, url);
      one.send('to two');
      two.send('to one');
      assert.equal((await two.next(`round ${round}: the message to the second`)).data.toString(), 'to two');
      assert.equal((await one.next(`round ${round}: the message to the first`)).data.toString(), 'to one');
      await Client.closeAll([one, two]);
    }
  });

  it('reaches members who come back to a room that was empty', async () => {
    const url = engine().url('/raw/again');
    for (let round = 0; round < 50; round += 1) {
      const clients = await Client.openMany(6, url);
      clients[0].send(`round ${round}`);
      for (const client of clients.slice(1)) assert.equal((await client.next()).data.toString(), `round ${round}`);
      // Some leave by handshake and some without a word; the next round joins while those may still count.
      clients.forEach((client, i) => (i % 2 === 0 ? client.abandon() : client.socket.close()));
      await Promise.all(clients.map((client) => client.ended()));
      for (const client of clients) assert.deepEqual(client.unread, []);
    }
    await engine().membersAre(0);
  });
});
