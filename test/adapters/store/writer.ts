/** A program for the crash test: counts up in three tables at once, each number in one transaction, until it is killed. */

import { openStore } from "../../../src/adapters/store/store.ts";
import { digestOf, relativePath } from "../../../src/core/names.ts";
import { applicationRecord, bundle, shop } from "./samples.ts";

const path = process.argv[2] ?? "";
await using store = openStore(path);
for (let number = Number(store.application(shop)?.message ?? "0") + 1; ; number++) {
  store.atomically(() => {
    store.saveApplication(applicationRecord(shop, { message: String(number) }));
    store.saveInventory(
      shop,
      new Map(Array.from({ length: 20 }, (_, file) => [relativePath(`${String(file)}.container`), digestOf(String(number), String(file))])),
    );
    store.saveBundle(bundle(`number ${String(number)}\n${"text ".repeat(2000)}`));
  });
  // Told only after the commit: what the reader of this has seen must be there afterwards.
  process.stdout.write(`${String(number)}\n`);
}
