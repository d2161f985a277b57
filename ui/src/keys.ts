// The keyboard: everything that the mouse can do. What is under a table's rows registers itself while it is on screen.
import { onCleanup, onMount } from "solid-js";
import { type Screen, go, mark, pause, replay, show, step, view } from "./view";

/** What the keys of rows do on the screen that is shown. */
export type Rows = { move: (by: number) => void; open: () => void; ends?: () => { from: string; to: string } | undefined };

let rows: Rows | undefined;
let afterG = Number.NEGATIVE_INFINITY;

/** Lets the keys of rows move these rows, while the component lives. */
export function useRows(own: Rows): void {
  onMount(() => (rows = own));
  onCleanup(() => rows === own && (rows = undefined));
}

const SCREEN_KEYS: Record<string, Screen> = {
  h: "home",
  m: "map",
  f: "failing",
  p: "denied",
  x: "exposed",
  r: "http",
  d: "dns",
  k: "kafka",
  s: "resolved",
  l: "latency",
  w: "worst",
  c: "diff",
  t: "records",
  n: "nodes",
};

/** Key and meaning, as the help shows them. */
export const HELP: [string, string][] = [
  ["g h", "home"],
  ["g m", "map"],
  ["g f", "what fails"],
  ["g p", "denied by policy"],
  ["g x", "reached from outside"],
  ["g r", "HTTP requests"],
  ["g d", "DNS"],
  ["g k", "Kafka"],
  ["g s", "who resolved a name"],
  ["g l", "latency"],
  ["g w", "worst services"],
  ["g c D", "changed: what is other than before"],
  ["g t", "records (flows)"],
  ["g n", "nodes"],
  ["1 … 9 0 …", "open a question by its key, on the first screen"],
  ["j k ↓ ↑", "next and previous row or card"],
  ["Enter", "open the row or card"],
  ["Esc", "close, or leave the field"],
  ["f /", "filter"],
  ["Space", "stop the time, or let it go on"],
  ["[ ]", "half a span back, forth"],
  ["M", "mark this time, to compare with"],
  ["p", "show it again, faster, and stop"],
  ["w", "why these two can or cannot talk"],
  ["b", "what fails alone: map, HTTP, DNS, Kafka"],
  ["+ − 0", "map: nearer, further, all of it"],
  ["e", "the command for what is on screen"],
  ["d", "dark or light"],
  ["?", "this list"],
];

export type Panels = { help: () => void; explain: () => void; close: () => boolean; theme: () => void; question: (key: string) => void };

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) || target.isContentEditable);

/** Whether Space and Enter belong to what has the focus. */
const isPressed = (target: EventTarget | null): boolean => target instanceof HTMLElement && ["BUTTON", "A", "SUMMARY"].includes(target.tagName);

export function listen(panels: Panels): void {
  const plain: Record<string, () => void> = {
    "?": panels.help,
    e: panels.explain,
    d: panels.theme,
    "[": () => step(-1),
    "]": () => step(1),
    j: () => rows?.move(1),
    k: () => rows?.move(-1),
    ArrowDown: () => rows?.move(1),
    ArrowUp: () => rows?.move(-1),
    w: why,
    D: () => go("diff"),
    M: mark,
    p: replay,
    f: focusFilter,
    "/": focusFilter,
    b: () => ["map", "http", "dns", "kafka"].includes(view().screen) && show({ bad: view().bad ? "" : "1" }, "replace"),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (isTyping(event.target)) (event.target as HTMLElement).blur();
      else if (!panels.close() && view().pick) show({ pick: "" });
      return;
    }
    if (isTyping(event.target)) return;
    const key = event.key;
    if (performance.now() - afterG < 1500) {
      afterG = Number.NEGATIVE_INFINITY;
      const screen = SCREEN_KEYS[key];
      if (screen) go(screen);
      event.preventDefault();
      return;
    }
    if (key === "g") {
      afterG = performance.now();
      return;
    }
    if (/^[0-9nqrt]$/.test(key)) return panels.question(key);
    const act = key === " " ? (isPressed(event.target) ? undefined : pause) : key === "Enter" ? (isPressed(event.target) ? undefined : rows?.open) : plain[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** About the two of the row, the link, or the cards. */
function why(): void {
  const two = rows?.ends?.();
  if (two) show({ why: `${two.from}..${two.to}` });
}

function focusFilter(): void {
  document.querySelector<HTMLInputElement>("#filter")?.focus();
}
