// The answers that screens show, each asked for while a screen needs it.
import { createMemo } from "solid-js";
import type { ExposedAnswer, FailingAnswer, History, MapAnswer, NodesAnswer } from "./api";
import { parse } from "./language";
import { poll } from "./poll";
import { type Screen, range, view } from "./view";

/** Which screens are made of what. */
const NEEDED: Record<string, Screen[]> = {
  "answers/map": ["home", "map", "latency", "worst"],
  "answers/failing": ["home", "failing", "denied"],
  "answers/exposed": ["home", "exposed"],
  history: ["home"],
  nodes: ["nodes"],
};

export function answers() {
  const parameters = createMemo(() => {
    const filter = parse(view().q);
    return { ...range(view()), from: filter.from ?? "", to: filter.to ?? "", namespace: filter.ns ?? "" };
  });
  const live = () => view().at === "";
  const needed = (path: string) => () => (NEEDED[path]?.includes(view().screen) ? path : undefined);
  return {
    map: poll<MapAnswer>(needed("answers/map"), parameters, live),
    failing: poll<FailingAnswer>(needed("answers/failing"), parameters, live),
    exposed: poll<ExposedAnswer>(needed("answers/exposed"), parameters, live),
    history: poll<History>(needed("history"), parameters, live, 15_000),
    nodes: poll<NodesAnswer>(needed("nodes"), () => ({}), () => true),
  };
}

export type Answers = ReturnType<typeof answers>;
