/** Checks the import table (.dependency-cruiser.cjs), and that it was checked: a cruise over no modules finds no fault either. */

import { spawnSync } from "node:child_process";

const fewest = 80;
const command = ["src", "--config", ".dependency-cruiser.cjs", "--output-type", "json"];
const { stdout, stderr } = spawnSync("node_modules/.bin/depcruise", command, { encoding: "utf8", maxBuffer: 256 * 1024 * 1024 });
if (stdout === "") throw new Error(`depcruise printed nothing: ${stderr}`);
const { summary } = JSON.parse(stdout) as {
  summary: { totalCruised: number; violations: { from: string; to: string; rule: { name: string } }[] };
};
for (const { from, to, rule } of summary.violations) console.error(`${from} may not import ${to} (${rule.name})`);
const sources = summary.totalCruised;
if (sources < fewest) console.error(`only ${sources} modules were looked at: is the configuration right?`);
if (summary.violations.length > 0 || sources < fewest) process.exitCode = 1;
else console.log(`import table: ${sources} modules, no violation`);
