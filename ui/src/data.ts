// The answers that screens show, each asked for while a screen needs it.
import { type Accessor, createEffect, createMemo, createSignal, on } from "solid-js";
import type { DnsAnswer, ExposedAnswer, FailingAnswer, History, HttpAnswer, KafkaAnswer, MapAnswer, NodesAnswer, ResolvedAnswer } from "./api";
import { earlier } from "./diff";
import { parse } from "./language";
import { poll } from "./poll";
import tiles from "./tiles.json";
import { type Screen, range, view } from "./view";

/** What the tiles of the first screen are made of, and with which parameters beside time and filter it is asked for. */
const TILES: Record<string, Record<string, string>> = tiles.asks;

/** Which other screens are made of what. */
const NEEDED: Record<string, Screen[]> = {
  "answers/map": ["map", "latency", "worst", "diff"],
  before: ["diff"],
  "answers/failing": ["map", "failing", "denied"],
  "answers/exposed": ["exposed"],
  "answers/http": ["http"],
  "answers/dns": ["dns"],
  "answers/kafka": ["kafka"],
  "answers/resolved": ["resolved"],
  history: ["home"],
  nodes: ["nodes"],
};

/** Milliseconds in which a large map is drawn, and nothing else is asked for. */
export const PEACE = 1500;

export function answers(now: Accessor<number>) {
  const parameters = createMemo(() => {
    const filter = parse(view().q);
    return { ...range(view()), from: filter.from ?? "", to: filter.to ?? "", namespace: filter.ns ?? "" };
  });
  // Who looks at connections sees resets as well.
  const resets = createMemo(() => ({ ...parameters(), ...TILES["answers/failing"] }));
  const said = createMemo(() => {
    const home = view().screen === "home";
    // Paths are searched by words.
    const isNamed = !home && view().screen !== "http";
    const name = parse(view().q).name;
    // Letters alone are looked for anywhere in a name.
    const pattern = name && !name.includes("*") ? `*${name}*` : (name ?? "");
    return { ...parameters(), pattern: isNamed ? pattern : "", failing: !home && view().bad ? "true" : "" };
  });
  const of = (path: string) => createMemo((): Record<string, string> => ({ ...said(), ...(view().screen === "home" ? TILES[path] : {}) }));
  // The earlier span moves with the later one, unless it is marked.
  const before = createMemo(() => ({ ...parameters(), ...earlier(view(), Math.floor(now() / 5000) * 5000) }));
  const live = () => view().at === "";
  const isNeeded = (path: string, screen: Screen): boolean => NEEDED[path]?.includes(screen) === true || (screen === "home" && path in TILES);
  const needed = (path: string) => () => (isNeeded(path, view().screen) ? path : undefined);
  const map = poll<MapAnswer>(needed("answers/map"), parameters, live);
  // A map is drawn before it is known on which causes both nodes of an edge agree.
  const [drawn, setDrawn] = createSignal(false);
  createEffect(
    on(
      () => map().value !== undefined,
      (has) => has && setTimeout(() => setDrawn(true), PEACE),
    ),
  );
  const failing = () => (view().screen === "map" && !drawn() ? undefined : needed("answers/failing")());
  return {
    map,
    before: poll<MapAnswer>(() => (needed("before")() ? "answers/map" : undefined), before, () => false),
    failing: poll<FailingAnswer>(failing, resets, live),
    exposed: poll<ExposedAnswer>(needed("answers/exposed"), parameters, live),
    http: poll<HttpAnswer>(needed("answers/http"), of("answers/http"), live),
    dns: poll<DnsAnswer>(needed("answers/dns"), said, live),
    kafka: poll<KafkaAnswer>(needed("answers/kafka"), of("answers/kafka"), live),
    resolved: poll<ResolvedAnswer>(needed("answers/resolved"), of("answers/resolved"), live),
    history: poll<History>(needed("history"), parameters, live, 15_000),
    nodes: poll<NodesAnswer>(needed("nodes"), () => ({}), () => true),
  };
}

export type Answers = ReturnType<typeof answers>;
