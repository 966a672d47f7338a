/**
 * Calls back at a steady pace until the returned function is called.
 *
 * Browsers let the timers of a hidden page fire once a minute only, which is later than a request
 * for help lives; those of a worker they leave alone. Where a page may not start one, its own
 * timer has to do.
 */
export function every(milliseconds: number, callback: () => void): () => void {
  let timer: ReturnType<typeof setInterval> | null = null;
  const useTimer = (): void => {
    timer ??= setInterval(callback, milliseconds);
  };
  const worker = startWorker(`setInterval(() => postMessage(0), ${milliseconds})`);
  if (worker === null) {
    useTimer();
  } else {
    worker.onmessage = callback;
    worker.onerror = event => {
      event.preventDefault();
      useTimer();
    };
  }
  return () => {
    worker?.terminate();
    if (timer !== null) {
      clearInterval(timer);
    }
  };
}

function startWorker(source: string): Worker | null {
  try {
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    const worker = new Worker(url);
    URL.revokeObjectURL(url);
    return worker;
  } catch {
    return null;
  }
}
