// Members that listen to an event stream, by npm `eventsource`, and publishers that are members of nothing, by fetch.

import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
import { within } from './deadline.mjs';

const open = new Set();

/** The base of the engine's plain requests. */
export function httpUrl(engine, path) {
  return engine.url(path).replace(/^ws:/, 'http:');
}

export class Stream {
  /** Closes whatever a test has left open. */
  static closeAll() {
    for (const stream of open) stream.close();
  }

  /** Opens a stream; `onMessage` gets the bytes and whether they were binary, as with `ws`. */
  static async open(engine, room, onMessage = () => {}) {
    const stream = new Stream(httpUrl(engine, `/sse/${room}`), onMessage);
    await within(stream.#opened, `the event stream of ${room}`);
    return stream;
  }

  static openMany(count, engine, room, onMessage) {
    return Promise.all(Array.from({ length: count }, (_, i) => Stream.open(engine, room, onMessage(i))));
  }

  #opened;

  constructor(url, onMessage) {
    this.source = new EventSource(url);
    open.add(this);
    this.#opened = new Promise((resolve, reject) => {
      this.source.addEventListener('open', resolve, { once: true });
      this.source.addEventListener('error', (error) => reject(new Error(error.message)), { once: true });
    });
    this.source.addEventListener('message', ({ data }) => onMessage(Buffer.from(data), false));
    this.source.addEventListener('ringmain.binary', ({ data }) => onMessage(Buffer.from(data, 'base64'), true));
    this.closing = new Promise((resolve) => {
      this.source.addEventListener('ringmain.close', ({ data }) => resolve(JSON.parse(data)), { once: true });
    });
  }

  close() {
    open.delete(this);
    this.source.close();
  }
}

/** Publishes one message by a request, and gives the answer. */
export async function post(engine, room, body, headers = {}) {
  const url = httpUrl(engine, `/rooms/${room}/messages`);
  const response = await within(fetch(url, { method: 'POST', body, headers }), `the answer to a POST to ${room}`);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** What a `Publisher` needs of a client: one request after the other, each of which has to be accepted. */
export class HttpSender {
  #last = Promise.resolve();
  ids = [];

  constructor(engine, room) {
    this.engine = engine;
    this.room = room;
  }

  send(body, { binary }) {
    const type = binary ? 'application/octet-stream' : 'text/plain';
    this.#last = this.#last.then(async () => {
      const answer = await post(this.engine, this.room, body, { 'content-type': type });
      assert.equal(answer.status, 202, answer.text);
      this.ids.push(JSON.parse(answer.text).id);
    });
    this.#last.catch(() => {});
  }

  /** Waits until all is answered, and fails if one was refused. */
  done() {
    return within(this.#last, 'the answers to all POSTs');
  }
}
