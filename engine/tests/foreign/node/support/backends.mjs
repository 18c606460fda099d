// Every test runs once on each back end. RINGMAIN_BACKENDS narrows that where a machine forbids one of them, which
// is a choice to be made aloud: a back end that is missing fails the suite.

import { after, afterEach, before, describe } from 'node:test';
import { Client } from './client.mjs';
import { Engine } from './engine.mjs';
import { destroyAllRaw } from './raw.mjs';

export const BACKENDS = (process.env.RINGMAIN_BACKENDS ?? 'uring,epoll').split(',');

/**
 * A suite with an engine of its own on each back end. `define` gets a function that returns the engine, which exists
 * only once the tests run.
 */
export function onEachBackend(title, options, define) {
  for (const backend of BACKENDS) {
    describe(`${title} [${backend}]`, () => {
      let engine;
      before(async () => {
        engine = await Engine.start({ backend, ...options });
      });
      afterEach(() => {
        Client.abandonAll();
        destroyAllRaw();
      });
      after(async () => {
        await engine?.stop();
      });
      define(() => engine);
    });
  }
}
