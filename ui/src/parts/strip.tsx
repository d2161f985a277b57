// The time under every screen: how much happened and how much of it failed, the span on screen, and the mark. A drag chooses.
import { For, type JSX, Show, createMemo, createSignal, onCleanup, onMount } from "solid-js";
import type { History, Sums } from "../api";
import { clock, count, seconds } from "../format";
import { parse } from "../language";
import { poll } from "../poll";
import { BARS, chosen, strip } from "../time";
import { show, view } from "../view";

const happened = (of: Sums): number => of.opened + of.denied + of.requests + of.questions + of.kafka;
const failedOf = (of: Sums): number => of.failed + of.said_failed;

/** What the screen itself is made of comes first. */
export function TimeStrip(props: { now: number; ready: boolean }): JSX.Element {
  let box!: HTMLDivElement;
  const live = () => view().at === "";
  // What lives on moves by the width of a bar, not with every second.
  const shown = createMemo(() => strip(view(), Math.floor(props.now / 5000) * 5000));
  const asked = createMemo((): Record<string, string> => {
    const of = shown();
    const filter = parse(view().q);
    const length = Math.round((of.to - of.from) / 1000);
    const times = of.live ? { since: `${length}s`, until: "" } : { since: new Date(of.from).toISOString(), until: new Date(of.to).toISOString() };
    return { ...times, spans: String(BARS), from: filter.from ?? "", to: filter.to ?? "", namespace: filter.ns ?? "" };
  });
  const history = poll<History>(
    () => (props.ready ? "history" : undefined),
    asked,
    () => live() || shown().live,
    15_000,
  );
  const bars = createMemo(() => {
    const spans = history().value?.spans ?? [];
    const step = (history().value?.step ?? 1) * 1000;
    const [most, worst] = [Math.max(1, ...spans.map(happened)), Math.max(1, ...spans.map(failedOf))];
    const wide = shown().to - shown().from;
    return spans.map((of) => ({
      of,
      x: ((of.since * 1000 - shown().from) / wide) * 100,
      width: (step / wide) * 100,
      all: (happened(of) / most) * 100,
      // What fails has a scale of its own: it would not be seen beside all that happens.
      failed: failedOf(of) > 0 ? Math.max(8, (failedOf(of) / worst) * 60) : 0,
    }));
  });
  const percent = (time: number): number => Math.min(100, Math.max(0, ((time - shown().from) / (shown().to - shown().from)) * 100));
  const selected = () => {
    const until = view().at ? Date.parse(view().at) : shown().to;
    return [percent(until - (seconds(view().span) ?? 900) * 1000), percent(until)] as const;
  };
  const [drawn, setDrawn] = createSignal<[number, number] | undefined>();
  const place = () => {
    const of = drawn();
    return of ? ([percent(Math.min(...of)), percent(Math.max(...of))] as const) : selected();
  };
  const timeAt = (event: PointerEvent): number => {
    const of = box.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - of.left) / of.width));
    return shown().from + share * (shown().to - shown().from);
  };
  let held: { x: number; time: number } | undefined;
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    held = { x: event.clientX, time: timeAt(event) };
    box.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    if (held && Math.abs(event.clientX - held.x) > 3) setDrawn([held.time, timeAt(event)]);
  };
  const up = (event: PointerEvent): void => {
    const [from, of] = [held, drawn()];
    held = undefined;
    setDrawn(undefined);
    if (!from) return;
    if (of) return show(chosen(shown(), from.time, timeAt(event)));
    // A click: the same span around it.
    const half = ((seconds(view().span) ?? 900) * 1000) / 2;
    show({ at: chosen(shown(), from.time - half, Math.min(from.time + half, shown().to)).at });
  };
  onMount(() => {
    const stop = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && held) (held = undefined), setDrawn(undefined);
    };
    addEventListener("keydown", stop);
    onCleanup(() => removeEventListener("keydown", stop));
  });
  const ticks = createMemo(() => [0, 0.25, 0.5, 0.75, 1].map((of) => ({ of: of * 100, time: shown().from + of * (shown().to - shown().from) })));
  const says = () => {
    const all = bars();
    const failing = all.filter((of) => of.failed > 0).length;
    return `From ${clock(shown().from)} to ${clock(shown().to)}, of which ${view().span} are on screen. Something failed in ${failing} of ${all.length} bars. [ and ] step, Space stops.`;
  };
  return (
    <section class="strip" aria-label="Time">
      <div class="track" ref={box} onPointerDown={down} onPointerMove={move} onPointerUp={up}>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={says()}>
          <For each={bars()}>
            {(bar) => (
              <g>
                <title>{`${clock(bar.of.since * 1000)}: ${count(happened(bar.of))} connections and requests, ${count(failedOf(bar.of))} failed`}</title>
                <rect class="hit" x={bar.x} y="0" width={bar.width} height="100" />
                <rect class="all" x={bar.x} y={100 - bar.all} width={bar.width * 0.82} height={bar.all} />
                <rect class="failed" x={bar.x} y={100 - bar.failed} width={bar.width * 0.82} height={bar.failed} />
              </g>
            )}
          </For>
        </svg>
        <span class="brush" style={{ left: `${place()[0]}%`, width: `${Math.max(0.3, place()[1] - place()[0])}%` }} />
        <Show when={view().mark && Date.parse(view().mark) >= shown().from && Date.parse(view().mark) <= shown().to}>
          <span class="mark-line" style={{ left: `${percent(Date.parse(view().mark))}%` }} />
        </Show>
        <For each={ticks()}>
          {(tick) => (
            <span class="tick" classList={{ begin: tick.of === 0, end: tick.of === 100 }} style={{ left: `${tick.of}%` }}>
              {tick.of === 100 && shown().live ? "now" : clock(tick.time).replace(/:\d\d$/, "")}
            </span>
          )}
        </For>
      </div>
    </section>
  );
}
