import { beforeAll, describe, expect, it, vi } from "vitest";

describe("the view", () => {
  beforeAll(() => {
    vi.stubGlobal("location", { pathname: "/failing", search: "?span=1h&q=from:shop/web" });
    vi.stubGlobal("addEventListener", () => undefined);
    vi.stubGlobal("history", { pushState: () => undefined, replaceState: () => undefined });
  });

  it("is all in the URL, without what is as always", async () => {
    const { href, read } = await import("../src/view");
    const url = "/map?span=1h&at=2026-01-02T03:04:05.000Z&q=from:shop/web&label=rate";
    const [path = "", query = ""] = url.split("?");
    expect(href(read(path, query))).toBe(url);
    expect(href(read("/", ""))).toBe("/");
  });

  it("leaves out what is not meant well", async () => {
    const { read } = await import("../src/view");
    expect(read("/nowhere", "span=soon&at=yesterday")).toMatchObject({ screen: "home", span: "15m", at: "" });
  });

  it("asks for a span before now, or for one that is over", async () => {
    const { range, read } = await import("../src/view");
    expect(range(read("/map", "span=1h"))).toEqual({ since: "3600s", until: "" });
    expect(range(read("/map", "span=15m&at=2026-01-02T03:00:00Z"))).toEqual({ since: "2026-01-02T02:45:00.000Z", until: "2026-01-02T03:00:00Z" });
  });

  it("is a command as well", async () => {
    const { command } = await import("../src/commands");
    const { read } = await import("../src/view");
    for (const [path, query, expected] of [
      ["/", "", "axoneme failing --since 15m -P"],
      ["/map", "span=7d&q=ns:shop", "axoneme map --since 168h --namespace shop -P"],
      ["/failing", "only=unanswered&q=to:api", "axoneme tcp --unanswered --since 15m --to api -P"],
      ["/denied", "at=2026-01-02T03:00:00Z", "axoneme denied --since 2026-01-02T02:45:00.000Z --until 2026-01-02T03:00:00Z -P"],
      ["/records", "q=from:shop/web port:80 it's", "axoneme hubble observe --follow --from-pod shop/web --to-port 80 -P"],
      ["/failing", "q=from:a'b", "axoneme failing --since 15m --from 'a'\\''b' -P"],
      ["/http", "bad=1&q=to:shop/api", "axoneme http --errors --since 15m --to shop/api -P"],
      ["/dns", "q=name:example.com&bad=1", "axoneme dns '*example.com*' --failing --since 15m -P"],
      ["/kafka", "q=name:orders*", "axoneme kafka 'orders*' --since 15m -P"],
      ["/resolved", "", "axoneme resolved '*' --since 15m -P"],
      ["/nodes", "", "axoneme hubble list nodes -P"],
    ] as const) {
      expect(command(read(path, query))).toBe(expected);
    }
  });
});
