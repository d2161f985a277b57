// The command that answers on a terminal what is on screen.
import { type Filter, parse } from "./language";
import tiles from "./tiles.json";
import { type View, range } from "./view";
import { pair } from "./why";

const COMMANDS: Partial<Record<View["screen"], string>> = {
  map: "map",
  failing: "failing",
  denied: "denied",
  exposed: "exposed",
  latency: "latency",
  worst: "worst",
};

/** A word as a shell takes it. */
export const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function times(view: View): string[] {
  const { since, until } = range(view);
  return until ? ["--since", since, "--until", until] : ["--since", view.span.replace(/^(\d+)d$/, (_, days) => `${Number(days) * 24}h`)];
}

function who(filter: Filter): string[] {
  const flags: [string, string | undefined][] = [
    ["--from", filter.from],
    ["--to", filter.to],
    ["--namespace", filter.ns],
  ];
  return flags.flatMap(([flag, value]) => (value ? [flag, value] : []));
}

function observe(view: View, filter: Filter): string[] {
  const words = ["hubble", "observe", ...(view.at ? times(view) : ["--follow"])];
  const flags: [string, string | undefined][] = [
    ["--from-pod", filter.from],
    ["--to-pod", filter.to],
    ["--namespace", filter.ns],
    ["--to-port", filter.port],
    ["--protocol", filter.proto ?? (["http", "dns", "kafka"].includes(view.only) ? view.only : undefined)],
    ["--type", view.only === "conn" ? "trace" : undefined],
    ["--type", view.only === "conn" ? "policy-verdict" : undefined],
    ["--verdict", view.only === "drop" ? "DROPPED" : filter.verdict?.toUpperCase()],
  ];
  return [...words, ...flags.flatMap(([flag, value]) => (value ? [flag, value] : []))];
}

/** Commands of what is said: names and failing ones are asked for by each in its own way. */
function spoken(view: View, filter: Filter): string[] {
  const name = filter.name && !filter.name.includes("*") ? `*${filter.name}*` : filter.name;
  const screen = view.screen;
  if (screen === "resolved") return [screen, name ?? "*"];
  return [screen, ...(name && screen !== "http" ? [name] : []), ...(view.bad ? [screen === "http" ? "--errors" : "--failing"] : [])];
}

const COMMANDS_OF_TILES: Record<string, string[]> = tiles.commands;

/** The command that tells what a tile of the first screen tells. */
export const ofTile = (key: string, view: View): string => ["axoneme", ...(COMMANDS_OF_TILES[key] ?? []), ...times(view), ...who(parse(view.q)), "-P"].map(quoted).join(" ");

export function command(view: View): string {
  const filter = parse(view.q);
  const two = pair(view.why);
  // It is asked of the agent of a node, which knows its pods.
  if (two?.to) return ["axoneme", "why", two.from, two.to].map(quoted).join(" ");
  const words = ((): string[] => {
    if (view.screen === "diff") return ["diff", ...times(view), ...(view.mark ? ["--before", view.mark] : []), ...who(filter)];
    if (view.screen === "records") return observe(view, filter);
    if (view.screen === "nodes") return ["hubble", "list", "nodes"];
    if (view.screen === "failing" && view.only === "tcp") return ["tcp", "--failing", ...times(view), ...who(filter)];
    if (view.screen === "failing" && view.only === "unanswered") return ["tcp", "--unanswered", ...times(view), ...who(filter)];
    if (["http", "dns", "kafka", "resolved"].includes(view.screen)) return [...spoken(view, filter), ...times(view), ...who(filter)];
    return [COMMANDS[view.screen] ?? "failing", ...times(view), ...who(filter)];
  })();
  return ["axoneme", ...words, "-P"].map(quoted).join(" ");
}
