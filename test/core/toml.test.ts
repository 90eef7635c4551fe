import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { stringify } from "smol-toml";

import { applicationSettings, configOf, hostConfig } from "../../src/core/config.ts";
import { configTemplate } from "../../src/core/config-template.ts";
import { placesOf } from "../../src/core/toml-lines.ts";
import { readToml } from "../../src/core/toml.ts";

const directories = {
  quadlet: "/etc/containers/systemd/pgo",
  units: "/etc/systemd/system",
  secrets: "/etc/pgo/secrets",
  state: "/var/lib/pgo",
};
const schema = hostConfig(directories);

function problems(text: string): string[] {
  const read = readToml(text, "pgo.toml", schema);
  return read.ok ? [] : read.trouble.map(({ file, line, message }) => `${file}:${String(line)}: ${message}`);
}

function config(text: string) {
  const read = readToml(text, "pgo.toml", schema);
  assert.ok(read.ok, JSON.stringify(read));
  return configOf(read.value);
}

test("an empty file is a configuration, all of defaults", () => {
  const { sources, quadlet, health, state, metrics, system } = config("");
  assert.deepEqual(sources, []);
  assert.deepEqual(quadlet, {
    directory: "/etc/containers/systemd/pgo",
    unitDirectory: "/etc/systemd/system",
    generatorWarnings: "report",
    prune: "networks",
    rollbackPin: "until-change",
    driftInterval: 300_000,
    adopt: false,
    trackDigests: false,
    trackInterval: 3_600_000,
  });
  assert.equal(health.deadline, 120_000);
  assert.equal(state.database, "/var/lib/pgo/state.db");
  assert.deepEqual(metrics.listen, { host: "127.0.0.1", port: 9180 });
  assert.deepEqual(system, { logLevel: "info", logFormat: "auto" });
});

test("a source is named after its URL, and its paths are made plain", () => {
  const [source] = config(
    '[[source]]\nurl = "ssh://git@git.example.com/ops/fleet.git"\npaths = ["./", "hosts/pi4/"]\ninterval = "1m30s"\n',
  ).sources;
  assert.equal(source?.name, "fleet");
  assert.deepEqual(source.paths, [".", "hosts/pi4"]);
  assert.equal(source.interval, 90_000);
});

test("everything that is wrong is told at once, in the order of the lines, with what was meant", () => {
  const text = `sources = 1
[[source]]
intervall = "2s"
interval = 90
auth = { username = "x", password = "hunter2" }
[[source]]
url = "https://me:hunter2@git.example.com/y"
paths = ["/x", 3]
[source.auth]
ssh_kye = "/a"
[health]
success_threshold = 1.5
deadline = "0s"
[quadlet]
directory = "x"
generator_warnings = "repot"
adopt = "yes"
[metrics]
listen = "9180"
[secrets]
missing = 2024-01-01
[state]
keep_good = 0
`;
  assert.deepEqual(problems(text), [
    'pgo.toml:1: unknown key "sources" at the top level (did you mean "source"?)',
    "pgo.toml:2: url is missing in [[source]]",
    'pgo.toml:3: unknown key "intervall" in [[source]] (did you mean "interval"?)',
    'pgo.toml:4: interval must be a duration like "90s", got a number',
    'pgo.toml:5: password: a secret is named, not written here: { file = "…" }, { env = "…" } or { credential = "…" }',
    "pgo.toml:7: url must not hold a password: write auth = { username = …, password = { file = … } }",
    'pgo.toml:8: each of paths must be a directory inside the repository, such as "." or "hosts/pi4"',
    "pgo.toml:8: each of paths must be a text in quotes, got a number",
    'pgo.toml:10: unknown key "ssh_kye" in [source.auth] (did you mean "ssh_key"?)',
    "pgo.toml:12: success_threshold must be a whole number, got a number with a fraction",
    "pgo.toml:13: deadline must be longer than zero",
    "pgo.toml:15: directory must be an absolute path",
    'pgo.toml:16: generator_warnings must be one of "report", "refuse" (did you mean "report"?)',
    "pgo.toml:17: adopt must be true or false, got a text",
    'pgo.toml:19: listen must be "ADDRESS:PORT" or "off"',
    'pgo.toml:21: missing must be one of "error", "warn", "empty"',
    "pgo.toml:23: keep_good must be at least 1",
  ]);
});

test("no message holds what a secret might be", () => {
  const text =
    '[[source]]\nurl = "https://u:hunter2@x/y"\nauth = { username = "u", password = "hunter2", hint = "hunter2" }\nbranch = ["hunter2"]\n';
  assert.ok(problems(text).length >= 3);
  assert.ok(!problems(text).join("\n").includes("hunter2"));
});

test("a password in the place of a secret's name is told, also when the shape is right otherwise", () => {
  assert.deepEqual(problems('[[source]]\nurl = "x"\n[source.auth]\nusername = "u"\n'), [
    'pgo.toml:3: password is missing in [source.auth]: a secret is named, not written here: { file = "…" }, { env = "…" } or { credential = "…" }',
  ]);
  assert.deepEqual(problems('[[source]]\nurl = "x"\nauth = "key"\n'), [
    "pgo.toml:3: auth: write { ssh_key = …, known_hosts = … } or { username = …, password = { file = … } }",
  ]);
});

test("what fits no other key is told too: names twice, directories inside one another, a directory that is not pgo's own", () => {
  assert.deepEqual(problems('[[source]]\nurl = "a/fleet"\n[[source]]\nurl = "b/fleet.git"\n'), [
    'pgo.toml:3: name: a second source is called "fleet": give one of them a name of its own',
  ]);
  assert.match(problems('[quadlet]\ndirectory = "/var/lib/pgo/q"\n').join(), /:2: directory must not lie in the state directory/);
  assert.match(problems('[quadlet]\ndirectory = "/etc/containers/systemd/"\n').join(), /:2: directory must be a directory of its own/);
  assert.match(problems('[[source]]\nurl = "--upload-pack=x"\n').join(), /:2: url must not begin with "-"/);
});

test("a source follows one of branch, tag, semver and commit, each in the form that it has", () => {
  const told = (...lines: readonly string[]) => problems(["[[source]]", 'url = "x"', ...lines].join("\n"));
  assert.deepEqual(told('branch = "main"', 'tag = "v1"'), [
    "pgo.toml:4: tag: a source follows one of branch, tag, semver and commit: take out this or branch",
  ]);
  assert.deepEqual(told('semver = "new"'), ['pgo.toml:3: semver must be a range of versions, such as ">=1.2 <2", "^1.4" or "*"']);
  assert.deepEqual(told('semver = " "').length, 1);
  assert.deepEqual(told('commit = "3f2c1ab"'), ["pgo.toml:3: commit must be a commit's full hash, as `git rev-parse` prints it"]);
  assert.deepEqual(told('tag = "v1"', 'tag_prefix = "web-"'), ['pgo.toml:4: tag_prefix: goes with semver = "…": a tag is named in full']);
  for (const tag of ["-x", "refs/tags/v1", "a b", "a..b", "a^{}", "a/", "a.lock", "*"]) assert.equal(told(`tag = "${tag}"`).length, 1, tag);
  for (const tag of ["v1.2.3", "web/v1", "2024-01-01", "grün"]) assert.deepEqual(told(`tag = "${tag}"`), []);
  assert.deepEqual(config('[[source]]\nurl = "x"\nsemver = "^1"\ntag_prefix = "web/"\n').sources[0]?.at, {
    ...{ kind: "semver", range: "^1", prefix: "web/" },
  });
});

test("a text that is no TOML is told with line and column", () => {
  assert.deepEqual(problems('[[source]]\nurl = "x"\nbranch = \n'), ["pgo.toml:3: not valid TOML, column 10: invalid value"]);
  assert.match(problems("a = 1\na = 2\n").join(), /^pgo\.toml:2: not valid TOML, column 1: /);
  assert.match(problems("__proto__ = 1\n").join(), /^pgo\.toml:1: not valid TOML/);
});

test("listen takes names and both kinds of addresses, and no port that there is not", () => {
  assert.deepEqual(config('[metrics]\nlisten = "[::]:9180"\n').metrics.listen, { host: "::", port: 9180 });
  assert.equal(config('[metrics]\nlisten = "off"\n').metrics.listen, "off");
  for (const wrong of ["::1:80", "a:0", "a:70000", ":80", ""]) assert.equal(problems(`[metrics]\nlisten = "${wrong}"\n`).length, 1, wrong);
});

test("an application's own file is read the same way", () => {
  const read = readToml(
    '[health.web]\nhttp = { url = "http://127.0.0.1/", stat = [200] }\n[health.db.tcp]\nhost = "x"\n',
    "shop/pgo.toml",
    applicationSettings,
  );
  assert.ok(!read.ok);
  assert.deepEqual(read.trouble, [
    { file: "shop/pgo.toml", line: 2, column: 37, message: 'unknown key "stat" in [health.web.http] (did you mean "status"?)' },
    { file: "shop/pgo.toml", line: 3, column: 12, message: "port is missing in [health.db.tcp]" },
  ]);
});

test("places are found through every way that TOML has to write a key", () => {
  const place = placesOf(`# comment with [brackets] = "x"
a.b = { c = 1, "d e" = [1, { f = 2 }] }
text = """
[not.a.table]
key = 1"""
raw = '''
x = 'y' '''
list = [
  1, # ]
  { g = "}" },
]
[t."q.r"] # comment
h = "\\"#"
[[s]]
i = 1
[s.sub]
j = 1
[[s]]
[[s.deep]]
k = 1
`);
  const found = [
    ["a"],
    ["a", "b", "c"],
    ["a", "b", "d e", 1, "f"],
    ["text"],
    ["raw"],
    ["list", 1, "g"],
    ["t", "q.r", "h"],
    ["s", 0, "i"],
    ["s", 0, "sub", "j"],
    ["s", 1],
    ["s", 1, "deep", 0, "k"],
    ["s", 1, "missing"],
  ].map((path) => {
    const { line, column } = place(path) ?? {};
    return `${String(line)}:${String(column)}`;
  });
  assert.deepEqual(found, ["2:1", "2:9", "2:30", "3:1", "6:1", "10:5", "13:1", "15:1", "17:1", "18:3", "20:1", "18:3"]);
  assert.equal(place(["nowhere"]), undefined);
});

test("in any document the place of each value is the one where it stands", () => {
  const key = fc.stringMatching(/^[a-z_]{1,6}$/).filter((text) => text !== "__proto__");
  const document = fc.letrec<{ tree: unknown; table: Record<string, unknown> }>((tie) => ({
    tree: fc.oneof({ maxDepth: 3 }, fc.constant("leaf"), fc.array(tie("table"), { minLength: 1, maxLength: 3 }), tie("table")),
    table: fc.dictionary(key, tie("tree"), { maxKeys: 4 }),
  })).table;
  fc.assert(
    fc.property(document, (tree) => {
      let count = 0;
      const marked = JSON.parse(JSON.stringify(tree), (_, value: unknown) =>
        value === "leaf" ? `mark-${String(count++)}-` : value,
      ) as Record<string, unknown>;
      const text = stringify(marked);
      const rows = text.split("\n");
      const place = placesOf(text);
      const check = (value: unknown, path: readonly (string | number)[]): void => {
        if (typeof value === "string") {
          const { line = 0, column = 0 } = place(path) ?? {};
          const [name = ""] = path.slice(-1);
          const rest = rows[line - 1]?.slice(column - 1) ?? "";
          assert.ok(rest.includes(value) && (typeof name === "number" || rest.startsWith(name)), `${path.join(".")} in\n${text}`);
        } else if (Array.isArray(value))
          value.forEach((one, index) => {
            check(one, [...path, index]);
          });
        else for (const [name, one] of Object.entries(value as object)) check(one, [...path, name]);
      };
      check(marked, []);
    }),
  );
});

test("any text at all is either read or told, and never hangs", () => {
  for (const text of ["a = [}", "a = {]", "[", "[[", "a", "=", '"', '"""', "a = [{", "]"]) placesOf(text)(["a"]);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc
          .array(fc.constantFrom("[", "]", "{", "}", '"', "'", "=", ".", ",", "\n", "a", "#", "\\"), { maxLength: 40 })
          .map((parts) => parts.join("")),
      ),
      (text) => {
        placesOf(text)(["a"]);
        readToml(text, "pgo.toml", schema);
      },
    ),
  );
});

test("the template is a configuration, with and without a source, and with each comment made a key", () => {
  assert.deepEqual(config(configTemplate(directories)).sources, []);
  const [source] = config(
    configTemplate(directories, {
      url: 'ssh://x/"odd\\name"',
      name: "fleet",
      branch: "main",
      paths: ["a", "b"],
      sshKey: "/etc/pgo/key",
      knownHosts: "/etc/pgo/known",
    }),
  ).sources;
  assert.equal(source?.url, 'ssh://x/"odd\\name"');
  assert.deepEqual(source.paths, ["a", "b"]);
  assert.deepEqual(source.auth, { ssh_key: "/etc/pgo/key", known_hosts: "/etc/pgo/known" });

  const everything = configTemplate(directories)
    .replace(/^# (?=\[|[a-z_]+ = )/gm, "")
    .replace(/^auth = \{ username.*\n/m, "");
  assert.equal(config(everything).sources.length, 1);
  assert.deepEqual(config(everything).quadlet, config("").quadlet);
});
