/** Which applications a commit's trailer calls urgent. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { isUrgent } from "../../src/core/urgent.ts";

const changed = { name: "shop", isChanged: true };
const waiting = { name: "shop", isChanged: false };

suite("an application is urgent", () => {
  for (const [what, application, messages, expected] of [
    ["where a commit that changes it says so", changed, ["Fix\n\nWhy.\n\nPgo-Urgent: true\n"], true],
    [
      "among other trailers, in any case",
      changed,
      ["Fix\n\nSigned-off-by: Ada <a@b.c>\npgo-urgent:true\nCo-authored-by: Bo <b@c.d>"],
      true,
    ],
    ["where an older one of several new commits says so", changed, ["More\n", "Fix\n\nPgo-Urgent: true\n"], true],
    ["where its name is among those that are named", waiting, ["Go\n\nPgo-Urgent: blog, shop\n"], true],
    ["where all are", waiting, ["Go\n\nPgo-Urgent: *\n"], true],
    ["with Windows' line ends", changed, ["Fix\r\n\r\nPgo-Urgent: true\r\n"], true],
    ["not where the commit changes another", waiting, ["Fix\n\nPgo-Urgent: true\n"], false],
    ["not where another is named", changed, ["Fix\n\nPgo-Urgent: blog\n"], false],
    ["not where the value says nothing", changed, ["Fix\n\nPgo-Urgent:\n"], false],
    ["not where it says false", changed, ["Fix\n\nPgo-Urgent: false\n"], false],
    ["not where the words are in the middle of the message", changed, ["Fix\n\nPgo-Urgent: true\n\nWe don't use that.\n"], false],
    ["not where they are the subject", changed, ["Pgo-Urgent: true"], false],
    ["not by another trailer", changed, ["Fix\n\nPgo-Urgently: true\n"], false],
    ["not without a commit", changed, [], false],
  ] as const)
    test(what, () => {
      assert.equal(isUrgent(application, messages, "Pgo-Urgent"), expected);
    });
});
