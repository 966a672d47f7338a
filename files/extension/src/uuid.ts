/**
 * UUIDs made from `crypto.getRandomValues`: `crypto.randomUUID` is missing on pages that are
 * served by plain HTTP, which a classroom's network often does.
 */

function randomBytes(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(16));
}

function format(bytes: Uint8Array): string {
  const hex = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20)
  ].join('-');
}

function mark(bytes: Uint8Array, version: number): Uint8Array {
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes;
}

/** A random UUID (RFC 9562, version 4). */
export function uuid4(): string {
  return format(mark(randomBytes(), 4));
}

/**
 * A source of time-ordered UUIDs (RFC 9562, version 7).
 *
 * Each one sorts after those before it, also within a millisecond (12 bits behind the time count
 * them) and when the clock is set back.
 *
 * @param now - the milliseconds since 1970.
 */
export function uuid7Source(now: () => number = Date.now): () => string {
  let time = 0;
  let count = 0;
  return () => {
    const bytes = randomBytes();
    const current = now();
    if (current > time) {
      time = current;
      // The upper bit stays free, so that at least 2048 fit in a millisecond.
      count = ((bytes[6]! & 0x07) << 8) | bytes[7]!;
    } else if (++count > 0xfff) {
      time += 1;
      count = 0;
    }
    // Shifts work on 32 bits only; the time has 48.
    for (let i = 5, rest = time; i >= 0; i--, rest = Math.floor(rest / 256)) {
      bytes[i] = rest % 256;
    }
    bytes[6] = count >> 8;
    bytes[7] = count & 0xff;
    return format(mark(bytes, 7));
  };
}
