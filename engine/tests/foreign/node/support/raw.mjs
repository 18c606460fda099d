// A WebSocket client on a bare TCP socket, for what a well-behaved client never does.

import { once } from 'node:events';
import net from 'node:net';
import { within } from './deadline.mjs';

const MASK = Buffer.from([0x11, 0x22, 0x33, 0x44]);

const open = new Set();

/** Cuts whatever a test has left open, so that a failed test does not fail those after it. */
export function destroyAllRaw() {
  for (const socket of open) socket.destroy();
}

/** Connects and upgrades; gives the socket, paused at the first byte after the answer. */
export async function rawOpen(engine, path) {
  const socket = net.connect(engine.port, engine.host);
  open.add(socket);
  socket.on('close', () => open.delete(socket));
  socket.on('error', () => {});
  await within(once(socket, 'connect'), 'a TCP connection');
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${engine.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  let head = Buffer.alloc(0);
  while (!head.includes('\r\n\r\n')) {
    const [chunk] = await within(once(socket, 'data'), 'the answer to an upgrade');
    head = Buffer.concat([head, chunk]);
  }
  socket.pause();
  const end = head.indexOf('\r\n\r\n') + 4;
  const status = head.subarray(0, head.indexOf('\r\n')).toString();
  if (!status.includes(' 101 ')) throw new Error(`the upgrade was refused: ${head}`);
  if (head.length > end) socket.unshift(head.subarray(end));
  return socket;
}

/** A masked client frame. `announcedBytes` lets its header promise more than there is. */
export function frame(opcode, payload, { fin = true, announcedBytes = payload.length } = {}) {
  const head = [(fin ? 0x80 : 0) | opcode];
  if (announcedBytes < 126) {
    head.push(0x80 | announcedBytes);
  } else if (announcedBytes < 65536) {
    head.push(0x80 | 126, announcedBytes >> 8, announcedBytes & 0xff);
  } else {
    head.push(0x80 | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (announcedBytes >>> shift) & 0xff));
  }
  const masked = Buffer.from(payload);
  for (let i = 0; i < masked.length; i += 1) masked[i] ^= MASK[i & 3];
  return Buffer.concat([Buffer.from(head), MASK, masked]);
}
