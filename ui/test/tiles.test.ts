import { describe, expect, it } from "vitest";
import type { ExposedAnswer, FailingAnswer, HttpAnswer, KafkaAnswer, MapAnswer, ResolvedAnswer } from "../src/api";
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
    expect(tiles({ map, failing, exposed: outside }).map((tile) => tile.key)).toEqual(["2", "3", "5", "8", "1", "4", "6", "7", "0", "q", "n"]);
  });

  it("answer in numbers of the answers", () => {
    const of = (key: string) => tiles({ map, failing, exposed: outside }).find((tile) => tile.key === key);
    expect(of("1")?.number).toBe("2.00");
    expect(of("2")?.number).toBe("2");
    expect(of("3")?.number).toBe("6");
    expect(of("5")).toMatchObject({ number: "2", tone: "denied" });
    expect(of("8")?.sentence).toContain("6 of 120 attempts by 1 caller");
    expect(of("2")?.sentence).toContain("nothing listens on port 80 of shop/api");
  });

  it("are not there without their answer", () => {
    expect(tiles({ exposed: outside }).map((tile) => tile.key)).toEqual(["6"]);
    expect(tiles({})).toEqual([]);
  });

  it("say so where nothing is wrong", () => {
    const well = tiles({ map: { edges: [] }, failing: {}, exposed: {}, http: {}, kafka: {}, resolved: {} });
    expect(well.length).toBe(14);
    expect(well.every((tile) => tile.tone === "ok")).toBe(true);
    expect(well.find((tile) => tile.key === "2")).toMatchObject({ number: "0", sentence: "Nothing fails." });
  });

  it("of what is said are calm where nothing is seen", () => {
    const calm = tiles({ map: { edges: [] }, failing: {}, exposed: {}, http: { encrypted: "1" }, kafka: {}, resolved: {} });
    const of = (key: string) => calm.find((tile) => tile.key === key);
    for (const key of ["9", "0", "q", "n", "t", "r"]) expect(of(key), key).toMatchObject({ number: "–", unit: "", tone: "ok" });
    for (const key of ["9", "0", "q", "n", "t", "r"]) expect(of(key)?.sentence, key).toMatch(/ in this time\./);
    expect(of("9")?.sentence).toContain("1 connection more is encrypted.");
  });

  it("of what is said have their numbers from the map and their words from the failures", () => {
    const took = { bucket: [400, 500], count: ["94", "6"] };
    const talk: MapAnswer = {
      since: "2026-01-01T00:00:00Z",
      until: "2026-01-01T00:01:00Z",
      edges: [
        {
          edge,
          http: [{ requests: "120", status: [{ code: 200, count: "100" }, { code: 404, count: "14" }, { code: 503, count: "4" }], unanswered: "2", latency: took }],
          dns: [{ questions: "50", codes: [{ count: "40" }, { code: 3, count: "8" }, { code: 2, count: "1" }], searched: "5", timeouts: "1" }],
        },
      ],
    };
    const wrong: FailingAnswer = {
      failures: [
        { edge, cause: { kind: "HTTP_ERROR", code: 503 }, sentence: "shop/api answers 503 to GET /", count: "4", layer: "L7" },
        { edge, cause: { kind: "DNS_ERROR", code: 2 }, sentence: "dns answers SERVFAIL", count: "1", layer: "L7" },
      ],
    };
    const http: HttpAnswer = { requests: [{ service: "shop/api", counters: { method: "GET", path: "/", requests: "120" } }] };
    const kafka: KafkaAnswer = {
      topics: [
        { edge, counters: { topic: "orders", produces: "3" } },
        { edge, counters: { topic: "orders", fetches: "3", errors: [{ code: 3, count: "2" }] } },
      ],
    };
    const resolved: ResolvedAnswer = { resolutions: [{ source: edge.source, name: "a.example", connections: "2" }] };
    const all = tiles({ map: talk, failing: wrong, http, kafka, resolved });
    const of = (key: string) => all.find((tile) => tile.key === key);
    expect(of("9")).toMatchObject({ number: "2.00", sentence: "Mostly GET / of shop/api." });
    expect(of("0")).toMatchObject({ number: "16.7 %", tone: "bad" });
    expect(of("0")?.sentence).toContain("shop/web: shop/api answers 503 to GET /. 14 with 4xx, 4 with 5xx, 2 without an answer.");
    expect(of("q")?.unit).toContain("ms p95");
    // Eight without such a name, of which five were of a search; one server at fault, one silent.
    expect(of("n")).toMatchObject({ number: "10.0 %", tone: "bad" });
    expect(of("n")?.sentence).toContain("3 without such a name, 1 refused or failed, 1 timed out.");
    expect(of("t")).toMatchObject({ number: "1", tone: "bad", sentence: "1 producer, 1 consumer. shop/web gets UNKNOWN_TOPIC_OR_PARTITION for orders." });
    expect(of("r")?.sentence).toContain("connected to it 2 times.");
  });

  it("draw gaps where nothing is known", () => {
    expect(runs([1, undefined, 2, 4])).toEqual([[[0, 0.25]], [[2 / 3, 0.5], [1, 1]]]);
    expect(runs([0, 0])).toEqual([[[0, 0], [1, 0]]]);
    expect(runs([])).toEqual([]);
  });
});
