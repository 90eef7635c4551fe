/** Copies of volumes: whole, private and with all that a service needs of them, or not there at all. A shell script stands in for Podman. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";

import type { Run } from "../../../src/adapters/host/run.ts";
import { ending, walk } from "../../../src/adapters/host/tar.ts";
import { openVolumes } from "../../../src/adapters/host/volumes.ts";

const { signal } = new AbortController();

/** As Podman 5.4 does it: without an entry for the volume itself, into a file that is emptied before. */
const podman = `#!/bin/sh
set -e
if [ "$1" = unshare ]; then shift; exec "$@"; fi
case "$2" in
  inspect) eval "name=\\\${$#}"; echo "$VOLUMES/$name" ;;
  export) [ -d "$VOLUMES/$5" ] || { echo "Error: no such volume $5" >&2; exit 125; }
    cd "$VOLUMES/$5"; tar --create --numeric-owner --file "$4" $(ls -A) --files-from /dev/null; [ ! -e "$VOLUMES/cut" ] || truncate --size 700 "$4" ;;
  import) tar --extract --exclude ./ --file "$4" --directory "$VOLUMES/$3" ;;
esac
`;

function scene(t: TestContext, mode: "rootful" | "rootless" = "rootful") {
  const directory = mkdtempSync(join(tmpdir(), "volumes-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const [bin, volumes, stateDirectory] = ["bin", "volumes", "state"].map((name) => join(directory, name)) as [string, string, string];
  for (const one of [bin, volumes, join(volumes, "data")]) mkdirSync(one);
  writeFileSync(join(bin, "podman"), podman, { mode: 0o755 });
  const run: Run = ([program = "", ...words]) =>
    new Promise((resolve) => {
      const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, VOLUMES: volumes };
      execFile(program, words, { env }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  return { volumes, backups: join(stateDirectory, "backups"), port: openVolumes({ mode, stateDirectory }, run) };
}

suite("a copy of a volume", () => {
  for (const mode of ["rootful", "rootless"] as const)
    test(`${mode}: holds what was in it, and its own owner and mode, and both come back`, async (t) => {
      const { volumes, backups, port } = scene(t, mode);
      const data = join(volumes, "data");
      writeFileSync(join(data, "word"), "precious");
      chmodSync(data, 0o2751);
      const saved = await port.exportVolume("data", "volumes/data/1.tar", signal);
      assert.ok(saved.ok, JSON.stringify(saved));
      assert.equal(saved.value.bytes, statSync(join(backups, "volumes/data/1.tar")).size);
      rmSync(data, { recursive: true });
      mkdirSync(data);
      assert.deepEqual(await port.importVolume("data", "volumes/data/1.tar", signal), { ok: true, value: undefined });
      assert.equal(readFileSync(join(data, "word"), "utf8"), "precious");
      assert.equal(statSync(data).mode & 0o7777, 0o2751);
    });

  test("is for pgo's user alone, and nothing else is left of it", async (t) => {
    const { backups, port } = scene(t);
    await port.exportVolume("data", "volumes/data/1.tar", signal);
    writeFileSync(join(backups, "volumes/data/.pgo-0123456789abcdef01234567.tmp"), "of a crash");
    await port.exportVolume("data", "volumes/data/2.tar", signal);
    assert.deepEqual(readdirSync(join(backups, "volumes/data")).sort(), ["1.tar", "2.tar"]);
    for (const [path, mode] of [
      ["", 0o700],
      ["volumes", 0o700],
      ["volumes/data", 0o700],
      ["volumes/data/1.tar", 0o600],
    ] as const)
      assert.equal(statSync(join(backups, path)).mode & 0o777, mode, path);
    for (const file of ["1.tar", "2.tar", "2.tar"]) await port.removeBackup(`volumes/data/${file}`, signal);
    assert.deepEqual(readdirSync(join(backups, "volumes")), []);
  });

  test("that can't be made leaves no file, and the reason is told", async (t) => {
    const { volumes, backups, port } = scene(t);
    const none = await port.exportVolume("none", "volumes/none/1.tar", signal);
    assert.match(none.ok ? "" : none.trouble, /none.*: No such file or directory$/);
    writeFileSync(join(volumes, "data/word"), "precious");
    writeFileSync(join(volumes, "cut"), "");
    assert.deepEqual(await port.exportVolume("data", "volumes/data/1.tar", signal), {
      ok: false,
      trouble: "the copy is not whole: it ends in the middle",
    });
    assert.deepEqual(readdirSync(join(backups, "volumes/data")), []);
  });

  test("that was damaged since, or is gone, is not put back", async (t) => {
    const { volumes, backups, port } = scene(t);
    writeFileSync(join(volumes, "data/word"), "precious");
    await port.exportVolume("data", "volumes/data/1.tar", signal);
    truncateSync(join(backups, "volumes/data/1.tar"), 1500);
    const put = async (file: string) => {
      const done = await port.importVolume("data", file, signal);
      return done.ok ? "done" : done.trouble;
    };
    assert.match(await put("volumes/data/1.tar"), /^the backup .*1\.tar is not whole: it ends in the middle$/);
    assert.equal(await put("volumes/data/2.tar"), "the backup 2.tar is gone");
  });
});

suite("an archive", () => {
  const walked = async (t: TestContext, content: Buffer) => {
    const directory = mkdtempSync(join(tmpdir(), "tar-"));
    t.after(() => {
      rmSync(directory, { recursive: true });
    });
    const path = join(directory, "x.tar");
    appendFileSync(path, content);
    await using file = await open(path, "r");
    return await walk(file);
  };

  test("keeps owners that have no room in eight digits", async (t) => {
    for (const root of [
      { uid: 0, gid: 0, mode: 0o755 },
      { uid: 99, gid: 2_097_151, mode: 0o2750 },
      { uid: 4_294_967_294, gid: 2_097_152, mode: 0o1777 },
    ])
      assert.deepEqual(await walked(t, ending(root)), { end: 512, root });
  });

  test("with a file beyond eight gigabytes tells its size in the header before", async (t) => {
    const header = (kind: string, size: number) => {
      const entry = ending({ uid: 0, gid: 0, mode: 0o600 }).subarray(0, 512);
      entry.fill(0, 0, 100).write(kind);
      entry.write(kind, 156);
      entry.write(`${size.toString(8).padStart(11, "0")}\u0000`, 124);
      entry.write(" ".repeat(8), 148);
      const sum = entry.reduce((before, byte) => before + byte, 0);
      entry.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148);
      return entry;
    };
    const record = Buffer.alloc(512);
    record.write("13 size=1000\n");
    const whole = Buffer.concat([header("x", 13), record, header("0", 0), Buffer.alloc(1024, "data"), Buffer.alloc(1024)]);
    assert.deepEqual(await walked(t, whole), { end: 512 * 5, root: undefined });
  });

  test("with a header that is not as it was written is damaged", async (t) => {
    const whole = ending({ uid: 1, gid: 2, mode: 0o700 });
    whole.write("x", 0);
    await assert.rejects(walked(t, whole), /it is damaged/);
  });
});
