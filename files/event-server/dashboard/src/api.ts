import type { IActivity, IOverview, TimeRange } from './model.ts';

const ROOT = '/api/v1/dashboard';
const TIMEOUT_MS = 10_000;

/** An answer that is not 2xx. */
export class AnswerError extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the server answered ${status}`);
    this.status = status;
  }
}

/** How far the server's clock is ahead of the browser's, in milliseconds. */
export let clockOffset = 0;

/** Fetches the overview of a time range. */
export async function fetchOverview(range: TimeRange): Promise<IOverview> {
  const answer = await ask(`${ROOT}/overview?time_range=${range}`);
  const date = Date.parse(answer.headers.get('date') ?? '');
  // The header counts whole seconds: a smaller difference says nothing.
  const offset = date - Date.now();
  clockOffset = Math.abs(offset) > 2000 ? offset : 0;
  return (await answer.json()) as IOverview;
}

/** Fetches a student's page. */
export async function fetchActivity(email: string): Promise<IActivity> {
  return (await (await ask(`${studentPath(email)}/activity`)).json()) as IActivity;
}

/** Dismisses a student's request for help, or resolves his errors. */
export async function acknowledge(
  email: string,
  what: 'dismiss-help' | 'resolve-error'
): Promise<void> {
  await ask(`${studentPath(email)}/${what}`, 'POST');
}

/** Returns who has logged in, and keeps the session from ending. */
export async function fetchName(): Promise<string> {
  return ((await (await ask('/dashboard/session')).json()) as { name: string }).name;
}

/** Opens the websocket, which counts what happened in a time range. */
export function openSocket(range: TimeRange): WebSocket {
  const url = new URL(`${ROOT}/ws/dashboard?time_range=${range}`, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return new WebSocket(url);
}

function studentPath(email: string): string {
  return `${ROOT}/students/${encodeURIComponent(email)}`;
}

async function ask(url: string, method = 'GET'): Promise<Response> {
  const answer = await fetch(url, {
    method,
    cache: 'no-store',
    credentials: 'same-origin',
    signal: AbortSignal.timeout(TIMEOUT_MS)
  });
  if (!answer.ok) {
    throw new AnswerError(answer.status);
  }
  return answer;
}
