// Starts the engine under test as a process of its own on free ports, and stops it by its process id.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { METRICS } from './contract.mjs';
import { until, within } from './deadline.mjs';
import { Metrics } from './metrics.mjs';

const OUTPUT_CHARS_MAX = 1 << 20;

function binary() {
  const path = process.env.RINGMAIN_BINARY;
  if (!path) {
    throw new Error(
      'RINGMAIN_BINARY is not set: build the engine and set it to the binary, or run `scripts/test foreign-node`',
    );
  }
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new Error(`RINGMAIN_BINARY=${path} is not an executable file: build it, or run \`scripts/test foreign-node\``);
  }
  return path;
}

/** The environment without what the engine would take for its configuration, the names of this suite among it. */
function foreignEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('RINGMAIN_')));
}

// A test file that is cut short must not leave engines behind.
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Engine {
  /** Starts an engine and waits until it says that it is ready. */
  static async start({ backend, shards = 4, args = [] }) {
    const engine = new Engine(backend, [
      '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--shards', String(shards), '--io', backend, ...args,
    ]);
    try {
      await engine.#ready();
    } catch (error) {
      engine.#child.kill('SIGKILL');
      error.message += `\n--- the engine's output ---\n${engine.output}`;
      throw error;
    }
    return engine;
  }

  #child;
  #exited;

  constructor(backend, args) {
    this.backend = backend;
    this.output = '';
    // Engines that are stopped at the end of a test do not take their time.
    const env = { ...foreignEnvironment(), RINGMAIN_DRAIN_SECONDS: '0' };
    this.#child = spawn(binary(), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        if (this.output.length < OUTPUT_CHARS_MAX) this.output += text;
      });
    }
    // 'close', not 'exit': by then all of its output has been read.
    this.#exited = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        running.delete(this.#child);
        resolve({ code: null, signal: null, error });
      });
      this.#child.on('close', (code, signal) => {
        running.delete(this.#child);
        resolve({ code, signal });
      });
    });
  }

  async #ready() {
    const died = this.#exited.then(({ code, signal, error }) => {
      throw new Error(`the engine ended at start: code ${code}, signal ${signal}${error ? `, ${error.message}` : ''}`);
    });
    died.catch(() => {});
    const addresses = until(() => {
      // The character after the port shows that the port is there in full.
      const listen = this.output.match(/ws:\/\/([\d.]+):([1-9]\d*)\D/);
      const admin = this.output.match(/http:\/\/([\d.]+):([1-9]\d*)\D/);
      return listen && admin && { listen, admin };
    }, 'the engine printed its addresses');
    const { listen, admin } = await Promise.race([addresses, died]);
    this.host = listen[1];
    this.port = Number(listen[2]);
    const secure = this.output.match(/wss:\/\/[\d.]+:([1-9]\d*)\D/);
    this.securePort = secure && Number(secure[1]);
    this.adminBase = `http://${admin[1]}:${admin[2]}`;
    await Promise.race([
      until(async () => (await this.admin('/health/ready').catch(() => null))?.status === 200, 'the engine was ready'),
      died,
    ]);
    const metrics = await this.metrics();
    const runsOnIt = metrics.sum(METRICS.io_backend, { backend: this.backend });
    assert.equal(runsOnIt, 1, `the engine does not run on ${this.backend}`);
  }

  get pid() {
    return this.#child.pid;
  }

  url(path) {
    return `ws://${this.host}:${this.port}${path}`;
  }

  secureUrl(path) {
    return `wss://${this.host}:${this.securePort}${path}`;
  }

  async admin(path) {
    const response = await within(fetch(this.adminBase + path), `the admin's answer to ${path}`);
    return { status: response.status, text: await within(response.text(), `the admin's answer to ${path}`) };
  }

  async metrics() {
    const { status, text } = await this.admin('/metrics');
    assert.equal(status, 200, text);
    return new Metrics(text);
  }

  /** Waits until the room members of all shards are `count`: leaving is noticed a moment after the socket's end. */
  async membersAre(count) {
    let seen;
    await until(async () => {
      seen = (await this.metrics()).sum(METRICS.members);
      return seen === count;
    }, () => `the engine counted ${count} members (it counts ${seen})`);
  }

  /** SIGTERM, and the proof that it ended well: within its deadline, with exit code 0, having panicked nowhere. */
  async stop() {
    this.#child.kill('SIGTERM');
    try {
      const end = await within(this.#exited, 'the engine to end after SIGTERM');
      assert.deepEqual(end, { code: 0, signal: null }, `the engine ended badly\n${this.output}`);
      assert.doesNotMatch(this.output, /panicked at/);
    } finally {
      this.#child.kill('SIGKILL');
    }
  }
}
