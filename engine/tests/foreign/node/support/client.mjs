// A client of npm `ws` whose messages wait in a queue until a test asks for them.

import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { within } from './deadline.mjs';

const open = new Set();

export class Client {
  /** Cuts whatever a test has left open, so that a failed test does not fail those after it. */
  static abandonAll() {
    for (const client of open) client.abandon();
  }

  /** Connects; what arrives together with the answer to the upgrade is not missed. */
  static async open(url, { options = {}, onMessage } = {}) {
    const client = new Client(new WebSocket(url, options), onMessage);
    await within(client.#opened, `the upgrade of ${url}`);
    return client;
  }

  /** Connects `count` clients, at most `atOnce` of them at a time, and gives them in order. */
  static async openMany(count, url, settings = () => ({}), atOnce = 64) {
    const clients = new Array(count);
    let next = 0;
    const worker = async () => {
      while (next < count) {
        const index = next++;
        clients[index] = await Client.open(typeof url === 'function' ? url(index) : url, settings(index));
      }
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
    return clients;
  }

  static async closeAll(clients) {
    await Promise.all(clients.map((client) => client.close()));
  }

  #opened;
  #queue = [];
  #waiting = [];
  #ended = null;

  constructor(socket, onMessage) {
    this.socket = socket;
    open.add(this);
    this.#opened = new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    socket.on('message', onMessage ?? ((data, isBinary) => this.#arrived({ data, isBinary })));
    // Errors are followed by 'close', which is what tests look at.
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        open.delete(this);
        this.#ended = { code, reason: reason.toString() };
        for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#endError());
        resolve(this.#ended);
      });
    });
  }

  #arrived(message) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter.resolve(message);
    else this.#queue.push(message);
  }

  #endError() {
    return new Error(`the connection ended with ${this.#ended.code} "${this.#ended.reason}"`);
  }

  /** The next message. */
  next(what = 'a message') {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift());
    if (this.#ended) return Promise.reject(this.#endError());
    return within(new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })), what);
  }

  /** The messages that nobody has asked for yet. */
  get unread() {
    return this.#queue;
  }

  send(data, options) {
    this.socket.send(data, options);
  }

  /** Closes by handshake, which also brings in everything that the engine sent before its own close frame. */
  async close(code = 1000, reason = '') {
    if (!this.#ended) this.socket.close(code, reason);
    const end = await this.ended();
    assert.equal(end.code, code, `the engine answered the close with ${end.code} "${end.reason}"`);
  }

  /** Waits for the end of the connection, whoever ends it. */
  ended() {
    return within(this.closed, 'the end of the connection');
  }

  /** Drops the TCP connection without a word. */
  abandon() {
    this.socket.terminate();
  }
}
