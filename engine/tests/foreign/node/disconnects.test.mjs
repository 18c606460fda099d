// Connections that end without a word, in the middle of anything, take nobody with them.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { METRICS } from './support/contract.mjs';
import { until } from './support/deadline.mjs';
import { Publisher, untilComplete, Witness } from './support/publications.mjs';
import { frame, rawOpen } from './support/raw.mjs';

const BINARY = 2;
const CONTINUATION = 0;

// What a peer has sent when its connection is cut.
const UNFINISHED = {
  'in the first byte of a header': Buffer.from([0x82]),
  'in a long header': frame(BINARY, Buffer.alloc(0), { announcedBytes: 60_000 }).subarray(0, 3),
  'before the mask is complete': frame(BINARY, Buffer.alloc(40)).subarray(0, 4),
  'in a payload': frame(BINARY, Buffer.alloc(1000), { announcedBytes: 60_000 }),
  'between two fragments': frame(BINARY, Buffer.from('half'), { fin: false }),
  'in the second fragment': Buffer.concat([
    frame(BINARY, Buffer.from('half'), { fin: false }),
    frame(CONTINUATION, Buffer.alloc(10), { announcedBytes: 500 }),
  ]),
  'in a close frame': frame(8, Buffer.from([0x03]), { announcedBytes: 2 }),
};

onEachBackend('abrupt disconnects', {}, (engine) => {
  for (const [where, bytes] of Object.entries(UNFINISHED)) {
    for (const how of ['destroy', 'resetAndDestroy']) {
      it(`${where}, by ${how === 'destroy' ? 'FIN' : 'RST'}, leave the room unharmed`, async () => {
        const url = engine().url('/raw/cut');
        const publisher = new Publisher('p', null);
        const witnesses = Array.from({ length: 6 }, (_, i) => new Witness(`m${i}`, [publisher]));
        const members = await Client.openMany(6, url, (i) => ({ onMessage: witnesses[i].onMessage }));
        publisher.client = await Client.open(url, { onMessage: (data) => assert.fail(`a cut message arrived: ${data}`) });
        const peers = await Promise.all(Array.from({ length: 8 }, () => rawOpen(engine(), '/raw/cut')));
        await engine().membersAre(15);

        publisher.publishMany(20);
        await Promise.all(peers.map((peer) => new Promise((resolve) => peer.write(bytes, resolve))));
        publisher.publishMany(20);
        for (const peer of peers) peer[how]();
        publisher.publishMany(20);

        await engine().membersAre(7);
        publisher.publishMany(20);
        await untilComplete(witnesses);
        await Client.closeAll([publisher.client, ...members]);
        for (const witness of witnesses) witness.assertComplete();
        await engine().membersAre(0);
      });
    }
  }

  it('of 200 members at a time, while others publish, leave the rest complete', async () => {
    const url = engine().url('/raw/storm');
    const publishers = [0, 1].map((i) => new Publisher(`p${i}`, null));
    const witnesses = Array.from({ length: 10 }, (_, i) => new Witness(`m${i}`, publishers));
    const members = await Client.openMany(10, url, (i) => ({ onMessage: witnesses[i].onMessage }));
    for (const publisher of publishers) publisher.client = await Client.open(url, { onMessage: () => {} });
    const leaving = await Client.openMany(200, url, () => ({ onMessage: () => {} }));

    for (let i = 0; i < 200; i += 1) {
      leaving[i].abandon();
      if (i % 4 === 0) for (const publisher of publishers) publisher.publish();
    }
    await engine().membersAre(12);
    for (const publisher of publishers) publisher.publishMany(20);
    await untilComplete(witnesses);
    await Client.closeAll([...members, ...publishers.map(({ client }) => client)]);
    for (const witness of witnesses) witness.assertComplete();
  });

  it('of the last member free its room, and the metrics say so', async () => {
    for (let round = 0; round < 10; round += 1) {
      const member = await Client.open(engine().url(`/raw/left-${round}`));
      await until(async () => (await engine().metrics()).sum(METRICS.rooms) === 1, 'the room was counted');
      member.abandon();
      await until(
        async () => (await engine().metrics()).sum(METRICS.rooms) === 0, `the room of round ${round} was not counted`, 5000,
      );
    }
  });

  it('in the middle of an upgrade are forgotten', async () => {
    const { connect } = await import('node:net');
    const sockets = Array.from({ length: 40 }, () => connect(engine().port, engine().host));
    await Promise.all(sockets.map((socket) => new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.write('GET /raw/half HTTP/1.1\r\nHost: here\r\nUpgra', resolve);
    })));
    for (const [i, socket] of sockets.entries()) {
      if (i % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
    }
    await until(async () => (await engine().metrics()).sum(METRICS.connections) === 0, 'no connection was counted any more');
  });
});
