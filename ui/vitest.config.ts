// Unit tests are of what draws nothing: no browser, and no copy of one.
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { environment: "node", include: ["test/*.test.ts"] } });
