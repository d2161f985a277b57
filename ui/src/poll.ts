// Answers that are asked for again while time goes on, and kept on screen while the next one comes or fails.
import { type Accessor, createEffect, createSignal, on, onCleanup } from "solid-js";
import { ask } from "./api";

/** How an answer stands. `slow`: nothing to show yet, for longer than an eye takes for "at once". */
export type Asked<T> = { value?: T; error?: string; slow?: boolean; asked?: number };

/** Milliseconds before anything says that it is being waited for. */
const PATIENCE = 300;

/** Asks for `path` whenever its parameters change, and every `period` milliseconds while `live`; nothing while there is no path. */
export function poll<T>(
  path: Accessor<string | undefined>,
  parameters: Accessor<Record<string, string>>,
  live: Accessor<boolean>,
  period = 5000,
): Accessor<Asked<T>> {
  const [answer, put] = createSignal<Asked<T>>({});
  const url = () => JSON.stringify([path(), parameters()]);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: AbortController | undefined;

  async function once(fresh: boolean): Promise<void> {
    clearTimeout(timer);
    const of = path();
    if (!of) return;
    running?.abort();
    const own = (running = new AbortController());
    const waiting = setTimeout(() => put((last) => ({ ...last, slow: true })), PATIENCE);
    try {
      const value = await ask<T>(of, parameters(), own.signal);
      if (!own.signal.aborted) put({ value, asked: Date.now() });
    } catch (error) {
      if (own.signal.aborted) return;
      put((last) => ({ ...(fresh ? {} : last), error: (error as Error).message, slow: false }));
    } finally {
      clearTimeout(waiting);
    }
    // A page that nobody sees asks nothing.
    const again = (): void => {
      if (own.signal.aborted || !live()) return;
      if (document.hidden) timer = setTimeout(again, 1000);
      else void once(false);
    };
    if (live() && !own.signal.aborted) timer = setTimeout(again, period);
  }

  createEffect(on([url, live], ([now], before) => void once(before?.[0] !== now)));
  onCleanup(() => {
    clearTimeout(timer);
    running?.abort();
  });
  return answer;
}
