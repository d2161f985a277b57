import { describe, expect, it } from "vitest";
import type { ExposedAnswer, FailingAnswer, MapAnswer } from "../src/api";
import { runs, tiles } from "../src/tiles";

const edge = { source: { namespace: "shop", name: "web" }, destination: { namespace: "shop", name: "api" }, port: 80, protocol: 6 };
const map: MapAnswer = { since: "2026-01-01T00:00:00Z", until: "2026-01-01T00:01:00Z", edges: [{ edge, counters: { opened: "120", refused: "6" } }] };
const failing: FailingAnswer = {
  failures: [
    { edge, cause: { kind: "REFUSED" }, fault: "FAULT_SERVER", sentence: "nothing listens on port 80 of shop/api", count: "6", attempts: "120" },
    { edge, cause: { kind: "DENIED_BY_RULE" }, sentence: "a policy denies it", count: "2" },
  ],
};
const outside: ExposedAnswer = { exposures: [{ destination: edge.destination, service: "shop/api", port: 80, protocol: 6, connections: "9", outsiders: [{ address: "203.0.113.7" }] }] };

describe("the questions", () => {
  it("stand with what is red first", () => {
    expect(tiles(map, failing, outside).map((tile) => tile.key)).toEqual(["2", "3", "5", "8", "1", "4", "6", "7"]);
  });

  it("answer in numbers of the answers", () => {
    const of = (key: string) => tiles(map, failing, outside).find((tile) => tile.key === key);
    expect(of("1")?.number).toBe("2.00");
    expect(of("2")?.number).toBe("2");
    expect(of("3")?.number).toBe("6");
    expect(of("5")).toMatchObject({ number: "2", tone: "denied" });
    expect(of("8")?.sentence).toContain("6 of 120 attempts by 1 caller");
    expect(of("2")?.sentence).toContain("nothing listens on port 80 of shop/api");
  });

  it("are not there without their answer", () => {
    expect(tiles(undefined, undefined, outside).map((tile) => tile.key)).toEqual(["6"]);
    expect(tiles()).toEqual([]);
  });

  it("say so where nothing is wrong", () => {
    const well = tiles({ edges: [] }, {}, {});
    expect(well.every((tile) => tile.tone === "ok")).toBe(true);
    expect(well.find((tile) => tile.key === "2")).toMatchObject({ number: "0", sentence: "Nothing fails." });
  });

  it("draw gaps where nothing is known", () => {
    expect(runs([1, undefined, 2, 4])).toEqual([[[0, 0.25]], [[2 / 3, 0.5], [1, 1]]]);
    expect(runs([0, 0])).toEqual([[[0, 0], [1, 0]]]);
    expect(runs([])).toEqual([]);
  });
});
