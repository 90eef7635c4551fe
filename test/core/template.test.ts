/** Templates: what they may use, what they can't do, and where each line of their output comes from. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import type { Vars } from "../../src/core/substitute.ts";
import { templateOutput } from "../../src/core/kinds.ts";
import { renderTemplate, templateLimits, type Rendered } from "../../src/core/template.ts";

const vars: Vars = new Map<string, string | undefined>([
  ["PGO_HOSTNAME", "pi4"],
  ["TAG", "1.2"],
  ["PORTS", "80,443"],
  ["EMPTY", ""],
  ["NONE", undefined],
  ["LINES", "a\nExecStartPre=x"],
  ["ODD", "a\\"],
]);

const result = (text: string, known: Vars = vars, limits = templateLimits) =>
  renderTemplate(text, known, { file: "web.container.liquid", limits });

function rendered(text: string, known: Vars = vars): Rendered {
  const found = result(text, known);
  assert.ok(found.ok, JSON.stringify(found));
  return found.value;
}

function problems(text: string, limits = templateLimits): string[] {
  const found = result(text, vars, limits);
  assert.ok(!found.ok, JSON.stringify(found));
  return found.trouble.map(({ file, line, column, message }) => `${file}:${String(line)}:${column}: ${message}`);
}

suite("a template", () => {
  test("has variables, conditions and loops", () => {
    const text = `[Container]
Image=x:{{ TAG }}
{%- assign ports = PORTS | split: "," %}
{%- for port in ports %}
PublishPort={{ port }}:{{ port }}
{%- endfor %}
{% if PGO_HOSTNAME == "pi4" -%}
Label=small
{%- else -%}
Label=large
{%- endif %}
`;
    assert.equal(rendered(text).text, "[Container]\nImage=x:1.2\nPublishPort=80:80\nPublishPort=443:443\nLabel=small\n");
  });

  test("leaves a loop, or one round of it, at once", () => {
    assert.equal(rendered("{% for i in (1..3) %}{% if i == 2 %}{% break %}b{% endif %}{{ i }}{% endfor %}").text, "1");
    assert.equal(rendered("{% for i in (1..3) %}{% if i == 2 %}{% continue %}c{% endif %}{{ i }}{% endfor %}").text, "13");
  });

  test("without tags is its own output", () => {
    const plain = fc.array(fc.constantFrom("{", "}", "%", "$", "\\", "\n", "\r\n", " ", "x", "[", "é")).map((parts) => parts.join(""));
    fc.assert(
      fc.property(
        plain.filter((text) => !/\{[{%]/.test(text)),
        (text) => {
          const { text: output, lineOf } = rendered(text);
          assert.equal(output, text);
          for (let line = 1; line <= text.split("\n").length; line++) assert.equal(lineOf(line), text === "" ? 1 : line);
        },
      ),
    );
  });

  test("gives its name to its output, without .liquid", () => {
    assert.deepEqual(["a/web.container.liquid", "x.env.liquid", "web.container", ".liquid", "a/.liquid"].map(templateOutput), [
      "a/web.container",
      "x.env",
      undefined,
      undefined,
      undefined,
    ]);
  });
});

suite("a variable", () => {
  test("that nobody declared is told with line and column, each use, in branches not taken too", () => {
    assert.deepEqual(
      problems("x {{ TAGS }}\n{% if EMPTY == 'x' %}{{ other | default: 'x' }}{% endif %}\n{{ constructor }}{% if __proto__ %}{% endif %}"),
      [
        "web.container.liquid:1:6: TAGS is not a known variable (did you mean TAG?): declare it under [vars], or correct the name",
        "web.container.liquid:2:25: other is not a known variable: declare it under [vars], or correct the name",
        "web.container.liquid:3:4: constructor is not a known variable: declare it under [vars], or correct the name",
        "web.container.liquid:3:24: __proto__ is not a known variable: declare it under [vars], or correct the name",
      ],
    );
  });

  test("without a value counts as none in conditions and for default, and is told elsewhere", () => {
    assert.equal(rendered("{% if NONE %}a{% endif %}{% unless NONE %}b{% endunless %}{{ NONE | default: 'c' }}").text, "bc");
    assert.deepEqual(problems("\n {{ NONE }}"), [
      'web.container.liquid:2:5: NONE has no value: set it, or write {{ NONE | default: "…" }}',
    ]);
    assert.match(problems("{{ NONE | upcase }}")[0] ?? "", /:1:4: NONE has no value/);
  });

  test("is a text, with no parts and nothing of JavaScript's", () => {
    assert.equal(rendered("{{ TAG.size }}").text, "3");
    for (const part of ["constructor", "__proto__", "toString", "x"])
      assert.match(problems(`{{ TAG.${part} }}`)[0] ?? "", /is not there: variables are texts and have no parts/);
  });

  test("with a line break is told where it is used, and its value is not shown", () => {
    for (const text of [
      "{{ LINES }}",
      "{{ LINES | upcase }}",
      "{% assign x = LINES %}{{ x }}",
      "{% for x in LINES %}{{ x }}{% endfor %}",
    ]) {
      const [problem = ""] = problems(text);
      assert.match(problem, /the value of LINES has a line break/);
      assert.ok(!problem.includes("ExecStartPre"));
    }
    assert.equal(rendered("{{ TAG }}").text, "1.2");
  });

  test("with a backslash at the end can't join its line with the next", () => {
    for (const text of ["{{ ODD }}\nUser=x", "{{ ODD }} {{ EMPTY }}\nx", "{{ ODD }}\\\nx", "{{ ODD }}{% if TAG %}\n{% endif %}x"])
      assert.match(problems(text)[0] ?? "", /:1:1: a backslash of a value ends the line/);
    assert.equal(rendered("{{ ODD }}b\nx \\\ny").text, "a\\b\nx \\\ny");
  });

  test("comes out exactly, and is not read as a template", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "grapheme" }), fc.constant("{{ TAG }}{% x %}")).filter((value) => !/[\n\r\0]|\\\s*$/.test(value)),
        (value) => {
          assert.equal(rendered("a{{ V }}\nb", new Map([["V", value]])).text, `a${value}\nb`);
        },
      ),
    );
  });
});

suite("what a template can't do", () => {
  for (const tag of ["include 'a'", "render 'a'", "layout 'a'"])
    test(`read other files: ${tag}`, () => {
      assert.match(problems(`\n{% ${tag} %}`)[0] ?? "", /:2:1: \{% \w+ %\} is not available: a template can't read other files/);
    });

  test("depend on the clock or on chance", () => {
    for (const filter of ["date: '%s'", "sample", "date_to_string"])
      assert.match(problems(`{{ TAG | ${filter} }}`)[0] ?? "", /:1:1: there is no filter/);
    assert.match(problems("{{ TAG | upcas }}")[0] ?? "", /did you mean upcase\?/);
  });

  const limits = { ...templateLimits, output: 10_000, memory: 50_000 };
  const long = { ...limits, memory: Number.MAX_SAFE_INTEGER, output: Number.MAX_SAFE_INTEGER };
  for (const [what, text, set, message] of [
    ["count to a billion", "{% for i in (1..1000000000) %}{% endfor %}", limits, /makes more text than it may/],
    [
      "double a text for ever",
      "{% assign s = 'x' %}{% for i in (1..99) %}{% assign s = s | append: s %}{% endfor %}",
      limits,
      /makes more text than it may/,
    ],
    [
      "multiply a text by itself",
      "{% assign s = 'xxxxxxxxxx' %}{% for i in (1..9) %}{% assign s = s | replace: 'x', s %}{% endfor %}",
      limits,
      /makes more text/,
    ],
    ["write a long text", "{% for i in (1..3000) %}0123456789{% endfor %}", limits, /the output is longer than 10000 characters/],
    [
      "write a long text into a variable",
      "{% for i in (1..3000) %}{% capture x %}0123456789{% endcapture %}{% endfor %}",
      limits,
      /the output is longer/,
    ],
    [
      "double a capture for ever",
      "{% capture s %}x{% endcapture %}{% for i in (1..99) %}{% capture s %}{{ s }}{{ s }}{% endcapture %}{% endfor %}",
      limits,
      /output is longer/,
    ],
    ["count for long, doing nothing", "{% for i in (1..3000000) %}{% endfor %}", { ...long, milliseconds: 1 }, /takes too long/],
    [
      "run for ever, writing nothing",
      "{% for i in (1..3000) %}{% for j in (1..3000) %}{% for k in (1..3000) %}{% endfor %}{% endfor %}{% endfor %}",
      { ...long, milliseconds: 30 },
      /takes too long/,
    ],
  ] as const)
    test(what, () => {
      assert.match(problems(text, set)[0] ?? "", message);
    });

  test("be too long or too deep", () => {
    assert.match(problems("x".repeat(11), { ...limits, source: 10 })[0] ?? "", /:1:1: is longer than a template may be \(10 characters\)/);
    assert.match(problems("{% if TAG %}".repeat(15_000))[0] ?? "", /nested too deep/);
  });
});

suite("a mistake in a template is told with its line", () => {
  for (const [text, message] of [
    ["a\nb {% if TAG %}", /:2:3: tag \{% if TAG %\} not closed/],
    ["a\n{{ TAG ", /:2:1: output "\{\{ TAG " not closed/],
    ["a\n{% nothing %}", /:2:1: tag "nothing" not found/],
  ] as const)
    test(JSON.stringify(text), () => {
      assert.match(problems(text)[0] ?? "", message);
    });
});

suite("a line of the output leads back to the template's", () => {
  for (const [what, text, lines] of [
    ["literal lines", "a\nb\nc", [1, 2, 3]],
    ["after a branch that is not taken", "a\n{% if EMPTY == 'x' %}\nb\nc\n{% endif %}\nd\n", [1, 2, 6, 7]],
    ["in a branch that is taken", "a\n{% if TAG %}\nb\nc\n{% endif %}\nd", [1, 2, 3, 4, 5, 6]],
    ["white space taken off", "a\n\n{%- if TAG -%}\n\n b\n{%- endif %}\nd", [1, 7]],
    ["a loop", "{% for i in (1..2) -%}\nx={{ i }}\ny\n{% endfor %}z", [2, 3, 2, 3, 4]],
    ["a value in the middle", "a\nb={{ TAG }}c\nd", [1, 2, 3]],
    ["a captured text stands where it is used", "{% capture x %}a\nb\n{% endcapture %}\n{{ x }}c", [3, 4, 4, 4]],
    ["text that is not read", "a\n{% raw %}{{\nb\n{% endraw %}c", [1, 2, 3, 4]],
    ["tags in a {% liquid %}", "a\n{% liquid\n assign x = TAG\n echo x\n%}\nc", [1, 4, 6]],
    ["a value between two lines of the template", "{{ TAG }}\n{{ EMPTY }}\n{{ TAG }}", [1, 2, 3]],
  ] as const)
    test(what, () => {
      const { text: output, lineOf } = rendered(text);
      assert.deepEqual(
        output.split("\n").map((_, index) => lineOf(index + 1)),
        lines,
        output,
      );
    });
});
