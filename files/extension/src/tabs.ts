/** The pages of one browser that share a store. */
export interface ITabs {
  /** Does something that only one page does at a time. */
  alone<T>(task: () => Promise<T>): Promise<T>;
  /** Tells the other pages that the way out is open again. */
  announce(): void;
}

/** A page by itself. */
export const ALONE: ITabs = { alone: task => task(), announce: () => undefined };

/**
 * The pages of this browser that have the same name.
 *
 * Where the browser gives no locks (a page without TLS), each page goes its own way: the server
 * tells by the ids what it has already got.
 */
export function openTabs(name: string, onAnnounced: () => void): ITabs {
  const channel = openChannel(name);
  if (channel) {
    channel.onmessage = onAnnounced;
  }
  return {
    alone: task => alone(name, task),
    announce: () => channel?.postMessage(null)
  };
}

async function alone<T>(name: string, task: () => Promise<T>): Promise<T> {
  let begun = false;
  try {
    return await navigator.locks.request(name, () => {
      begun = true;
      return task();
    });
  } catch (error) {
    if (begun) {
      throw error;
    }
    return task();
  }
}

function openChannel(name: string): BroadcastChannel | null {
  try {
    return new BroadcastChannel(name);
  } catch {
    return null;
  }
}
