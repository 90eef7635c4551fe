import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { renderDeployment, renderHistory } from "../../src/cli/render-history.ts";
import { renderEvents, renderPlan, renderStatus, renderSync } from "../../src/cli/render.ts";
import { cleaned, relative, span, wrap, type View } from "../../src/cli/text.ts";
import { healthyStatus, history, now, planned, troubledStatus } from "./reports.ts";

const plain: View = { now, colour: false, columns: 80 };
const coloured: View = { ...plain, colour: true };
const escape = new RegExp(String.raw`\x1b\[\d+m`, "g");

test("a healthy host is told in a few lines", () => {
  assert.equal(
    renderStatus(healthyStatus, plain),
    `pi4: healthy  (pgo 0.1.0)

SOURCES
  fleet  ok  3f2c1ab  looked at 12 s ago

APPLICATIONS
  shop  healthy  deployed  3 min ago  3f2c1ab
    web.service           active  healthy  by http
    shop-network.service  active  healthy  by unit
`,
  );
});

test("an image that is being pulled is told with how far it is", () => {
  const pull = {
    image: "quay.io/acme/web:1.4",
    layers: 7,
    layersDone: 3,
    bytes: 45e6,
    bytesTotal: 120e6,
    tries: 1,
    message: "pulling quay.io/acme/web:1.4: 3 of 7 layers",
  };
  const text = renderStatus({ ...healthyStatus, pulls: [pull] }, plain);
  assert.ok(text.endsWith("\n\npulling quay.io/acme/web:1.4: 3 of 7 layers\n"), text);
});

test("a source that follows tags is told with its tag", () => {
  const sources = healthyStatus.sources.map((one) => ({ ...one, tag: "v1.2.0" }));
  assert.match(renderStatus({ ...healthyStatus, sources }, plain), /^ {2}fleet {2}ok {2}v1\.2\.0 3f2c1ab {2}looked at 12 s ago$/m);
});

test("trouble is told with its reason, its time and the command that helps", () => {
  const text = renderStatus(troubledStatus, plain);
  const unwrapped = text.replace(/\s+/g, " ");
  for (const part of [
    "pi4: not healthy",
    "edge failed - looked at 3 min ago connect to git.example.com port 22: Connection refused",
    "blog healthy rolled-back 2 h ago 9d0e7c2",
    "quarantined 2 h ago: blog.service not healthy after 60 s: GET http://127.0.0.1:8081/ready: 503 (12 of 12 probes). Not tried again before a new commit changes it, or: ctl retry blog",
    "collector.service failed unhealthy by process exit code 137, restarted 3 times",
    "held: registry.example.com/collector:2: manifest unknown (tried again in 1 min)",
    "suspended; goes on in 1 h. To go on now: ctl resume edge/shop",
    "rollout under way: verifying",
    "stays on this revision (ctl rollback) until a commit changes it, or ctl",
  ])
    assert.ok(unwrapped.includes(part), `${part}\nis not in\n${text}`);
  assert.equal(text.split("manifest unknown").length, 2, "the reason of a held application is told once");
  assert.ok(text.includes("  fleet/shop "), "two applications of one name are told apart");
});

test("what waits for the end of a suspension is told with it, once", () => {
  const [shop] = healthyStatus.applications;
  assert.ok(shop !== undefined);
  const until = new Date(now.getTime() + 3_600_000).toISOString();
  const held = { why: "suspended: a change in Git waits", until };
  const report = { ...healthyStatus, applications: [{ ...shop, outcome: "held", held, suspended: { until } }] } as const;
  const text = renderStatus(report, { ...plain, columns: Infinity });
  assert.ok(text.includes("    suspended: a change in Git waits; goes on in 1 h. To go on now: ctl resume shop\n"), text);
  assert.equal(text.split("suspended").length, 2);
});

test("a source that is suspended says so, and its applications go on with it", () => {
  const [shop] = healthyStatus.applications;
  const [fleet] = healthyStatus.sources;
  assert.ok(shop !== undefined && fleet !== undefined);
  const until = new Date(now.getTime() + 3_600_000).toISOString();
  const report = {
    ...healthyStatus,
    sources: [{ ...fleet, suspended: { until } }],
    applications: [{ ...shop, suspended: { until } }],
  };
  const text = renderStatus(report, { ...plain, columns: Infinity });
  assert.match(text, /\n {4}suspended with all its applications; goes on in 1 h\. To go on now: ctl resume fleet\n/);
  assert.match(text, /\n {4}suspended; goes on in 1 h\. To go on now: ctl resume fleet\n/);
});

test("what each container uses is told where it is asked for, and which figure there is not", () => {
  const text = renderStatus(healthyStatus, { ...plain, columns: Infinity }, true);
  assert.match(
    text,
    /by http\n {6}CPU 3\.2 % of a core, 1 restart \(1 min ago\)\n {6}memory, OOM kills: no figure, the kernel's memory controller is not enabled/,
  );
  assert.doesNotMatch(renderStatus(healthyStatus, plain), /CPU|no figure/);
});

test("what waits for days is told with the day", () => {
  const [shop] = healthyStatus.applications;
  assert.ok(shop !== undefined);
  const until = new Date(now.getTime() + 3 * 86_400_000).toISOString();
  const held = { why: "outside its maintenance windows", until };
  const report = { ...healthyStatus, applications: [{ ...shop, outcome: "held", held, message: held.why }] } as const;
  const told = `held: outside its maintenance windows (tried again in 3 days, ${until.slice(0, 10)} ${until.slice(11, 19)} UTC)\n`;
  assert.ok(renderStatus(report, { ...plain, columns: Infinity }).includes(told));
});

test("a host with nothing on it says so, and that its sources may be about to be read", () => {
  const text = renderStatus({ ...healthyStatus, sources: [], applications: [] }, plain);
  assert.match(text, /none was read yet: the first look is under way, or pgo\.toml has no\s+\[\[source\]\]/);
  assert.match(text, /APPLICATIONS\n {2}none\n/);
});

test("at 80 columns no line is longer, but for words that are; without a terminal no line is broken", () => {
  const texts = (view: View): string[] => [
    renderStatus(troubledStatus, view),
    renderHistory(cleaned(history), view),
    ...cleaned(history).map((one) => renderDeployment(one, view)),
    renderSync({ waited: true, ...troubledStatus }, view),
  ];
  for (const text of texts(plain)) for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
  assert.ok(
    texts({ ...plain, columns: Infinity })[0]?.includes(
      "Connection refused; the next try is in 2 min, what was deployed before keeps running\n",
    ),
  );
});

test("colours only come on top: without them the text is the same", () => {
  for (const render of [
    (view: View) => renderStatus(troubledStatus, view),
    (view: View) => renderPlan(planned, view),
    (view: View) => renderHistory(cleaned(history), view),
    (view: View) => renderSync({ waited: true, ...troubledStatus }, view),
  ]) {
    assert.match(render(coloured), escape);
    assert.equal(render(coloured).replace(escape, ""), render(plain));
    assert.doesNotMatch(render(plain), escape);
  }
});

test("a plan shows problems, steps with reasons, and the diff", () => {
  assert.equal(
    renderPlan(planned, plain),
    `shop: pending
  write    web.container  changed in Git
  reload   systemd        unit files changed
  restart  web.service    Image= changed in web.container

  --- web.container
  +++ web.container
  @@ -1,3 +1,3 @@
   [Container]
  -Image=localhost/web:1
  +Image=localhost/web:2
   PublishPort=8080:80

blog: rejected
  blog/blog.container:7: unsupported key 'PublishPorts' in group 'Container'
    (did you mean PublishPort?)

applications: 1 in sync, 1 pending, 1 rejected
nothing was changed; to apply it now: ctl sync --wait
`,
  );
  assert.ok(renderPlan(planned, coloured).includes("\u001b[32m  +Image=localhost/web:2\u001b[0m"));
  assert.equal(renderPlan({ applications: [] }, plain), "no applications\n");
});

test("deployments are listed newest first, and one is told whole", () => {
  assert.match(
    renderHistory(history, plain),
    /^41 {2}11 min ago {2}fleet\/shop {2}rolled-back {2}9d0e7c2 {2}commit\n {4}web\.service not healthy/,
  );
  assert.match(renderHistory(history, plain), /\n 9 {2}1 day ago {3}fleet\/blog {2}under way/);
  assert.equal(renderHistory([], plain), "no deployments yet\n");
  const [first] = history;
  assert.ok(first);
  const text = renderDeployment(first, plain);
  for (const part of [
    "started   2026-01-01 11:48:20 UTC (11 min ago), took 1 min",
    "failed: job failed: web.service: exit-code",
    "(Ada)",
    "web.service WHEN IT FAILED\n  failed (failed), exit-code, exit 1; its container is gone\n",
    "  its container's own log:\n  one line of its own\n",
  ])
    assert.ok(text.includes(part), text);
});

test("events are read like a log: the newest last", () => {
  const events = [
    { id: 2, deployment: 41, time: "2026-01-01T11:59:55.000Z", type: "outcome", message: "shop deployed" },
    { id: 1, deployment: null, time: "2026-01-01T11:50:00.000Z", type: "started", message: "pgo 0.1.0" },
  ];
  assert.equal(renderEvents(events, plain), "10 min ago  started: pgo 0.1.0\n5 s ago     outcome: shop deployed (ctl show 41)\n");
  const pointing = events.map((event) => ({ ...event, message: `${event.message}: see ctl show 41` }));
  assert.equal(renderEvents(pointing, plain).split("(ctl show").length, 1, "an event that names its deployment is not given it once more");
  assert.equal(renderEvents(events, plain, true), "11:50:00  started: pgo 0.1.0\n11:59:55  outcome: shop deployed (ctl show 41)\n");
  assert.equal(renderEvents([], plain), "no events\n");
});

test("texts of others can't steer the terminal", () => {
  const report = cleaned({ subject: "\u001b]0;title\u0007 \u009b31m \u202e x\ty\nz", list: ["\r"] });
  assert.deepEqual(report, { subject: "\ufffd]0;title\ufffd \ufffd31m \ufffd x\ty\nz", list: ["\ufffd"] });
});

test("times are told in one unit", () => {
  const at = (seconds: number): string => relative(new Date(now.getTime() + seconds * 1000).toISOString(), now);
  assert.deepEqual([0, -1, -59, -60, -3599, -3600, -86_399, -86_400, -200_000, 90].map(at), [
    "just now",
    "1 s ago",
    "59 s ago",
    "1 min ago",
    "59 min ago",
    "1 h ago",
    "23 h ago",
    "1 day ago",
    "2 days ago",
    "in 1 min",
  ]);
  assert.equal(relative("never", now), "never");
  assert.equal(span(850), "850 ms");
});

test("wrapping keeps every word, in its order, and the width", () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z]{1,12}$/)), fc.integer({ min: 20, max: 60 }), (words, columns) => {
      const lines = wrap(words.join(" "), 2, { ...plain, columns }, 2);
      assert.deepEqual(
        lines
          .join(" ")
          .split(" ")
          .filter((one) => one !== ""),
        words,
      );
      for (const line of lines) assert.ok(line.length <= columns);
    }),
  );
});
