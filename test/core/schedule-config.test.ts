/** What pgo.toml says of when a change may go, and what is wrong with it. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { applicationSettings, configOf, hostConfig, type Config } from "../../src/core/config.ts";
import { applicationId, applicationName, sourceName } from "../../src/core/names.ts";
import { nextWindows, timingOf, urgentTrailer } from "../../src/core/schedule-config.ts";
import { readToml } from "../../src/core/toml.ts";

const schema = hostConfig({
  quadlet: "/etc/containers/systemd/pgo",
  units: "/etc/systemd/system",
  secrets: "/etc/pgo/secrets",
  state: "/var/lib/pgo",
});
const shop = applicationId(sourceName("fleet"), applicationName("shop"));
const blog = applicationId(sourceName("fleet"), applicationName("blog"));
const guest = applicationId(sourceName("guest"), applicationName("wiki"));

function configured(text: string): Config {
  const read = readToml(text, "pgo.toml", schema);
  assert.ok(read.ok, JSON.stringify(read));
  return configOf(read.value);
}

const problems = (text: string): readonly string[] => {
  const read = readToml(text, "pgo.toml", schema);
  return read.ok ? [] : read.trouble.map(({ line, message }) => `${String(line)}: ${message}`);
};

suite("of several levels", () => {
  const config = configured(`
[[source]]
url = "https://git.example.com/fleet.git"
schedule = { min_age = "24h" }
[[source]]
url = "https://git.example.com/guest.git"
[schedule]
windows = [{ cron = "0 2 * * SUN", duration = "4h", zone = "Europe/Berlin" }]
min_age = "1h"
jitter = "10m"
urgent_trailer = "Pgo-Urgent"
freeze = [{ from = "2026-12-20", to = "2027-01-06", zone = "Europe/Berlin", reason = "holidays" }]
[application.shop.schedule]
windows = []
jitter = "0s"
`);
  const own = (text: string) => {
    const read = readToml(text, "shop/pgo.toml", applicationSettings);
    assert.ok(read.ok);
    return read.value.schedule;
  };

  test("the one for all counts where no other says anything", () => {
    const timing = timingOf(guest, config, undefined);
    assert.deepEqual(timing, {
      windows: [[{ cron: "0 2 * * SUN", duration: 14_400_000, zone: "Europe/Berlin" }]],
      freezes: [{ from: new Date("2026-12-19T23:00:00Z"), to: new Date("2027-01-06T23:00:00Z"), reason: "holidays" }],
      minAge: 3_600_000,
      jitter: 600_000,
    });
  });

  test("the source's counts before it, key by key", () => {
    const { minAge, jitter } = timingOf(blog, config, undefined);
    assert.deepEqual([minAge, jitter], [86_400_000, 600_000]);
  });

  test("the application's counts before both, and an empty list takes windows away", () => {
    const { windows, minAge, jitter, freezes } = timingOf(shop, config, undefined);
    assert.deepEqual([windows, minAge, jitter, freezes.length], [[], 86_400_000, 0, 1]);
  });

  test("what the application in Git asks for comes on top, and can't loosen anything", () => {
    const narrow = own(
      '[schedule]\nmin_age = "2h"\nwindows = [{ cron = "0 3 * * *", duration = "1h" }]\nfreeze = [{ from = "2026-11-01", to = "2026-11-01" }]\n',
    );
    const { windows, minAge, freezes } = timingOf(guest, config, narrow);
    assert.deepEqual([windows.length, minAge, freezes.length], [2, 7_200_000, 2]);
    assert.equal(timingOf(guest, config, own('[schedule]\nmin_age = "1s"\nwindows = []\nfreeze = []\n')).minAge, 3_600_000);
    assert.deepEqual(timingOf(guest, config, own("[schedule]\nwindows = []\nfreeze = []\n")), timingOf(guest, config, undefined));
  });

  test("an application in Git can't name what makes a commit urgent", () => {
    const read = readToml('[schedule]\nurgent_trailer = "Pgo-Urgent"\n', "shop/pgo.toml", applicationSettings);
    assert.ok(!read.ok);
    assert.match(read.trouble[0]?.message ?? "", /unknown key "urgent_trailer"/);
  });

  test("nothing is urgent unless the host says what", () => {
    assert.equal(urgentTrailer(shop, config), "Pgo-Urgent");
    assert.equal(urgentTrailer(shop, configured('[[source]]\nurl = "https://git.example.com/fleet.git"\n')), undefined);
  });
});

test("a freeze from a moment to a moment ends at it, in the time of its zone", () => {
  const config = configured(
    '[schedule]\nfreeze = [{ from = "2026-07-01T18:00", to = "2026-07-02 06:30:15", zone = "America/New_York" }]\n',
  );
  assert.deepEqual(timingOf(shop, config, undefined).freezes[0], {
    from: new Date("2026-07-01T22:00:00Z"),
    to: new Date("2026-07-02T10:30:15Z"),
    reason: undefined,
  });
});

test("the next three windows are told of each level that has some, without what is frozen", () => {
  const config = configured(`
[[source]]
url = "https://git.example.com/fleet.git"
[schedule]
windows = [{ cron = "0 2 * * SUN", duration = "4h", zone = "Europe/Berlin" }]
freeze = [{ from = "2026-12-01", to = "2026-12-10" }]
[application.shop.schedule]
windows = [{ cron = "0 12 * * *", duration = "90m" }]
freeze = []
`);
  assert.deepEqual(nextWindows(config, new Date("2026-11-29T03:00:00Z")), [
    "[schedule]: open 2026-11-29 03:00 to 2026-11-29 05:00, 2026-12-13 01:00 to 2026-12-13 05:00, 2026-12-20 01:00 to 2026-12-20 05:00 (UTC)",
    "application shop: open 2026-11-29 12:00 to 2026-11-29 13:30, 2026-11-30 12:00 to 2026-11-30 13:30, 2026-12-01 12:00 to 2026-12-01 13:30 (UTC)",
  ]);
});

suite("what is wrong is told with its line", () => {
  for (const [what, text, expected] of [
    [
      "a zone that is misspelt",
      '\n[schedule]\nwindows = [{ cron = "0 2 * * *", duration = "1h", zone = "Europe/Berln" }]',
      '3: zone must be a time zone like "Europe/Berlin" (did you mean "Europe/Berlin"?)',
    ],
    [
      "a cron expression of four fields",
      '[schedule]\nwindows = [\n{ cron = "0 2 * *", duration = "1h" }]',
      "3: cron must be five fields of cron, minute, hour, day, month and day of the week, like \"0 2 * * SUN\": invalid configuration format ('0 2 * *'), exactly five, six, or seven space separated parts are required.",
    ],
    [
      "an hour that no day has",
      '[schedule]\nwindows = [{ cron = "0 25 * * *", duration = "1h" }]',
      '2: cron must be five fields of cron, minute, hour, day, month and day of the week, like "0 2 * * SUN": Invalid value for hour: 25',
    ],
    [
      "a day that never comes",
      '[schedule]\nwindows = [{ cron = "0 2 30 2 *", duration = "1h" }]',
      "2: cron must come at some time: no day is like that",
    ],
    [
      "a window without a length",
      '[schedule]\nwindows = [{ cron = "0 2 * * *", duration = "0s" }]',
      "2: duration must be longer than zero",
    ],
    [
      "a day that no month has",
      '[schedule]\nfreeze = [{ from = "2026-02-30", to = "2026-03-02" }]',
      '2: from must be a day like "2026-12-20" or a moment like "2026-12-20T18:00", in the time of its zone',
    ],
    [
      "a freeze that ends before it begins",
      '[schedule]\nfreeze = [{ from = "2026-12-20", to = "2026-12-19" }]',
      "2: to must be later than from",
    ],
    [
      "a key that is misspelt",
      '[[source]]\nurl = "https://git.example.com/fleet.git"\nschedule = { min_ages = "1h" }',
      '3: unknown key "min_ages" in [source.schedule] (did you mean "min_age"?)',
    ],
    [
      "a key of a window that is misspelt",
      '[schedule]\nwindows = [{ cron = "0 2 * * *", durations = "1h" }]',
      '2: unknown key "durations" in [[schedule.windows]] (did you mean "duration"?)',
    ],
    [
      "a trailer with a space",
      '[schedule]\nurgent_trailer = "Pgo Urgent"',
      '2: urgent_trailer must be a Git trailer\'s name, such as "Pgo-Urgent"',
    ],
  ] as const)
    test(what, () => {
      assert.ok(problems(text).includes(expected), problems(text).join("\n"));
    });
});
