import { describe, expect, it } from "vitest";
import type { Row } from "../src/api";
import { tiles } from "../src/tiles";
import { failsInRequests, worst } from "../src/worst";

const row = (to: string, counters: Row["counters"], more: Partial<Row> = {}): Row => ({
  edge: { source: { namespace: "shop", name: "web" }, destination: { namespace: "shop", name: to }, port: 80, protocol: 6 },
  counters,
  ...more,
});

describe("the worst services", () => {
  it("are those with the largest share of failures, and then with the most", () => {
    const rows = [row("a", { opened: "100", refused: "10" }), row("b", { opened: "10", refused: "5" }), row("c", { opened: "10" }), row("d", {})];
    expect(worst(rows).map((of) => of.name)).toEqual(["shop/b", "shop/a", "shop/c"]);
  });

  it("are so for their requests as well, as on the command line", () => {
    const http = [{ requests: "20", status: [{ code: 503, count: "15" }] }];
    const rows = [row("refuses", { opened: "10", refused: "5" }), row("answers", { opened: "10" }, { http })];
    const [first, second] = worst(rows);
    expect([first?.name, second?.name]).toEqual(["shop/answers", "shop/refuses"]);
    expect(first && failsInRequests(first)).toBe(true);
    const tile = tiles({ map: { edges: rows } }).find((of) => of.key === "8");
    expect(tile).toMatchObject({ number: "75.0 %", unit: "of requests fail", tone: "bad", sentence: "shop/answers: 15 of 20 requests by 1 caller." });
  });
});
