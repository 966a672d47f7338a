/** A reload takes seconds; a tab that is opened again after lunch asks for nothing. */
const MAX_AGE_MS = 300_000;

/**
 * The notebooks for which help is asked for in this tab.
 *
 * It is the storage of the session, because that outlives a reload, but is not shared with other
 * tabs: one where nobody pressed the button must not ask for help, nor stop another's asking.
 */
export class HelpMemory {
  /**
   * @param key - where in the storage; servers may share an origin.
   * @param storage - null where the browser has none.
   */
  constructor(
    private readonly _key: string,
    private readonly _storage: Pick<Storage, 'getItem' | 'setItem'> | null,
    private readonly _now: () => number = Date.now
  ) {}

  /** Whether help was asked for a moment ago. */
  has(path: string): boolean {
    return Object.keys(this._read()).includes(path);
  }

  /** Notes that help is asked for now. */
  note(path: string): void {
    this._write({ ...this._read(), [path]: this._now() });
  }

  /** Notes that help is not asked for any more. */
  forget(path: string): void {
    const paths = this._read();
    delete paths[path];
    this._write(paths);
  }

  private _read(): Record<string, number> {
    try {
      const stored = JSON.parse(this._storage?.getItem(this._key) ?? '{}') as object;
      const fresh = Object.entries(stored).filter(
        ([, time]) => typeof time === 'number' && this._now() - time < MAX_AGE_MS
      );
      return Object.fromEntries(fresh);
    } catch {
      return {};
    }
  }

  private _write(paths: Readonly<Record<string, number>>): void {
    try {
      this._storage?.setItem(this._key, JSON.stringify(paths));
    } catch {
      // Then help ends with the page.
    }
  }
}

/** The storage of this tab's session, null where the browser forbids it. */
export function sessionStorageOrNull(): Storage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
