// The answers that screens show, each asked for while a screen needs it.
import { type Accessor, createEffect, createMemo, createSignal, on } from "solid-js";
import type { DnsAnswer, ExposedAnswer, FailingAnswer, History, HttpAnswer, KafkaAnswer, MapAnswer, NodesAnswer, ResolvedAnswer } from "./api";
import { earlier } from "./diff";
import { parse } from "./language";
import { poll } from "./poll";
import { type Screen, range, view } from "./view";

/** Which screens are made of what. */
const NEEDED: Record<string, Screen[]> = {
  "answers/map": ["home", "map", "latency", "worst", "diff"],
  before: ["diff"],
  "answers/failing": ["home", "map", "failing", "denied"],
  "answers/exposed": ["home", "exposed"],
  "answers/http": ["home", "http"],
  "answers/dns": ["dns"],
  "answers/kafka": ["home", "kafka"],
  "answers/resolved": ["home", "resolved"],
  history: ["home"],
  nodes: ["nodes"],
};

/** Entries that a question of the first screen names some of. */
const NAMED = 20;

/** Milliseconds in which a large map is drawn, and nothing else is asked for. */
export const PEACE = 1500;

export function answers(now: Accessor<number>) {
  const parameters = createMemo(() => {
    const filter = parse(view().q);
    return { ...range(view()), from: filter.from ?? "", to: filter.to ?? "", namespace: filter.ns ?? "" };
  });
  const resets = createMemo(() => ({ ...parameters(), resets: "true" }));
  const said = createMemo(() => {
    const home = view().screen === "home";
    // Paths are searched by words.
    const isNamed = !home && view().screen !== "http";
    const name = parse(view().q).name;
    // Letters alone are looked for anywhere in a name.
    const pattern = name && !name.includes("*") ? `*${name}*` : (name ?? "");
    return { ...parameters(), pattern: isNamed ? pattern : "", failing: !home && view().bad ? "true" : "" };
  });
  const busiest = createMemo((): Record<string, string> => ({ ...said(), limit: view().screen === "home" ? String(NAMED) : "" }));
  // The earlier span moves with the later one, unless it is marked.
  const before = createMemo(() => ({ ...parameters(), ...earlier(view(), Math.floor(now() / 5000) * 5000) }));
  const live = () => view().at === "";
  const needed = (path: string) => () => (NEEDED[path]?.includes(view().screen) ? path : undefined);
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
    http: poll<HttpAnswer>(needed("answers/http"), busiest, live),
    dns: poll<DnsAnswer>(needed("answers/dns"), said, live),
    kafka: poll<KafkaAnswer>(needed("answers/kafka"), said, live),
    resolved: poll<ResolvedAnswer>(needed("answers/resolved"), busiest, live),
    history: poll<History>(needed("history"), parameters, live, 15_000),
    nodes: poll<NodesAnswer>(needed("nodes"), () => ({}), () => true),
  };
}

export type Answers = ReturnType<typeof answers>;
