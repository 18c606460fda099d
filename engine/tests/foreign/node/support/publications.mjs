// Messages that say who published them as which in order, and witnesses that check what arrives against that.

import assert from 'node:assert/strict';
import { until } from './deadline.mjs';

// Sequence numbers alternate between text and binary, so that a mixed-up opcode is noticed as well.
const isBinarySequence = (sequence) => sequence % 2 === 1;

export class Publisher {
  #bodies = new Map();

  constructor(name, client, payloadBytes = 128) {
    this.name = name;
    this.client = client;
    this.payloadBytes = payloadBytes;
    this.next = 0;
  }

  /** Publishes the message with the next sequence number. */
  publish() {
    const sequence = this.next++;
    this.client.send(this.body(sequence), { binary: isBinarySequence(sequence) });
  }

  publishMany(count) {
    for (let i = 0; i < count; i += 1) this.publish();
  }

  /** The bytes of a message, as sent and as every member has to receive them. */
  body(sequence) {
    let body = this.#bodies.get(sequence);
    if (!body) {
      const head = `${this.name}:${sequence}:`;
      const filler = String.fromCharCode(97 + (sequence % 26));
      body = Buffer.from(head + filler.repeat(Math.max(0, this.payloadBytes - head.length)));
      this.#bodies.set(sequence, body);
    }
    return body;
  }
}

/** Checks what one member receives: for each publisher, one number after the other, every byte as it was sent. */
export class Witness {
  #publishers;
  #spans = new Map();

  constructor(name, publishers) {
    this.name = name;
    this.#publishers = new Map(publishers.map((publisher) => [publisher.name, publisher]));
    this.faults = [];
    this.received = 0;
    this.onMessage = (data, isBinary) => this.#record(data, isBinary);
  }

  #record(data, isBinary) {
    this.received += 1;
    const head = data.subarray(0, 64).toString('latin1').match(/^([^:]*):(\d+):/);
    const publisher = head && this.#publishers.get(head[1]);
    if (!publisher) {
      this.#fault(`a message that nobody published: ${data.subarray(0, 32)}`);
      return;
    }
    const sequence = Number(head[2]);
    if (sequence >= publisher.next) this.#fault(`${publisher.name}:${sequence} before it was published`);
    else if (!publisher.body(sequence).equals(data)) this.#fault(`${publisher.name}:${sequence} with changed bytes`);
    if (isBinary !== isBinarySequence(sequence)) this.#fault(`${publisher.name}:${sequence} with the wrong opcode`);
    const span = this.#spans.get(publisher.name);
    if (!span) {
      this.#spans.set(publisher.name, { first: sequence, next: sequence + 1 });
      return;
    }
    if (sequence !== span.next) this.#fault(`${publisher.name}:${sequence} where ${span.next} was due`);
    span.next = Math.max(span.next, sequence + 1);
  }

  #fault(text) {
    // The first few tell the story; a broken engine would fill the memory with the rest.
    if (this.faults.length < 5) this.faults.push(text);
  }

  first(publisher) {
    return this.#spans.get(publisher.name)?.first;
  }

  /** The number after the last one received. */
  nextOf(publisher) {
    return this.#spans.get(publisher.name)?.next ?? 0;
  }

  hasAll() {
    for (const publisher of this.#publishers.values()) if (this.nextOf(publisher) < publisher.next) return false;
    return true;
  }

  /** Neither gap nor duplicate nor disorder from the first to the last message of each publisher. */
  assertUnbroken() {
    assert.deepEqual(this.faults, [], `${this.name} received wrongly`);
  }

  /** The above, and everything from 0 on. */
  assertComplete() {
    this.assertUnbroken();
    for (const publisher of this.#publishers.values()) {
      assert.equal(this.nextOf(publisher), publisher.next, `${this.name} has not received all of ${publisher.name}`);
      if (publisher.next > 0) assert.equal(this.first(publisher), 0, `${this.name} missed the start of ${publisher.name}`);
    }
  }
}

/** Waits until all witnesses have received all that was published so far; a fault ends the wait at once. */
export async function untilComplete(witnesses, ms) {
  const missing = () => witnesses.filter((witness) => !witness.hasAll());
  const describe = () => {
    const names = missing().map((witness) => `${witness.name} (${witness.received} received; ${witness.faults})`);
    return `all members had everything; missing: ${names.slice(0, 5).join(', ')} and ${Math.max(0, names.length - 5)} more`;
  };
  await until(() => {
    for (const witness of witnesses) witness.assertUnbroken();
    return missing().length === 0;
  }, describe, ms);
}
