import { describe, expect, it, vi } from "vitest";
import { seconds } from "../src/format";
import { chosen, spanText, strip } from "../src/time";
import { read } from "../src/view";

// The view is that of a page.
vi.hoisted(() => Object.assign(globalThis, { location: { pathname: "/", search: "" }, addEventListener: () => undefined }));

const NOW = Date.parse("2026-01-02T12:00:00Z");
const HOUR = 3_600_000;
const at = (query: string) => read("/map", query);

describe("the strip of time", () => {
  it("is at least four times as long as the span, and ends now", () => {
    for (const [span, hours] of [["5m", 1], ["15m", 1], ["16m", 6], ["1h", 6], ["6h", 24], ["24h", 168], ["7d", 672], ["60d", 672]] as const) {
      expect(strip(at(`?span=${span}`), NOW)).toEqual({ from: NOW - hours * HOUR, to: NOW, live: true });
    }
  });

  it("stays where it is while one steps within it, and goes along with what is long ago", () => {
    expect(strip(at("?span=15m&at=2026-01-02T11:20:00Z"), NOW).live).toBe(true);
    const ago = strip(at("?span=15m&at=2026-01-02T09:10:00Z"), NOW);
    expect(ago.live).toBe(false);
    expect(ago.to - ago.from).toBe(HOUR);
    expect(ago.from).toBeLessThanOrEqual(Date.parse("2026-01-02T08:55:00Z"));
    expect(ago.to).toBeGreaterThan(Date.parse("2026-01-02T09:10:00Z"));
    expect(strip(at("?span=15m&at=2026-01-02T09:12:00Z"), NOW)).toEqual(ago);
  });

  it("writes spans as they are read", () => {
    for (const total of [1, 59, 60, 61, 3600, 5400, 86_400, 90_061]) expect(seconds(spanText(total))).toBe(total);
    expect(spanText(0)).toBe("1s");
  });

  it("makes a drag the span on screen, which goes on where it reaches the end", () => {
    const of = strip(at("?span=15m"), NOW);
    expect(chosen(of, NOW - HOUR / 2, NOW - HOUR / 4)).toEqual({ span: "15m", at: "2026-01-02T11:45:00.000Z" });
    expect(chosen(of, NOW - HOUR / 4, NOW - HOUR / 2)).toEqual({ span: "15m", at: "2026-01-02T11:45:00.000Z" });
    expect(chosen(of, NOW - 600_000, NOW - 10_000)).toEqual({ span: "10m", at: "" });
    expect(chosen({ ...of, live: false }, NOW - 600_000, NOW)).toEqual({ span: "10m", at: "2026-01-02T12:00:00.000Z" });
    expect(chosen(of, NOW - HOUR / 2, NOW - HOUR / 2 + 5).span).toBe("10s");
  });
});
