/** A few points of the kill matrix, so that it stays able to run; the whole of it is `npm run matrix`. */

import { test } from "node:test";

import { runTrack } from "../matrix/run-track.ts";
import { tracks } from "../matrix/world.ts";

test("pgo killed, and the power cut, at eight exact places of rollouts", async (t) => {
  const [shop] = tracks;
  // Ways back take twice the time; crash.test.ts has some.
  const transitions = shop.transitions.filter(({ outcome }) => outcome === "deployed");
  await runTrack(t, { track: { ...shop, transitions }, points: 8, seed: 7 });
});
