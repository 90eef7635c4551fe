/** What the kill matrix rolls out: applications that go between states, so that every kind of step comes up, and one that nothing concerns. */

import type { Step } from "../../src/core/plan.ts";
import type { Change, TestHost } from "../host/test-host.ts";
import { web } from "../e2e/installed.ts";

/**
 * Every kind of step that pgo knows. A new one does not compile until it stands here, and then fails until a transition brings it; but for
 * what is done outside of pgo (`elsewhere`: test/e2e/self-update.test.ts).
 */
export const kinds: Readonly<Record<Step["kind"], true | "elsewhere">> = {
  adopt: true,
  "backup-volume": true,
  disable: true,
  enable: true,
  "give-back": true,
  "hand-over": "elsewhere",
  keep: true,
  reload: true,
  "reload-service": true,
  remove: true,
  "remove-image": true,
  "remove-network": true,
  "remove-volume": true,
  "reset-failed": true,
  restart: true,
  "restore-volume": true,
  revive: true,
  signal: true,
  start: true,
  stop: true,
  verify: true,
  write: true,
};

/** One commit and what comes of it. */
export interface Transition {
  readonly name: string;
  readonly application: string;
  readonly from: string;
  readonly to: string;
  /** Files of the commit; `mark` is found again in what lies on the host and runs. */
  readonly files: (mark: string) => Readonly<Record<string, Change>>;
  /** `absent`: the application is gone. */
  readonly outcome: "deployed" | "rolled-back" | "failed" | "absent";
}

/** An application with states. The first is the one that it begins in. */
export interface Track {
  readonly name: string;
  readonly begin: string;
  /** What is there in the beginning, beside the bystanders, whose network is the shop's. */
  readonly first: Readonly<Record<string, Change>>;
  readonly transitions: readonly Transition[];
  /** What is done on the host by hand, at the beginning of `to`, when `from` has been reached. */
  readonly byHand?: { readonly from: string; readonly to: string; readonly work: (host: TestHost) => Promise<void> };
}

export const config = `
[quadlet]
drift_interval = "1h"
[application.legacy]
adopt = true
[application.pruned]
prune = "all"
[health]
deadline = "20s"
interval = "200ms"
min_healthy_time = "200ms"
`;

/** Runs until it is killed, which costs no time, and says by its environment what it was started from. */
const idle = (mark: string, ...more: readonly string[]) =>
  `[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nStopSignal=KILL\nEnvironment=SAY=${mark}\n${(more.length === 0 ? ["Network=none"] : more).map((line) => `${line}\n`).join("")}[Install]\nWantedBy=multi-user.target\n`;
/** Notes in its volume which version found it empty. */
const store = (mark: string) =>
  `[Container]\nImage=localhost/test/busybox\nExec=sh -c 'test -s /data/born || { echo $$SAY >/data/born; fsync /data/born; }; exec sleep infinity'\nStopSignal=KILL\nNetwork=none\nEnvironment=SAY=${mark}\nVolume=data.volume:/data\n[Install]\nWantedBy=multi-user.target\n`;
/** Says nothing new when its mounted file changes: it runs on. */
const reader = (mount: string, ...more: readonly string[]) =>
  `[Container]\nImage=localhost/test/busybox\nExec=sh -c 'trap true HUP; while :; do sleep 1; done'\nStopSignal=KILL\nNetwork=none\nVolume=${mount}:ro\n${more.map((line) => `${line}\n`).join("")}[Install]\nWantedBy=multi-user.target\n`;
const timer = (enabled: boolean) => `[Timer]\nOnCalendar=04:00:00\n${enabled ? "[Install]\nWantedBy=timers.target\n" : ""}`;
const oneshot = "[Service]\nType=oneshot\nExecStart=/bin/true\n";

const settings = `
[volume.data]
recreate = true
[on_change]
one = "signal:HUP"
two = "reload"
three = "none"
[health.web]
http = { url = "http://127.0.0.1:8081/ready" }
deadline = "2s"
[unit.web]
phase = 2
`;

/** `shop` as a: with one unit that b has not, and another way round; and everything that both have differs by its mark. */
function shop(state: "a" | "b", mark: string, tag = "good"): Readonly<Record<string, Change>> {
  const [here, gone] = state === "a" ? (["old", "new"] as const) : (["new", "old"] as const);
  const files = {
    "pgo.toml": settings,
    "net.network": `[Network]\nLabel=version=${mark}\n`,
    "web.container": web(tag, 8081, `Environment=SAY=${mark}`, "Network=net.network", "EnvironmentFile=web.env", "Volume=./conf:/conf:ro"),
    "web.env": `TOKEN=${mark}\n`,
    "db.container": store(mark),
    "data.volume": `[Volume]\nLabel=version=${mark}\n`,
    "one.container": reader("./conf/a:/conf/a"),
    "two.container": reader("./conf:/conf", "[Service]", "ExecReload=/usr/bin/podman kill --signal HUP systemd-two"),
    "three.container": reader("./conf:/conf"),
    "conf/a": `${mark}\n`,
    "conf/b": `${mark}\n`,
    "tidy.timer": timer(state === "a"),
    "tidy.service": oneshot,
    "other.timer": timer(state === "b"),
    "other.service": oneshot,
    [`${here}.container`]: idle(mark),
    [`${here}.timer`]: timer(true),
    [`${gone}.container`]: null,
    [`${gone}.timer`]: null,
  };
  return below<Change>("shop", files);
}

export const bystanders: Readonly<Record<string, string>> = below("blog", {
  "blog.container": idle("apart"),
  // It goes down and up with the network that the shop makes anew.
  "guest.container": idle("apart", "Network=net.network"),
});

const shopTrack: Track = {
  name: "shop",
  begin: "a",
  first: shop("a", "@@0@@"),
  transitions: (["a", "b"] as const).flatMap((from): readonly Transition[] => {
    const to = from === "a" ? "b" : "a";
    return [
      { name: `${from} to ${to}`, application: "shop", from, to, files: (mark) => shop(to, mark), outcome: "deployed" },
      {
        name: `${from} to a bad ${to} and back`,
        application: "shop",
        from,
        to: from,
        files: (mark) => shop(to, mark, "never-healthy"),
        outcome: "rolled-back",
      },
    ];
  }),
};

/** As a person has set them up. */
const byHand: Readonly<Record<string, string>> = {
  "/etc/containers/systemd/hand.container": idle("by-hand"),
  "/etc/containers/systemd/hand.container.d/10-more.conf": "[Container]\nEnvironment=MORE=by-hand\n",
  "/etc/containers/systemd/calm.container": idle("by-hand"),
  "/etc/systemd/system/chore.timer": timer(true),
  "/etc/systemd/system/chore.service": oneshot,
};

function legacy(mark: string, more: Readonly<Record<string, Change>>): Readonly<Record<string, Change>> {
  return below<Change>("legacy", {
    "hand.container": idle(mark),
    "hand.container.d/10-more.conf": "[Container]\nEnvironment=MORE=by-hand\n",
    "calm.container": idle("by-hand"),
    "chore.timer": timer(true),
    "chore.service": oneshot,
    "pgo.toml": null,
    ...more,
  });
}

const legacyTrack: Track = {
  name: "legacy",
  begin: "absent",
  first: { "shop/net.network": "[Network]\n" },
  transitions: [
    {
      name: "taken over",
      application: "legacy",
      from: "by hand",
      to: "taken over",
      files: (mark) => legacy(mark, {}),
      outcome: "deployed",
    },
    {
      name: "taken over and given back",
      application: "legacy",
      from: "by hand",
      to: "by hand",
      files: (mark) => legacy(mark, { "pgo.toml": '[health.hand]\ntcp = { port = 9 }\ndeadline = "2s"\n' }),
      outcome: "failed",
    },
    {
      name: "removed",
      application: "legacy",
      from: "taken over",
      to: "absent",
      files: () => Object.fromEntries(Object.keys(legacy("", {})).map((path) => [path, null])),
      outcome: "absent",
    },
  ],
  byHand: {
    from: "absent",
    to: "by hand",
    work: async (host) => {
      for (const [path, text] of Object.entries(byHand)) await host.write(path, text);
      await host.sh("systemctl daemon-reload; systemctl enable --quiet --now chore.timer; systemctl start hand.service calm.service");
    },
  },
};

/** As if it had been pulled: what is `localhost/…` is never pruned. */
const image = "quay.io/matrix/pruned:1";

const prunedTrack: Track = {
  name: "pruned",
  begin: "without",
  first: { "shop/net.network": "[Network]\n", "pruned/stays.container": idle("stays") },
  transitions: [
    {
      name: "with an image",
      application: "pruned",
      from: "image pulled",
      to: "with",
      files: (mark) => ({
        "pruned/one.container": idle(mark, "Network=none", "Volume=kept.volume:/kept").replace("localhost/test/busybox", image),
        "pruned/kept.volume": "[Volume]\n",
      }),
      outcome: "deployed",
    },
    {
      name: "without it",
      application: "pruned",
      from: "with",
      to: "without",
      files: () => ({ "pruned/one.container": null, "pruned/kept.volume": null }),
      outcome: "deployed",
    },
  ],
  byHand: {
    from: "without",
    to: "image pulled",
    work: async (host) => {
      await host.sh(`
        mkdir -p /tmp/pruned/bin && cp /usr/bin/busybox /tmp/pruned/bin && ln -sf busybox /tmp/pruned/bin/sleep
        tar -C /tmp/pruned -c . | podman import --quiet - ${image}`);
    },
  },
};

export const tracks = [shopTrack, legacyTrack, prunedTrack] as const satisfies readonly Track[];
/** Names of all units above, as a shell pattern for grep -E. */
export const ours = "(web|db|one|two|three|old|new|tidy|other|net-network|data-volume|kept-volume|blog|guest|hand|calm|chore|stays)";

function below<File>(directory: string, files: Readonly<Record<string, File>>): Readonly<Record<string, File>> {
  return Object.fromEntries(Object.entries(files).map(([path, change]) => [`${directory}/${path}`, change]));
}
