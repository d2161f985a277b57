import { describe, expect, it, vi } from "vitest";
import type { Row } from "../src/api";
import { differences, earlier } from "../src/diff";
import { shown } from "../src/edges";
import { read } from "../src/view";

// The view is that of a page.
vi.hoisted(() => Object.assign(globalThis, { location: { pathname: "/", search: "" }, addEventListener: () => undefined }));

const row = (name: string, opened: number, refused = 0, bucket = 300, answers = opened): Row => ({
  edge: { source: { name: "a", namespace: "x" }, destination: { name, namespace: "x" }, port: 1, protocol: 6 },
  counters: { opened, refused },
  connect: { bucket: [bucket], count: [answers] },
});
const told = (before: Row[], after: Row[]) => differences({ edges: before }, { edges: after }).map((of) => [of.what, shown(of.edge?.destination)]);

describe("what is other than before", () => {
  it("is said of edges, the worst first", () => {
    const before = [row("b", 100), row("c", 100), row("d", 100), row("e", 100, 50), row("f", 100, 0, 400), row("same", 100)];
    const after = [row("b", 100, 30), row("c", 100, 0, 330), row("e", 100), row("f", 100), row("g", 5), row("same", 100)];
    expect(told(before, after)).toEqual([
      ["fails more", "x/b"],
      ["slower", "x/c"],
      ["gone", "x/d"],
      ["new", "x/g"],
      ["fails less", "x/e"],
      ["faster", "x/f"],
    ]);
  });

  it("is not said of chance: two failures, one of a hundred, few answers, a little slower", () => {
    const before = [row("b", 10), row("c", 1000), row("d", 30, 0, 300, 19), row("e", 100)];
    const after = [row("b", 10, 2), row("c", 1000, 9), row("d", 30, 0, 400, 30), row("e", 100, 0, 315)];
    expect(told(before, after)).toEqual([]);
  });

  it("is compared with the span before, or with the marked time", () => {
    const now = Date.parse("2026-01-01T12:00:00Z");
    expect(earlier(read("/diff", "?span=15m"), now)).toEqual({ since: "2026-01-01T11:30:00.000Z", until: "2026-01-01T11:45:00.000Z" });
    expect(earlier(read("/diff", "?span=1h&at=2026-01-01T10:00:00Z"), now)).toEqual({ since: "2026-01-01T08:00:00.000Z", until: "2026-01-01T09:00:00.000Z" });
    expect(earlier(read("/diff", "?span=1h&mark=2026-01-01T03:00:00Z"), now)).toEqual({ since: "2026-01-01T02:00:00.000Z", until: "2026-01-01T03:00:00.000Z" });
  });
});
