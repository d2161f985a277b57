import { describe, expect, it } from "vitest";
import { age, bytes, duration, lasting, port, rate, seconds, share } from "../src/format";

describe("numbers for people", () => {
  it("have three digits and a unit", () => {
    expect([0, 0.001, 0.5, 42.12, 713.4, 8210].map(rate)).toEqual(["0", "<0.01", "0.50", "42.1", "713", "8,210"]);
    expect([12, 1234, 45_600, 7.8e6, 9e15].map(bytes)).toEqual(["12 B", "1.2 kB", "46 kB", "7.8 MB", "9000.0 TB"]);
    expect([730, 4200, 42_000, 420_000, 4.2e6].map(duration)).toEqual(["730 µs", "4.20 ms", "42.0 ms", "420 ms", "4.20 s"]);
  });

  it("never call something nothing, nor almost everything all", () => {
    expect([share(0, 9), share(1, 1e6), share(999_999, 1e6), share(4, 4), share(1, 0)]).toEqual(["0 %", "0.1 %", "99.9 %", "100.0 %", ""]);
  });

  it("say how long ago and how long something is", () => {
    const now = Date.parse("2026-01-02T03:04:05Z");
    expect(["2026-01-02T03:04:04Z", "2026-01-02T03:03:05Z", "2026-01-02T02:04:05Z", "2025-12-31T00:00:00Z"].map((time) => age(time, now))).toEqual([
      "now",
      "60 s ago",
      "60 min ago",
      "2 days ago",
    ]);
    expect([5, 65, 7260, 90_061].map(lasting)).toEqual(["5 s", "1 min 5 s", "2 h 1 min", "1 d 1 h"]);
    expect(["90s", "1h30m", "7d", "", "5", "h", "5 m"].map(seconds)).toEqual([90, 5400, 604_800, undefined, undefined, undefined, undefined]);
    expect([port(443, 6), port(undefined, 1), port(9, 200)]).toEqual(["443/TCP", "ICMP", "9/200"]);
  });
});
