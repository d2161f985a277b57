// A table of rows of one height, of which only those in sight are drawn. Sorted by a column, walked through by keys.
import { For, type JSX, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from "solid-js";
import { useRows } from "../keys";
import { show, view } from "../view";

export type Column<T> = {
  name: string;
  cell: (row: T) => JSX.Element;
  /** By what it is sorted. */
  by?: (row: T) => number | string;
  /** Numbers stand right, one below the other. */
  number?: boolean;
  /** Takes what is left of the width. */
  wide?: boolean;
  /** Gives way where there is little room. */
  minor?: boolean;
  title?: string;
};

/** Who begins and who is asked, as a filter names them. */
export type Ends = { from: string; to: string };

const HEIGHT = 30;
/** Rows drawn beyond what is in sight, each way. */
const BEYOND = 10;

export function Table<T>(props: {
  label: string;
  rows: T[];
  columns: Column<T>[];
  key: (row: T) => string;
  ends?: (row: T) => Ends | undefined;
  /** Rows that come at the end are followed. */
  follow?: boolean;
}): JSX.Element {
  let box!: HTMLDivElement;
  const [top, setTop] = createSignal(0);
  const [height, setHeight] = createSignal(600);
  const sorted = createMemo(() => {
    const name = view().sort.replace(/^-/, "");
    const column = props.columns.find((of) => of.name === name);
    if (!column?.by) return props.rows;
    const by = column.by;
    const way = view().sort.startsWith("-") ? 1 : -1;
    return [...props.rows].sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * way;
    });
  });
  const first = () => Math.max(0, Math.floor(top() / HEIGHT) - BEYOND);
  const last = () => Math.min(sorted().length, Math.ceil((top() + height()) / HEIGHT) + BEYOND);
  const seen = createMemo(() => sorted().slice(first(), last()));

  function move(by: number): void {
    const all = sorted();
    if (all.length === 0) return;
    const at = all.findIndex((row) => props.key(row) === view().pick);
    const next = Math.min(Math.max(at + by, 0), all.length - 1);
    const row = all[at < 0 ? 0 : next];
    if (!row) return;
    show({ pick: props.key(row) }, "replace");
    reveal(at < 0 ? 0 : next);
  }
  function reveal(index: number): void {
    const from = index * HEIGHT;
    if (from < box.scrollTop) box.scrollTop = from;
    else if (from + 2 * HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = from + 2 * HEIGHT - box.clientHeight;
  }
  useRows({
    move,
    ends: () => {
      const row = sorted().find((of) => props.key(of) === view().pick);
      return row && props.ends?.(row);
    },
    open: () => {
      if (!view().pick) move(0);
      document.querySelector<HTMLElement>("#details")?.focus();
    },
  });
  onMount(() => {
    const watcher = new ResizeObserver(() => setHeight(box.clientHeight));
    watcher.observe(box);
    onCleanup(() => watcher.disconnect());
  });
  createEffect(
    on(
      () => [props.follow, props.rows.length],
      () => props.follow && queueMicrotask(() => (box.scrollTop = box.scrollHeight)),
    ),
  );
  const sort = (column: Column<T>): void => {
    const now = view().sort;
    show({ sort: now === column.name ? `-${column.name}` : now === `-${column.name}` ? "" : column.name }, "replace");
  };
  const order = (column: Column<T>): "ascending" | "descending" | "none" =>
    view().sort === column.name ? "descending" : view().sort === `-${column.name}` ? "ascending" : "none";

  return (
    <div class="table" ref={box} tabindex="0" role="region" aria-label={props.label} onScroll={() => setTop(box.scrollTop)}>
      <table aria-rowcount={sorted().length + 1}>
        <thead>
          <tr>
            <For each={props.columns}>
              {(column) => (
                <th scope="col" classList={{ number: !!column.number, wide: !!column.wide, minor: !!column.minor }} aria-sort={column.by ? order(column) : undefined} title={column.title}>
                  <Show when={column.by} fallback={column.name}>
                    <button type="button" onClick={() => sort(column)}>
                      {column.name}
                      <span aria-hidden="true">{order(column) === "none" ? "" : order(column) === "descending" ? " ↓" : " ↑"}</span>
                    </button>
                  </Show>
                </th>
              )}
            </For>
          </tr>
        </thead>
        <tbody>
          <Show when={first() > 0}>
            <tr aria-hidden="true" class="gap" style={{ height: `${first() * HEIGHT}px` }} />
          </Show>
          <For each={seen()}>
            {(row) => (
              <tr
                aria-selected={props.key(row) === view().pick}
                classList={{ picked: props.key(row) === view().pick }}
                onClick={() => show({ pick: props.key(row) === view().pick ? "" : props.key(row) }, view().pick ? "replace" : "push")}
              >
                <For each={props.columns}>{(column) => <td classList={{ number: !!column.number, wide: !!column.wide, minor: !!column.minor }}>{column.cell(row)}</td>}</For>
              </tr>
            )}
          </For>
          <Show when={last() < sorted().length}>
            <tr aria-hidden="true" class="gap" style={{ height: `${(sorted().length - last()) * HEIGHT}px` }} />
          </Show>
        </tbody>
      </table>
    </div>
  );
}
