// Every wait in this suite is for a state, and ends at a deadline that names the state.

import { setTimeout as pause } from 'node:timers/promises';

export const DEADLINE_MS = 20_000;

/** Settles as `promise` does, or fails after `ms` saying what never came. */
export async function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const name = typeof what === 'function' ? what() : what;
      reject(new Error(`waited ${ms} ms in vain for ${name}`));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks `state` again and again until it answers with something true, and gives that back. */
export async function until(state, what, ms = DEADLINE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await state();
    if (answer) return answer;
    if (Date.now() >= end) {
      const name = typeof what === 'function' ? what() : what;
      throw new Error(`waited ${ms} ms in vain until ${name}`);
    }
    await pause(5);
  }
}
