import { describe, expect, it } from "vitest";
import { flowFilters, parse, selects, set } from "../src/language";

describe("the filter language", () => {
  it("takes keys, and words for the rest", () => {
    expect(parse("from:shop/web  TO:api port:5432 slow nobody:knows from:")).toEqual({
      from: "shop/web",
      to: "api",
      port: "5432",
      words: ["slow", "nobody:knows"],
    });
  });

  it("puts one key in the place of the same one", () => {
    expect(set("from:a slow", "from", "b/c")).toBe("slow from:b/c");
    expect(set("from:a slow", "from", undefined)).toBe("slow");
  });

  it("selects rows that have the port, the protocol, the cause and every word", () => {
    const row = { text: "shop/web data/postgres", port: "5432/TCP", cause: "refused" };
    for (const [text, expected] of [
      ["", true],
      ["port:5432 proto:tcp cause:ref WEB", true],
      ["port:543", false],
      ["proto:udp", false],
      ["cause:denied", false],
      ["web redis", false],
    ] as const) {
      expect(selects(parse(text), row), text).toBe(expected);
    }
  });

  it("becomes filters of flows, one for each end where a namespace may be either", () => {
    expect(flowFilters(parse(""))).toEqual([]);
    expect(flowFilters(parse("from:world to:shop/api port:80 verdict:dropped"))).toEqual([
      { source_label: ["reserved:world"], destination_pod: ["shop/api"], destination_port: ["80"], verdict: ["DROPPED"] },
    ]);
    expect(flowFilters(parse("ns:shop proto:tcp"))).toEqual([
      { protocol: ["tcp"], source_pod: ["shop/"] },
      { protocol: ["tcp"], destination_pod: ["shop/"] },
    ]);
    expect(flowFilters(parse("ns:shop from:data/x"))).toEqual([{ source_pod: ["data/x"], destination_pod: ["shop/"] }]);
    expect(flowFilters(parse("to:10.0.0.1"))).toEqual([{ destination_ip: ["10.0.0.1"] }]);
    expect(flowFilters(parse("to:api.example.com"))).toEqual([{ destination_fqdn: ["api.example.com"] }]);
  });
});
