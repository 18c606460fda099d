// A member that stops reading: the others lose nothing by it, and what it loses itself is no secret.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { onEachBackend } from './support/backends.mjs';
import { Client } from './support/client.mjs';
import { CLOSE_REASONS, METRICS } from './support/contract.mjs';
import { until } from './support/deadline.mjs';
import { Publisher, untilComplete, Witness } from './support/publications.mjs';

const FAST_READERS = 8;
const MESSAGE_BYTES = 48 * 1024;
// 24 MiB: more than the kernel's buffers and the engine's outbox together hold for the reader that has stopped.
const MESSAGES = 512;

onEachBackend('a slow reader', {}, (engine) => {
  it('costs the fast readers of its room nothing', async () => {
    const url = engine().url('/raw/mixed');
    const publisher = new Publisher('p', null, MESSAGE_BYTES);
    const slowWitness = new Witness('slow', [publisher]);
    const slow = await Client.open(url, { onMessage: slowWitness.onMessage });
    const witnesses = Array.from({ length: FAST_READERS }, (_, i) => new Witness(`fast ${i}`, [publisher]));
    const fast = await Client.openMany(FAST_READERS, url, (i) => ({ onMessage: witnesses[i].onMessage }));
    publisher.client = await Client.open(url, { onMessage: () => {} });
    await engine().membersAre(FAST_READERS + 2);
    const before = await engine().metrics();

    slow.socket.pause();
    for (let sent = 0; sent < MESSAGES; sent += 4) {
      publisher.publishMany(4);
      await untilComplete(witnesses);
    }
    slow.socket.resume();

    await until(() => slowWitness.hasAll() || slow.socket.readyState === slow.socket.CLOSED,
      'the slow reader had received everything or was disconnected');
    await Client.closeAll([publisher.client, ...fast]);
    for (const witness of witnesses) witness.assertComplete();
    slowWitness.assertUnbroken();

    if (!slowWitness.hasAll()) {
      // What is lost is counted by name.
      const reason = { reason: CLOSE_REASONS.slow };
      await until(async () => {
        const now = await engine().metrics();
        return [METRICS.drops, METRICS.closes].every((name) => now.sum(name, reason) > before.sum(name, reason));
      }, 'the slow reader and what it lost were counted');
    } else {
      await slow.close();
    }
    await engine().membersAre(0);
  });
});
