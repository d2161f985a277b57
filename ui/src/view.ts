// What is on screen, all of it in the URL: a link shows others the same.
import { createSignal } from "solid-js";
import { seconds } from "./format";

export const SCREENS = ["home", "map", "failing", "denied", "exposed", "http", "dns", "kafka", "resolved", "latency", "worst", "records", "nodes"] as const;
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
  /** The map: what an edge says. */
  label: string;
  /** The map: workload, namespace, or by their number. */
  scope: string;
};

export const SPANS = ["5m", "15m", "1h", "6h", "24h", "7d"];

const EMPTY: View = { screen: "home", span: "15m", at: "", q: "", pick: "", only: "", sort: "", bad: "", label: "", scope: "" };
const NAMES = Object.keys(EMPTY).filter((name) => name !== "screen") as Exclude<keyof View, "screen">[];

/** The view of a URL; what is not meant well is left out. */
export function read(path: string, query: string): View {
  const screen = SCREENS.find((of) => of === path.replace(/^\/|\/$/g, "")) ?? "home";
  const given = new URLSearchParams(query);
  const view: View = { ...EMPTY, screen };
  for (const name of NAMES) view[name] = given.get(name) ?? EMPTY[name];
  if (seconds(view.span) === undefined) view.span = EMPTY.span;
  if (Number.isNaN(Date.parse(view.at))) view.at = "";
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

/** Another screen: time and filter stay, the rest is of the old one. */
export const go = (screen: Screen, change: Partial<View> = {}): void =>
  show({ ...EMPTY, screen, span: view().span, at: view().at, q: view().q, ...change });

/** Where a link to another screen leads. */
export const to = (screen: Screen, change: Partial<View> = {}): string =>
  href({ ...EMPTY, screen, span: view().span, at: view().at, q: view().q, ...change });

addEventListener("popstate", () => put(read(location.pathname, location.search)));

/** From when and up to when, as the relay takes it. */
export function range(of: View): { since: string; until: string } {
  const length = seconds(of.span) ?? 900;
  if (!of.at) return { since: `${length}s`, until: "" };
  return { since: new Date(Date.parse(of.at) - length * 1000).toISOString(), until: of.at };
}

/** Stops the time where it is, or lets it go on. */
export const pause = (): void => show({ at: view().at ? "" : new Date().toISOString() });

/** Half a span back or forth; beyond now it goes on again. */
export function step(way: -1 | 1): void {
  const of = view();
  const end = of.at ? Date.parse(of.at) : Date.now();
  const next = end + (way * (seconds(of.span) ?? 900) * 1000) / 2;
  show({ at: next >= Date.now() ? "" : new Date(next).toISOString() });
}
