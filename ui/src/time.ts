// The time that the strip at the foot shows: some hours around what is on screen.
import { seconds } from "./format";
import type { View } from "./view";

/** Lengths of the strip, seconds: an hour to four weeks. */
const LENGTHS = [3600, 21_600, 86_400, 604_800, 2_419_200];
/** The strip is at least as many times as long as the span. */
const TIMES = 4;
/** Bars of the strip. */
export const BARS = 60;

export type Strip = { /** Milliseconds since the Unix epoch. */ from: number; to: number; /** It goes on. */ live: boolean };

/** The strip for what is on screen. What is long ago lies within one that moves in quarters, so that steps do not move it. */
export function strip(of: View, now: number): Strip {
  const span = seconds(of.span) ?? 900;
  const length = (LENGTHS.find((one) => one >= span * TIMES) ?? 2_419_200) * 1000;
  const at = of.at ? Date.parse(of.at) : now;
  if (!of.at || at - span * 1000 >= now - length) return { from: now - length, to: now, live: true };
  const quarter = length / 4;
  const to = Math.min(now, Math.ceil((at + quarter / 2) / quarter) * quarter);
  return { from: to - length, to, live: false };
}

/** A span as it is typed: 90s, 15m, 1h30m. */
export function spanText(total: number): string {
  const whole = Math.max(1, Math.round(total));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ];
  return parts
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value}${unit}`)
    .join("");
}

/** Shortest span that can be drawn, seconds. */
const SHORTEST = 10;

/** What a drag from one time to another chooses, milliseconds; up to the end of a strip that goes on, it goes on too. */
export function chosen(of: Strip, one: number, other: number): { span: string; at: string } {
  const [from, to] = [Math.min(one, other), Math.max(one, other)];
  const isEnd = of.live && to >= of.to - (of.to - of.from) / BARS / 2;
  const end = isEnd ? of.to : to;
  return { span: spanText(Math.max(SHORTEST, Math.round((end - from) / 1000))), at: isEnd ? "" : new Date(Math.round(end / 1000) * 1000).toISOString() };
}
