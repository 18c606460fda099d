// One room of 1,000 members on all shards, with several publishers among them.

import { it } from 'node:test';
import assert from 'node:assert/strict';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { METRICS } from './support/contract.mjs';
import { until } from './support/deadline.mjs';
import { Publisher, untilComplete, Witness } from './support/publications.mjs';

const MEMBERS = 1000;
const PUBLISHERS = 5;
const ROUNDS = 6;
const BURST = 5;

onEachBackend('fan-out', {}, (engine) => {
  it(`reaches ${MEMBERS} members of one room from ${PUBLISHERS} publishers, exactly once and in order`, async () => {
    const url = engine().url('/raw/crowd');
    const publishers = Array.from({ length: PUBLISHERS }, (_, i) => new Publisher(`p${i}`, null));
    const witnesses = Array.from({ length: MEMBERS }, (_, i) => new Witness(`m${i}`, publishers));
    const members = await Client.openMany(MEMBERS, url, (i) => ({ onMessage: witnesses[i].onMessage }));
    for (const publisher of publishers) publisher.client = await Client.open(url, { onMessage: () => {} });
    await engine().membersAre(MEMBERS + PUBLISHERS);
    const before = await engine().metrics();
    assert.ok(before.shardsWith(METRICS.members) >= 2, 'all members are on one shard');

    // In bursts that are waited for, so that this process, which reads for all 1,000, is never the slow consumer.
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const publisher of publishers) publisher.publishMany(BURST);
      await untilComplete(witnesses, 30_000);
    }

    await Client.closeAll([...members, ...publishers.map(({ client }) => client)]);
    for (const witness of witnesses) witness.assertComplete();
    const published = PUBLISHERS * ROUNDS * BURST;
    assert.equal(witnesses.reduce((sum, { received }) => sum + received, 0), published * MEMBERS);
    const delivered = published * (MEMBERS + PUBLISHERS - 1);
    await until(
      async () => (await engine().metrics()).sum(METRICS.messages_out) - before.sum(METRICS.messages_out) === delivered,
      `the metrics showed ${delivered} messages out`,
    );
    await engine().membersAre(0);
  });
});
