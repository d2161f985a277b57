import { describe, expect, it } from "vitest";
import type { Row } from "../src/api";
import { agreed, edgeKey, failed, merged, quantile, shown, total, worstCause } from "../src/edges";

const row = (to: string, counters: Row["counters"], more: Partial<Row> = {}): Row => ({
  edge: { source: { namespace: "shop", name: "web" }, destination: { namespace: "shop", name: to }, port: 80, protocol: 6 },
  counters,
  ...more,
});

describe("edges", () => {
  it("calls a workload by its namespace and an entity by its name alone", () => {
    expect(shown({ namespace: "shop", name: "web" })).toBe("shop/web");
    expect(shown({ kind: "ENTITY", name: "world" })).toBe("world");
    expect(shown(undefined)).toBe("");
  });

  it("counts as failed what was refused, cut, denied or never answered, and not what came late", () => {
    expect(failed({ opened: "3", reset_by_server: "3", cut: "2" })).toBe(2);
    expect(failed({ opened: "10", refused: "2", unanswered: "4", late: "3", denied: "5", reset_by_server: "9" })).toBe(8);
    expect(failed({ unanswered: "1", late: "3" })).toBe(0);
  });

  it("reads quantiles within one per cent, as the relay does", () => {
    const bucket = (micros: number): number => Math.ceil(Math.log(micros) / Math.log(1.01 / 0.99));
    const buckets = merged([{ bucket: [bucket(100), bucket(1000)], count: ["90", "10"] }]);
    expect(total(buckets)).toBe(100);
    expect(Math.abs((quantile(buckets, 0.5) ?? 0) / 100 - 1)).toBeLessThan(0.0101);
    expect(Math.abs((quantile(buckets, 0.95) ?? 0) / 1000 - 1)).toBeLessThan(0.0101);
    expect(quantile(new Map(), 0.5)).toBeUndefined();
  });

  it("adds sketches up whatever the order of their buckets", () => {
    const sum = merged([{ bucket: [9, 2], count: ["1", "2"] }, undefined, { bucket: [2], count: ["3"] }]);
    expect([...sum].sort(([a], [b]) => a - b)).toEqual([
      [2, 5],
      [9, 1],
    ]);
  });

  it("names the worst cause, of which a reset is none", () => {
    const tally = (kind: "REFUSED" | "DENIED_BY_RULE" | "RESET_BY_CLIENT") => ({ cause: { kind }, count: "1" });
    expect(worstCause([row("a", {}, { failures: [tally("DENIED_BY_RULE"), tally("REFUSED")] })])).toBe("REFUSED");
    expect(worstCause([row("a", {}, { failures: [tally("RESET_BY_CLIENT")] })])).toBeUndefined();
    expect(worstCause([row("a", {}, { failures: [{ cause: { kind: "REFUSED" } }] })])).toBeUndefined();
  });

  it("tells edges apart by their ports", () => {
    expect(edgeKey(row("a", {}).edge)).not.toBe(edgeKey({ ...row("a", {}).edge, port: 81 }));
  });

  it("takes causes on which both nodes agree, for the edges that have some", () => {
    const silent = [{ cause: { kind: "UNANSWERED" as const }, count: 3 }];
    const rows = [row("api", {}, { failures: silent }), row("db", {}, { failures: silent })];
    const told = { edge: rows[0]?.edge ?? {}, cause: { kind: "DENIED_BY_RULE" as const }, count: 3 };
    const both = agreed(rows, [told]);
    expect(both.map((of) => worstCause([of]))).toEqual(["DENIED_BY_RULE", "UNANSWERED"]);
    expect(both[1]).toBe(rows[1]);
  });
});
