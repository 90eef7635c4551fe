/** What is decided about volumes: which changes are refused, which settings are, and which backups are kept. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { alteredVolumes, expiredBackups, strayVolumes, tooLarge } from "../../src/core/volumes.ts";
import { bundleOf } from "./model.ts";

const anew = "[volume.data]\nrecreate = true\n";
const data = (text: string, settings = "") => bundleOf({ "data.volume": text, "app.network": "[Network]\n", "pgo.toml": settings });

suite("a volume that is there", () => {
  const messages = (before: ReturnType<typeof data> | undefined, after: ReturnType<typeof data>) =>
    alteredVolumes(before, after).map(({ file, message }) => `${file}: ${message}`);

  test("can't be altered, which is said with what to do", () => {
    const [message = ""] = messages(data("[Volume]\n"), data("[Volume]\nLabel=x=1\n"));
    assert.match(
      message,
      /^data\.volume: Podman can't alter the volume systemd-data in place, .* give the changed volume another file name/,
    );
    assert.match(message, /or set recreate = true below \[volume\.data\] in pgo\.toml/);
  });

  test("may be new, go, change its comments, or change where it may be made anew; a network may change", () => {
    assert.deepEqual(messages(undefined, data("[Volume]\n")), []);
    assert.deepEqual(messages(data("[Volume]\n"), bundleOf({ "app.network": "[Network]\nInternal=true\n" })), []);
    assert.deepEqual(messages(data("[Volume]\n"), data("# why\n[Volume]\n")), []);
    for (const name of ["data", "data.volume", '"data-volume.service"'])
      assert.deepEqual(
        messages(data("[Volume]\n"), data("[Volume]\nLabel=x=1\n", anew.replace("data", name.startsWith('"') ? name : `"${name}"`))),
        [],
      );
  });

  test("keeps its name also where it may be made anew: another one would leave it behind", () => {
    const [message = ""] = messages(data("[Volume]\n"), data("[Volume]\nVolumeName=other\n", anew));
    assert.match(message, /^data\.volume: .*and its users that name$/);
    const renamed = bundleOf({ "new.volume": "[Volume]\nVolumeName=systemd-data\n", "pgo.toml": anew.replace("data", "new") });
    assert.equal(messages(data("[Volume]\n"), renamed).length, 1);
  });
});

test("a setting for a volume that there is not is refused, with what was meant", () => {
  const stray = (settings: string) => strayVolumes(data("[Volume]\n", settings), "pgo.toml").map(({ message }) => message);
  assert.deepEqual(stray(anew), []);
  assert.deepEqual(stray(anew.replace("data", "dta")), ["[volume.dta] names no volume of this application: did you mean data?"]);
  assert.deepEqual(stray(anew.replace("data", "app")), ["[volume.app] names no volume of this application: there are data"]);
});

suite("backups are kept", () => {
  const day = 86_400_000;
  const now = new Date("2026-02-01T00:00:00Z");
  const backup = (id: number, volume: string, days: number) => ({ id, volume, at: new Date(now.getTime() - days * day) });
  const all = [backup(1, "a", 90), backup(2, "a", 80), backup(3, "b", 70), backup(4, "a", 60), backup(5, "a", 1)];
  const gone = (keep: number, days: number, ...needed: readonly number[]) =>
    expiredBackups(all, { keep, days, needed: new Set(needed) }, now).map(({ id }) => id);

  for (const [what, keep, days, needed, expected] of [
    ["by count, of each volume", 2, 1, [], [2, 1]],
    ["by age, where that is more", 1, 85, [], [1]],
    ["all where nothing is old enough", 1, 365, [], []],
    ["as long as a rollout needs them", 2, 1, [1], [2]],
  ] as const)
    test(what, () => {
      assert.deepEqual(gone(keep, days, ...needed), expected);
    });
});

test("backups that don't fit beside what must stay free are told with sizes", () => {
  const place = { directory: "/b", free: 1_000_000, minimum: 400_000 };
  assert.equal(tooLarge([{ volume: "a", bytes: 600_000 }], place), undefined);
  assert.match(
    tooLarge(
      [
        { volume: "a", bytes: 600_000 },
        { volume: "b", bytes: 1 },
      ],
      place,
    ) ?? "",
    /^a backup of a, b needs 600 kB at \/b, where 1 MB are free \(\[state\] min_free is 400 kB\)/,
  );
});
