// How the page is built: one script, one style sheet, each with its hash in its name, all of it compressed.
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Plugin, defineConfig } from "vite";
import solid from "vite-plugin-solid";

/** The relay has compressed files inside, and no others. */
const compressed = (): Plugin => ({
  name: "compressed",
  apply: "build",
  closeBundle() {
    // Of the one package whose code is in the script.
    writeFileSync("dist/licenses.txt", readFileSync("node_modules/solid-js/LICENSE"));
    for (const entry of readdirSync("dist", { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath ?? entry.path, entry.name);
      writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      rmSync(path);
    }
  },
});

export default defineConfig({
  plugins: [solid(), compressed()],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  // For work on the pages: the interface of a relay on this machine.
  server: { proxy: { "/api": process.env.AXONEME_RELAY ?? "http://127.0.0.1:4248" } },
});
