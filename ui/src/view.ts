// What is on screen, all of it in the URL: a link shows others the same.
import { createSignal } from "solid-js";
import { seconds } from "./format";

export const SCREENS = ["home", "map", "failing", "denied", "exposed", "http", "dns", "kafka", "resolved", "latency", "worst", "diff", "records", "nodes"] as const;
export type Screen = (typeof SCREENS)[number];

export type View = {
  screen: Screen;
  /** How much time: 15m, 1h. */
  span: string;
  /** Where it ends, RFC 3339; empty: now, and it goes on. */
  at: string;
  /** The filter, as typed. */
  q: string;
  /** What is selected: a party, an edge, or a row. */
  pick: string;
  /** What a question is narrowed to: tcp, unanswered, said. */
  only: string;
  /** By which column a table is sorted; with a minus, the largest last. */
  sort: string;
  /** Failing ones alone: links of the map, requests, questions, topics. */
  bad: string;
  /** Whom it is asked about why they can or cannot talk: A..B. */
  why: string;
  /** The time that others are compared with, RFC 3339. */
  mark: string;
  /** How many seconds of what is over pass in one: 10, 60; empty: it stands still. */
  play: string;
  /** The map: what an edge says. */
  label: string;
  /** The map: workload, namespace, or by their number. */
  scope: string;
};

/** How fast what is over is shown again: seconds that pass in one. */
export const SPEEDS = ["", "1", "10", "60"];

export const SPANS = ["5m", "15m", "1h", "6h", "24h", "7d"];

const EMPTY: View = { screen: "home", span: "15m", at: "", q: "", pick: "", only: "", sort: "", bad: "", why: "", mark: "", play: "", label: "", scope: "" };
const NAMES = Object.keys(EMPTY).filter((name) => name !== "screen") as Exclude<keyof View, "screen">[];

/** The view of a URL; what is not meant well is left out. */
export function read(path: string, query: string): View {
  const screen = SCREENS.find((of) => of === path.replace(/^\/|\/$/g, "")) ?? "home";
  const given = new URLSearchParams(query);
  const view: View = { ...EMPTY, screen };
  for (const name of NAMES) view[name] = given.get(name) ?? EMPTY[name];
  if (seconds(view.span) === undefined) view.span = EMPTY.span;
  if (Number.isNaN(Date.parse(view.at))) view.at = "";
  if (Number.isNaN(Date.parse(view.mark))) view.mark = "";
  if (!SPEEDS.includes(view.play) || !view.at) view.play = "";
  return view;
}

/** The URL of a view, without what is as always. */
export function href(view: View): string {
  const query = new URLSearchParams(NAMES.filter((name) => view[name] !== EMPTY[name]).map((name) => [name, view[name]]));
  const text = query.toString().replaceAll("%3A", ":").replaceAll("%2F", "/");
  return `/${view.screen === "home" ? "" : view.screen}${text ? `?${text}` : ""}`;
}

const [view, put] = createSignal<View>(read(location.pathname, location.search));
export { view };

/** Changes what is on screen. Another screen, time or selection can be gone back from; what is typed cannot. */
export function show(change: Partial<View>, how: "push" | "replace" = "push"): void {
  const next = { ...view(), ...change };
  const url = href(next);
  if (url === href(view())) return;
  if (how === "push") history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  put(next);
}

/** What stays from one screen to the next. */
function kept(): Partial<View> {
  const { span, at, q, mark } = view();
  return { span, at, q, mark };
}

/** Another screen: time and filter stay, the rest is of the old one. */
export const go = (screen: Screen, change: Partial<View> = {}): void =>
  show({ ...EMPTY, ...kept(), screen, ...change });

/** Where a link to another screen leads. */
export const to = (screen: Screen, change: Partial<View> = {}): string =>
  href({ ...EMPTY, ...kept(), screen, ...change });

addEventListener("popstate", () => put(read(location.pathname, location.search)));

/** From when and up to when, as the relay takes it. */
export function range(of: View): { since: string; until: string } {
  const length = seconds(of.span) ?? 900;
  if (!of.at) return { since: `${length}s`, until: "" };
  return { since: new Date(Date.parse(of.at) - length * 1000).toISOString(), until: of.at };
}

/** Stops the time where it is, or lets it go on. */
export const pause = (): void => show({ at: view().at ? "" : new Date().toISOString(), play: "" });

/** The next speed. From now on it goes back to the beginning of the span first. */
export function replay(): void {
  const next = SPEEDS[(SPEEDS.indexOf(view().play) + 1) % SPEEDS.length] ?? "";
  show({ play: next, at: view().at || new Date(Date.now() - (seconds(view().span) ?? 900) * 1000).toISOString() }, "replace");
}

/** What is on screen a second later, while it is shown again; at the end it lives on. */
export function pass(now: number): void {
  const { at, play } = view();
  if (!at || !play) return;
  const next = Date.parse(at) + Number(play) * 1000;
  show(next >= now ? { at: "", play: "" } : { at: new Date(next).toISOString() }, "replace");
}

/** Marks the time on screen, and compares with it. */
export const mark = (): void => show({ mark: view().at || new Date().toISOString() });

/** Half a span back or forth; beyond now it goes on again. */
export function step(way: -1 | 1): void {
  const of = view();
  const end = of.at ? Date.parse(of.at) : Date.now();
  const next = end + (way * (seconds(of.span) ?? 900) * 1000) / 2;
  show({ at: next >= Date.now() ? "" : new Date(next).toISOString(), play: "" });
}
