/** A writer that is killed at any moment leaves whole transactions only, and all that it had told of. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

import Sqlite from "better-sqlite3";

import { openStore } from "../../../src/adapters/store/store.ts";
import { digestOf } from "../../../src/core/names.ts";
import { bundle, shop } from "./samples.ts";

test("killed in the middle of its transactions, four times in a row", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pgo-crash-"));
  const path = join(directory, "state.db");
  let last = 0;
  try {
    for (const wait of [0, 7, 40, 150]) {
      const told = await killed(path, wait);
      assert.ok(told > last, "the writer got on");

      const raw = new Sqlite(path, { readonly: true });
      assert.equal(raw.pragma("integrity_check", { simple: true }), "ok");
      raw.close();

      await using store = openStore(path);
      last = Number(store.application(shop)?.message);
      assert.ok(last === told || last === told + 1, `told of ${String(told)}, found ${String(last)}`);
      assert.deepEqual(
        [...store.inventory(shop).values()].sort(),
        Array.from({ length: 20 }, (_, file) => digestOf(String(last), String(file))).sort(),
      );
      const text = `number ${String(last)}\n${"text ".repeat(2000)}`;
      assert.deepEqual(store.bundle(bundle(text).digest), bundle(text));
      assert.equal(store.bundle(bundle(text.replace(String(last), String(last + 1))).digest), undefined);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** Lets the writer run for `wait` milliseconds after its first transaction; answers the last number that it told. */
async function killed(path: string, wait: number): Promise<number> {
  const writer = spawn(process.execPath, [join(import.meta.dirname, "writer.ts"), path], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(writer, "close");
  let told = 0;
  for await (const line of createInterface({ input: writer.stdout })) {
    if (told === 0) setTimeout(() => writer.kill("SIGKILL"), wait);
    told = Number(line);
  }
  const [, signal] = (await ended) as [number | null, string | null];
  assert.equal(signal, "SIGKILL");
  return told;
}
