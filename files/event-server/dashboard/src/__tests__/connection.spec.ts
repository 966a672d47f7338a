import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import type { ILink, ISocket } from '../connection.ts';
import { Connection } from '../connection.ts';
import type { IOverview, IUpdate } from '../model.ts';
import { overview, student } from './fakes.ts';

class FakeSocket implements ISocket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  sent: string[] = [];
  closed = false;
  send(data: string): void {
    this.sent.push(data);
  }
  close(): void {
    this.closed = true;
  }
}

let now = 0;
let sockets: FakeSocket[] = [];
let fetched = 0;
let answer: IOverview | 'logged out' | Error = overview();
let links: ILink[] = [];
let updates: IUpdate[] = [];
let loggedOut = 0;
let connection: Connection;

beforeEach(() => {
  now = 1_000_000;
  sockets = [];
  fetched = 0;
  answer = overview();
  links = [];
  updates = [];
  loggedOut = 0;
  connection = new Connection(
    {
      overview: () => undefined,
      update: update => updates.push(update),
      link: link => links.push(link),
      loggedOut: () => (loggedOut += 1)
    },
    {
      fetchOverview: () => {
        fetched += 1;
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      openSocket: () => {
        sockets.push(new FakeSocket());
        return sockets.at(-1)!;
      },
      now: () => now
    }
  );
});

async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i += 1) {
    connection.tick();
    await new Promise(resolve => setImmediate(resolve));
    now += 1000;
  }
}

function state(): string | undefined {
  return links.at(-1)?.state;
}

test('asks every five seconds while there is no websocket', async () => {
  for (let i = 0; i < 20; i += 1) {
    await pass(1);
    sockets.at(-1)?.onclose?.({ code: 1006 });
  }
  assert.equal(state(), 'polling');
  assert.ok(fetched >= 4 && fetched <= 6, String(fetched));
  assert.ok(sockets.length >= 3, 'the websocket is tried again');
});

test('is live by websocket, and asks now and then', async () => {
  await pass(1);
  sockets[0]?.onopen?.();
  for (let i = 0; i < 30; i += 1) {
    await pass(1);
    sockets[0]?.onmessage?.({ data: '{"type":"pong"}' });
  }
  assert.equal(state(), 'live');
  assert.equal(sockets.length, 1);
  assert.ok(fetched <= 4, String(fetched));
  assert.ok((sockets[0]?.sent.length ?? 0) >= 3, 'it is kept alive');
});

test('passes on what comes live, and what is no message of ours leaves it alone', async () => {
  await pass(1);
  const socket = sockets[0];
  socket?.onopen?.();
  for (const data of ['no json', 'null', '{"type":"progress_update"}', '{"type":"x","data":{}}']) {
    socket?.onmessage?.({ data });
  }
  assert.deepEqual(updates, []);
  const update = { eventType: 'help', student: student('a') };
  socket?.onmessage?.({ data: JSON.stringify({ type: 'progress_update', data: update }) });
  assert.deepEqual(updates, [update]);
});

test('asks when a message has no row', async () => {
  await pass(1);
  sockets[0]?.onopen?.();
  await pass(1);
  const before = fetched;
  sockets[0]?.onmessage?.({ data: '{"type":"progress_update","data":{"eventType":"help"}}' });
  await pass(2);
  assert.equal(fetched, before + 1);
});

test('says since when nothing is new, and recovers', async () => {
  await pass(1);
  sockets[0]?.onclose?.({ code: 1006 });
  await pass(6);
  const heardAt = links.at(-1)?.heardAt;
  answer = new Error('away');
  await pass(10);
  assert.equal(state(), 'lost');
  assert.ok(links.at(-1)!.heardAt! >= heardAt! && links.at(-1)!.heardAt! < now - 5000);
  answer = overview();
  connection.retry();
  await pass(2);
  assert.equal(state(), 'polling');
});

test('a websocket that has fallen silent is opened anew', async () => {
  await pass(1);
  sockets[0]?.onopen?.();
  await pass(25);
  assert.equal(sockets[0]?.closed, true);
  assert.ok(sockets.length > 1);
});

test('a server that has lost its store is not up to date', async () => {
  await pass(1);
  sockets[0]?.onopen?.();
  answer = new Error('503');
  await pass(1);
  sockets[0]?.onmessage?.({ data: '{"type":"pong"}' });
  await pass(1);
  assert.equal(state(), 'lost');
});

test('ends with the session', async () => {
  answer = 'logged out';
  await pass(3);
  assert.equal(loggedOut, 1);
  assert.equal(fetched, 1);
});

test('ends with the session of the websocket', async () => {
  await pass(1);
  sockets[0]?.onopen?.();
  sockets[0]?.onclose?.({ code: 4401 });
  const before = fetched;
  await pass(20);
  assert.deepEqual([loggedOut, sockets.length, fetched], [1, 1, before]);
});

test('begins anew for another range', async () => {
  await pass(1);
  sockets[0]?.onopen?.();
  await pass(1);
  const before = fetched;
  connection.restart();
  await pass(1);
  assert.deepEqual([sockets[0]?.closed, sockets.length, fetched], [true, 2, before + 1]);
});
