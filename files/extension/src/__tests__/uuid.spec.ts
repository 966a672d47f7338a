import { webcrypto } from 'crypto';

import { uuid4, uuid7Source } from '../uuid';

beforeAll(() => {
  Object.defineProperty(globalThis, 'crypto', { value: webcrypto });
});

const form = (version: number): RegExp =>
  new RegExp(`^[0-9a-f]{8}-[0-9a-f]{4}-${version}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`);

describe('uuid4', () => {
  it('has the form of version 4 and is never the same', () => {
    const ids = Array.from({ length: 1000 }, uuid4);
    expect(ids.every(id => form(4).test(id))).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('uuid7', () => {
  it('has the form of version 7 and starts with the time', () => {
    const id = uuid7Source(() => 0x017f22e279b0)();
    expect(id).toMatch(form(7));
    expect(id.slice(0, 13)).toBe('017f22e2-79b0');
  });

  it('sorts by creation, also within a millisecond and beyond what it can count', () => {
    const next = uuid7Source(() => 1_700_000_000_000);
    const ids = Array.from({ length: 10_000 }, next);
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every(id => form(7).test(id))).toBe(true);
  });

  it('sorts by creation when the clock is set back', () => {
    const times = [5000, 4000, 4000, 5001, 1];
    const next = uuid7Source(() => times.shift()!);
    const ids = [next(), next(), next(), next(), next()];
    expect([...ids].sort()).toEqual(ids);
  });
});
